"""Made-up reviews whose label hangs on the order of the words alone, to try out networks on."""

import random

GOOD, BAD = "good", "bad"

_THINGS = (
    *("food", "service", "room", "music", "soup", "wine", "bed", "view"),
    *("garden", "bread", "coffee", "pool", "bath", "lamp", "price"),
)
_PRAISE = ("good", "great", "lovely", "clean", "fresh", "warm", "quiet", "fine", "superb", "cosy")
_BLAME = ("bad", "awful", "dirty", "stale", "cold", "noisy", "poor", "dull", "grim", "broken")
_PEOPLE = ("anna", "ben", "carla", "david", "emma", "felix", "greta", "hugo")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PLACES = ("paris", "rome", "oslo", "ulm", "kiel", "bern", "graz", "lyon", "porto", "gent")
_LINKS = ("and", "but", "while", "then")


def generate_reviews(pairs: int, seed: int = 0, most_asides: int = 3) -> list[tuple[str, str]]:
    """Reviews of two to five opinions; what was said last is the verdict.

    "the soup was not cold but the bed was dirty as anna told ben on monday in rome" is bad. An
    opinion is turned round by "not", and asides about nothing stand between opinions and behind the
    last one. Reviews come in pairs of the very same words in another order, one good and one bad:
    whoever knows no order, as a bag of words does not, is right with exactly one of them.

    Args:
        pairs: of reviews.
        seed: of the draws.
        most_asides: behind each opinion.

    Returns:
        Texts with their labels, `GOOD` or `BAD`; the two of a pair follow one another.

    Example:

    >>> (first, good), (second, bad) = generate_reviews(1)
    >>> sorted(first.split()) == sorted(second.split()), good, bad
    (True, 'good', 'bad')
    """
    draw = random.Random(seed)
    reviews = []
    for _ in range(pairs):
        opinions = [_opinion(draw) for _ in range(draw.randint(2, 5))]
        # One of each at least, to stand last.
        opinions[:2] = _opinion(draw, GOOD), _opinion(draw, BAD)
        asides = [_asides(draw, most_asides) for _ in opinions]
        links = [draw.choice(_LINKS) for _ in opinions[1:]]
        for label in (GOOD, BAD):
            last = draw.choice([one for one in opinions if one[1] == label])
            others = [one for one in opinions if one is not last]
            draw.shuffle(others)
            words: list[str] = []
            for (text, _), link, aside in zip([*others, last], [*links, ""], asides, strict=True):
                words += [text, *aside, link]
            reviews.append((" ".join(filter(None, words)), label))
    return reviews


def _opinion(draw: random.Random, label: str | None = None) -> tuple[str, str]:
    """Words, and whether they are good or bad."""
    label = label or draw.choice((GOOD, BAD))
    is_turned = draw.random() < 0.5
    words = _PRAISE if (label == GOOD) != is_turned else _BLAME
    turn = "not " if is_turned else ""
    return f"the {draw.choice(_THINGS)} was {turn}{draw.choice(words)}", label


def _asides(draw: random.Random, most: int) -> list[str]:
    return [_aside(draw) for _ in range(draw.randint(0, most))]


def _aside(draw: random.Random) -> str:
    kind = draw.randrange(3)
    if kind == 0:
        return f"as {draw.choice(_PEOPLE)} told {draw.choice(_PEOPLE)}"
    if kind == 1:
        return f"on {draw.choice(_DAYS)}"
    return f"in {draw.choice(_PLACES)}"
