"""Pictures of architectures: what is drawn, and where."""

import pytest

from cnnkit.engine.layer_summary import LayerSummary, NetworkSummary
from cnnkit.tasks.visualize.plots.architecture import _blocks, _height, _lay_out, plot_architecture
from cnnkit.tasks.visualize.shapes import trace_shapes


def texts(figure):
    [axes] = figure.axes
    return [text.get_text() for text in axes.texts]


def network(*layers, name="net"):
    return NetworkSummary(name, (32, 32, 3), layers)


def conv(name, *inputs, channels=8):
    return LayerSummary(
        name, "Conv2D", (32, 32, channels), 9, 9, inputs=inputs, kernel=(3, 3), stride=(1, 1)
    )


def other(name, kind, *inputs, channels=8):
    return LayerSummary(name, kind, (32, 32, channels), inputs=inputs)


RESIDUAL = network(
    conv("a"),
    conv("b", "a"),
    other("norm", "BatchNormalization", "b"),
    conv("c", "norm"),
    other("sum", "Add", "a", "c"),
    conv("project", "sum"),
    conv("d", "sum"),
    conv("e", "d"),
    other("sum2", "Add", "project", "e"),
)
BRANCHES = network(
    conv("a"),
    conv("b1", "a"), conv("c1", "a"), conv("c2", "c1"), conv("d1", "a"), conv("d2", "d1"),
    other("concat", "Concatenate", "b1", "c2", "d2", channels=24),
)  # fmt: skip


def laid_out(summary):
    nodes = _blocks(summary)
    _lay_out(nodes)
    return nodes


def test_every_block_has_its_name_and_shape():
    found = texts(plot_architecture(trace_shapes("28x28x1 conv5-6p avgpool2 conv5-16/2 fc10")))
    for text in (
        "input", "28×28×1", "conv 5×5", "28×28×6", "average 2×2", "14×14×6", "conv 5×5 /2",
        "5×5×16", "dense", "10",
    ):  # fmt: skip
        assert text in found
    # 156 + 2416 + 4010, and 28^2 * 150 + 5^2 * 2400 + 4000
    assert "6.58 thousand parameters  ·  182 thousand multiply-adds" in found


def test_what_works_on_single_numbers_belongs_to_the_block_before():
    assert [node.title for node in laid_out(RESIDUAL)] == [
        "input", "conv 3×3", "conv 3×3", "conv 3×3", "Add",
        "conv 3×3", "conv 3×3", "conv 3×3", "Add",
    ]  # fmt: skip


def test_a_shortcut_goes_above_and_the_longest_branch_straight_on():
    nodes = laid_out(RESIDUAL)
    assert [node.lane for node in nodes] == [0, 0, 0, 0, 0, 1.2, 0, 0, 0]
    columns = [node.column for node in nodes]
    assert columns == [0, 1, 2, 3, 4, 5.5, 5, 6, 7]


def test_branches_of_a_module_lie_beneath_one_another():
    nodes = laid_out(BRANCHES)
    lanes = {node.lane for node in nodes[2:-1]}
    assert lanes == {-1, 0, 1}
    assert nodes[-1].lane == 0
    assert nodes[-1].column == 1 + 3
    # No two blocks in one place
    assert len({(node.column, node.lane) for node in nodes}) == len(nodes)


def test_what_leads_to_another_output_is_left_out():
    summary = network(conv("a"), conv("side", "a"), conv("b", "a"), conv("c", "b"))
    assert len(laid_out(summary)) == 4


def test_long_networks_are_broken_into_rows():
    nodes = laid_out(trace_shapes("99x99x1 " + "conv3-4 " * 30))
    assert [node.row for node in nodes] == sorted(node.row for node in nodes)
    assert nodes[-1].row == 2
    assert max(node.column for node in nodes) <= 13
    assert plot_architecture(RESIDUAL).get_figheight() < 6


def test_heights_follow_the_maps():
    nodes = laid_out(trace_shapes("64x64x1 pool4 pool4"))
    # Square roots of 1, 1/4 and 1/16
    heights = [_height(node, nodes) for node in nodes]
    assert heights == pytest.approx([1.5, 0.75, 0.375])


def test_open_sizes_and_unknown_layers_are_drawn():
    summary = NetworkSummary(
        "open",
        (None, None, 3),
        (
            LayerSummary("conv", "Conv2D", (None, None, 4), 9, None, kernel=(3, 3), stride=(1, 1)),
            LayerSummary("lstm", "LSTM", (7,), 9, None, inputs=("conv",)),
        ),
    )
    found = texts(plot_architecture(summary))
    assert "?×?×4" in found
    assert "LSTM" in found


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match=r"at least one layer. Received: empty"):
        plot_architecture(NetworkSummary("empty", (3, 3, 1), ()))
