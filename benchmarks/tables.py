"""Fills in the tables of RESULTS.md, the README and the documentation from `results/*.csv`.

    python benchmarks/tables.py            write them
    python benchmarks/tables.py --check    exit with 1 where one is out of date

A figure is one line of a CSV file: `table`, `case` (the row), `quantity` (the column), `value`, its
spread from `low` to `high`, `unit`, `aim`, and how it was measured: `command`, `commit`, `date`,
`machine`. In a page

    <!-- table: detect/quality -->
    <!-- end -->

becomes the table `quality` of `detect.csv`, and

    <!-- summary: peers -->
    <!-- end -->

what `results/summaries/peers.md` says, where `{detect::quality::CASE::QUANTITY}` is the value with
its unit, and `{...::spread}` the lowest and the highest one.
"""

import argparse
import csv
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("benchmarks/RESULTS.md", "README.md", "docs/reference/results.md")

_BLOCK = re.compile(r"(<!-- (table|summary): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_REFERENCE = re.compile(r"\{([^{}]+?::[^{}]+?)\}")


@dataclass(frozen=True)
class Figure:
    """One measured value; see the module for the fields."""

    table: str
    case: str
    quantity: str
    value: str
    low: str
    high: str
    unit: str
    aim: str
    command: str
    commit: str
    date: str
    machine: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    figures = read_figures(RESULTS)
    stale = []
    for name in PAGES:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = fill(before, figures, RESULTS / "summaries")
        if after != before:
            stale.append(name)
            if not arguments.check:
                path.write_text(after, encoding="utf-8")
    for name in stale:
        print(f"{name} {'is out of date' if arguments.check else 'is written anew'}")
    return int(arguments.check and bool(stale))


def read_figures(folder: Path) -> dict[str, list[Figure]]:
    """All figures, by the name of their file without `.csv`."""
    figures = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            figures[path.stem] = [Figure(**row) for row in csv.DictReader(file)]
    return figures


def fill(text: str, figures: Mapping[str, Sequence[Figure]], summaries: Path) -> str:
    """The page with its blocks made anew.

    Raises:
        KeyError: it names a table or a figure that is not there.
    """

    def made(block: re.Match[str]) -> str:
        begin, kind, name, end = block.groups()
        if kind == "table":
            file, table = name.split("/")
            inside = draw_table([one for one in figures[file] if one.table == table], name)
        else:
            template = (summaries / f"{name}.md").read_text(encoding="utf-8")
            inside = _REFERENCE.sub(lambda found: refer(found[1], figures), template).strip()
        return f"{begin}\n{inside}\n\n{end}"

    return _BLOCK.sub(made, text)


def refer(reference: str, figures: Mapping[str, Sequence[Figure]]) -> str:
    """What `file::table::case::quantity` says, or its spread."""
    file, table, case, quantity, *more = reference.split("::")
    for one in figures[file]:
        if (one.table, one.case, one.quantity) == (table, case, quantity):
            shown = f"{one.low} to {one.high}" if more == ["spread"] else one.value
            return _with_unit(shown, one.unit)
    raise KeyError(reference)


def draw_table(rows: Sequence[Figure], name: str) -> str:
    """Figures as a table of Markdown, and how they were measured."""
    if not rows:
        raise KeyError(name)
    cases = _in_order(one.case for one in rows)
    heads, columns = [""], []
    for quantity in _in_order(one.quantity for one in rows):
        here = {one.case: one for one in rows if one.quantity == quantity}
        units = {one.unit for one in here.values()}
        unit = units.pop() if len(units) == 1 else None
        heads.append(f"{quantity}, {unit}" if unit else quantity)
        columns.append([_cell(here.get(case), unit is None) for case in cases])
        aims = [here[case].aim if case in here else "" for case in cases]
        if any(aims):
            heads.append("aim")
            columns.append(aims)
    lines = [heads, ["---"] * len(heads)]
    lines += [[case, *(column[at] for column in columns)] for at, case in enumerate(cases)]
    drawn = "\n".join("| " + " | ".join(line).replace("|  |", "| |") + " |" for line in lines)
    return drawn.replace("|  |", "| |") + "\n\n" + "\n".join(_ways(rows))


def _cell(figure: Figure | None, shows_unit: bool) -> str:
    if figure is None:
        return ""
    value = figure.value
    if figure.low and (figure.low, figure.high) != (value, value):
        value = f"{value} ({figure.low} to {figure.high})"
    return _with_unit(value, figure.unit) if shows_unit else value


def _with_unit(value: str, unit: str) -> str:
    return f"{value} {unit}".rstrip()


def _ways(rows: Sequence[Figure]) -> list[str]:
    """A line for each way in which figures were measured."""
    ways: dict[tuple[str, str, str], list[str]] = {}
    for one in rows:
        commands = ways.setdefault((one.commit, one.date, one.machine), [])
        if one.command not in commands:
            commands.append(one.command)
    lines = []
    for (commit, date, machine), commands in ways.items():
        first, *others = (command.removeprefix("python benchmarks/") for command in commands)
        # Further commands of one script differ by their options.
        script = first.split(" ")[0]
        more = [one.removeprefix(script).strip() for one in others]
        named = "; ".join([f"`{first}`", *(f"`{one}`" for one in more if one)])
        lines.append(f"{named}, commit {commit}, {date}, {machine}.")
    return lines


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    sys.exit(main())
