"""Sentences about pictures, put together from labels: what is there, how much of it, and where.

The labels are names of folders (Caltech-101, true), classes of ImageNet (true), masks of classes
(CamVid, true), and boxes that a detector found (noisy: only sure ones are taken). Colours and
backgrounds come from the pixels.
"""

import colorsys
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cnnkit.data.text import split_text

# Boxes that are as sure as this are believed, in pictures without and with a true name.
_SURE, _BESIDE = 0.5, 0.6

# Caltech's folders: what is in them, with its article; the detector's classes that mean it, or what
# the detector takes it for.
CALTECH = {
    "Faces": ("a person", ("person",)),
    "Faces_easy": ("a face of a person", ("person",)),
    "Leopards": ("a leopard", ("giraffe", "cat", "dog", "bear", "zebra")),
    "Motorbikes": ("a motorcycle", ("motorcycle",)),
    "accordion": ("an accordion", ()),
    "airplanes": ("an airplane", ("airplane",)),
    "anchor": ("an anchor", ()),
    "ant": ("an ant", ()),
    "barrel": ("a barrel", ()),
    "bass": ("a fish", ()),
    "beaver": ("a beaver", ("bear", "dog", "cat")),
    "binocular": ("binoculars", ()),
    "bonsai": ("a bonsai tree", ("potted plant", "broccoli")),
    "brain": ("a brain", ()),
    "brontosaurus": ("a dinosaur with a long neck", ("elephant",)),
    "buddha": ("a statue of buddha", ("person",)),
    "butterfly": ("a butterfly", ()),
    "camera": ("a camera", ()),
    "cannon": ("a cannon", ()),
    "car_side": ("a car", ("car", "truck")),
    "ceiling_fan": ("a ceiling fan", ()),
    "cellphone": ("a cell phone", ("cell phone", "remote")),
    "chair": ("a chair", ("chair",)),
    "chandelier": ("a chandelier", ()),
    "cougar_body": ("a cougar", ("bear", "cat", "dog")),
    "cougar_face": ("a face of a cougar", ("dog", "cat", "bear")),
    "crab": ("a crab", ()),
    "crayfish": ("a crayfish", ()),
    "crocodile": ("a crocodile", ()),
    "crocodile_head": ("a head of a crocodile", ()),
    "cup": ("a cup", ("cup",)),
    "dalmatian": ("a dalmatian dog", ("dog", "giraffe", "cow")),
    "dollar_bill": ("a dollar bill", ()),
    "dolphin": ("a dolphin", ("bird",)),
    "dragonfly": ("a dragonfly", ()),
    "electric_guitar": ("an electric guitar", ()),
    "elephant": ("an elephant", ("elephant",)),
    "emu": ("an emu", ("bird", "sheep")),
    "euphonium": ("a euphonium", ()),
    "ewer": ("a jug", ("vase",)),
    "ferry": ("a ferry", ("boat",)),
    "flamingo": ("a flamingo", ("bird",)),
    "flamingo_head": ("a head of a flamingo", ("bird",)),
    "garfield": ("a cartoon of garfield the cat", ()),
    "gerenuk": ("a gerenuk", ("giraffe", "bird")),
    "gramophone": ("a gramophone", ()),
    "grand_piano": ("a grand piano", ()),
    "hawksbill": ("a sea turtle", ("bird",)),
    "headphone": ("headphones", ()),
    "hedgehog": ("a hedgehog", ("bear", "cat")),
    "helicopter": ("a helicopter", ("airplane",)),
    "ibis": ("an ibis", ("bird",)),
    "inline_skate": ("an inline skate", ()),
    "joshua_tree": ("a joshua tree", ()),
    "kangaroo": ("a kangaroo", ("giraffe", "dog", "bear")),
    "ketch": ("a sailing boat", ("boat",)),
    "lamp": ("a lamp", ()),
    "laptop": ("a laptop", ("laptop",)),
    "llama": ("a llama", ("sheep", "horse", "cow")),
    "lobster": ("a lobster", ()),
    "lotus": ("a lotus flower", ()),
    "mandolin": ("a mandolin", ()),
    "mayfly": ("a mayfly", ()),
    "menorah": ("a menorah", ()),
    "metronome": ("a metronome", ()),
    "minaret": ("a minaret", ()),
    "nautilus": ("a nautilus shell", ()),
    "octopus": ("an octopus", ()),
    "okapi": ("an okapi", ("zebra", "horse", "cow")),
    "pagoda": ("a pagoda", ()),
    "panda": ("a panda", ("bear", "teddy bear", "dog")),
    "pigeon": ("a pigeon", ("bird",)),
    "pizza": ("a pizza", ("pizza",)),
    "platypus": ("a platypus", ()),
    "pyramid": ("a pyramid", ()),
    "revolver": ("a revolver", ()),
    "rhino": ("a rhino", ("cow", "elephant", "sheep")),
    "rooster": ("a rooster", ("bird",)),
    "saxophone": ("a saxophone", ()),
    "schooner": ("a sailing boat", ("boat",)),
    "scissors": ("scissors", ("scissors",)),
    "scorpion": ("a scorpion", ()),
    "sea_horse": ("a sea horse", ()),
    "snoopy": ("a cartoon of snoopy the dog", ()),
    "soccer_ball": ("a soccer ball", ("sports ball",)),
    "stapler": ("a stapler", ()),
    "starfish": ("a starfish", ()),
    "stegosaurus": ("a dinosaur with plates on its back", ("horse", "bear", "cat", "elephant")),
    "stop_sign": ("a stop sign", ("stop sign",)),
    "strawberry": ("a strawberry", ()),
    "sunflower": ("a sunflower", ()),
    "tick": ("a tick", ()),
    "trilobite": ("a fossil trilobite", ()),
    "umbrella": ("an umbrella", ("umbrella",)),
    "watch": ("a watch", ("clock",)),
    "water_lilly": ("a water lily", ()),
    "wheelchair": ("a wheelchair", ("chair", "bicycle", "motorcycle")),
    "wild_cat": ("a wild cat", ("cat", "giraffe")),
    "windsor_chair": ("a wooden chair", ("chair", "bench")),
    "wrench": ("a wrench", ()),
    "yin_yang": ("a yin yang symbol", ()),
}

