"""Draws the folders of the package and who imports whom, read from the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import networkx
from matplotlib import pyplot
from matplotlib.patches import FancyBboxPatch

import cnnkit

PACKAGE = Path(cnnkit.__file__).parent
_BOX, _GAP, _HEIGHT = 1.9, 0.35, 0.8


def draw(path: Path) -> None:
    """Writes the drawing, unless it is there.

    Each row imports from rows below it alone. An arrow is left out where a chain of others says
    the same; the number in a box is that of its lines of code.
    """
    if path.exists():
        return
    graph = networkx.condensation(_imports())
    rows = list(reversed(list(networkx.topological_generations(graph))))
    arrows = networkx.transitive_reduction(graph).edges
    matplotlib.use("agg")
    widest = max(map(len, rows))
    figure, axes = pyplot.subplots(figsize=(1.1 * widest * _BOX, 1.15 * len(rows)), dpi=110)
    places = {}
    for height, row in enumerate(rows):
        names = sorted(row, key=lambda key: min(graph.nodes[key]["members"]))
        begin = -len(names) * (_BOX + _GAP) / 2
        for at, key in enumerate(names):
            left = begin + at * (_BOX + _GAP)
            bottom = height * (_HEIGHT + 0.9)
            places[key] = (left + _BOX / 2, bottom)
            members = sorted(graph.nodes[key]["members"])
            axes.add_patch(
                FancyBboxPatch(
                    (left, bottom), _BOX, _HEIGHT, boxstyle="round,pad=0.02",
                    facecolor="#e8f0fa", edgecolor="#33506e",
                )
            )  # fmt: skip
            label = "\n".join(", ".join(members[n : n + 3]) for n in range(0, len(members), 3))
            lines = sum(map(_lines, members))
            axes.text(
                *_middle(places[key]), f"{label}\n{lines:,}", ha="center", va="center", size=7
            )
    for above, below in arrows:
        (x, y), (to_x, to_y) = places[above], places[below]
        axes.annotate(
            "", (to_x, to_y + _HEIGHT), (x, y), arrowprops={"arrowstyle": "->", "color": "#8899aa"}
        )
    axes.set_axis_off()
    axes.autoscale_view()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)


def _imports() -> networkx.DiGraph:
    """Folders of the package and modules at its top -> what they import of each other."""
    graph = networkx.DiGraph()
    for path in PACKAGE.rglob("*.py"):
        room = _room(path)
        if room.startswith("__"):
            continue
        graph.add_node(room)
        graph.add_edges_from((room, other) for other in _imported(path) if other != room)
    return graph


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "cnnkit":
            yield from (one.name for one in node.names if (PACKAGE / f"{one.name}.py").exists())
            yield from (one.name for one in node.names if (PACKAGE / one.name).is_dir())
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnnkit."):
            yield str(node.module).split(".")[1]


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _lines(room: str) -> int:
    folder = PACKAGE / room
    paths = folder.rglob("*.py") if folder.is_dir() else [PACKAGE / f"{room}.py"]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def _middle(place: tuple[float, float]) -> tuple[float, float]:
    return place[0], place[1] + _HEIGHT / 2
