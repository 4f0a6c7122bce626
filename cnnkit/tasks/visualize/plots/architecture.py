"""Pictures of networks: maps as blocks, branches side by side, shortcuts as arcs.

Drawn with matplotlib alone. Blocks are as high as the square root of their maps' height, and as
wide as the square root of their number of channels, so that a network from 224 pixels down to one
and from 3 channels up to 2048 fits on one page.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnkit.engine.layer_summary import LayerSummary, NetworkSummary
from cnnkit.plots._style import INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = "#9AA1AC"
# Okabe and Ito's colours, told apart in grey and by colour-blind eyes.
_COLORS = {
    "input": "#B9C0CA",
    "convolution": "#4C9BD3",
    "pooling": "#E8963E",
    "dense": "#3BAE86",
    "joined": "#CC79A7",
    "other": "#8C93A0",
}
_JOINS = ("Add", "Concatenate", "Multiply", "Subtract", "Average", "Maximum", "Minimum")
_SIGNS = {"Add": "+", "Multiply": "×", "Subtract": "−"}

# Inches.
_PITCH = 1.08
_TALLEST = 1.5
_LANE = 1.12
_MARGIN = 0.45
_HEADING = 0.75
# How far an arrow needs to get from one lane to another.
_TURN = 0.42
# A network as long as this goes into one row; a longer one is broken into several.
_COLUMNS = 13


@dataclass
class _Node:
    """A block of the picture."""

    family: str
    title: str
    shape: tuple[int | None, ...]
    sign: str = ""
    inputs: list[int] = field(default_factory=list)
    column: float = 0.0
    lane: float = 0.0
    row: int = 0


def plot_architecture(summary: NetworkSummary) -> "Figure":
    """Draws a network from left to right.

    Convolutions, poolings, dense layers and places where branches meet are drawn; what works on
    single numbers, such as activations and normalisations, belongs to the block before it. Of
    several outputs the one with the most layers before it is drawn.

    Args:
        summary: of the network; layers without `inputs` follow one another.

    Returns:
        A Figure.

    Raises:
        ValueError: a network without layers.

    Example:

    >>> from cnnkit.tasks.visualize.shapes import trace_shapes
    >>> figure = plot_architecture(trace_shapes("14x14x3 conv5-16 pool2 fc10"))
    >>> len(figure.axes)
    1
    """
    from matplotlib.figure import Figure

    if not summary.layers:
        raise ValueError(f"summary must have at least one layer. Received: {summary.name}")
    nodes = _blocks(summary)
    joints = _lay_out(nodes)
    rows = max(node.row for node in nodes) + 1
    tops, bottoms = [], []
    y = 0.0
    for row in range(rows):
        members = [node for node in nodes if node.row == row]
        high = max(node.lane * _LANE + _height(node, nodes) * 0.62 for node in members)
        low = min(node.lane * _LANE - _height(node, nodes) * 0.5 for node in members)
        # Above is room for the arcs, below for two lines of text.
        high += 0.42 if any(node.sign for node in members) else 0.12
        tops.append(y - high)
        y -= high - low + 0.42
        bottoms.append(y)
        y -= 0.25
    width = max(node.column for node in nodes) * _PITCH + 2 * _MARGIN + 0.6
    width = max(width, 6.0)
    height = _HEADING - y + 0.35
    figure = Figure((width, height), dpi=150)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(y - 0.35, _HEADING)
    axes.set_axis_off()
    places = [
        (_MARGIN + 0.25 + node.column * _PITCH, tops[node.row] + node.lane * _LANE)
        for node in nodes
    ]
    _draw_edges(axes, nodes, places, joints, tops)
    for node, place in zip(nodes, places, strict=True):
        _draw_node(axes, node, place, _height(node, nodes))
    axes.text(_MARGIN, _HEADING - 0.32, _name(summary), fontsize=14, weight="bold", color=INK)
    axes.text(_MARGIN, _HEADING - 0.55, _facts(summary), fontsize=9, color=QUIET)
    _draw_legend(axes, nodes, y - 0.12)
    return figure


# From layers to blocks ------------------------------------------------------------------------


def _blocks(summary: NetworkSummary) -> list[_Node]:
    """The blocks in the order of computation, without those that lead nowhere."""
    nodes = [_Node("input", "input", summary.input_shape)]
    block_of: dict[str, int] = {}
    previous = 0
    for layer in summary.layers:
        inputs = [block_of.get(name, 0) for name in layer.inputs]
        if not inputs:
            inputs = [0 if any(other.inputs for other in summary.layers) else previous]
        inputs = list(dict.fromkeys(inputs))
        family = _family(layer)
        if family is None and len(inputs) == 1:
            previous = inputs[0]
        else:
            nodes.append(_node(layer, family or "joined", inputs))
            previous = len(nodes) - 1
        block_of[layer.name] = previous
    depths = [0] * len(nodes)
    for number, node in enumerate(nodes[1:], start=1):
        depths[number] = 1 + max(depths[before] for before in node.inputs)
    last = max(range(len(nodes)), key=lambda number: (depths[number], number))
    kept = {last}
    for number in range(last, -1, -1):
        if number in kept:
            kept.update(nodes[number].inputs)
    numbers = {old: new for new, old in enumerate(sorted(kept))}
    chosen = [nodes[old] for old in sorted(kept)]
    for node in chosen:
        node.inputs = [numbers[before] for before in node.inputs]
    return chosen


def _family(layer: LayerSummary) -> str | None:
    kind = layer.kind
    if "Conv" in kind or kind == "conv":
        return "convolution"
    if "Pool" in kind or kind in ("maxpool", "avgpool", "gap"):
        return "pooling"
    if kind in ("Dense", "fc"):
        return "dense"
    if kind in _JOINS:
        return "joined"
    # Weights that are neither: recurrent layers, attention, layers of one's own.
    return "other" if layer.parameters and layer.multiply_adds is None else None


def _node(layer: LayerSummary, family: str, inputs: list[int]) -> _Node:
    window = "×".join(map(str, layer.kernel))
    step = f" /{max(layer.stride)}" if layer.stride and max(layer.stride) > 1 else ""
    title = layer.kind
    if family == "convolution":
        title = f"conv {window}{step}"
    elif family == "pooling":
        kind = "max" if "max" in layer.kind.lower() else "average"
        # That pools step by their size goes without saying.
        step = "" if layer.stride == layer.kernel else step
        title = f"{kind} {window}{step}" if window else f"global {kind}"
    elif family == "dense":
        title = "dense"
    elif layer.kind == "Concatenate":
        title = "concat"
    sign = _SIGNS.get(layer.kind, "") if family == "joined" else ""
    return _Node(family, title, layer.output_shape, sign, inputs)


# Where the blocks stand -----------------------------------------------------------------------


def _lay_out(nodes: list[_Node]) -> list[int]:
    """Gives every block its row, column and lane; returns the blocks that begin a new row.

    Blocks that all paths go through stand on lane 0. Between two such, branches that share
    nothing get a lane each.
    """
    farthest = 0
    gates = [0]
    consumers_end = [0] * len(nodes)
    for number, node in enumerate(nodes):
        for before in node.inputs:
            consumers_end[before] = max(consumers_end[before], number)
    for number in range(1, len(nodes)):
        farthest = max(farthest, consumers_end[number - 1])
        if farthest <= number:
            gates.append(number)
    if gates[-1] != len(nodes) - 1:
        gates.append(len(nodes) - 1)
    joints = []
    row, column = 0, 0.0
    for gate, following in itertools.pairwise(gates):
        inside = list(range(gate + 1, following))
        branches = _branches(nodes, inside)
        steps = max((len(_columns(nodes, branch)) for branch in branches), default=0) + 1
        if column + steps > _COLUMNS:
            row, column = row + 1, 0.0
            joints.append(gate)
        lanes = _lanes(nodes, branches, is_shortcut=bool(nodes[following].sign))
        for branch, lane in zip(branches, lanes, strict=True):
            ranks = _columns(nodes, branch)
            for rank, members in enumerate(ranks, start=1):
                for shift, member in enumerate(members):
                    node = nodes[member]
                    node.row = row
                    node.column = column + rank * steps / (len(ranks) + 1)
                    node.lane = lane + 0.5 * shift
        column += steps
        nodes[following].row, nodes[following].column = row, column
    return joints


def _branches(nodes: Sequence[_Node], inside: Sequence[int]) -> list[list[int]]:
    """The blocks between two gates in groups that are joined by arrows."""
    group = {number: number for number in inside}

    def root(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    for number in inside:
        for before in nodes[number].inputs:
            if before in group:
                group[root(number)] = root(before)
    branches: dict[int, list[int]] = {}
    for number in inside:
        branches.setdefault(root(number), []).append(number)
    return sorted(branches.values())


def _columns(nodes: Sequence[_Node], branch: Sequence[int]) -> list[list[int]]:
    """The blocks of a branch by how many of it lie before them."""
    rank: dict[int, int] = {}
    for number in branch:
        rank[number] = 1 + max((rank.get(before, -1) for before in nodes[number].inputs), default=0)
    ranks: list[list[int]] = [[] for _ in range(max(rank.values()) + 1)]
    for number, place in rank.items():
        ranks[place].append(number)
    return ranks


def _lanes(
    nodes: Sequence[_Node], branches: Sequence[Sequence[int]], is_shortcut: bool
) -> list[float]:
    if is_shortcut:
        # The longest branch goes straight on, shortcuts above it.
        longest = max(range(len(branches)), key=lambda i: len(branches[i])) if branches else 0
        above = iter(range(1, len(branches) + 1))
        return [0.0 if i == longest else 1.2 * next(above) for i in range(len(branches))]
    return [(len(branches) - 1) / 2 - i for i in range(len(branches))]


# Drawing --------------------------------------------------------------------------------------


def _height(node: _Node, nodes: Sequence[_Node]) -> float:
    if node.sign:
        return 0.24
    if len(node.shape) < 2:
        units = node.shape[0] if node.shape and node.shape[0] else 1
        return min(0.25 + 0.1 * math.log2(units + 1), _TALLEST)
    largest = max((size or 1) for other in nodes for size in other.shape[:-1] if other.shape[1:])
    return max(0.13, _TALLEST * math.sqrt((node.shape[0] or largest) / largest))


def _width(node: _Node) -> float:
    if node.sign:
        return 0.24
    if len(node.shape) < 2:
        return 0.1
    return 0.05 + 0.45 * math.sqrt(min((node.shape[-1] or 1) / 1024, 1.5))


def _slant(node: _Node, height: float) -> tuple[float, float]:
    """How far the back of a block is shifted: maps have two sides, rows of numbers have none."""
    if node.sign or len(node.shape) < 3:
        return 0.0, 0.0
    return 0.2 * height, 0.12 * height


def _draw_node(axes: "Axes", node: _Node, place: tuple[float, float], height: float) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Circle, Polygon

    x, y = place
    color = to_rgb(_COLORS[node.family])
    edge = tuple(0.6 * part for part in color)
    style: dict[str, Any] = {"ec": edge, "lw": 0.7, "joinstyle": "round", "zorder": 3}
    if node.sign:
        axes.add_patch(Circle(place, 0.12, fc="white", ec=color, lw=1.5, zorder=3))
        axes.text(x, y, node.sign, ha="center", va="center_baseline", fontsize=11, color=INK,
                  zorder=4)  # fmt: skip
        return
    width = _width(node)
    dx, dy = _slant(node, height)
    left, bottom = x - (width + dx) / 2, y - (height + dy) / 2
    right, top = left + width, bottom + height
    light = tuple(part + (1 - part) * 0.45 for part in color)
    dark = tuple(0.8 * part for part in color)
    if dx:
        back = [(left, top), (left + dx, top + dy), (right + dx, top + dy), (right, top)]
        side = [(right, bottom), (right + dx, bottom + dy), (right + dx, top + dy), (right, top)]
        axes.add_patch(Polygon(back, fc=light, **style))
        axes.add_patch(Polygon(side, fc=dark, **style))
    front = [(left, bottom), (right, bottom), (right, top), (left, top)]
    axes.add_patch(Polygon(front, fc=color, **style))
    shape = "×".join("?" if size is None else str(size) for size in node.shape)
    text: dict[str, Any] = {"ha": "center", "va": "top", "zorder": 5}
    axes.text(x, bottom - 0.05, node.title, fontsize=7, color=INK, **text)
    axes.text(x, bottom - 0.185, shape, fontsize=6.3, color=QUIET, **text)


def _draw_edges(
    axes: "Axes",
    nodes: Sequence[_Node],
    places: Sequence[tuple[float, float]],
    joints: Sequence[int],
    tops: Sequence[float],
) -> None:
    def reach(number: int) -> float:
        """Half of the width of a block, its back included."""
        node = nodes[number]
        height = _height(node, nodes)
        return (_width(node) + _slant(node, height)[0]) / 2 + 0.03

    beginnings = {}
    for gate in joints:
        x, y = places[gate]
        row = nodes[gate].row
        # The end of one row and the beginning of the next are the same place.
        _arrow(axes, (x + reach(gate), y), (x + reach(gate) + 0.32, y))
        beginnings[gate, row + 1] = (_MARGIN - 0.12, tops[row + 1])
    for number, node in enumerate(nodes):
        for before in node.inputs:
            start, end = places[before], places[number]
            if nodes[before].row != node.row:
                start = beginnings.get((before, node.row), (_MARGIN - 0.12, tops[node.row]))
                begin = start
            else:
                begin = (start[0] + reach(before), start[1])
            goal = (end[0] - reach(number), end[1])
            straight = abs(start[1] - end[1]) < 1e-6
            over = straight and any(
                other.row == node.row
                and abs(other.lane - node.lane) < 1e-6
                and start[0] + 0.05 < place[0] < end[0] - 0.05
                for other, place in zip(nodes, places, strict=True)
            )
            if over:
                _arc(axes, nodes, places, begin, end, node)
            elif straight:
                _arrow(axes, begin, goal)
            elif node.sign:
                # Into the circle of a sum from above.
                _elbow(axes, begin, (end[0], end[1] + 0.14))
            else:
                _curve(axes, begin, goal, at_begin=abs(nodes[before].lane) < abs(node.lane))


def _arrow(axes: "Axes", begin: tuple[float, float], end: tuple[float, float]) -> None:
    _path(axes, [begin, end], "ML")


def _curve(
    axes: "Axes", begin: tuple[float, float], end: tuple[float, float], at_begin: bool
) -> None:
    """From a gate to a lane or back: the turn is taken beside the gate, where no text is."""
    turn = min(_TURN, end[0] - begin[0])
    left = begin[0] if at_begin else end[0] - turn
    right = left + turn
    middle = (left + right) / 2
    curve = [(left, begin[1]), (middle, begin[1]), (middle, end[1]), (right, end[1])]
    _path(axes, [begin, *curve, end], "MLCCCL")


def _elbow(axes: "Axes", begin: tuple[float, float], end: tuple[float, float]) -> None:
    _path(axes, [begin, (end[0], begin[1]), (end[0], begin[1]), end], "MCCC")


def _arc(
    axes: "Axes",
    nodes: Sequence[_Node],
    places: Sequence[tuple[float, float]],
    begin: tuple[float, float],
    end: tuple[float, float],
    node: _Node,
) -> None:
    """A shortcut: up, over all that lies between, and down."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    between = [
        (place[1] + _height(other, nodes) * 0.56)
        for other, place in zip(nodes, places, strict=True)
        if other.row == node.row and begin[0] < place[0] < end[0]
    ]
    top = max(between) + 0.16
    radius = 0.12
    goal = (end[0], end[1] + 0.14)
    points = [
        (begin[0] + 0.02, begin[1]),
        (begin[0] + 0.07, begin[1]), (begin[0] + 0.07, begin[1] + radius),
        (begin[0] + 0.07, top - radius),
        (begin[0] + 0.07, top), (begin[0] + 0.07 + radius, top),
        (goal[0] - radius, top),
        (goal[0], top), (goal[0], top - radius),
        goal,
    ]  # fmt: skip
    codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3, Path.LINETO, Path.CURVE3, Path.CURVE3,
             Path.LINETO, Path.CURVE3, Path.CURVE3, Path.LINETO]  # fmt: skip
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points, codes), arrowstyle="-|>", mutation_scale=7, lw=1.1,
            color=_COLORS["joined"], zorder=2,
        )
    )  # fmt: skip


