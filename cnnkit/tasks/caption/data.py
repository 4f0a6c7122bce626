"""Pictures with sentences about them: found, parted, checked, and written."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cnnkit.data._csv_table import FILE_COLUMNS, read_csv_table
from cnnkit.data._places import below, is_file
from cnnkit.data._splits import SPLIT_NAMES, draw_key
from cnnkit.data._values import identity, read_json, shown
from cnnkit.data.text import NAME, split_text
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import measure_image
from cnnkit.runtime import reader_count

_SENTENCE_COLUMNS = ("sentence", "caption", "text")
# There is no third part.
_SPLITS = {name: "val" if part == "test" else part for name, part in SPLIT_NAMES.items()}
_SHOWN = 5


@dataclass(frozen=True)
class CaptionedPictures:
    """Pictures, each with sentences.

    Attributes:
        paths: of N pictures.
        sentences: N tuples of sentences as they were written, one at least in each.
    """

    paths: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class CaptionData:
    """What a captioner is trained on and validated with; no picture is in both.

    Attributes:
        train: to train on.
        val: to validate with.
        problems: what was left out, a line each.
    """

    train: CaptionedPictures
    val: CaptionedPictures
    problems: tuple[str, ...] = ()


# Letters of a word that tell it from others, and of words that say anything.
_STEM, _LEAST_WORD = 4, 3


def split_caption(sentence: str) -> list[str]:
    """The words of a sentence, and `NAME` where it stands.

    >>> split_caption("A person with [NAME], outside.")
    ['a', 'person', 'with', '[NAME]', 'outside']
    """
    first, *others = sentence.split(NAME)
    words = split_text(first)
    for other in others:
        words += [NAME, *split_text(other)]
    return words


def shares_word(phrase: str, sentence: str) -> bool:
    """Whether a sentence has a word of a phrase, by its first letters: "a ski" and "skiing".

    >>> shares_word("a ski", "a person skiing"), shares_word("a cup of coffee", "a plate of food")
    (True, False)
    """
    words, others = (
        {word[:_STEM] for word in split_caption(text) if len(word) >= _LEAST_WORD}
        for text in (phrase, sentence)
    )
    return any(one.startswith(other) or other.startswith(one) for one in words for other in others)


def mirrored_words(words: Sequence[str]) -> list[str]:
    """The words that are true of the mirror image: left is right there, and right is left.

    >>> mirrored_words(["a", "dog", "left", "of", "a", "cat"])
    ['a', 'dog', 'right', 'of', 'a', 'cat']
    """
    other = {"left": "right", "right": "left"}
    return [other.get(word, word) for word in words]


def read_captions(
    data: str | Path,
    images: str | Path | None = None,
    *,
    val_share: float = 0.15,
    seed: int = 0,
    skip_bad: bool = False,
) -> CaptionData:
    """Finds pictures and their sentences, and keeps some pictures for validation.

    - A CSV has a heading with `file` (or `path`, `filename`, `image`), `sentence` (or `caption`,
      `text`) and perhaps `split` of train or val (or test). A picture with several sentences has a
      line for each.
    - A JSON file is COCO's, with `images` and `annotations`, or maps names of pictures to lists of
      sentences.
    - A folder holds several of COCO's, such as `captions_train2017.json` and
      `captions_val2017.json`, in itself or in `annotations/`.

    Pictures with the same sentences to choose from stay whole: a picture is in one part only. No
    picture is opened.

    Args:
        data: the file or folder.
        images: folder of the pictures; by default that of the file, or where COCO has them.
        val_share: of the pictures, kept for validation where the data have no such part. The draw
            goes by a hash of `seed` and the name: files that are added later move hardly any of
            the others.
        seed: of the draw.
        skip_bad: go on where most pictures are not there.

    Returns:
        The `CaptionData`.

    Raises:
        DataError: it cannot be read, most pictures are missing, a picture is in two parts, or
            nothing is left.
        UsageError: `val_share` makes no sense.
    """
    if not 0.0 <= val_share < 1.0:
        raise UsageError(f"val-share must be from 0 to below 1, not {val_share}")
    path = Path(data)
    root = None if images is None else Path(images)
    problems: list[str] = []
    if root is not None and not root.is_dir():
        raise DataError(f"{root} is no folder; give --images the folder of the pictures")
    if path.is_dir():
        found = _read_coco_folder(path, root)
    elif path.suffix.lower() == ".json":
        found = _read_json(path, root)
    elif path.suffix.lower() == ".csv":
        found = _read_csv(path, root, problems)
    else:
        raise DataError(f"{path} is neither a .csv, a .json nor a folder; give one of them")
    pictures = _cleaned(path, found, skip_bad, problems)
    if not pictures["train"] and not pictures["val"]:
        raise DataError(f"{path} has no picture with a sentence")
    if not pictures["val"]:
        pictures = _part(pictures["train"], val_share, seed)
    return CaptionData(_captioned(pictures["train"]), _captioned(pictures["val"]), tuple(problems))


# split -> name of a picture -> path to open, and sentences with where they stand.
_Found = dict[str, dict[str, tuple[Path, list[tuple[str, str]]]]]


def _add(found: _Found, split: str, name: str, path: Path, sentence: str, where: str) -> None:
    of_split = found.setdefault(split, {})
    of_split.setdefault(name, (path, []))[1].append((sentence, where))


def _cleaned(
    data: Path, found: _Found, skip_bad: bool, problems: list[str]
) -> dict[str, dict[str, Any]]:
    """Name -> path and sentences of each split, without what is bad, which `problems` gets."""
    kept: dict[str, dict[str, Any]] = {"train": {}, "val": {}}
    missing, count = [], 0
    for split, of_split in found.items():
        count += len(of_split)
        for name, (path, sentences) in of_split.items():
            good = []
            for sentence, where in sentences:
                if any(character.isalnum() for character in sentence):
                    good.append(" ".join(sentence.split()))
                else:
                    problems.append(f"{where}: the sentence about {name} has no words")
            if not is_file(path):
                missing.append(path)
            elif good:
                kept[split][name] = str(path), tuple(dict.fromkeys(good))
    if 2 * len(missing) > count and not skip_bad:
        more = f" and {len(missing) - 1} more pictures" if len(missing) > 1 else ""
        raise DataError(
            f"{missing[0]}{more} of {data.name} are not there; "
            "give --images their folder, or use --skip-bad"
            if more
            else f"{missing[0]} of {data.name} is not there; "
            "give --images the folder of the pictures, or use --skip-bad"
        )
    problems += [f"{path} is not there" for path in missing]
    both = sorted(kept["train"].keys() & kept["val"].keys())
    if both:
        raise DataError(f"{data}: {both[0]} is both in train and in val; take it out of one")
    return kept


def _part(pictures: dict[str, Any], share: float, seed: int) -> dict[str, dict[str, Any]]:
    """Some pictures for validation, drawn by their names."""
    if not share:
        return {"train": pictures, "val": {}}
    count = min(len(pictures) - 1, max(1, round(share * len(pictures))))
    chosen = set(sorted(pictures, key=lambda name: draw_key(seed, name))[:count])
    return {
        "train": {name: one for name, one in pictures.items() if name not in chosen},
        "val": {name: one for name, one in pictures.items() if name in chosen},
    }


def _captioned(pictures: dict[str, Any]) -> CaptionedPictures:
    values = [pictures[name] for name in sorted(pictures)]
    return CaptionedPictures(tuple(path for path, _ in values), tuple(said for _, said in values))


def _read_csv(path: Path, root: Path | None, problems: list[str]) -> _Found:
    table = read_csv_table(path, short_rows=True)
    files, sentences = table.required({"file": FILE_COLUMNS, "sentence": _SENTENCE_COLUMNS})
    splits = table.first_of(("split",))
    parts = table.column(splits) if splits else ("train",) * len(table)
    found: _Found = {}
    for row, (name, sentence, part) in enumerate(
        zip(table.written(files), table.column(sentences), parts, strict=True)
    ):
        split = part.casefold() or "train"
        if not name:
            problems.append(f"{table.where(row)}: names no file")
            continue
        if split not in _SPLITS:
            raise DataError(f"{table.where(row)}: the split must be train or val, not '{part}'")
        place = below(root or path.parent, name)
        _add(found, _SPLITS[split], name, place, sentence, table.where(row))
    return found


def _read_coco_folder(folder: Path, root: Path | None) -> _Found:
    files = sorted([*folder.glob("*captions*.json"), *folder.glob("annotations/*captions*.json")])
    if not files:
        raise DataError(f"{folder} holds no captions*.json; give the .json or .csv file itself")
    found: _Found = {}
    for path in files:
        for pictures in _read_json(path, root).values():
            found.setdefault(_split_of(path), {}).update(pictures)
    return found


def _split_of(path: Path) -> str:
    """The part that a COCO file is of, by its name.

    >>> _split_of(Path("captions_val2017.json")), _split_of(Path("captions.json"))
    ('val', 'train')
    """
    words = re.findall(r"[a-z]+", path.stem.lower())
    return next((_SPLITS[word] for word in words if word in _SPLITS), "train")


def _read_json(path: Path, root: Path | None) -> _Found:
    try:
        pairs = list(_coco_pairs(read_json(path)))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} holds no captions ({error!r}): it must be COCO's, with images and "
            "annotations, or map names of pictures to lists of sentences"
        ) from None
    found: _Found = {}
    folders = [root] if root is not None else _coco_folders(path)
    for number, (name, sentence) in enumerate(pairs, start=1):
        places = [below(one, name) for one in folders]
        place = next((one for one in places if is_file(one)), places[0])
        _add(found, "train", name, place, sentence, f"{path}, caption {number}")
    return found


def _coco_pairs(values: Any) -> Iterable[tuple[str, str]]:
    """Name and sentence of each caption."""
    if "annotations" in values:
        names = {identity(one["id"]): one["file_name"] for one in values["images"]}
        for note in values["annotations"]:
            yield _text(names[identity(note["image_id"])]), _text(note["caption"]).strip()
        return
    for name, sentences in values.items():
        for sentence in [sentences] if isinstance(sentences, str) else sentences:
            yield name, _text(sentence).strip()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} stands where a text is expected")
    return value


def _coco_folders(path: Path) -> list[Path]:
    """Where the pictures of a COCO file may lie."""
    top = path.parent.parent if path.parent.name == "annotations" else path.parent
    part = path.stem.split("_")[-1]
    return [path.parent, top, top / "images", top / part, top / "images" / part]


@dataclass(frozen=True)
class CaptionReport:
    """What a check of pictures and sentences found.

    Attributes:
        unreadable: path and reason of each picture that cannot be read.
        distinct: sentences to train on that differ.
        problems: what was left out before, a line each.
    """

    unreadable: tuple[tuple[str, str], ...]
    distinct: int
    problems: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What the user should know, a line each."""
        bad = [*self.problems, *(reason for _, reason in self.unreadable)]
        lines = [f"left out: {one}" for one in bad[:_SHOWN]]
        if len(bad) > _SHOWN:
            lines.append(f"and {len(bad) - _SHOWN} more left out")
        if self.distinct < 2:
            lines.append("all sentences to train on are the same: there is nothing to learn")
        return lines


