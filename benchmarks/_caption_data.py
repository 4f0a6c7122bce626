"""The pictures and sentences that the captioner is trained, chosen and measured on.

DIR holds coco/val2017 and coco/tiny_coco (sentences that people wrote), images/imagenet and
images/caltech101 (single things, of which sentences are put together), lfw (faces) and camvid
(streets). Every draw goes by the SHA-1 of a file's name, so that anybody can repeat it.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _sentences import (
    CALTECH,
    Box,
    describe_caltech,
    describe_face,
    describe_street,
    draw,
    read_boxes,
    sentences_named,
)

from cnnkit.data.imagenet import SeenName, imagenet_groups, imagenet_names, with_article
from cnnkit.data.text import NAME, split_text

TEST, VAL = 300, 150
IMAGENET_TEST, IMAGENET_VAL = 500, 50
_PER_CALTECH_CLASS, _FACES, _STREETS = 12, 60, 60
# Sentences about a picture: of ImageNet, and of folders that know fewer things.
_OF_NAMES, _OF_FOLDERS = 5, 2
# The least probability at which a name stands in people's sentences.
_NAMED_IN_SCENES = 0.3


@dataclass(frozen=True)
class Captioned:
    """A picture with sentences.

    Attributes:
        path: of the picture.
        sentences: about it.
        split: "train", "val" or "test".
    """

    path: Path
    sentences: tuple[str, ...]
    split: str


def by_name_hash(paths: Iterable[Path]) -> list[Path]:
    """In the order of the SHA-1 of the files' names."""
    return sorted(paths, key=lambda path: hashlib.sha1(path.name.encode()).hexdigest())


def splits(paths: Iterable[Path], test: int, val: int) -> dict[Path, str]:
    """The first `test` by the hash of their names, then `val`, then those to train on."""
    order = by_name_hash(paths)
    return {
        path: "test" if at < test else "val" if at < test + val else "train"
        for at, path in enumerate(order)
    }


# Who they are is not what the network is to guess from looks.
_NEUTRAL = {
    **dict.fromkeys(
        ("man", "woman", "guy", "lady", "gentleman", "gentlemen's", "male", "female", "dude"),
        "person",
    ),
    **dict.fromkeys(("men", "women", "guys", "ladies", "gentlemen", "males", "females"), "people"),
    **dict.fromkeys(("boy", "girl", "kid", "son", "daughter"), "child"),
    **dict.fromkeys(("boys", "girls", "kids", "sons", "daughters"), "children"),
    **dict.fromkeys(("mother", "father", "mom", "dad"), "parent"),
    **dict.fromkeys(("his", "her", "hers"), "their"),
    **dict.fromkeys(("he", "she"), "they"),
    "him": "them",
    **{"himself": "themselves", "herself": "themselves"},
    **{"man's": "person's", "woman's": "person's", "boy's": "child's", "girl's": "child's"},
    **{"businessman": "person", "businesswoman": "person", "policeman": "police officer"},
    **{"policemen": "police officers", "fireman": "firefighter", "firemen": "firefighters"},
    **{"cowboy": "rider", "cowboys": "riders", "husband": "person", "wife": "person"},
    **{"bride": "person", "groom": "person", "mailman": "person", "salesman": "person"},
    **{"brother": "child", "sister": "child", "brothers": "children", "sisters": "children"},
}
_NEUTRAL_WORD = re.compile(rf"\b(?:{'|'.join(_NEUTRAL)})\b", re.IGNORECASE)
_HER = re.compile(r"\bher\b(?=\W*$|[.,]| (?:and|as|at|behind|from|in|on|to|while|with)\b)")
_TWO = re.compile(r"\b(?:a |one )?person and (?:a |another )?person\b", re.IGNORECASE)


def neutral(sentence: str) -> str:
    """A sentence in which people are people, whoever they may be.

    >>> neutral("A man and a woman with her dog")
    'two people with their dog'
    >>> neutral("Two young boys, he is running")
    'Two young children, they are running'
    >>> neutral("a lady in her car with a dog behind her.")
    'a person in their car with a dog behind them.'
    """
    found = _HER.sub("them", sentence)
    found = _NEUTRAL_WORD.sub(lambda match: _NEUTRAL[match[0].lower()], found)
    found = re.sub(r"\bthey is\b", "they are", found)
    return _TWO.sub("two people", found)


