"""Writes files of PyTorch's old serialisation with Python's own pickler, without PyTorch."""

import collections
import contextlib
import io
import pickle
import struct
import sys
import types
from unittest import mock

import numpy as np

MAGIC_NUMBER, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
FACTS = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
_NAMES = {"f4": "FloatStorage", "f8": "DoubleStorage", "i8": "LongStorage", "f2": "HalfStorage"}


class Storage:
    """Numbers in a row, one or more tensors' own."""

    def __init__(self, values, key):
        self.values, self.key = np.ascontiguousarray(values).ravel(), key


class Tensor:
    """A view of a storage, with strides in numbers."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = storage, offset, shape, strides, False, collections.OrderedDict()

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


def tensor(values, key, order="C"):
    """A tensor with a storage of its own, whose numbers lie in an order of axes as NumPy has it."""
    values = np.asarray(values, order=order)
    steps = tuple(step // values.itemsize for step in values.strides)
    return Tensor(Storage(values.ravel(order="K"), key), 0, values.shape, steps)


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        kind = getattr(sys.modules["torch"], _NAMES[value.values.dtype.str[1:]])
        return "storage", kind, value.key, "cpu", value.values.size, None


@contextlib.contextmanager
def _names_of_torch():
    """Modules with the names that such files have in them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in _NAMES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        """A name only."""

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        yield


def encode_torch(tensors, storages, facts=FACTS, version=PROTOCOL):
    """The bytes of a file.

    Args:
        tensors: dictionary, or whatever is in its place.
        storages: in the order in which they lie in the file.
        facts: of the machine.
        version: of the serialisation.
    """
    file = io.BytesIO()
    with _names_of_torch():
        for value in (MAGIC_NUMBER, version, facts, tensors, [one.key for one in storages]):
            _Pickler(file, 2).dump(value)
    for storage in storages:
        file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
    return file.getvalue()


def encode_tensors(tensors):
    """The bytes of a file of tensors that have a storage each."""
    return encode_torch(
        collections.OrderedDict(tensors), [one.arguments[0] for one in tensors.values()]
    )
