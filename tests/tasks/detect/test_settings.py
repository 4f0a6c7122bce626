import pytest

from cnnkit.errors import UsageError
from cnnkit.ops import boxes
from cnnkit.tasks.detect.settings import SUPPRESSIONS, DetectSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": (1, 2)}, "classes must be several values in brackets or None"),
        ({"classes": "cup"}, "classes must be several values in brackets or None, not 'cup'"),
        ({"flip": "no"}, "flip must be True or False, not 'no'"),
        ({"conf": 2}, "conf must be between 0 and 1, not 2"),
        ({"max_det": 0}, "max-det must be a whole number from 1, not 0"),
        ({"size": 31}, "size must be at least 32 pixels, not 31"),
        ({"suppression": "hard"}, "suppression must be one of class, agnostic, soft, not 'hard'"),
        ({"scales": (9.0,)}, r"scales must be from 0.1 to 4, not \[9.0\]"),
        ({"scales": ()}, r"scales must be from 0.1 to 4, not \[\]"),
    ],
)
def test_what_makes_no_sense_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        DetectSettings(**values)


def test_a_list_of_classes_is_as_good_as_a_tuple():
    assert DetectSettings(classes=["cup"]) == DetectSettings(classes=("cup",))


def test_the_settings_know_the_ways_to_suppress_boxes():
    # The settings import no NumPy, for the help's sake.
    assert SUPPRESSIONS == boxes.SUPPRESSIONS
