import os
import pickle
import time
import tracemalloc

import numpy as np
import pytest

from cnnkit.errors import ExitCode, WeightsError
from cnnkit.weights.torch_format import read_torch_tensors
from tests._torch_files import (
    FACTS,
    MAGIC_NUMBER,
    PROTOCOL,
    Storage,
    Tensor,
    encode_tensors,
    encode_torch,
    tensor,
)


@pytest.fixture
def read(tmp_path):
    def read_bytes(content):
        path = tmp_path / "x.pth"
        path.write_bytes(content)
        return read_torch_tensors(path)

    return read_bytes


def example():
    kernel = np.arange(24, dtype="f4").reshape(2, 3, 2, 2)
    return {
        "kernel": tensor(kernel, "7"),
        "transposed": tensor(kernel, "12", order="F"),
        "count": tensor(np.int64(5), "3"),
        "halves": tensor(np.array([0.5, -1.5], "f2"), "1"),
    }


def test_tensors_are_read_in_the_order_of_their_strides(read):
    found = read(encode_tensors(example()))
    kernel = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    assert list(found) == ["kernel", "transposed", "count", "halves"]
    np.testing.assert_array_equal(found["kernel"], kernel, strict=True)
    np.testing.assert_array_equal(found["transposed"], kernel, strict=True)
    np.testing.assert_array_equal(found["count"], np.array(5), strict=True)
    np.testing.assert_array_equal(found["halves"], np.array([0.5, -1.5], np.float16), strict=True)
    assert all(one.flags.c_contiguous and one.flags.owndata for one in found.values())


def test_tensors_may_share_a_storage(read):
    storage = Storage(np.arange(6, dtype="f4"), "0")
    tensors = {
        "row": Tensor(storage, 3, (3,), (1,)),
        "column": Tensor(storage, 1, (2,), (3,)),
        "none": Tensor(storage, 6, (0, 3), (3, 1)),
    }
    found = read(encode_torch(tensors, [storage]))
    assert found["row"].tolist() == [3, 4, 5]
    assert found["column"].tolist() == [1, 4]
    assert found["none"].shape == (0, 3)