# What people do with a thing that they are seen with.
_WITH_PERSON = {
    **dict.fromkeys(
        ("accordion", "electric_guitar", "euphonium", "mandolin", "saxophone", "grand_piano"),
        ("a person playing {}",),
    ),
    "Motorbikes": ("a person on {}", "a person with {}"),
    "motorcycle": ("a person on {}", "a person with {}"),
    "bicycle": ("a person on {}", "a person with {}"),
    "horse": ("a person on {}", "a person with {}"),
    "skateboard": ("a person on {}",),
    "surfboard": ("a person with {}",),
    "wheelchair": ("a person in {}",),
    "tennis racket": ("a person playing tennis",),
    "umbrella": ("a person under {}", "a person with {}"),
    "tie": ("a person wearing {}",),
    "backpack": ("a person with {}",),
    "handbag": ("a person with {}",),
}
_FLYING = (
    "airplane",
    "helicopter",
    "bird",
    "ibis",
    "flamingo",
    "pigeon",
    "emu",
    "kite",
    "butterfly",
)
_SWIMMING = ("fish", "turtle", "dolphin", "octopus", "starfish", "horse", "shark", "whale", "boat")
# Folders whose people are the thing itself.
_ARE_PEOPLE = ("Faces", "Faces_easy", "buddha")

_NUMBERS = ("no", "one", "two", "three", "four", "five")
_PLURALS = {
    **{"person": "people", "sheep": "sheep", "bus": "buses", "knife": "knives"},
    **{"wine glass": "wine glasses", "couch": "couches", "bench": "benches", "mouse": "mice"},
    **{"sandwich": "sandwiches", "toothbrush": "toothbrushes", "scissors": "scissors"},
    **{"skis": "skis", "broccoli": "broccoli"},
}
_NO_ARTICLE = ("scissors", "skis", "broccoli")