def check_captions(
    data: CaptionData, on_progress: Callable[[int, int], None] | None = None
) -> CaptionReport:
    """Looks whether all pictures can be read, and whether sentences differ.

    Args:
        data: the pictures.
        on_progress: called with the number of pictures that were looked at, and of all.

    Returns:
        A `CaptionReport`.
    """
    paths = [*data.train.paths, *data.val.paths]

    def look(path: str) -> str | None:
        try:
            measure_image(Path(path).read_bytes(), path)
        except OSError as error:
            return f"{path} cannot be read: {error.strerror or error}"
        except ImageError as error:
            return str(error)
        return None

    bad = []
    with ThreadPoolExecutor(reader_count()) as pool:
        for done, (path, reason) in enumerate(zip(paths, pool.map(look, paths), strict=True), 1):
            if reason is not None:
                bad.append((path, reason))
            if on_progress:
                on_progress(done, len(paths))
    distinct = {one.casefold() for said in data.train.sentences for one in said}
    return CaptionReport(tuple(bad), len(distinct), data.problems)


def without_unreadable(data: CaptionData, report: CaptionReport) -> CaptionData:
    """The data without the pictures that cannot be read."""
    bad = {path for path, _ in report.unreadable}

    def kept(part: CaptionedPictures) -> CaptionedPictures:
        rows = [at for at, path in enumerate(part.paths) if path not in bad]
        return CaptionedPictures(
            tuple(part.paths[at] for at in rows), tuple(part.sentences[at] for at in rows)
        )

    return replace(data, train=kept(data.train), val=kept(data.val))


def data_hash(data: CaptionData) -> str:
    """SHA-256 of the names of all pictures and of their sentences; the folder may be moved."""
    lines = []
    for part in (data.train, data.val):
        for path, sentences in zip(part.paths, part.sentences, strict=True):
            lines.append([*Path(path).parts[-2:], *sentences])
        lines.append([])
    text = json.dumps(lines)
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def encode_captions(
    pictures: Sequence[str],
    said: Sequence[str],
    scores: Sequence[float],
    true: Sequence[Sequence[str]],
) -> bytes:
    """A CSV file of what a network says of pictures, beside what people wrote.

    Args:
        pictures: paths.
        said: a sentence about each.
        scores: of these, in [0, 1].
        true: sentences that people wrote.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "sentence", "score", "true"])
    for picture, sentence, score, known in zip(pictures, said, scores, true, strict=True):
        writer.writerow([picture, sentence, f"{score:.4f}", " | ".join(known)])
    return text.getvalue().encode("utf-8", "surrogateescape")