class Evil:
    """What a pickle could do."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


def test_nothing_is_called_and_nothing_but_tensors_is_taken(read, tmp_path):
    place = tmp_path / "made"
    with pytest.raises(
        WeightsError, match=r"x\.pth is no file .* 'posix\.mkdir', which is no tens"
    ):
        read(encode_torch({"weight": Evil(str(place))}, []))
    assert not place.exists()
    pickle.loads(pickle.dumps(Evil(str(place))))
    assert place.exists()


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "it holds no dictionary of tensors"),
        ([1, 2], "it holds no dictionary of tensors"),
        ({"state": 3}, "'state' is no tensor"),
        ({"deep": {"weight": 1.5}}, "it has the instruction b'G'"),
        ({(1, 2): 3}, "it has a key that is no string"),
        ({"names": {1, 2}}, "names .*set', which is no tensor"),
    ],
)
def test_what_is_no_tensor_is_named(read, tensors, reason):
    with pytest.raises(WeightsError, match=reason) as caught:
        read(encode_torch(tensors, []))
    assert caught.value.exit_code == ExitCode.WEIGHTS_MISSING
    assert "\n" not in str(caught.value)


def one_tensor(**changes):
    storage = Storage(np.arange(4, dtype="f4"), "0")
    given = {"offset": 0, "shape": (2, 2), "strides": (2, 1), **changes}
    return {"weight": Tensor(storage, *given.values())}, [storage]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"offset": 1}, "reaches beyond its storage"),
        ({"strides": (3, 1)}, "reaches beyond its storage"),
        ({"strides": (2**70, 1)}, "reaches beyond its storage"),
        ({"offset": -1}, "described in another way"),
        ({"strides": (-2, 1)}, "described in another way"),
        ({"strides": (1,)}, "described in another way"),
        ({"shape": (1,) * 9, "strides": (1,) * 9}, "described in another way"),
        # A small file that would fill the memory: every number is the same one.
        ({"shape": (2**20, 2**20), "strides": (0, 0)}, "larger than the file"),
        ({"shape": (0, 2**70)}, "damaged or cut off"),
    ],
)
def test_tensors_that_do_not_fit_their_storage_are_refused(read, changes, reason):
    with pytest.raises(WeightsError, match=reason):
        read(encode_torch(*one_tensor(**changes)))


def test_files_of_another_kind_are_refused(read, tmp_path):
    with pytest.raises(WeightsError, match=r"no\.pth cannot be read: No such file"):
        read_torch_tensors(tmp_path / "no.pth")
    tensors, storages = one_tensor()
    for content, reason in (
        (b"", "cut off"),
        (b"PK\x03\x04 and so on", "serialisation of PyTorch 1.6 and later"),
        (pickle.dumps(3, 2), "it does not begin as one"),
        (pickle.dumps({1.5: 2}), "instruction"),
        (encode_torch(tensors, storages, version=1002), "it does not begin as one"),
        (encode_torch(tensors, storages, facts=[1]), "not little-endian"),
        (encode_torch(tensors, storages, {**FACTS, "little_endian": False}), "not little-endian"),
        (encode_torch(tensors, []), "its storages are not those of its tensors"),
        (encode_torch(tensors, storages) + b"?", "more behind its last number"),
        (encode_torch(tensors, storages)[:-1], "cut off"),
    ):
        with pytest.raises(WeightsError, match=reason):
            read(content)


def test_a_hash_that_would_take_for_ever_is_never_computed(read):
    head = b"".join(pickle.dumps(one, 2) for one in (MAGIC_NUMBER, PROTOCOL, FACTS))
    # EMPTY_TUPLE, then 200 times BINPUT 0, BINGET 0, TUPLE2: a pair of pairs of pairs.
    nested = b")" + 200 * b"q\x00h\x00\x86"
    begin = time.process_time()
    # EMPTY_DICT, the key, NONE, SETITEM, STOP.
    with pytest.raises(WeightsError, match="a key that is no string"):
        read(head + b"\x80\x02}" + nested + b"Ns.")
    # EMPTY_DICT, BINUNICODE "weight", the value, SETITEM, STOP.
    with pytest.raises(WeightsError, match="'weight' is no tensor"):
        read(head + b"\x80\x02}X\x06\x00\x00\x00weight" + nested + b"s.")
    assert time.process_time() - begin < 1


def test_names_in_messages_cannot_break_the_line(read):
    content = encode_torch({"weight": Evil("x")}, []).replace(b"posix\nmkdir", b"pos\rx\nmk\x1bir")
    with pytest.raises(WeightsError, match=r"names 'pos\\rx\.mk\\x1bir', which is no tensor"):
        read(content)


def test_garbage_is_one_line_in_bounded_time_and_memory(read):
    """Bytes changed, cut out, doubled and swapped: an answer or a `WeightsError` each time."""
    whole = encode_tensors(example())
    generator = np.random.default_rng(0)
    answers, messages = 0, []
    tracemalloc.start()
    begin = time.process_time()
    for _ in range(1500):
        content = bytearray(whole)
        for _ in range(generator.integers(1, 4)):
            first, second = sorted(generator.integers(0, len(content), 2))
            match generator.integers(4):
                case 0:
                    content[first] = generator.integers(256)
                case 1:
                    del content[first : first + generator.integers(1, 9)]
                case 2:
                    content[first:first] = content[first : first + generator.integers(1, 40)]
                case _:
                    content[first], content[second] = content[second], content[first]
        try:
            found = read(bytes(content))
        except WeightsError as error:
            messages.append(str(error))
        else:
            assert sum(one.nbytes for one in found.values()) <= len(content)
            answers += 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert min(answers, len(messages)) > 50
    assert not any("\n" in message for message in messages)
    assert time.process_time() - begin < 20
    assert peak < 2_000_000