# Words of which a sentence may have any without having named a thing.
_SMALL_WORDS = frozenset(
    word
    for line in (
        "a an the of on in at to with and is are by for from near next over under up down its",
        "his her their there that some two three several many large small white black red blue",
        "green sitting standing laying lying holding riding playing walking looking eating",
        "wearing parked front top side middle left right close picture",
    )
    for word in line.split()
)


@dataclass(frozen=True)
class Described:
    """A picture and what can be said of it.

    Attributes:
        path: of the picture.
        sentences: the first ones are the plainest.
        main: words of which one must be in a sentence that names the main object.
        group: where the picture is from.
    """

    path: Path
    sentences: tuple[str, ...]
    main: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Box:
    """A box of a detector: name, score, and left, top, right, bottom as parts of the picture."""

    name: str
    score: float
    edges: tuple[float, float, float, float]

    @property
    def area(self) -> float:
        left, top, right, bottom = self.edges
        return max(0.0, right - left) * max(0.0, bottom - top)


def read_boxes(data: Path) -> dict[str, list[Box]]:
    """The detector's boxes of each picture, by its path below `data`."""
    lines = (data / "labels" / "coco80_classes.txt").read_text().splitlines()
    names = [line.split(" ", 1)[1].strip() for line in lines if line.strip()]
    found = {}
    with gzip.open(data / "labels" / "coco80.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            found[row["image"]] = [
                Box(names[index], score, tuple(edges))
                for index, score, edges in zip(
                    row["classes"], row["scores"], row["boxes_xyxy_normalized"], strict=True
                )
            ]
    return found


def with_article(name: str) -> str:
    """
    >>> with_article("umbrella"), with_article("dog")
    ('an umbrella', 'a dog')
    """
    if name in _NO_ARTICLE:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def counted(name: str, count: int) -> str:
    """
    >>> counted("person", 2), counted("dog", 7), counted("cat", 1)
    ('two people', 'several dogs', 'a cat')
    """
    if count == 1:
        return with_article(name)
    plural = _PLURALS.get(name, f"{name}s")
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else 'several'} {plural}"


def listed(parts: Sequence[str]) -> str:
    """
    >>> listed(["a cat"]), listed(["a cat", "a dog", "a bed"])
    ('a cat', 'a cat, a dog and a bed')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def place(edges: tuple[float, float, float, float]) -> str | None:
    """Where a box is, if that is worth saying."""
    left, top, right, bottom = edges
    x, y = (left + right) / 2, (top + bottom) / 2
    if right - left > 0.7:
        return None
    if x < 0.36:
        return "on the left"
    if x > 0.64:
        return "on the right"
    if bottom - top < 0.45 and y < 0.3:
        return "at the top"
    if bottom - top < 0.45 and y > 0.72:
        return "at the bottom"
    if (right - left) * (bottom - top) < 0.3:
        return "in the middle"
    return None


def color_name(red: float, green: float, blue: float) -> str | None:
    """A plain word for a colour, None for one between others.

    >>> color_name(0.9, 0.1, 0.1), color_name(0.99, 0.98, 0.97), color_name(0.5, 0.3, 0.1)
    ('red', 'white', 'brown')
    """
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.2:
        return "black"
    if saturation < 0.12:
        return "white" if value > 0.88 else "gray" if value < 0.7 else None
    if saturation < 0.3:
        return None
    hue *= 360
    if hue < 16 or hue > 344:
        return "red" if value > 0.45 else "brown"
    if hue < 42:
        return "orange" if value > 0.8 and saturation > 0.65 else "brown" if value < 0.7 else None
    for limit, name in ((68, "yellow"), (165, "green"), (255, "blue"), (300, "purple")):
        if hue < limit:
            return name
    return "pink"


@dataclass(frozen=True)
class Scene:
    """What the pixels say.

    Attributes:
        behind: colour of a plain background.
        color: of the thing before it.
        is_grey: whether there are no colours.
        is_green: whether plants are around.
    """

    behind: str | None
    color: str | None
    is_grey: bool
    is_green: bool


def look(path: Path) -> Scene:
    """Background and colours of a picture."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((64, 64)), np.float32) / 255.0
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    is_grey = bool(spread.mean() < 0.03)
    ring = np.ones((64, 64), bool)
    ring[5:-5, 5:-5] = False
    red, green, blue = np.moveaxis(pixels[ring], -1, 0)
    is_green = bool(((green > red * 1.05) & (green > blue * 1.2) & (green > 0.15)).mean() > 0.6)
    median = np.median(pixels[ring], axis=0)
    near = np.abs(pixels - median).max(axis=2) < 0.12
    if near[ring].mean() < 0.8:
        return Scene(None, None, is_grey, is_green)
    behind = color_name(*median.tolist())
    thing = pixels[~near]
    if is_grey or behind is None or not 0.06 < len(thing) / 4096 < 0.8:
        return Scene(behind, None, is_grey, is_green and behind is None)
    names = [color_name(*one) for one in thing.tolist()]
    best = max({*names} - {None}, key=lambda name: (names.count(name), name), default=None)
    of_thing = best if best and names.count(best) > 0.55 * len(names) else None
    return Scene(behind, None if of_thing == behind else of_thing, False, False)