def read_coco(data: Path) -> list[Captioned]:
    """COCO's photographs with people's sentences in neutral words: 300 to test, 150 to choose by.

    tiny_coco, which is of COCO's training part, is trained on.
    """
    folder = data / "coco"
    known = {}
    with gzip.open(folder / "val2017" / "labels.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            known[folder / row["image"]] = row["captions"]
    found = [
        Captioned(path, _plain(known[path]), split)
        for path, split in splits(known, TEST, VAL).items()
    ]
    tiny = json.loads((folder / "tiny_coco" / "captions.json").read_text())
    for name, said in sorted(tiny.items()):
        found.append(Captioned(folder / "tiny_coco" / "images" / name, _plain(said), "train"))
    return found


def _plain(said: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(neutral(" ".join(one.split())) for one in said))


def read_imagenet(data: Path) -> dict[Path, tuple[int, str]]:
    """ImageNet's single pictures -> index of the class, and "test" (500), "val" (50) or "train"."""
    paths = sorted((data / "images" / "imagenet").glob("*.jpg"))
    parts = splits(paths, IMAGENET_TEST, IMAGENET_VAL)
    return {path: (at, parts[path]) for at, path in enumerate(paths)}


def caltech_names(data: Path) -> list[str]:
    """A few pictures of each of Caltech's classes, of its list to train on."""
    listed = (data / "images" / "caltech101" / "train.txt").read_text().split()
    of_class: dict[str, list[Path]] = {}
    for name in listed:
        of_class.setdefault(name.split("/")[0], []).append(Path(name))
    return [
        name.as_posix()
        for folder in CALTECH
        for name in by_name_hash(of_class[folder])[:_PER_CALTECH_CLASS]
    ]


def describe_imagenet(
    path: Path, index: int, said: SeenName, boxes: Sequence[Box]
) -> tuple[str, ...]:
    """Sentences about a picture of a single thing; none where nothing sure can be said.

    Args:
        path: of the picture.
        index: of its class.
        said: what the encoder's classifier calls it.
        boxes: that a detector found.
    """
    if is_named(said.phrase, index):
        main = NAME
    else:
        group = group_of(index)
        if group is None:
            return ()
        main = with_article(group)
    found = sentences_named(path, boxes, main)
    return tuple(dict.fromkeys([*found, *(f"a picture of {one}" for one in found), main]))


def with_names(sentences: Sequence[str], said: SeenName) -> tuple[str, ...]:
    """What people wrote once more, with `NAME` where the classifier means the same thing.

    >>> with_names(["A man on a red bicycle.", "Two bikes"], SeenName("a tandem bicycle", 0.9))
    ('A man on [NAME].',)
    """
    if said.probability < _NAMED_IN_SCENES:
        return ()
    word = re.escape(said.phrase.split()[-1])
    thing = re.compile(rf"\b(?:a|an|the) (?:\w+ )?{word}\b", re.IGNORECASE)
    found = [thing.sub(NAME, one, count=1) for one in sentences]
    return tuple(one for one in found if NAME in one)


def group_of(index: int) -> str | None:
    """The everyday group of a class of ImageNet."""
    name = imagenet_names()[index]
    return next((group for group, names in imagenet_groups().items() if name in names), None)


def is_named(sentence: str, index: int) -> bool:
    """Whether a sentence has the name of a class of ImageNet, or a plain hypernym of it.

    That is the name as a whole, its last word, the word of its everyday group, or the noun of the
    phrase that stands for it.

    >>> is_named("two dogs on a bed", 258), is_named("a tabby cat", 282), is_named("a cat", 258)
    (True, True, False)
    >>> is_named("a cup of coffee on a table", 967)
    True
    """
    name, group = imagenet_names()[index], group_of(index)
    phrase = re.sub(r"^(a|an|the) ", "", with_article(name))
    wanted = {name, name.split()[-1], phrase, phrase.split()[-1], *((group,) if group else ())}
    text = " ".join(split_text(sentence))
    return any(
        re.search(rf"\b{re.escape(' '.join(split_text(word)))}(s|es)?\b", text) for word in wanted
    )


def collect_captions(
    data: Path, names: Callable[[Sequence[Path]], Sequence[SeenName]]
) -> list[Captioned]:
    """All pictures with their sentences, none of which is to test with.

    Args:
        data: DIR.
        names: pictures -> what the encoder's classifier calls each of them.

    Returns:
        A list of `Captioned`, to train on and to validate with.
    """
    found: list[Captioned] = []
    people = [one for one in read_coco(data) if one.split != "test"]
    boxes = read_boxes(data)
    imagenet = {path: one for path, one in read_imagenet(data).items() if one[1] != "test"}
    caltech = {data / "images" / "caltech101" / name: name for name in caltech_names(data)}
    paths = [*(one.path for one in people), *imagenet, *caltech]
    said = dict(zip(paths, names(paths), strict=True))
    for one in people:
        more = with_names(one.sentences, said[one.path]) if one.split == "train" else ()
        found.append(Captioned(one.path, (*one.sentences, *more), one.split))
    for path, (index, split) in imagenet.items():
        own = boxes.get(f"images/imagenet/{path.name}", [])
        found.append(_some(path, describe_imagenet(path, index, said[path], own), split, _OF_NAMES))
    for path, name in caltech.items():
        described = describe_caltech(data, name, boxes)
        main = CALTECH[name.split("/")[0]][0]
        sentences = described.sentences
        if any(split_text(said[path].phrase)[-1] == word for word in described.main):
            # In words of the classifier where both mean the same.
            sentences = tuple(one.replace(main, NAME) for one in sentences)
        found.append(_some(path, sentences, "train", _OF_FOLDERS))
    lines = (data / "lfw" / "pairsDevTrain.txt").read_text().splitlines()[1:]
    people = [data / "lfw" / line.split("\t")[0] for line in lines]
    for folder in by_name_hash(dict.fromkeys(people))[:_FACES]:
        described = describe_face(sorted(folder.glob("*.jpg"))[0])
        found.append(_some(described.path, described.sentences, "train", _OF_FOLDERS))
    streets = by_name_hash((data / "camvid" / "train" / "images").iterdir())[:_STREETS]
    for path in streets:
        labels = data / "camvid" / "train" / "labels" / f"{path.stem}.png"
        described = describe_street(path, labels)
        found.append(_some(path, described.sentences, "train", _OF_FOLDERS))
    return [one for one in found if one.sentences]


def _some(path: Path, sentences: Sequence[str], split: str, most: int) -> Captioned:
    """Some of the sentences, drawn by the picture's name."""
    order = sorted(sentences, key=lambda one: draw(0, f"{path.name}/{one}"))
    return Captioned(path, tuple(order[:most]), split)
