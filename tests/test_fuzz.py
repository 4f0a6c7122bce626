"""Damaged files end in an answer or in one line, whatever the bytes; thousands more are tried by
`benchmarks/fuzz.py`."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnkit.errors import CnnkitError, ExitCode
from tests._fuzz import NAMES, build_parser

# Those that build networks take their time.
_EXAMPLES = {"Darknet": 8, ".keras": 8}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("made")


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_end_in_an_answer_or_in_one_line(name, made, tmp_path):
    parser = build_parser(name, made)
    parser.write(tmp_path)
    parser.read(tmp_path)

    @settings(
        max_examples=_EXAMPLES.get(name, 25),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))
    def try_one(random):
        found = None
        try:
            parser.try_one(tmp_path, random)
        except CnnkitError as error:
            found = error
        if found is not None:
            assert len(str(found).splitlines()) == 1
            assert len(str(found)) <= 1000
            assert found.exit_code in set(ExitCode) - {ExitCode.BUG, ExitCode.DONE}

    with warnings.catch_warnings():
        # Of Pillow and Keras, about what they find in damaged files.
        warnings.simplefilter("ignore")
        try_one()


def test_messages_are_one_line_of_what_a_terminal_shows():
    error = CnnkitError("a class\nnamed \x1b[2J" + "x" * 5000)
    assert str(error).startswith("a class named  [2Jxx")
    assert len(str(error)) < 1000
    assert str(CnnkitError("bj\u00f6rk \u76d2 \udcff")) == "bj\u00f6rk \u76d2 \udcff"