def sentences_about(
    main: str,
    others: Sequence[str],
    scene: Scene,
    *,
    with_person: Sequence[str] = (),
    where: str | None = None,
    is_close: bool = False,
    has_color: bool = True,
) -> tuple[str, ...]:
    """Ways to say all that is known.

    Args:
        main: the main object with its article or number.
        others: what else there is.
        scene: what the pixels say.
        with_person: forms for the main object and what a person does with it.
        where: in the picture the main object is.
        is_close: whether it fills the picture.
        has_color: whether its colour is worth saying.
    """
    named = main
    if has_color and scene.color and main.split()[0] in ("a", "an") and " of " not in main:
        named = with_article(f"{scene.color} {main.split(' ', 1)[1]}")
    # Ways to say where it is: as long as each other, or the search would prefer the longest.
    ends = [""]
    if scene.behind:
        noun = main.split()[-1]
        if scene.behind == "blue" and noun in _FLYING:
            ends = [" in a blue sky", " in the blue sky"]
        elif scene.behind == "blue" and noun in _SWIMMING:
            ends = [" in blue water"]
        else:
            behind = f"{with_article(scene.behind)} background"
            ends = [f" on {behind}", f" against {behind}"]
    elif scene.is_green:
        ends = [" among green plants", " with green plants"]
    elif where:
        ends = [f" {where} of the picture"]
    if with_person:
        whole = [form.format(named) for form in with_person]
    elif others:
        whole = [f"{named} with {listed(others)}", f"{named} and {listed(others)}"]
    elif is_close:
        whole = [f"a close up of {named}"]
    else:
        whole = [named, main]
    if scene.is_grey:
        seen = "close up" if is_close and not with_person and not others else "picture"
        first = named if seen == "close up" else whole[0]
        found = [f"a black and white {seen} of {first}{end}" for end in ends]
    else:
        found = [f"{one}{end}" for one in whole for end in ends]
    return tuple(dict.fromkeys(found))


def describe_caltech(data: Path, name: str, boxes: dict[str, list[Box]]) -> Described:
    """A picture of Caltech-101, `folder/image.jpg`."""
    folder = name.split("/")[0]
    main, aliases = CALTECH[folder]
    path = data / "images" / "caltech101" / name
    own = boxes.get(f"images/caltech101/{name}", [])
    of_main = max((b for b in own if b.name in aliases), key=lambda b: b.area, default=None)
    sure = [b for b in own if b.score >= _BESIDE and b.name not in aliases]
    people = [b for b in sure if b.name == "person" and b.area > 0.04]
    with_person: tuple[str, ...] = ()
    others = []
    if people and folder not in _ARE_PEOPLE:
        if len(people) == 1:
            with_person = _WITH_PERSON.get(folder, ("{} and a person",))
        else:
            others.append(counted("person", len(people)))
    elif folder == "Faces" and any(b.name == "tie" for b in sure):
        with_person = ("a person wearing a tie",)
    elif folder == "Faces":
        with_person = ("{}", "a portrait of {}", "{} looking at the camera")
    found = sentences_about(
        main,
        others,
        look(path),
        with_person=with_person,
        where=place(of_main.edges) if of_main else None,
        is_close=bool(of_main and of_main.area > 0.75),
        has_color=folder not in _ARE_PEOPLE,
    )
    return Described(path, found, main_words(main), "caltech101")


