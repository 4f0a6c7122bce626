"""Runs pictures through a network once, and keeps where each unit of some layers responds most.

Pictures come in groups of `GROUP`; those of one size go through the network together. A state that
is written between two groups is one that a run without interruption went through as well.
"""

import contextlib
import hashlib
import io
import itertools
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from cnnkit.errors import CnnkitError, ImageError, UsageError
from cnnkit.images import Picture, fit_size, resize, to_uint8, write_bytes
from cnnkit.ops.color import LUMA
from cnnkit.ops.inference import compile_inference
from cnnkit.ops.top_patches import TopPatches
from cnnkit.results import Failure
from cnnkit.tasks.visualize.network import ViewedNetwork
from cnnkit.tasks.visualize.results import UnitsProgress

GROUP = 32
# Of one batch: eight pictures of 256 x 256. More is no faster on a CPU.
_BATCH_PIXELS = 8 * 256 * 256
_CHECKPOINT_SECONDS = 10.0
# Failures that are kept word by word; the others are only counted.
KEPT_FAILURES = 100


@dataclass(frozen=True)
class Winner:
    """A picture that some unit responds to most: what it takes to find it again.

    Attributes:
        name: as `read` takes it.
        height: of the upright picture as it is in the file, in pixels.
        width: of the same.
        checksum: CRC-32 of the pixels as the network saw them.
    """

    name: str
    height: int
    width: int
    checksum: int


class PictureReader:
    """Reads pictures as a network takes them.

    Args:
        read: name -> `Picture`.
        network: says how many channels a picture must have, and its size if that is fixed.
        size: long side of the pictures in pixels, where any size will do.
        least_side: narrower ones cannot go through the layers asked for.
    """

    def __init__(
        self, read: Callable[[str], Picture], network: ViewedNetwork, size: int, least_side: int
    ):
        self._read, self._network = read, network
        self._size, self._least_side = size, least_side

    def __call__(self, name: str) -> tuple[np.ndarray, Winner]:
        """The pixels, uint8 `(height, width, channels)`, and how to find them again.

        Raises:
            ImageError: it cannot be read, or is too narrow.
        """
        picture = self._read(name)
        shape = self._network.input_size
        height, width = shape or fit_size(picture.height, picture.width, self._size)
        if min(height, width) < self._least_side:
            raise ImageError(
                f"{name} is {picture.width}x{picture.height}, as seen {width}x{height}, too narrow "
                f"for this layer, which needs {self._least_side} pixels; make --size larger, or "
                "leave it out"
            )
        pixels = picture.opaque().pixels
        if self._network.channels == 1:
            pixels = (pixels @ LUMA)[..., None]
        pixels = to_uint8(resize(pixels, height, width))
        checksum = zlib.crc32(np.ascontiguousarray(pixels).data)
        return pixels, Winner(name, picture.height, picture.width, checksum)