def _path(axes: "Axes", points: Sequence[tuple[float, float]], strokes: str) -> None:
    """An arrow of straight lines (L) and Bezier curves (C, three points each)."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    kinds = {"M": Path.MOVETO, "L": Path.LINETO, "C": Path.CURVE4}
    codes = [kinds[stroke] for stroke in strokes]
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points, codes), arrowstyle="-|>", mutation_scale=7, lw=0.9, color=_LINE,
            zorder=1,
        )
    )  # fmt: skip


def _name(summary: NetworkSummary) -> str:
    return summary.name if len(summary.name) <= 60 else summary.name[:59] + "…"


def _facts(summary: NetworkSummary) -> str:
    facts = [
        f"{_short(summary.parameters)} parameters",
        f"{_short(summary.multiply_adds)} multiply-adds",
    ]
    return "  ·  ".join(facts)


def _short(number: int) -> str:
    """Three digits that matter.

    >>> _short(61_706), _short(138_357_544), _short(84)
    ('61.7 thousand', '138 million', '84')
    """
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return str(number)


def _draw_legend(axes: "Axes", nodes: Sequence[_Node], y: float) -> None:
    from matplotlib.patches import Rectangle

    x = _MARGIN
    for family, color in _COLORS.items():
        if all(node.family != family for node in nodes):
            continue
        axes.add_patch(Rectangle((x, y), 0.12, 0.12, fc=color, lw=0))
        axes.text(x + 0.17, y + 0.055, family, va="center", fontsize=7.5, color=INK)
        x += 0.32 + 0.07 * len(family) + 0.12
