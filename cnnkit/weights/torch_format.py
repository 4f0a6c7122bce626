"""Weights of PyTorch: the tensors of a `.pth` file of the old serialisation, without PyTorch.

Such a file (`torch.save` before version 1.6) is four pickles: a magic number, the version, facts
about the machine, and a dictionary of tensors; then the names of the storages, and each storage as
a count and raw little-endian numbers. A pickle is a program that may call anything. So none is run
here: a machine of the 26 instructions that PyTorch writes knows four names, calls nothing, and
keeps every one of the file's bytes at most once.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import WeightsError

_MAGIC_NUMBER, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {
    **{"DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8"},
    **{"IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1"},
}
# More axes than a volume's kernel has are no tensor of a network.
_MOST_AXES = 8
_MARK = object()
_ORDERED_DICT, _REBUILD_TENSOR = object(), object()


class _Damage(Exception):
    """Why a file cannot be read, without its name."""


@dataclass(frozen=True, eq=False)
class _StorageType:
    dtype: np.dtype


@dataclass(frozen=True, eq=False)
class _Storage:
    """Numbers that lie in a row further down in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True, eq=False)
class _Tensor:
    """A view of a storage; offset and strides are counted in numbers, not in bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file that `torch.save` wrote of a flat dictionary of tensors.

    Args:
        path: of the `.pth` file, in the serialisation of before PyTorch 1.6.

    Returns:
        Name -> array, C-contiguous, in PyTorch's order of axes: kernels `(out, in, height, width)`,
        dense layers `(out, in)`.

    Raises:
        WeightsError: the file cannot be read, is damaged, or holds anything but tensors.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return _read(data)
    except _Damage as damage:
        reason = str(damage)
    except (struct.error, ValueError, OverflowError):
        reason = "it is damaged or cut off"
    raise WeightsError(f"{path} is no file of PyTorch tensors: {reason}; get it again") from None


def _read(data: bytes) -> dict[str, np.ndarray]:
    if data[:4] == b"PK\x03\x04":
        raise _Damage("it is in the serialisation of PyTorch 1.6 and later")
    reader = _Pickles(data)
    if reader.load() != _MAGIC_NUMBER or reader.load() != _PROTOCOL:
        raise _Damage("it does not begin as one")
    facts = reader.load()
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise _Damage("its numbers are not little-endian")
    tensors = reader.load()
    if not isinstance(tensors, dict) or not tensors:
        raise _Damage("it holds no dictionary of tensors")
    for name, value in tensors.items():
        if not isinstance(value, _Tensor):
            raise _Damage(f"{name[:80]!r} is no tensor")
    keys = reader.load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _Damage("the names of its storages are missing")
    storages = {storage.key: storage for storage in reader.storages}
    if len(storages) != len(reader.storages) or sorted(keys) != sorted(storages):
        raise _Damage("its storages are not those of its tensors")
    numbers, position = {}, reader.position
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack_from("<q", data, position)
        position += 8
        size = count * storage.dtype.itemsize
        if count != storage.count or not 0 <= size <= len(data) - position:
            raise _Damage("it is damaged or cut off")
        numbers[key] = np.frombuffer(data, storage.dtype, count, position)
        position += size
    if position != len(data):
        raise _Damage("there is more behind its last number")
    # Views may overlap; a small file would fill the memory with copies of one storage.
    if sum(math.prod(one.shape) * one.storage.dtype.itemsize for one in tensors.values()) > len(
        data
    ):
        raise _Damage("its tensors are larger than the file")
    return {name: _cut(one, numbers[one.storage.key]) for name, one in tensors.items()}


def _cut(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """A copy of the part of a storage that a tensor is."""
    # The last number that the tensor has; there is none where an axis has no length.
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
    if math.prod(tensor.shape) and last >= numbers.size:
        raise _Damage("a tensor reaches beyond its storage")
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, numbers.dtype.newbyteorder("="))
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return np.array(view, numbers.dtype.newbyteorder("="), order="C")


class _Pickles:
    """Pickles that follow one another, as data: numbers, strings, lists, dictionaries, tensors.

    Attributes:
        position: of the next byte.
        storages: that tensors were made of.
    """

    def __init__(self, data: bytes):
        self._data = data
        self.position = 0
        self.storages: list[_Storage] = []
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._known_storages: dict[str, _Storage] = {}

    def load(self) -> Any:
        """The next value.

        Raises:
            _Damage: an instruction that PyTorch does not write, or one out of place.
        """
        self._stack, self._memo = [], {}
        while (instruction := self._take(1)) != b".":
            run = _INSTRUCTIONS.get(instruction)
            if run is None:
                raise _Damage(f"it has the instruction {instruction!r}")
            run(self)
        if len(self._stack) != 1:
            raise _Damage("a pickle ends too early")
        return self._stack.pop()

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self._data):
            raise _Damage("it is damaged or cut off")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def _number(self, kind: str) -> int:
        (value,) = struct.unpack(f"<{kind}", self._take(struct.calcsize(f"<{kind}")))
        return value

    def _line(self) -> str:
        end = self._data.find(b"\n", self.position, self.position + 100)
        if end < 0:
            raise _Damage("it is damaged or cut off")
        return self._take(end + 1 - self.position)[:-1].decode()

    def _pop(self, kind: type | tuple[type, ...] = object) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind) or self._stack[-1] is _MARK:
            raise _Damage("its instructions are out of place")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        value = self._pop(kind)
        self._stack.append(value)
        return value

    def _above_mark(self) -> list[Any]:
        values = []
        while self._stack and self._stack[-1] is not _MARK:
            values.append(self._stack.pop())
        if not self._stack:
            raise _Damage("its instructions are out of place")
        self._stack.pop()
        return values[::-1]

    def _tuple_of(self, count: int) -> None:
        self._stack.append(tuple([self._pop() for _ in range(count)][::-1]))

    def _set_items(self, values: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(values[::2], values[1::2], strict=False):
            # Of nested tuples a hash could take for ever.
            if not isinstance(key, str):
                raise _Damage("it has a key that is no string")
            target[key] = value

    def _append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _global(self) -> None:
        module, name = self._line(), self._line()
        if (module, name) == ("collections", "OrderedDict"):
            self._stack.append(_ORDERED_DICT)
        elif (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            self._stack.append(_REBUILD_TENSOR)
        elif module == "torch" and name in _DTYPES:
            self._stack.append(_StorageType(np.dtype(_DTYPES[name])))
        else:
            raise _Damage(f"it names {f'{module}.{name}'!r}, which is no tensor")

    def _persistent(self) -> None:
        match self._pop(tuple):
            case ("storage", _StorageType(dtype), str(key), str(), int(count), None) if count >= 0:
                storage = self._known_storages.get(key)
                if storage is None:
                    storage = self._known_storages[key] = _Storage(key, dtype, count)
                    self.storages.append(storage)
                elif (storage.dtype, storage.count) != (dtype, count):
                    raise _Damage("two storages have one name")
                self._stack.append(storage)
            case _:
                raise _Damage("a storage is described in another way")

    def _reduce(self) -> None:
        arguments, function = self._pop(tuple), self._pop()
        if function is _ORDERED_DICT and arguments == ():
            self._stack.append({})
            return
        match arguments:
            case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), dict()):
                numbers = (offset, *shape, *strides)
                if (
                    function is _REBUILD_TENSOR
                    and len(shape) == len(strides) <= _MOST_AXES
                    and all(isinstance(one, int) and one >= 0 for one in numbers)
                ):
                    self._stack.append(_Tensor(storage, offset, shape, strides))
                    return
        raise _Damage("a tensor is described in another way")

    def _build(self) -> None:
        # The versions of the layers, which PyTorch hangs on the dictionary.
        self._pop(dict)
        self._top(dict)

    def _put(self, index: int) -> None:
        self._memo[index] = self._top(object)

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise _Damage("it is damaged or cut off")
        self._stack.append(self._memo[index])


# The opcodes of pickle's protocol 2 that PyTorch writes; see Python's `pickletools`.
_INSTRUCTIONS: dict[bytes, Callable[[_Pickles], Any]] = {
    b"\x80": lambda it: it._take(1),
    b"(": lambda it: it._stack.append(_MARK),
    b"N": lambda it: it._stack.append(None),
    b"\x88": lambda it: it._stack.append(True),
    b"\x89": lambda it: it._stack.append(False),
    b"J": lambda it: it._stack.append(it._number("i")),
    b"K": lambda it: it._stack.append(it._number("B")),
    b"M": lambda it: it._stack.append(it._number("H")),
    b"\x8a": lambda it: it._stack.append(
        int.from_bytes(it._take(it._number("B")), "little", signed=True)
    ),
    b"X": lambda it: it._stack.append(it._take(it._number("I")).decode()),
    b"c": _Pickles._global,
    b"Q": _Pickles._persistent,
    b"R": _Pickles._reduce,
    b"b": _Pickles._build,
    b")": lambda it: it._stack.append(()),
    b"\x85": lambda it: it._tuple_of(1),
    b"\x86": lambda it: it._tuple_of(2),
    b"\x87": lambda it: it._tuple_of(3),
    b"t": lambda it: it._stack.append(tuple(it._above_mark())),
    b"}": lambda it: it._stack.append({}),
    b"s": lambda it: it._set_items([it._pop(), it._pop()][::-1]),
    b"u": lambda it: it._set_items(it._above_mark()),
    b"]": lambda it: it._stack.append([]),
    b"a": lambda it: it._append([it._pop()]),
    b"e": lambda it: it._append(it._above_mark()),
    b"q": lambda it: it._put(it._number("B")),
    b"r": lambda it: it._put(it._number("I")),
    b"h": lambda it: it._get(it._number("B")),
    b"j": lambda it: it._get(it._number("I")),
}
