"""Small files of every kind that is read, ways to damage them, and what reads them.

`tests/test_fuzz.py` tries a few damaged files of each, `benchmarks/fuzz.py` thousands.
"""

import hashlib
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

CLASSES = "background\nbox\n"
# What programs do not expect where a number, a word or a value stands.
_NUMBERS = (
    "-1",
    "0",
    "1e400",
    "nan",
    "99999999999999999999",
    "-0.0",
    "1.5",
    "",
    "0x10",
    "2147483648",
)
_WORDS = (
    "",
    "true",
    "null",
    "~",
    "[]",
    "{}",
    "'",
    '"',
    "\\",
    "../..",
    "[0]*?",
    "\u00b2",
    "a" * 300,
)
_VALUES = (
    *(None, True, False, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "", "1", "x"),
    *([], {}, [None], {"a": []}, [[[]]], "\u0000", "..", "a" * 300),
)
_BYTES = (
    b"\0",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\n",
    b"\x80",
    b"\xff\xff\xff\xff",
)


NAMES = (
    *(
        "YOLO",
        "Pascal VOC",
        "COCO",
        "masks",
        "CSV",
        "Darknet",
        "dlib",
        "TensorFlow Lite",
        "PyTorch",
    ),
    *(
        "pictures",
        "gallery",
        "gallery export",
        ".keras",
        ".keras metadata",
        "COCO captions",
        "COCO panoptic",
    ),
)


def damaged(content: bytes, random: Random) -> bytes:
    """Some bytes with one to three things wrong with them."""
    for _ in range(random.choice((1, 1, 2, 3))):
        content = random.choice(_WAYS)(content, random)
    return content


def _place(content: bytes, random: Random) -> int:
    return random.randint(0, max(0, len(content) - 1))


def _flip(content: bytes, random: Random) -> bytes:
    if not content:
        return content
    at = _place(content, random)
    return content[:at] + bytes([content[at] ^ (1 << random.randint(0, 7))]) + content[at + 1 :]


def _cut(content: bytes, random: Random) -> bytes:
    return content[: _place(content, random)]


