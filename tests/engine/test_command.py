"""Commands made of settings."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
import typer.testing

from cnnkit.engine.command import command, read_value
from cnnkit.engine.settings import Option, Settings
from cnnkit.errors import UsageError


def _parse_mixture(text):
    pairs = (part.partition(":") for part in text.split(","))
    return {name: float(share or 1.0) for name, _, share in pairs}


@dataclass(frozen=True)
class Brush(Settings):
    """How a brush paints."""

    width: Annotated[int, Option("Bristles.", "Brush", ("-w", "--width"), min=1)] = 3
    hair: Annotated[str, Option("What it is made of.", "Brush", choices=("hog", "horse"))] = "hog"
    is_wet: Annotated[bool, Option("Dip it into water.")] = False
    is_clean: Annotated[bool, Option("Wash it before.")] = True
    sizes: Annotated[tuple[float, ...], Option("Of strokes.", metavar="S,...", example="1,2")] = (
        1.0,
        0.5,
    )
    colors: Annotated[tuple[str, ...] | None, Option("Names.", show_default="all")] = None
    angle: Annotated[float, Option("Of the hand.", former=("--tilt",), min=0.0)] = 30.0
    is_flat: Annotated[bool, Option("Flat or round.", former=("--even",))] = False
    is_thick: Annotated[bool, Option("Thick or thin.", former=("--damp/--no-damp",))] = True
    paint: Annotated[
        float | None,
        Option("Its price.", metavar="PRICE", parse=lambda text: float(text.rstrip("$"))),
    ] = None
    mixture: Annotated[Mapping[str, float], Option("Colours and shares.", parse=_parse_mixture)] = (
        field(default_factory=lambda: {"red": 1.0, "blue": 0.5})
    )
    grip: Annotated[float, Option("Of Python alone.", max=1.0, on_command_line=False)] = 0.5
    hidden: int = 7


@dataclass(frozen=True)
class Paper(Settings):
    """What is painted on."""

    weight: Annotated[float, Option("In grams.", "Paper")] = 80.0


painted = []


@command
def paint(
    motifs: Annotated[list[str], typer.Argument(help="What to paint.")],
    number: Annotated[int, Option("Of copies.", min=1)] = 1,
    *,
    brush: Brush,
    paper: Paper,
) -> int:
    """Paint pictures."""
    painted.append((motifs, number, brush, paper))
    return 0


def run(*arguments):
    app = typer.Typer()
    app.command()(paint)
    painted.clear()
    return typer.testing.CliRunner().invoke(app, arguments)


def test_a_command_gets_objects_of_its_settings():
    result = run("tree", "-w", "5", "--hair", "horse", "--is-wet", "--weight", "100")
    assert result.exit_code == 0
    assert painted == [(["tree"], 1, Brush(5, "horse", is_wet=True), Paper(100.0))]


def test_what_is_not_typed_has_the_default_of_its_field():
    run("tree", "hill")
    assert painted == [(["tree", "hill"], 1, Brush(), Paper())]


def test_what_is_typed_otherwise_than_in_python_is_parsed():
    run("tree", "--paint", "5$", "--mixture", "green")
    assert (painted[0][2].paint, painted[0][2].mixture) == (5.0, {"green": 1.0})
    assert "red,blue:0.5" in run("--help").output


def test_settings_of_python_alone_are_checked_and_are_no_options():
    assert run("tree", "--grip", "0.1").exit_code == 2
    with pytest.raises(UsageError, match="grip must be"):
        Brush(grip=2.0)


def test_several_values_stand_between_commas():
    run("tree", "--sizes", "1, 2.5", "--colors", "red,dark blue", "--no-is-clean")
    brush = painted[0][2]
    assert (brush.sizes, brush.colors, brush.is_clean) == ((1.0, 2.5), ("red", "dark blue"), False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--width", "0"), "width must be a whole number from 1, not 0"),
        (("--number", "0"), "number must be a whole number from 1, not 0"),
        (("--hair", "wool"), "hair must be one of hog, horse, not 'wool'"),
        (("--sizes", "1;2"), "--sizes takes numbers such as 1,2, not '1;2'"),
    ],
)
def test_what_is_not_allowed_is_a_usage_error(arguments, message):
    result = run("tree", *arguments)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == message


def test_the_help_has_what_the_fields_say():
    text = run("--help").output
    for part in ("Paint pictures.", "-w", "--width", "Bristles.", "Brush", "Paper", "hog|horse"):
        assert part in text
    for part in ("[default: 3]", "[default: 1,0.5]", "--no-is-clean", "all"):
        assert part in text
    assert "hidden" not in text
    assert "--no-is-wet" not in text


def test_names_of_before_still_work_and_are_not_shown():
    run("tree", "--tilt", "45", "--even", "--no-damp")
    assert (painted[0][2].angle, painted[0][2].is_flat, painted[0][2].is_thick) == (
        45.0,
        True,
        False,
    )
    run("tree", "--angle", "50")
    assert (painted[0][2].angle, painted[0][2].is_flat) == (50.0, False)
    assert "--tilt" not in run("--help").output
    with pytest.raises(UsageError, match="angle must be at least 0, not -1"):
        raise run("tree", "--tilt", "-1").exception


def test_two_options_of_one_name_are_refused():
    with pytest.raises(TypeError, match=r"Received twice: \['width'\]"):

        @command
        def frame(brush: Brush, width: int = 3) -> int:
            return 0


def test_settings_need_no_typer():
    code = "import sys, cnnkit.tasks.detect.settings; print('typer' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


CHANNELS = Annotated[tuple[int, ...], Option("Channels.", example="0,5 or 0-8", ranges=True)]


def test_ranges_stand_for_their_numbers_and_each_counts_once():
    assert read_value("channels", CHANNELS, "5, 0-2,1") == (5, 0, 1, 2)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("a", "--channels takes numbers such as 0,5 or 0-8, not 'a'"),
        ("1-2-3", "--channels takes numbers such as 0,5 or 0-8, not '1-2-3'"),
        ("0-9999999", "--channels takes numbers such as"),
        ("3-1", "--channels: 3-1 runs backwards"),
    ],
)
def test_what_is_no_range_is_refused(typed, message):
    with pytest.raises(UsageError, match=message):
        read_value("channels", CHANNELS, typed)