class UnitSearch:
    """The strongest responses of all units of some layers, while pictures stream by.

    Args:
        network: the network.
        layers: names of its layers: maps, or rows of numbers.
        count: pictures kept for each unit.

    Attributes:
        tops: layer -> its `TopPatches`.
        winners: picture number -> where it is from, for all pictures in `tops`.
        done: pictures looked at, or tried to.
        failed: those of them that could not be read.
        failures: `(name, Failure)` of the first of them.
        is_whole: no group is half done.

    Raises:
        UsageError: a layer that has neither maps nor a row of numbers.
    """

    def __init__(self, network: ViewedNetwork, layers: Sequence[str], count: int = 9):
        for layer in layers:
            shape = network.outputs[layer].shape[1:]
            if len(shape) not in (1, 3) or shape[-1] is None:
                raise UsageError(
                    f"{layer} gives {'x'.join(map(str, shape))}, neither maps nor a row of "
                    "numbers; choose another layer"
                )
        self._layers = list(layers)
        units = [network.outputs[layer].shape[-1] for layer in layers]
        self.tops = {
            layer: TopPatches(n, count) for layer, n in zip(self._layers, units, strict=True)
        }
        self._ends = list(itertools.accumulate(units))
        self._respond = compile_inference(_response_model(network, self._layers))
        self.winners: dict[int, Winner] = {}
        self.done = self.failed = 0
        self.is_whole = True
        self.failures: list[tuple[str, Failure]] = []

    @property
    def seen(self) -> int:
        """Pictures that went through the network."""
        return self.done - self.failed

    def run(
        self,
        names: Iterable[str],
        reader: PictureReader,
        *,
        total: int,
        checkpoint: "Checkpoint",
        on_progress: Callable[[UnitsProgress], None],
        on_failure: Callable[[str, CnnkitError], None],
    ) -> None:
        """Looks at all pictures that have not been looked at yet.

        Args:
            names: of all pictures, the same and in the same order as when the run began.
            reader: reads them.
            total: number of pictures.
            checkpoint: told after each group.
            on_progress: told after each group.
            on_failure: told of each picture that cannot be read.
        """
        begin = time.monotonic()
        started_at = self.done
        rest = itertools.islice(names, self.done, None)
        try:
            for group in _read_ahead(rest, reader):
                self._take(group, on_failure)
                checkpoint.group_done(self)
                seconds = time.monotonic() - begin
                left = seconds * (total - self.done) / (self.done - started_at)
                on_progress(UnitsProgress("looking", self.done, total, self.failed, seconds, left))
        finally:
            # Ctrl-C leaves the last whole group behind.
            checkpoint.write(self)

    def _take(
        self,
        group: Sequence[tuple[str, Any]],
        on_failure: Callable[[str, CnnkitError], None],
    ) -> None:
        numbers, pictures, winners = [], [], {}
        failures = []
        for number, (name, result) in enumerate(group, start=self.done):
            if isinstance(result, CnnkitError):
                failures.append((name, result))
                continue
            pixels, winners[number] = result
            numbers.append(number)
            pictures.append(pixels)
        if pictures:
            responses = self._responses(pictures)
            bad = ~np.isfinite(responses[:, :, 0])
            if bad.any():
                name = winners[numbers[int(np.argwhere(bad)[0, 0])]].name
                raise ImageError(
                    f"the network gives NaN or infinity for {name}; does it expect other --pixels?"
                )
            # Ctrl-C may come in between, and what is half done must not be written.
            self.is_whole = False
            for layer, part in zip(
                self._layers, np.split(responses, self._ends[:-1], axis=1), strict=True
            ):
                self.tops[layer].update(part[..., 0], part[..., 1], part[..., 2], np.array(numbers))
            kept = set(
                np.concatenate([top.pictures.ravel() for top in self.tops.values()]).tolist()
            )
            self.winners = {
                number: winner
                for number, winner in {**self.winners, **winners}.items()
                if number in kept
            }
        self.done += len(group)
        self.failed += len(failures)
        self.is_whole = True
        for name, error in failures:
            if len(self.failures) < KEPT_FAILURES:
                self.failures.append((name, Failure(type(error).__name__, str(error))))
            on_failure(name, error)

    def _responses(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float32 `(pictures, units of all layers, (value, row, column))`."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, pixels in enumerate(pictures):
            by_size.setdefault(pixels.shape, []).append(index)
        responses = np.empty((len(pictures), self._ends[-1], 3), np.float32)
        for (height, width, _), indices in by_size.items():
            most = max(1, _BATCH_PIXELS // (height * width))
            for begin in range(0, len(indices), most):
                batch = indices[begin : begin + most]
                responses[batch] = self._respond(np.stack([pictures[i] for i in batch]))
        return responses

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What is known so far: what JSON takes, and arrays."""
        header = {
            "done": self.done,
            "failed": self.failed,
            "failures": [(name, asdict(failure)) for name, failure in self.failures],
            "winners": [(number, *astuple(winner)) for number, winner in self.winners.items()],
        }
        arrays = {
            f"{index}/{name}": values
            for index, layer in enumerate(self._layers)
            for name, values in self.tops[layer].state().items()
        }
        return header, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        for index, layer in enumerate(self._layers):
            start = f"{index}/"
            self.tops[layer].restore(
                {
                    name.removeprefix(start): values
                    for name, values in arrays.items()
                    if name.startswith(start)
                }
            )
        self.winners = {number: Winner(*parts) for number, *parts in header["winners"]}
        self.failures = [(name, Failure(**failure)) for name, failure in header["failures"]]
        self.done, self.failed = header["done"], header["failed"]


class Checkpoint:
    """Writes the state of a search every few seconds, whole or not at all.

    Args:
        path: the file, or None to write nothing.
        fingerprint: identifies the run.
        on_note: told once, if the file cannot be written: the result matters more.
    """

    def __init__(self, path: Path | None, fingerprint: str, on_note: Callable[[str], None]):
        self._path, self._fingerprint, self._note = path, fingerprint, on_note
        self._failed = False
        self._written = time.monotonic()
        self._done = 0

    def group_done(self, search: UnitSearch) -> None:
        """After each group: writes, if it is time."""
        if time.monotonic() - self._written >= _CHECKPOINT_SECONDS:
            self.write(search)

    def write(self, search: UnitSearch) -> None:
        """Writes the state now, unless that was done already or a group is half done."""
        if self._path is None or search.done == self._done or not search.is_whole:
            return
        header, arrays = search.state()
        header["fingerprint"] = self._fingerprint
        buffer = io.BytesIO()
        entries: dict[str, Any] = {
            "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
            **arrays,
        }
        np.savez(buffer, **entries)
        try:
            write_bytes(self._path, buffer.getvalue())
        except ImageError as error:
            if not self._failed:
                self._note(f"the run goes on, but could not be resumed: {error}")
            self._failed = True
        self._written, self._done = time.monotonic(), search.done

    def restore(self, search: UnitSearch) -> bool:
        """Puts the search where the file says; False where there is no file.

        Raises:
            ImageError: the file is damaged.
            UsageError: it is of another run.
        """
        if self._path is None:
            return False
        try:
            with np.load(io.BytesIO(self._path.read_bytes()), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays.pop("header").tobytes())
            if header["fingerprint"] != self._fingerprint:
                raise UsageError(
                    f"{self._path} is of a run with another model, layer, size or other pictures; "
                    "give the same ones, or remove it to start anew"
                )
            search.restore(header, arrays)
        except FileNotFoundError:
            return False
        except (
            OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
            zipfile.BadZipFile, zlib.error,
        ):  # fmt: skip
            raise ImageError(f"{self._path} is damaged; remove it to start anew") from None
        self._done = search.done
        return True

    def remove(self) -> None:
        """The run is over."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def digest_names(names: Iterable[str]) -> tuple[int, str]:
    """How many pictures there are, and a digest of their names and order."""
    digest, count = hashlib.sha256(), 0
    for name in names:
        digest.update(name.encode(errors="surrogateescape") + b"\0")
        count += 1
    return count, digest.hexdigest()


def least_side(network: ViewedNetwork, layers: Sequence[str]) -> int:
    """The smallest square picture, in pixels, that goes through the layers."""
    if network.input_size:
        return 1
    # Where nothing is padded, a unit needs all that it sees; with padding far less.
    low, high = 1, 4096
    while low < high:
        middle = (low + high) // 2
        if _fits(network, layers, middle):
            high = middle
        else:
            low = middle + 1
    return low


def _fits(network: ViewedNetwork, layers: Sequence[str], side: int) -> bool:
    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        mode = getattr(operation, "mode", None)
        if type(operation).__name__ == "Pad" and mode in ("reflect", "symmetric"):
            # Keras says nothing where there is too little to mirror; the backend would.
            sizes = keras.tree.flatten(args)[0].shape[1:3]
            skip = 1 if mode == "reflect" else 0
            pads = operation.pad_width[1:3]
            if any(max(pair) > n - skip for pair, n in zip(pads, sizes, strict=True)):
                raise ValueError
        found = operation.compute_output_spec(*args, **kwargs)
        if any(n is not None and n < 1 for n in keras.tree.flatten(found)[0].shape[1:]):
            raise ValueError
        return found

    model = network.submodel(layers)
    try:
        model._run_through_graph(
            [keras.KerasTensor((1, side, side, network.channels))], call_fn=call
        )
    except ValueError:
        return False
    return True


def _response_model(network: ViewedNetwork, layers: Sequence[str]) -> keras.Model:
    """Pictures of bytes -> `(batch, units of all layers, (value, row, column))`."""
    inputs = keras.Input(network.model.inputs[0].shape[1:])
    outputs = network.submodel(layers)(inputs / 255.0)
    strongest = [_strongest(outputs[layer]) for layer in layers]
    joined = strongest[0] if len(strongest) == 1 else ops.concatenate(strongest, axis=1)
    return keras.Model(inputs, joined)


def _strongest(outputs: Any) -> Any:
    """`(batch, units, (value, row, column))`, of equals the first in reading order."""
    outputs = ops.cast(outputs, "float32")
    if len(outputs.shape) == 2:
        nowhere = ops.zeros_like(outputs)
        return ops.stack([outputs, nowhere, nowhere], axis=-1)
    in_row = ops.max(outputs, axis=2)  # (B, H, C)
    row = ops.argmax(in_row, axis=1)  # (B, C)
    columns = ops.argmax(outputs, axis=2)  # (B, H, C)
    column = ops.take_along_axis(columns, row[:, None], axis=1)[:, 0]
    places = [ops.cast(place, "float32") for place in (row, column)]
    return ops.stack([ops.max(in_row, axis=1), *places], axis=-1)


def _read_ahead(
    names: Iterator[str], reader: PictureReader
) -> Iterator[list[tuple[str, tuple[np.ndarray, Winner] | CnnkitError]]]:
    """Groups of pictures or of why they cannot be read, the next one read in the background."""

    def read(group: list[str]) -> list[tuple[str, Any]]:
        results: list[tuple[str, Any]] = []
        for name in group:
            try:
                results.append((name, reader(name)))
            except CnnkitError as error:
                results.append((name, error))
        return results

    groups = iter(lambda: list(itertools.islice(names, GROUP)), [])
    # One thread: two large pictures at once would need twice the memory.
    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for group in groups:
            following = pool.submit(read, group)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