def _remove(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    return content[:at] + content[at + random.randint(1, 40) :]


def _repeat(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    part = content[at : at + random.randint(1, 200)]
    return content[:at] + part * random.choice((2, 3, 50)) + content[at:]


def _insert(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    return content[:at] + random.choice(_BYTES) + content[at:]


def _overwrite(content: bytes, random: Random) -> bytes:
    at, new = _place(content, random), random.choice(_BYTES)
    return content[:at] + new + content[at + len(new) :]


def _change_number(content: bytes, random: Random) -> bytes:
    return _substitute(content, rb"-?\d+(?:\.\d+)?", random.choice(_NUMBERS).encode(), random)


def _change_word(content: bytes, random: Random) -> bytes:
    return _substitute(content, rb"[A-Za-z_]+", random.choice(_WORDS).encode(), random)


def _substitute(content: bytes, pattern: bytes, new: bytes, random: Random) -> bytes:
    found = list(re.finditer(pattern, content[:20_000]))
    if not found:
        return content
    one = random.choice(found)
    return content[: one.start()] + new + content[one.end() :]


def _shuffle_lines(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    one, other = random.randint(0, len(lines) - 1), random.randint(0, len(lines) - 1)
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _nest(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    return (
        content[:at]
        + random.choice((b"[", b"{", b"<a>", b"&a [*a", b'{"a":')) * 5000
        + content[at:]
    )


def _change_json(content: bytes, random: Random) -> bytes:
    """Another value somewhere in some JSON; other content is cut."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return _cut(content, random)
    places = []
    stack = [values] if isinstance(values, (dict, list)) else []
    while stack:
        one = stack.pop()
        inside = one.items() if isinstance(one, dict) else enumerate(one)
        for key, value in inside:
            places.append((one, key))
            if isinstance(value, (dict, list)):
                stack.append(value)
    if places:
        holder, key = random.choice(places)
        if random.randint(0, 4) or isinstance(holder, list):
            holder[key] = random.choice(_VALUES)
        else:
            del holder[key]
    return json.dumps(values).encode()


_WAYS = (
    *(_flip, _cut, _remove, _repeat, _insert, _overwrite, _shuffle_lines, _nest),
    *(_change_number, _change_number, _change_word, _change_word, _change_json, _change_json),
)


@dataclass(frozen=True)
class Parser:
    """What reads a kind of files.

    Attributes:
        name: for people.
        files: names -> content of whole ones.
        damage: names of those that are damaged, one at a time.
        read: reads what is in a folder.
    """

    name: str
    files: dict[str, bytes]
    damage: Sequence[str]
    read: Callable[[Path], object]

    def write(self, folder: Path) -> None:
        """Writes the whole files."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    def try_one(self, folder: Path, random: Random) -> None:
        """Damages a file of a folder in which the others are whole, reads all, and mends it.

        Raises:
            Exception: what the parser raises.
        """
        name = random.choice(list(self.damage))
        path = folder / name
        path.write_bytes(self.damaged_file(name, random))
        try:
            self.read(folder)
        finally:
            path.write_bytes(self.files[name])

    def damaged_file(self, name: str, random: Random) -> bytes:
        """A damaged one of the files; of an archive a file inside is, as often as not.

        Of files with a digest half of the damaged ones have the right one.
        """
        content = self.files[name]
        if name.endswith(".jsonl"):
            content = damaged(content, random)
            lines = content.splitlines(keepends=True)[:-1]
            digest = hashlib.sha256(b"".join(lines)).hexdigest()
            end = json.dumps({"end": True, "sha256": digest}).encode() + b"\n"
            return b"".join((*lines, end)) if random.randint(0, 1) else content
        if not name.endswith(".keras") or random.randint(0, 1):
            return damaged(content, random)
        buffer = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(content)) as archive,
            zipfile.ZipFile(buffer, "w") as changed,
        ):
            chosen = random.choice(archive.namelist())
            for inside in archive.namelist():
                data = archive.read(inside)
                changed.writestr(inside, damaged(data, random) if inside == chosen else data)
        return buffer.getvalue()


def build_parser(name: str, folder: Path) -> Parser:
    """A parser by its name; `folder` is for what is made with files on the way."""
    return {
        "YOLO": _yolo,
        "Pascal VOC": _voc,
        "COCO": _coco,
        "pictures": _pictures,
        "COCO captions": _captions,
        "COCO panoptic": _panoptic,
        "masks": _masks,
        "CSV": _csv,
        "Darknet": _darknet,
        "dlib": _dlib,
        "TensorFlow Lite": lambda: _tflite(folder),
        "PyTorch": _torch,
        "gallery": lambda: _gallery(folder),
        "gallery export": lambda: _gallery_export(folder),
        ".keras": lambda: _keras(folder),
        ".keras metadata": lambda: _keras_metadata(folder),
    }[name]()


def picture(shape: tuple[int, ...] = (20, 40, 3), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    values = np.arange(np.prod(shape)).reshape(shape) % 2
    Image.fromarray(values.astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def _boxes(folder: Path) -> object:
    from cnnkit.tasks.detect.data import check_boxed, read_boxed

    return check_boxed(read_boxed(folder)).lines()


def _yolo() -> Parser:
    files = {
        "data.yaml": (
            b"path: .\ntrain: train.txt\nval: images/val\nnc: 2\nnames:\n  0: box\n  1: no\n"
        ),
        "train.txt": b"./images/train/0.png\nimages\\train\\1.png\n",
        "labels/train/0.txt": b"0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.2 0.2 0.9\n",
        "labels/train/1.txt": b"1 0.1 0.1 0.2 0.1 0.2 0.3\n",
        "labels/val/2.txt": b"0 0.5 0.5 0.5 0.5\n",
    }
    pictures = {f"images/train/{n}.png": picture() for n in (0, 1)}
    return Parser("YOLO", {**files, **pictures, "images/val/2.png": picture()}, list(files), _boxes)


def _voc() -> Parser:
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotation><filename>0.png</filename>'
        "<size><width>40</width><height>20</height></size><object><name>box</name>"
        "<difficult>0</difficult><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax>"
        "<ymax>15</ymax></bndbox></object></annotation>"
    )
    files = {
        "Annotations/0.xml": text.encode(),
        "Annotations/1.xml": text.replace("0.png", "1.png").encode(),
        "ImageSets/Main/train.txt": b"0\n1\n",
    }
    pictures = {f"JPEGImages/{n}.png": picture() for n in (0, 1)}
    return Parser("Pascal VOC", {**files, **pictures}, list(files), _boxes)


def _coco() -> Parser:
    categories = [{"id": 3, "name": "box", "supercategory": "none"}, {"id": 9, "name": "ball"}]
    values = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 20} for n in (0, 1)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 3, "bbox": [10, 5, 20, 10], "area": 200}
            for n in (0, 1)
        ],
        "categories": categories,
    }
    other = {**values, "images": [{"id": 7, "file_name": "2.png"}], "annotations": []}
    files = {
        "annotations/instances_train.json": json.dumps(values).encode(),
        "annotations/instances_val.json": json.dumps(other).encode(),
    }
    pictures = {f"images/{n}.png": picture() for n in (0, 1, 2)}
    return Parser("COCO", {**files, **pictures}, list(files), _boxes)


