"""What views of networks give: numbers, and how they are drawn, told and written as JSON."""

import abc
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cnnkit.engine.result import PlottedResult
from cnnkit.errors import UsageError
from cnnkit.images import Picture, as_picture, encode_image, resize, to_uint8, write_bytes
from cnnkit.results import Failure, Record
from cnnkit.tasks.visualize.settings import MaximizeSettings
from cnnkit.tasks.visualize.unit_responses import LayerResponses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Filters that fit on one sheet.
MOST_FILTERS = 256


class PictureView(PlottedResult):
    """What a network, or a kernel, makes of one picture."""

    @abc.abstractmethod
    def to_record(self, source: str, output: str) -> Record:
        """What the command line's JSON says.

        Args:
            source: of the picture.
            output: file of the figure.
        """

    @abc.abstractmethod
    def lines(self) -> list[str]:
        """For people; the first line stands behind the name of the file."""


def _image_of(figure: "Figure") -> Image.Image:
    from cnnkit.plots import encode_figure

    return Image.open(io.BytesIO(encode_figure(figure))).convert("RGB")


@dataclass(frozen=True, eq=False)
class FilteredImage(PictureView):
    """A picture after one convolution or pooling.

    Attributes:
        image: what went in: float `(height, width)`, or with three channels, in [0, 1].
        output: float64, what came out, channels last if there are any.
        kernel: float64 `(rows, columns)`, None for a pooling.
        name: of the kernel or of the pooling, for people.
        window: rows and columns of the window.
        stride: of the window.
        padding: pixels added at the top and bottom, and at the left and right.
        padding_name: "valid" or "same".
        pool: "max", "average" or None.
        arithmetic: the formulas of the output's height and width, with their numbers.
    """

    image: np.ndarray
    output: np.ndarray
    kernel: np.ndarray | None
    name: str
    window: tuple[int, int]
    stride: int
    padding: tuple[tuple[int, int], tuple[int, int]]
    padding_name: str
    pool: str | None
    arithmetic: tuple[str, str]

    def plot(self) -> Image.Image:
        """The picture, the window that slid over it, and what came out."""
        from cnnkit.tasks.visualize.plots.filtering import plot_filtering

        figure = plot_filtering(
            self.image,
            self.output,
            kernel=self.kernel,
            window=self.window,
            title=f"{self.name}, {self.padding_name}, stride {self.stride}",
            lines=self._formulas(),
        )
        return _image_of(figure)

    def to_record(self, source: str, output: str) -> Record:
        """See `PictureView`."""
        (height, width), (rows, columns) = self.image.shape[:2], self.output.shape[:2]
        item = {
            "output": output,
            "output_width": columns,
            "output_height": rows,
            "kernel": self.kernel,
            "pool": self.pool,
            "window": self.window,
            "stride": self.stride,
            "padding": self.padding_name,
            "arithmetic": self.arithmetic,
            "minimum": float(self.output.min()),
            "maximum": float(self.output.max()),
        }
        return Record(source, width, height, items=(item,))

    def lines(self) -> list[str]:
        """See `PictureView`."""
        (height, width), (rows, columns) = self.image.shape[:2], self.output.shape[:2]
        return [
            f"{width}x{height} -> {columns}x{rows}",
            *(f"  {formula}" for formula in self._formulas()),
        ]

    def _formulas(self) -> list[str]:
        return [
            f"{axis:<7} floor((n + 2p - f)/s) + 1 = {line}"
            for axis, line in zip(("height:", "width:"), self.arithmetic, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class ActivationMaps(PictureView):
    """Feature maps of a picture in one layer.

    Attributes:
        layer: name of the layer.
        channels: indices, in the order of `maps`: strongest first, or as asked for.
        maps: float32 `(height, width, len(channels))`; of a layer without places `(1, 1, ...)`.
        means: float32, mean of every channel of the layer, by index.
        peaks: float32, largest value of every channel.
        shares: float32, of every channel the share of places above 0.
        is_map: whether the layer has places.
        is_sorted: whether the strongest stand first.
        input_size: height and width of the picture as the network saw it.
        model: name of the network.
        picture: that is meant.
    """

    layer: str
    channels: tuple[int, ...]
    maps: np.ndarray
    means: np.ndarray
    peaks: np.ndarray
    shares: np.ndarray
    is_map: bool
    is_sorted: bool
    input_size: tuple[int, int]
    model: str
    picture: Picture = field(repr=False)

    def plot(self) -> Image.Image:
        """The maps beside the picture, each to its own largest value; bars of a dense layer."""
        from cnnkit.plots import draw_tiles
        from cnnkit.tasks.visualize.plots.views import color_map, plot_units

        if not self.is_map:
            figure = plot_units(
                self.channels,
                self.means[list(self.channels)].tolist(),
                title=f"{self.layer} of {self.model}: {self._count} units",
            )
            return _image_of(figure)
        height, width = self.maps.shape[:2]
        sheet = draw_tiles(
            [color_map(self.maps[..., index]) for index in range(len(self.channels))],
            [f"{one} · {self.means[one]:.3g} · {self.peaks[one]:.3g}" for one in self.channels],
            title=f"{self.layer} of {self.model}",
            subtitle=f"{self._count} channels of {width}x{height}, {self._order} "
            "(channel · mean · largest)",
            picture=to_uint8(resize(self.picture.pixels, *self.input_size)),
        )
        return Image.fromarray(sheet)

    def to_record(self, source: str, output: str) -> Record:
        """See `PictureView`."""
        items = tuple(
            {
                "channel": one,
                "mean": float(self.means[one]),
                "maximum": float(self.peaks[one]),
                "active_share": float(self.shares[one]),
            }
            for one in self.channels
        )
        details = {
            "layer": self.layer,
            "channels": len(self.means),
            "map_height": self.maps.shape[0],
            "map_width": self.maps.shape[1],
            "output": output,
        }
        size = self.picture.width, self.picture.height
        return Record(source, *size, items, model=self.model, details=details)

    def lines(self) -> list[str]:
        """See `PictureView`."""
        height, width = self.maps.shape[:2]
        shape = f"maps of {width}x{height}" if self.is_map else "units"
        lines = [f"{self.layer}: {self._count} {shape}, {self._order}"]
        for one in self.channels[:5]:
            line = f"  {one:>4}  mean {self.means[one]:.4g}"
            if self.is_map:
                line += f"  largest {self.peaks[one]:.4g}  {self.shares[one]:.0%} active"
            lines.append(line)
        return lines

    @property
    def _order(self) -> str:
        return "highest mean first" if self.is_sorted else "in the order asked for"

    @property
    def _count(self) -> str:
        return f"{len(self.channels)} of {len(self.means)}"


@dataclass(frozen=True, eq=False)
class FilterPictures(PlottedResult):
    """The kernels of a layer.

    Attributes:
        layer: name of the layer.
        kernels: float32 `(filters, height, width, channels)`: of colours RGB as they act on the
            picture, `(filters, height, width, 1)` for one input channel.
        units: index of each kernel.
        input_channels: of the layer.
        input_channel: the one that is shown, or None where the kernels are in colour or all that
            there is.
        model: name of the network.
    """

    layer: str
    kernels: np.ndarray
    units: tuple[int, ...]
    input_channels: int
    input_channel: int | None
    model: str

    def plot(self) -> Image.Image:
        """The first `MOST_FILTERS` kernels as pictures, in which grey is 0."""
        from cnnkit.plots import draw_tiles
        from cnnkit.tasks.visualize.plots.views import kernel_picture

        sheet = draw_tiles(
            [kernel_picture(kernel) for kernel in self.kernels[:MOST_FILTERS]],
            [str(unit) for unit in self.units[:MOST_FILTERS]],
            title=f"{self.layer} of {self.model}",
            subtitle=f"{self.facts}; grey is 0",
            side=64,
        )
        return Image.fromarray(sheet)

    def to_dict(self) -> dict[str, Any]:
        """The kernels that are shown in numbers."""
        items = tuple(
            {
                "unit": unit,
                "norm": float((kernel**2).sum() ** 0.5),
                "smallest": float(kernel.min()),
                "largest": float(kernel.max()),
            }
            for unit, kernel in zip(
                self.units[:MOST_FILTERS], self.kernels[:MOST_FILTERS], strict=True
            )
        )
        return {
            "model": self.model,
            "layer": self.layer,
            "kernel": self.kernels.shape[1:3],
            "input_channels": self.input_channels,
            "items": items,
        }

    @property
    def facts(self) -> str:
        """How many kernels are shown, how large, and of which input channel."""
        height, width, depth = self.kernels.shape[1:]
        if depth == 3:
            what = "in colour"
        elif self.input_channels == 1:
            what = "grey"
        elif self.input_channel is not None:
            what = f"input channel {self.input_channel} of {self.input_channels}"
        else:
            what = f"the strongest of {self.input_channels} input channels"
        return f"{min(len(self.kernels), MOST_FILTERS)} kernels of {width}x{height}, {what}"


@dataclass(frozen=True, eq=False)
class MaximizedUnit:
    """A picture that excites a unit.

    Attributes:
        unit: index of the channel.
        image: float32 `(height, width, 3 or 1)`, sRGB in [0, 1].
        mean: activation of the unit, averaged over the places of the picture.
        peak: its largest activation.
        noise_mean: `mean` of a picture of noise with the spectrum of photographs.
        is_dead: whether nothing excites it: its peak is next to nothing beside other units'.
    """

    unit: int
    image: np.ndarray
    mean: float
    peak: float
    noise_mean: float
    is_dead: bool

    def line(self) -> str:
        """For people."""
        if self.is_dead:
            return f"  {self.unit:>4}  dead: nothing excites it, {self.peak:.2g} at most"
        return (
            f"  {self.unit:>4}  mean {self.mean:.4g}, of noise {self.noise_mean:.2g}; "
            f"largest {self.peak:.4g}"
        )


@dataclass(frozen=True, eq=False)
class MaximizedUnits(PlottedResult):
    """Pictures that excite units of a layer.

    Attributes:
        model: name of the network.
        layer: name of the layer.
        units: in the order asked for.
        settings: that they were made with.
    """

    model: str
    layer: str
    units: tuple[MaximizedUnit, ...]
    settings: MaximizeSettings

    @property
    def alive(self) -> list[MaximizedUnit]:
        """The units that something excites."""
        return [one for one in self.units if not one.is_dead]

    def plot(self) -> Image.Image:
        """The picture of one unit, or a sheet of several, without those that nothing excites.

        Raises:
            UsageError: nothing excites any of them.
        """
        if not self.alive:
            raise UsageError(f"nothing excites these units of {self.layer}; choose others")
        images = [
            to_uint8(np.broadcast_to(one.image, (*one.image.shape[:2], 3))) for one in self.alive
        ]
        if len(self.units) == 1:
            return Image.fromarray(images[0])
        from cnnkit.plots import draw_tiles

        made_for = "" if self.settings.target == "mean" else "; made for the centre"
        sheet = draw_tiles(
            images,
            [f"{one.unit} · {one.mean:.3g}" for one in self.alive],
            title=f"{self.layer} of {self.model}",
            subtitle=f"pictures that excite units (unit · mean activation{made_for})",
            side=max(images[0].shape[:2]),
            smooth=True,
        )
        return Image.fromarray(sheet)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Writes `plot()` into a file, which says how it was made; see `PlottedResult.save`."""
        made = {"model": self.model, "layer": self.layer, "units": [one.unit for one in self.alive]}
        record = json.dumps({**made, **vars(self.settings)})
        picture = as_picture(self.plot(), os.fspath(path))
        content = encode_image(picture, Path(path).suffix.lower(), record)
        write_bytes(path, content, overwrite=overwrite)

    def to_dict(self) -> dict[str, Any]:
        """The activations, and the settings."""
        items = tuple(
            {
                "unit": one.unit,
                "mean": one.mean,
                "maximum": one.peak,
                "noise_mean": one.noise_mean,
                "dead": one.is_dead,
            }
            for one in self.units
        )
        settings = dict(vars(self.settings))
        return {"model": self.model, "layer": self.layer, "settings": settings, "items": items}


@dataclass(frozen=True, eq=False)
class ClassMap(PictureView):
    """Where in a picture the evidence for a class is.

    Attributes:
        heat: float32 `(height, width)` of the picture's own size. Of Grad-CAM in [0, 1], 1 at the
            strongest place; of occlusion what the score loses, negative where it gains.
        coarse: the same before it was spread over the picture.
        class_index: of the class.
        label: its name, or "class 3" without one.
        score: of the class for the whole picture, as the network gives it.
        best: index, name and score of the best classes, best first.
        peak_xy: where the map is strongest, in pixels of the picture.
        layer: of Grad-CAM, the layer whose maps were weighed.
        input_size: height and width of the picture as the network saw it.
        model: name of the network.
        picture: that is meant.
    """

    heat: np.ndarray
    coarse: np.ndarray
    class_index: int
    label: str
    score: float
    best: tuple[tuple[int, str, float], ...]
    peak_xy: tuple[int, int]
    layer: str | None
    input_size: tuple[int, int]
    model: str
    picture: Picture = field(repr=False)

    def plot(self) -> Image.Image:
        """The picture, and beside it the places that speak for the class over its grey."""
        from cnnkit.tasks.visualize.plots.views import plot_class_map

        label = "share of the strongest place"
        if self.layer is None:
            label = "probability lost" if self._is_share else "score lost"
        figure = plot_class_map(
            self.picture.pixels,
            self.heat,
            title=f"{self.label}  {self._score}",
            label=label,
            peak_xy=self.peak_xy,
            lines=(self.model, self._method),
        )
        return _image_of(figure)

    def encode_map(self, suffix: str) -> bytes:
        """The map alone as a file.

        Args:
            suffix: ".npy", or one of a picture, in which white is the strongest place.
        """
        if suffix == ".npy":
            buffer = io.BytesIO()
            np.save(buffer, self.heat)
            return buffer.getvalue()
        most = float(self.heat.max())
        grey = np.clip(self.heat / most, 0.0, 1.0) if most > 0 else np.zeros_like(self.heat)
        return encode_image(Picture(np.repeat(grey[..., None], 3, axis=2)), suffix)

    def to_record(self, source: str, output: str) -> Record:
        """See `PictureView`."""
        item = {
            "label": self.label,
            "class_id": self.class_index,
            "score": self.score,
            "peak": {"x": self.peak_xy[0], "y": self.peak_xy[1]},
            "minimum": float(self.heat.min()),
            "maximum": float(self.heat.max()),
        }
        best = [
            {"label": name, "class_id": index, "score": value} for index, name, value in self.best
        ]
        details = {"best": best, "layer": self.layer, "map": self.coarse, "output": output}
        size = self.picture.width, self.picture.height
        return Record(source, *size, (item,), model=self.model, details=details)

    def lines(self) -> list[str]:
        """See `PictureView`."""
        x, y = self.peak_xy
        lines = [f"{self.label}: {self._score}, strongest at x {x}, y {y}  ({self._method})"]
        for _, name, value in self.best:
            shown = f"{value:>7.2%}" if self._is_share else f"{value:>9.4g}"
            lines.append(f"  {shown}  {name}")
        return lines

    @property
    def _is_share(self) -> bool:
        """Whether the scores are probabilities, as far as can be told from the best."""
        best = [value for _, _, value in self.best]
        return sum(best) <= 1.0 + 1e-4 and all(0.0 <= value <= 1.0 for value in (*best, self.score))

    @property
    def _score(self) -> str:
        return f"{self.score:.1%}" if self._is_share else f"{self.score:.4g}"

    @property
    def _method(self) -> str:
        rows, columns = self.coarse.shape
        if self.layer is None:
            return f"{columns}x{rows} grey squares"
        return f"Grad-CAM at {self.layer}"


@dataclass(frozen=True)
class UnitsProgress:
    """Where a search for what units respond to stands, after each group of pictures.

    Attributes:
        stage: "looking" at all pictures, or "drawing" those that won.
        done: pictures of this stage that are done.
        total: pictures of this stage.
        failed: those that could not be read.
        seconds: since the start of the stage.
        seconds_left: predicted.
    """

    stage: str
    done: int
    total: int
    failed: int
    seconds: float
    seconds_left: float


@dataclass(frozen=True, eq=False)
class UnitsResult(PlottedResult):
    """What units of a network respond to.

    Attributes:
        model: name of the network.
        model_hash: SHA-256 of its weights.
        layers: in the order asked for.
        size: long side of the pictures as the network saw them; None where its own size is fixed.
        pictures: number of pictures that it saw.
        failed: number of pictures that could not be read.
        failures: name and reason of the first of them.
        thumbnails: picture -> uint8 `(height, width, 3)`, for the pictures of the patches.
        sizes: picture -> height and width as it is in the file, upright.
    """

    model: str
    model_hash: str
    layers: tuple[LayerResponses, ...]
    size: int | None
    pictures: int
    failed: int
    failures: tuple[tuple[str, Failure], ...]
    thumbnails: Mapping[str, np.ndarray]
    sizes: Mapping[str, tuple[int, int]]

    def plot(self) -> Image.Image:
        """The strongest patches of each unit, three by three, beside their reconstructions."""
        from cnnkit.tasks.visualize.plots.units import draw_units

        first, *others = self.layers
        title = f"{len(self.layers)} layers" if others else first.layer
        sheet = draw_units(self.layers, title=f"{self.model}, {title}", notes=self._notes())
        return Image.fromarray(sheet)

    def _notes(self) -> list[str]:
        sees = "all that a unit sees"
        field = self.layers[0].receptive_field
        if len(self.layers) == 1 and field is not None:
            sees += f", {field[1]} × {field[0]} pixels"
        side = "" if self.size is None else f" at {self.size} pixels"
        notes = [
            f"The strongest patches of {self.pictures:,} pictures{side}, best first: {sees}. Pale "
            "is outside of the picture."
        ]
        if any(unit.is_reconstructed for layer in self.layers for unit in layer.units):
            notes.append("On the left of them, what in each patch drives the unit (deconvnet).")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """All but pictures."""
        return {
            "model": self.model,
            "model_hash": self.model_hash,
            "size": self.size,
            "pictures": self.pictures,
            "failed": self.failed,
            "errors": [
                {"source": name, "code": failure.code, "message": failure.message}
                for name, failure in self.failures
            ],
            "layers": [layer.to_dict() for layer in self.layers],
        }


@dataclass(frozen=True)
class NearWord:
    """A word whose learned vector points where another one's does.

    Attributes:
        word: the word.
        similarity: cosine of the angle between both vectors, from -1 to 1.
    """

    word: str
    similarity: float


@dataclass(frozen=True)
class WordNeighbours:
    """A word, and those that are near to it in a learned embedding.

    Attributes:
        word: as the vocabulary has it.
        index: in the vocabulary.
        near: the nearest first.
        model: name of the classifier that learned it.
    """

    word: str
    index: int
    near: tuple[NearWord, ...]
    model: str

    def to_record(self, source: str) -> Record:
        """What the command line's JSON says of the word that was asked for."""
        items = tuple({"label": one.word, "similarity": one.similarity} for one in self.near)
        return Record(source, items=items, model=self.model)

    def lines(self) -> list[str]:
        """For people."""
        return [self.word, *(f"  {one.similarity:>6.3f}  {one.word}" for one in self.near)]