def main_words(main: str) -> tuple[str, ...]:
    """What a sentence must have one of to have named the object: the last word of its name.

    >>> main_words("a grand piano"), main_words("a face of a cougar"), main_words("two people")
    (('piano',), ('cougar',), ('people', 'person'))
    """
    known = {
        "a person": ("person", "people"),
        "a face of a person": ("person", "people"),
        "two people": ("people", "person"),
        "a dinosaur with a long neck": ("dinosaur",),
        "a dinosaur with plates on its back": ("dinosaur",),
        "a cartoon of garfield the cat": ("garfield",),
        "a cartoon of snoopy the dog": ("snoopy",),
        "a yin yang symbol": ("yang",),
        "a bonsai tree": ("bonsai",),
        "a lotus flower": ("lotus",),
        "a nautilus shell": ("nautilus",),
        "a joshua tree": ("joshua",),
        "a dalmatian dog": ("dalmatian",),
        "a ceiling fan": ("fan",),
        "a cell phone": ("phone",),
        "a sea horse": ("sea horse",),
        "a sea turtle": ("turtle",),
        "a stop sign": ("stop sign",),
        "a dollar bill": ("dollar",),
    }
    return known.get(main, (main.split()[-1],))


def sentences_named(path: Path, boxes: Sequence[Box], main: str) -> tuple[str, ...]:
    """About a picture of one thing whose name is known, and in which a detector found boxes."""
    sure = [b for b in boxes if b.score >= _SURE and b.area > 0.004]
    largest = max(boxes, key=lambda b: b.area, default=None)
    people = [b for b in sure if b.name == "person" and b.area > 0.04]
    return sentences_about(
        main,
        [counted("person", len(people))] if people else [],
        look(path),
        where=place(largest.edges) if largest and not people else None,
        is_close=bool(largest and largest.area > 0.75 and not people),
    )


def describe_street(picture: Path, labels: Path) -> Described:
    """A picture of CamVid, by its mask of 11 classes."""
    with Image.open(labels) as image:
        shares = np.bincount(np.asarray(image).reshape(-1), minlength=12)[:12] / (
            image.width * image.height
        )
    things = []
    for index, least, word in (
        (8, 0.01, "cars"), (1, 0.08, "buildings"), (5, 0.08, "trees"),
        (9, 0.006, "people"), (10, 0.006, "a cyclist"),
    ):  # fmt: skip
        if shares[index] > least:
            things.append((shares[index], word))
    words = [word for _, word in sorted(things, reverse=True)]
    found = ["a street", "a road in a city", "a picture of a street"]
    if words:
        found = [
            f"a street with {listed(words[:3])}",
            f"a road with {listed(words[:2])}",
            f"{listed(words[:2])} on a street",
            f"a picture of a street with {words[0]}",
        ]
    return Described(picture, tuple(found), ("street", "road"), "camvid")


def describe_face(picture: Path) -> Described:
    """A picture of LFW."""
    found = ("a face of a person", "a portrait of a person", "a person looking at the camera")
    return Described(picture, found, ("person", "people"), "lfw")


def draw(seed: int, name: str) -> float:
    """A number in [0, 1) that hangs on a name alone."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def nouns_in(said: Sequence[str]) -> tuple[str, ...]:
    """What two of the sentences that people wrote have in common, without words that say nothing.

    >>> nouns_in(["A man riding a horse.", "The man is on a brown horse", "a person outside"])
    ('horse', 'man')
    """
    counts = Counter(word for one in said for word in set(split_text(one)))
    return tuple(sorted(w for w, times in counts.items() if times > 1 and w not in _SMALL_WORDS))