def _pictures() -> Parser:
    kinds = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "webp": "WEBP", "gif": "GIF", "bmp": "BMP"}
    files = {f"a.{suffix}": picture(kind=kind) for suffix, kind in kinds.items()}
    return Parser("pictures", files, list(files), _read_pictures)


def _read_pictures(folder: Path) -> object:
    from cnnkit.errors import CnnkitError
    from cnnkit.images import header_size, measure_image, read_image, read_record

    errors = []
    for path in sorted(folder.iterdir()):
        for read in (
            read_image,
            lambda path: measure_image(path.read_bytes(), str(path)),
            read_record,
            header_size,
        ):
            try:
                read(path)
            except CnnkitError as error:
                errors.append(error)
    if errors:
        raise errors[0]
    return None


def _captions() -> Parser:
    values = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in (0, 1)],
        "annotations": [{"image_id": n, "caption": "a cat on a mat"} for n in (0, 1)],
    }
    files = {
        "captions_train.json": json.dumps(values).encode(),
        "captions_val.json": json.dumps({"0.png": ["a cat"], "1.png": "a dog"}).encode(),
    }
    return Parser(
        "COCO captions",
        {**files, "0.png": picture(), "1.png": picture()},
        list(files),
        _read_captions,
    )


def _read_captions(folder: Path) -> object:
    from cnnkit.tasks.caption.data import read_captions

    return [read_captions(folder / f"captions_{split}.json") for split in ("train", "val")]


def _panoptic() -> Parser:
    from cnnkit.tasks.segment.data import check_masks, read_masks

    values = {
        "images": [{"id": 5, "file_name": "0.png"}],
        "annotations": [
            {
                "image_id": 5,
                "file_name": "0.png",
                "segments_info": [{"id": 65793, "category_id": 3, "iscrowd": 0}],
            }
        ],
        "categories": [{"id": 3, "name": "box"}, {"id": 9, "name": "ball"}],
    }
    files = {
        "panoptic_train.json": json.dumps(values).encode(),
        "panoptic_train/0.png": picture(),
    }
    return Parser(
        "COCO panoptic",
        {**files, "train/0.png": picture()},
        ["panoptic_train.json", "panoptic_train.json", "panoptic_train/0.png"],
        lambda folder: check_masks(read_masks(folder, val_share=0.0)).lines(),
    )


def _masks() -> Parser:
    from cnnkit.tasks.segment.data import check_masks, read_masks

    files = {
        "classes.txt": b"0 background\n1 box\n255 ignore\n",
        "masks/0.png": picture((20, 40)),
        "masks/1.png": picture((20, 40)),
        "masks/2.tif": picture((20, 40), "TIFF"),
    }
    pictures = {f"images/{n}.png": picture() for n in (0, 1, 2)}
    return Parser(
        "masks",
        {**files, **pictures},
        list(files),
        lambda folder: check_masks(read_masks(folder)).lines(),
    )


