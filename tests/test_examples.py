"""Every example runs as it stands, on tiny pictures."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
# They paint several pictures, or train several networks.
SLOW = ("stylize_many", "stylize_strengths", "words_in_order")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
        for path in EXAMPLES
    ],
)
def test_the_example_runs_and_writes_its_output(path, tmp_path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    output = tmp_path / ("folder" if "many" in path.stem else "picture.png")
    example.main(str(output), size=32)
    assert output.exists()


def test_examples_are_one_screen_long():
    assert EXAMPLES
    for path in EXAMPLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 50, path
