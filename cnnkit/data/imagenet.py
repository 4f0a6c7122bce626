"""The 1,000 classes of ImageNet (ILSVRC-2012): plain names, and everyday groups of them."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_FOLDER = Path(__file__).parent


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """A short name for each class, in the usual order; all of them differ.

    >>> imagenet_names()[281], imagenet_names()[134], imagenet_names()[517]
    ('tabby cat', 'crane', 'construction crane')
    """
    return tuple(_lines("imagenet_classes.txt"))


@functools.cache
def imagenet_groups() -> dict[str, tuple[str, ...]]:
    """Everyday words -> the names of the classes that they stand for; no class is in two groups.

    >>> imagenet_groups()["elephant"]
    ('tusked elephant', 'Indian elephant', 'African elephant')
    """
    groups = {}
    for line in _lines("imagenet_groups.txt"):
        group, _, members = line.partition(": ")
        groups[group] = tuple(members.split(", "))
    return groups


@dataclass(frozen=True)
class SeenName:
    """What a classifier of ImageNet calls the main thing of a picture.

    Attributes:
        phrase: the name with its article, such as "a tabby cat".
        probability: of the class or the group.
    """

    phrase: str
    probability: float


# A class that is less probable than this gives way to a group that is as probable.
_NAMED_FROM = 0.4

# Names that are not counted, or are plural.
_WITHOUT_ARTICLE = frozenset(
    name
    for line in (
        "binoculars, jeans, pajamas, panpipes, parallel bars, swimming trunks, sunglasses",
        "dark glasses, chain mail, hair spray, face powder, lotion, sunscreen, perfume, velvet",
        "wool, guacamole, ice cream, mashed potato, broccoli, cauliflower, cabbage, carbonara",
        "chocolate sauce, dough, eggnog, hay, corn, rapeseed, toilet paper, clear soup, red wine",
        "spaghetti squash",
    )
    for name in line.split(", ")
)
_PHRASES = {
    **{"espresso": "a cup of coffee", "red wine": "a glass of red wine", "cup": "a cup"},
    **{"clear soup": "a bowl of soup", "ice cream": "ice cream", "bubble": "a bubble"},
    **{"mountain peak": "a mountain", "seashore": "a beach", "lakeshore": "a lake"},
    **{"mashed potato": "mashed potatoes", "website": "a page of text", "menu": "a menu"},
    **{"hay": "a field of hay", "rapeseed": "a field of rapeseed"},
    **{"unicycle": "a unicycle", "hourglass": "an hourglass"},
    **{"one-piece swimsuit": "a one-piece swimsuit", "shelf or cupboard": "a shelf"},
    "airliner": "an airplane",
}


def with_article(name: str) -> str:
    """The name of a class or a group as it stands in a sentence.

    >>> with_article("orange"), with_article("unicycle"), with_article("jeans")
    ('an orange', 'a unicycle', 'jeans')
    """
    if name in _PHRASES:
        return _PHRASES[name]
    if name in _WITHOUT_ARTICLE:
        return name
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def name_seen(probabilities: np.ndarray) -> SeenName:
    """The class's name where it is probable enough, else that of an everyday group.

    Args:
        probabilities: `(1000,)`.

    >>> seen = np.zeros(1000); seen[[281, 282, 285]] = 0.3
    >>> name_seen(seen)
    SeenName(phrase='a cat', probability=0.9)
    """
    best = int(np.argmax(probabilities))
    probability = float(probabilities[best])
    phrase = with_article(imagenet_names()[best])
    if probability < _NAMED_FROM:
        of_groups = {
            group: float(probabilities[list(members)].sum())
            for group, members in _members().items()
        }
        group = max(of_groups, key=of_groups.__getitem__)
        if of_groups[group] >= _NAMED_FROM:
            return SeenName(with_article(group), round(of_groups[group], 6))
    return SeenName(phrase, round(probability, 6))


@functools.cache
def _members() -> dict[str, tuple[int, ...]]:
    """The classes of each group by their indices."""
    places = {name: at for at, name in enumerate(imagenet_names())}
    return {
        group: tuple(places[name] for name in members)
        for group, members in imagenet_groups().items()
    }


def _lines(file_name: str) -> list[str]:
    return (_FOLDER / file_name).read_text(encoding="utf-8").splitlines()