def _csv() -> Parser:
    files = {
        "list.csv": b"file,label,split\n0.png,cat,train\nb\\1.png,dog,train\n2.png,cat,val\n",
        "pairs.csv": b"a,b,same,fold\n0.png,2.png,1,0\n0.png,2.png,no,1\n",
        "captions.csv": b'file;sentence;split\n0.png;"a cat, a mat";train\n2.png;dogs;val\n',
        "texts.csv": b"text,label\ngood film,1\nbad film,0\nfine film,1\nno film,0\n",
        "table.csv": b"file,label,weight,kind\n0.png,a,1.5,x\n2.png,b,-2,y\n",
        "classes.csv": b"name,r,g,b\nsky,0,0,0\nroad,1,1,1\n",
    }
    pictures = {name: picture() for name in ("0.png", "b/1.png", "2.png")}
    return Parser("CSV", {**files, **pictures}, list(files), _read_tables)


def _read_tables(folder: Path) -> object:
    from cnnkit.data._csv_table import read_csv_table
    from cnnkit.data.labelled import check_labelled, read_labelled
    from cnnkit.data.pairs import read_pairs
    from cnnkit.errors import CnnkitError
    from cnnkit.tasks.caption.data import read_captions
    from cnnkit.tasks.segment.data import parse_classes
    from cnnkit.tasks.segment.formats.class_lists import class_lines
    from cnnkit.tasks.text.data import read_labelled_texts

    # One of them is damaged; the others must not hide it.
    errors = []
    for read in (
        lambda: check_labelled(read_labelled(folder / "list.csv")),
        lambda: read_pairs(folder / "pairs.csv"),
        lambda: read_captions(folder / "captions.csv"),
        lambda: read_labelled_texts(folder / "texts.csv"),
        lambda: read_csv_table(folder / "table.csv"),
        lambda: parse_classes(class_lines(folder / "classes.csv")),
    ):
        try:
            read()
        except CnnkitError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return None


def _darknet() -> Parser:
    cfg = (
        "[net]\nwidth=32\nheight=32\nchannels=3\n\n[convolutional]\nbatch_normalize=1\nfilters=4\n"
        "size=3\nstride=2\npad=1\nactivation=leaky\n\n[maxpool]\nsize=2\nstride=2\n\n[route]\n"
        "layers=-1,-1\n\n[upsample]\nstride=2\n\n[convolutional]\nsize=1\nstride=1\npad=1\n"
        "filters=12\nactivation=linear\n\n[yolo]\nmask=0,1\nanchors=1,2, 3,4\nclasses=1\n"
    )
    count = (4 * 4 + 4 * 3 * 9) + (12 + 12 * 8)
    header = np.array([0, 2, 5, 0, 0], "<i4").tobytes()
    numbers = np.linspace(0.1, 1, count).astype("<f4").tobytes()
    files = {"a.cfg": cfg.encode(), "a.weights": header + numbers}
    return Parser("Darknet", files, ["a.cfg", "a.cfg", "a.weights"], _read_darknet)


def _read_darknet(folder: Path) -> object:
    from cnnkit.models.darknet import build_darknet
    from cnnkit.weights.darknet_format import DarknetWeights, read_sections

    return build_darknet(read_sections(folder / "a.cfg"), DarknetWeights(folder / "a.weights"))


def _dlib() -> Parser:
    from tests.weights.test_dlib_format import detector_file, encoder_file, predictor_file

    files = {
        "detector.dat": detector_file(),
        "encoder.dat": encoder_file(),
        "predictor.dat": predictor_file(),
    }
    return Parser("dlib", files, list(files), _read_dlib)


def _read_dlib(folder: Path) -> object:
    from cnnkit.weights import dlib_format

    return (
        dlib_format.read_face_detector(folder / "detector.dat"),
        dlib_format.read_face_encoder(folder / "encoder.dat"),
        dlib_format.read_shape_predictor(folder / "predictor.dat"),
    )


