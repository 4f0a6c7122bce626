"""Measured figures are data, and every page that shows them is made of these data."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
TABLES = runpy.run_path(str(BENCHMARKS / "tables.py"))
FIGURES = TABLES["read_figures"](BENCHMARKS / "results")
ALL = [(file, one) for file, figures in FIGURES.items() for one in figures]


@pytest.mark.parametrize("name", TABLES["PAGES"])
def test_pages_show_the_figures_that_were_measured(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert TABLES["fill"](text, FIGURES, BENCHMARKS / "results" / "summaries") == text, (
        "run: python benchmarks/tables.py"
    )


def test_every_figure_has_a_script_that_is_there():
    for file, one in ALL:
        if one.command.startswith("python "):
            assert (ROOT / one.command.split()[1]).is_file(), f"{file}: {one}"
        else:
            assert one.command.startswith("cnnkit "), f"{file}: {one}"


def test_every_figure_says_when_and_where_it_was_measured():
    for file, one in ALL:
        assert re.fullmatch("[0-9a-f]{7,}", one.commit), f"{file}: {one}"
        assert re.fullmatch(r"2\d{3}-\d\d-\d\d", one.date), f"{file}: {one}"
        assert "core" in one.machine or "GPU" in one.machine, f"{file}: {one}"


def test_values_lie_within_their_spread():
    for file, one in ALL:
        if one.low:
            assert float(one.low) <= float(one.value) <= float(one.high), f"{file}: {one}"


def test_no_figure_is_there_twice():
    keys = [(file, one.table, one.case, one.quantity) for file, one in ALL]
    assert len(set(keys)) == len(keys)


def test_every_table_is_shown():
    shown = (BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8")
    for file, one in ALL:
        assert f"<!-- table: {file}/{one.table} -->" in shown


def test_a_table_has_a_row_for_a_case_and_a_column_for_a_quantity():
    row = {"table": "t", "command": "python benchmarks/fuzz.py", "commit": "abc1234"}
    row |= {"date": "2026-01-02", "machine": "2 cores"}
    figures = [
        TABLES["Figure"](**row, case=case, quantity=quantity, value=value, low=low, high=high,
                         unit=unit, aim=aim)
        for case, quantity, value, low, high, unit, aim in (
            ("a", "time", "2.0", "1.5", "3.0", "s", "4"),
            ("b", "time", "5.0", "", "", "s", ""),
            ("b", "rate", "7", "", "", "", ""),
        )
    ]  # fmt: skip
    drawn = TABLES["draw_table"](figures, "f/t")
    assert drawn.splitlines() == [
        "| | time, s | aim | rate |",
        "| --- | --- | --- | --- |",
        "| a | 2.0 (1.5 to 3.0) | 4 | |",
        "| b | 5.0 | | 7 |",
        "",
        "`fuzz.py`, commit abc1234, 2026-01-02, 2 cores.",
    ]
    refer = TABLES["refer"]
    assert refer("f::t::a::time", {"f": figures}) == "2.0 s"
    assert refer("f::t::a::time::spread", {"f": figures}) == "1.5 to 3.0 s"
    with pytest.raises(KeyError, match="none"):
        refer("f::t::a::none", {"f": figures})
