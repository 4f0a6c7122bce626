"""What units of a trained network respond to: the nine patches that drive each of them most."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.data.samples import PHOTOGRAPH, SAMPLES, find_sample, load_sample
from cnnkit.data.sources import STDIN, stream_sources
from cnnkit.engine.layer_summary import LayerSummary
from cnnkit.engine.model_summary import summarize_model
from cnnkit.errors import CnnkitError, ImageError, UsageError
from cnnkit.images import fit_size, read_image, resize, to_uint8
from cnnkit.ops.convolution import ReceptiveField
from cnnkit.ops.deconvnet import contrast_normalized
from cnnkit.ops.inference import compile_inference
from cnnkit.ops.top_patches import TopPatches, choose_units, cut_patch, pick_places
from cnnkit.results import Failure
from cnnkit.tasks.visualize.deconvnet import Deconvnet
from cnnkit.tasks.visualize.network import ViewedNetwork, load_viewed_network
from cnnkit.tasks.visualize.results import UnitsProgress, UnitsResult
from cnnkit.tasks.visualize.settings import UnitsSettings
from cnnkit.tasks.visualize.unit_responses import LayerResponses, UnitPatch, UnitResponse
from cnnkit.tasks.visualize.unit_search import (
    KEPT_FAILURES,
    Checkpoint,
    PictureReader,
    UnitSearch,
    Winner,
    digest_names,
    least_side,
)

PATCHES = 9
# Outside of the picture: paler than most pictures, and not the middle grey of a reconstruction.
OUTSIDE = 232
_UNITS_OF_ONE_LAYER, _UNITS_OF_SEVERAL = 16, 4
_MOST_LAYERS = 5
# Patches and thumbnails are kept no larger than this, however large the pictures are.
_LARGEST_KEPT = 256
_NOT_A_STAGE = ("Pad", "Pooling", "Dropout", "Cropping", "Flatten", "Rescaling", "Normalization")

# A patch that is still to be cut: (layer, place among its units, rank, value, row, column).
_Wanted = tuple[str, int, int, float, int, int]


def visualize_units(
    layer: str | None = None,
    images: Sequence[str] | None = None,
    settings: UnitsSettings | None = None,
    *,
    recursive: bool = False,
    network: ViewedNetwork | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    on_progress: Callable[[UnitsProgress], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_failure: Callable[[str, CnnkitError], None] | None = None,
) -> UnitsResult:
    """Finds the nine patches that drive units of a layer most, one a picture.

    A patch is exactly the unit's receptive field; what lies outside of the picture is pale grey. Of
    fewer than nine pictures, some give several patches. The memory needed does not depend on the
    number of pictures.

    Args:
        layer: its name, or "layer1" to "layer5" for the blocks of the VGG family; None for the
            last layer of each resolution, five at most, all in one pass.
        images: files, folders, globs or lists; None for the sample photographs.
        settings: see `UnitsSettings`.
        recursive: look into folders of folders.
        network: instead of loading `settings.model`.
        checkpoint: file that the state of the run is written to every few seconds; it is removed
            when the run is over.
        resume: go on from `checkpoint`.
        on_progress: told after each group of pictures.
        on_note: told what the user should know.
        on_failure: told of each picture that cannot be read; the others go on.

    Returns:
        A `UnitsResult`.

    Raises:
        UsageError: no such layer or unit, stdin as a picture, or a state of another run.
        ImageError: there are no pictures, or none of them can be read.
        WeightsError: the model's weights are not here.

    Example:

    >>> result = visualize_units("layer1", settings=UnitsSettings(units=(0,), size=64))
    >>> patch = result.layers[0].units[0].patches[0]
    >>> patch.pixels.shape, result.layers[0].receptive_field
    ((5, 5, 3), (5, 5))

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
    """
    settings = settings or UnitsSettings()
    note = on_note or (lambda text: None)
    progress = on_progress or (lambda found: None)
    failed = on_failure or (lambda name, error: None)
    if STDIN in (images or ()):
        raise UsageError("pictures are read twice, which stdin cannot be; name files or folders")
    network = network or load_viewed_network(settings.model, settings.pixels)
    layers = _stages(network) if layer is None else [network.resolve(layer)]
    _check_units(network, layers, settings.units)
    # Made first: what it cannot go back through should be said before the long run.
    deconvnets = {name: Deconvnet(network, name) for name in layers} if settings.deconv else {}
    search = UnitSearch(network, layers, PATCHES)

    names, read = _pictures(images, recursive, note)
    total, digest = digest_names(names())
    if network.input_size:
        height, width = network.input_size
        note(f"{network.name} takes {width}x{height}; pictures are squeezed to that")
    reader = PictureReader(read, network, settings.size, least_side(network, layers))
    state = Checkpoint(
        Path(checkpoint) if checkpoint else None,
        _fingerprint(network, layers, settings, digest),
        note,
    )
    if resume:
        if state.restore(search):
            note(f"going on after {search.done} of {total} pictures")
        else:
            note("there is nothing to resume; starting anew")
    search.run(
        names(),
        reader,
        total=total,
        checkpoint=state,
        on_progress=progress,
        on_failure=failed,
    )
    if not search.seen:
        raise ImageError("none of the pictures can be read; see the lines above")
    count = settings.count or (_UNITS_OF_ONE_LAYER if len(layers) == 1 else _UNITS_OF_SEVERAL)
    units = {
        name: list(settings.units or choose_units(search.tops[name], count)) for name in layers
    }
    _say_what_is_silent(search, layers, units, note)
    drawing = _Drawing(network, reader, search.winners, units, deconvnets)
    drawing.run(_wanted(network, reader, search, units, drawing), progress, failed)
    state.remove()
    failures = [*search.failures, *drawing.failures][:KEPT_FAILURES]
    return UnitsResult(
        network.name,
        network.hash,
        tuple(_layer_responses(search.tops[name], name, units[name], drawing) for name in layers),
        None if network.input_size else settings.size,
        search.seen,
        search.failed + len(drawing.failures),
        tuple(failures),
        drawing.thumbnails,
        drawing.sizes,
    )


def _stages(network: ViewedNetwork) -> list[str]:
    """The last layer of maps at each resolution, five at most, first to last."""
    last: dict[Any, str] = {}
    for layer in network.summary.layers:
        output = network.outputs.get(layer.name)
        is_map = output is not None and len(output.shape) == 4
        if is_map and not any(word in layer.kind for word in _NOT_A_STAGE):
            last[layer.jump] = layer.name
    stages = list(last.values())
    if not stages:
        raise UsageError(f"{network.name} has no layer of maps; name a layer")
    picks = np.linspace(0, len(stages) - 1, min(_MOST_LAYERS, len(stages)))
    return [stages[round(float(pick))] for pick in picks]


def _check_units(
    network: ViewedNetwork, layers: Sequence[str], units: Sequence[int] | None
) -> None:
    for layer in layers:
        have = network.outputs[layer].shape[-1]
        beyond = [unit for unit in units or () if unit >= have]
        if beyond:
            raise UsageError(
                f"{layer} has no unit {beyond[0]}; its {have} units are 0 to {have - 1}"
            )


def _pictures(
    images: Sequence[str] | None, recursive: bool, note: Callable[[str], None]
) -> tuple[Callable[[], Iterable[str]], Callable[[str], Any]]:
    """What gives the names of all pictures, again and again, and what reads one."""
    if images is None:
        samples = [sample.name for sample in SAMPLES if sample.kind == PHOTOGRAPH]
        note(
            f"no --images given: the {len(samples)} sample photographs are used; a thousand "
            "pictures of your own show more"
        )
        return lambda: samples, lambda name: load_sample(find_sample(name))
    told: set[str] = set()

    def note_once(text: str) -> None:
        if text not in told:
            told.add(text)
            note(text)

    return (
        lambda: (source.path for source in stream_sources(images, recursive, note_once)),
        read_image,
    )


def _fingerprint(
    network: ViewedNetwork, layers: Sequence[str], settings: UnitsSettings, digest: str
) -> str:
    facts = [network.name, network.hash, settings.pixels, list(layers), settings.size, digest]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _say_what_is_silent(
    search: UnitSearch,
    layers: Sequence[str],
    units: dict[str, list[int]],
    note: Callable[[str], None],
) -> None:
    for layer in layers:
        silent = _silent(search.tops[layer])
        if silent:
            listed = ", ".join(map(str, silent[:12])) + (", ..." if len(silent) > 12 else "")
            number = f"{len(silent)} of {len(search.tops[layer].values)} units"
            note(f"{layer}: {number} respond to no picture: {listed}")
        if not units[layer]:
            raise ImageError(f"{layer}: no unit responds to any of the pictures; give others")


def _silent(top: TopPatches) -> tuple[int, ...]:
    return tuple(int(unit) for unit in np.flatnonzero(top.pictures[:, 0] < 0))


def _wanted(
    network: ViewedNetwork,
    reader: PictureReader,
    search: UnitSearch,
    units: dict[str, list[int]],
    drawing: "_Drawing",
) -> dict[int, list[_Wanted]]:
    """Picture number -> the patches to be cut from it."""
    by_picture: dict[int, list[_Wanted]] = {}
    more: dict[tuple[str, int], list[tuple[float, int, int, int]]] = {}
    if search.seen < PATCHES:
        more = _more_places(network, reader, search, units, drawing)
    for layer, chosen in units.items():
        top = search.tops[layer]
        for place, unit in enumerate(chosen):
            found = [
                (float(value), int(number), int(row), int(column))
                for value, number, row, column in zip(
                    top.values[unit], top.pictures[unit], top.rows[unit], top.columns[unit],
                    strict=True,
                )
                if number >= 0
            ]  # fmt: skip
            found += more.get((layer, unit), [])[: PATCHES - len(found)]
            found.sort(key=lambda patch: (-patch[0], *patch[1:]))
            for rank, (value, number, row, column) in enumerate(found):
                wanted = (layer, place, rank, value, row, column)
                by_picture.setdefault(number, []).append(wanted)
    return dict(sorted(by_picture.items()))


def _more_places(
    network: ViewedNetwork,
    reader: PictureReader,
    search: UnitSearch,
    units: dict[str, list[int]],
    drawing: "_Drawing",
) -> dict[tuple[str, int], list[tuple[float, int, int, int]]]:
    """Where there are fewer than nine pictures: further places in them, strongest first."""
    maps_of = compile_inference(network.submodel(list(units)), "float32")
    more: dict[tuple[str, int], list[tuple[float, int, int, int]]] = {}
    for number, winner in search.winners.items():
        try:
            pixels, _ = reader(winner.name)
        except CnnkitError:
            # It will be missed, and told of, when it is drawn.
            continue
        found = maps_of(pixels[None].astype(np.float32) / 255.0)
        for layer, chosen in units.items():
            maps = found[layer][0]
            if maps.ndim == 1:
                continue
            fields = drawing.fields(layer, *pixels.shape[:2])
            apart = [
                n if field is None else max(1, math.ceil(field.size / max(1, field.jump) / 2))
                for n, field in zip(maps.shape, fields or (None, None), strict=False)
            ]
            for unit in chosen:
                places = pick_places(maps[..., unit], PATCHES, (apart[0], apart[1]))
                # The first is the strongest of the picture, which is known already.
                more.setdefault((layer, unit), []).extend(
                    (float(maps[row, column, unit]), number, row, column)
                    for row, column in places[1:]
                )
    for found_places in more.values():
        found_places.sort(key=lambda patch: (-patch[0], *patch[1:]))
    return more


class _Drawing:
    """Reads the pictures that won once more, and cuts the patches out of them."""

    def __init__(
        self,
        network: ViewedNetwork,
        reader: PictureReader,
        winners: dict[int, Winner],
        units: dict[str, list[int]],
        deconvnets: dict[str, Deconvnet],
    ):
        self._network, self._reader, self._winners = network, reader, winners
        self._units, self._deconvnets = units, deconvnets
        self._fields: dict[tuple[str, int, int], tuple[ReceptiveField, ...] | None] = {}
        self.patches: dict[tuple[str, int], list[tuple[int, UnitPatch]]] = {}
        self.thumbnails: dict[str, np.ndarray] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.failures: list[tuple[str, Failure]] = []

    def run(
        self,
        wanted: dict[int, list[_Wanted]],
        on_progress: Callable[[UnitsProgress], None],
        on_failure: Callable[[str, CnnkitError], None],
    ) -> None:
        """Cuts all patches."""
        begin = time.monotonic()
        for done, (number, patches) in enumerate(wanted.items(), start=1):
            winner = self._winners[number]
            try:
                pixels, found = self._reader(winner.name)
                if found != winner:
                    raise ImageError(f"{winner.name} has changed since it was looked at; run again")
            except CnnkitError as error:
                self.failures.append((winner.name, Failure(type(error).__name__, str(error))))
                on_failure(winner.name, error)
            else:
                self._cut(winner, pixels, patches)
            seconds = time.monotonic() - begin
            left = seconds * (len(wanted) - done) / done
            on_progress(
                UnitsProgress("drawing", done, len(wanted), len(self.failures), seconds, left)
            )

    def fields(self, layer: str, height: int, width: int) -> tuple[ReceptiveField, ...] | None:
        """What units of a layer see of a picture of that size, rows and columns; None for all."""
        key = layer, height, width
        if key not in self._fields:
            summary = next(s for s in self._network.summary.layers if s.name == layer)
            if summary.receptive_field is None and not self._network.input_size:
                summary = self._summary_of_size(layer, height, width)
            self._fields[key] = summary.fields
        return self._fields[key]

    def field_size(self, layer: str) -> tuple[int, int] | None:
        """Rows and columns that a unit sees; None where it is all, unknown, or not the same."""
        sizes = {
            None if fields is None else (fields[0].size, fields[1].size)
            for (name, _, _), fields in self._fields.items()
            if name == layer
        }
        return sizes.pop() if len(sizes) == 1 else None

    def _summary_of_size(self, layer: str, height: int, width: int) -> LayerSummary:
        """Where padding depends on the size of the picture, what a unit sees does too."""
        inputs = keras.Input((height, width, self._network.channels))
        outputs = self._network.submodel([layer])._run_through_graph(
            [inputs], call_fn=lambda operation, *args, **kwargs: operation(*args, **kwargs)
        )
        return summarize_model(keras.Model(inputs, outputs[layer])).layers[-1]

    def _cut(self, winner: Winner, pixels: np.ndarray, wanted: Sequence[_Wanted]) -> None:
        height, width = pixels.shape[:2]
        self.sizes[winner.name] = (winner.height, winner.width)
        self.thumbnails[winner.name] = _shown(pixels)
        for layer, place, rank, value, row, column in wanted:
            fields = self.fields(layer, height, width)
            rows, columns = (0, height), (0, width)
            if fields is not None:
                rows, columns = fields[0].places(row), fields[1].places(column)
            drawn = None
            if layer in self._deconvnets:
                unit = self._units[layer][place]
                back = self._deconvnets[layer].reconstruct_patch(
                    pixels, (unit, row, column), fields
                )
                drawn = to_uint8(contrast_normalized(back))
                inside = cut_patch(np.ones((height, width, 1), bool), rows, columns, False)
                drawn = _shown(np.where(inside, drawn, np.uint8(OUTSIDE)))
            down, right = winner.height / height, winner.width / width
            box = (columns[0] * right, rows[0] * down, columns[1] * right, rows[1] * down)
            patch = UnitPatch(
                value,
                winner.name,
                row,
                column,
                tuple(round(edge, 2) for edge in box),
                _shown(cut_patch(pixels, rows, columns, OUTSIDE)),
                drawn,
            )
            self.patches.setdefault((layer, place), []).append((rank, patch))


def _shown(pixels: np.ndarray) -> np.ndarray:
    """uint8 `(height, width, 3)`, no larger than what is kept."""
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    if max(pixels.shape[:2]) <= _LARGEST_KEPT:
        return pixels
    height, width = pixels.shape[:2]
    size = fit_size(height, width, _LARGEST_KEPT)
    return to_uint8(resize(pixels.astype(np.float32) / 255.0, *size))


def _layer_responses(
    top: TopPatches, layer: str, units: Sequence[int], drawing: _Drawing
) -> LayerResponses:
    responses = []
    for place, unit in enumerate(units):
        edges, counts = top.histogram.of(unit)
        patches = sorted(drawing.patches.get((layer, place), ()), key=lambda patch: patch[0])
        responses.append(
            UnitResponse(
                unit,
                tuple(patch for _, patch in patches),
                float(top.histogram.total[unit] / top.histogram.seen),
                int(top.histogram.silent[unit]),
                tuple(edges.tolist()),
                tuple(counts.tolist()),
            )
        )
    return LayerResponses(
        layer,
        len(top.values),
        drawing.field_size(layer),
        _silent(top),
        tuple(responses),
    )