def _tflite(folder: Path) -> Parser:
    from tests._tflite_files import Writer

    writer = Writer()
    first = writer.convolution(writer.picture(8), 4, stride=2)
    last = writer.convolution(first, 4, depthwise=True)
    writer.write(folder / "a.tflite", writer.add(first, last))
    content = (folder / "a.tflite").read_bytes()
    return Parser("TensorFlow Lite", {"a.tflite": content}, ["a.tflite"], _read_tflite)


def _read_tflite(folder: Path) -> object:
    from cnnkit.weights.tflite_format import read_tflite

    network = read_tflite(folder / "a.tflite")
    kinds = ("convolution", "depthwise")
    return [network.weights_of(one) for one in network.operators if one.kind in kinds]


def _torch() -> Parser:
    from tests._torch_files import encode_tensors, tensor

    values = {"weight": tensor(np.arange(24, dtype="f4").reshape(2, 3, 4), "0")}
    return Parser("PyTorch", {"a.pth": encode_tensors(values)}, ["a.pth"], _read_torch)


def _read_torch(folder: Path) -> object:
    from cnnkit.weights.torch_format import read_torch_tensors

    return read_torch_tensors(folder / "a.pth")


def _gallery_of(folder: Path) -> Path:
    from cnnkit.data.gallery import FaceRow, Gallery

    path = folder / "gallery.sqlite"
    if not path.exists():
        rows = [
            FaceRow(np.full(4, n, np.float32), "model-1", f"{n}{n}" * 32, (0, 0, 9, 9))
            for n in (1, 2)
        ]
        with Gallery(path) as gallery:
            gallery.enroll("Jane", rows[:1])
            gallery.enroll("Joe", rows[1:])
            gallery.export(folder / "export.jsonl")
        # All of it in one file.
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
    return path


def _gallery(folder: Path) -> Parser:
    content = _gallery_of(folder).read_bytes()
    return Parser("gallery", {"g.sqlite": content}, ["g.sqlite"], _read_gallery)


def _read_gallery(folder: Path) -> object:
    from cnnkit.data.gallery import Gallery

    for name in ("g.sqlite-wal", "g.sqlite-shm", "g.sqlite.index"):
        (folder / name).unlink(missing_ok=True)
    with Gallery(folder / "g.sqlite", read_only=True) as gallery:
        gallery.check()
        people = gallery.people()
        return people, gallery.search(np.ones((1, 4), np.float32), "model-1")


def _gallery_export(folder: Path) -> Parser:
    _gallery_of(folder)
    content = (folder / "export.jsonl").read_bytes()
    return Parser(
        "gallery export", {"e.jsonl": content}, ["e.jsonl"], lambda at: _read_export(at / "e.jsonl")
    )


def _read_export(path: Path) -> object:
    from cnnkit.data.gallery import Gallery

    place = path.with_name("imported.sqlite")
    for end in ("", "-wal", "-shm"):
        place.with_name(place.name + end).unlink(missing_ok=True)
    with Gallery(place) as gallery:
        gallery.import_(path)
        gallery.check()
        return gallery.people()


def _keras_file(folder: Path) -> bytes:
    path = folder / "model.keras"
    if not path.exists():
        import keras

        from cnnkit.weights.keras_file import CLASSES_FILE, SETTINGS_FILE, write_keras_file

        inputs = keras.Input((8, 8, 3))
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
        settings = json.dumps({"kind": "pictures", "pixels": "0..1"}).encode()
        write_keras_file(model, path, {CLASSES_FILE: b"cat\ndog\n", SETTINGS_FILE: settings})
    return path.read_bytes()


def _keras(folder: Path) -> Parser:
    from cnnkit.weights.keras_file import load_keras_file

    return Parser(
        ".keras",
        {"a.keras": _keras_file(folder)},
        ["a.keras"],
        lambda at: load_keras_file(at / "a.keras", "--model"),
    )


def _keras_metadata(folder: Path) -> Parser:
    from cnnkit.engine.model_file import describe_file

    return Parser(
        ".keras metadata",
        {"a.keras": _keras_file(folder)},
        ["a.keras"],
        lambda at: describe_file(at / "a.keras", "a"),
    )
