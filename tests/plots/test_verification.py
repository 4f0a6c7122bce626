import io
import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnnkit.plots import plot_distances, plot_roc

CURVE = np.array([0.0, 0.0, 0.01, 0.5, 1.0]), np.array([0.0, 0.9, 0.95, 1.0, 1.0])


def drawn(figure):
    """The picture of a figure, as it is saved."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("L"))


def test_roc_is_drawn_from_the_edge_with_a_logarithmic_axis():
    figure = plot_roc({"dlib": CURVE, "other": CURVE}, title="LFW", smallest_rate=1e-3)
    assert isinstance(figure, Figure)
    [axes] = figure.axes
    assert (axes.get_xscale(), axes.get_xlim()) == ("log", (1e-3, 1.0))
    assert axes.get_title(loc="left") == "LFW"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["dlib", "other"]
    # Both points at rate 0 lie left of the edge: the better of them is what the edge has.
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(x, [1e-3, 0.01, 0.5, 1.0])
    np.testing.assert_allclose(y, [0.9, 0.95, 1.0, 1.0])
    # 0.9 is the lowest: the axis begins a tenth below it.
    assert axes.get_ylim() == pytest.approx((0.8, 1.0))
    assert drawn(figure).std() > 5


def test_roc_of_a_useless_net_shows_all_of_the_height():
    line = np.linspace(0, 1, 50)
    assert plot_roc({"coin": (line, line)}).axes[0].get_ylim() == (0.0, 1.0)


def test_roc_refuses_what_is_no_curve():
    with pytest.raises(ValueError, match="at least one curve"):
        plot_roc({})
    with pytest.raises(ValueError, match="smallest rate"):
        plot_roc({"a": CURVE}, smallest_rate=0)
    with pytest.raises(ValueError, match=r"expected rates \(T,\)"):
        plot_roc({"a": (CURVE[0], CURVE[1][:2])})


def made_distances():
    rng = np.random.default_rng(0)
    same = np.arange(2000) < 500
    distances = np.where(same, rng.normal(0.4, 0.1, 2000), rng.normal(0.8, 0.1, 2000))
    distances[:3] = np.nan
    return np.abs(distances), same


def test_both_kinds_of_distances_have_an_area_of_one():
    distances, same = made_distances()
    figure = plot_distances(distances, same, 0.6, title="Pairs")
    [axes] = figure.axes
    outlines = [patch for patch in axes.patches if patch.get_label().endswith(")")]
    assert [patch.get_label() for patch in outlines] == [
        "same person (497 pairs, 3 missed)",
        "different people (1,500 pairs)",
    ]
    for patch in outlines:
        values, edges, _ = patch.get_data()
        assert np.sum(values * np.diff(edges)) == pytest.approx(1.0)
        # No bar has the threshold inside.
        assert np.abs(edges - 0.6).min() < 1e-9
    assert [text.get_text() for text in axes.texts] == ["threshold 0.6"]
    assert drawn(figure).std() > 5


@pytest.mark.parametrize("threshold", [None, 0.1, 3.0])
def test_distances_are_drawn_with_any_threshold(threshold):
    figure = plot_distances(*made_distances(), threshold)
    low, high = figure.axes[0].get_xlim()
    assert threshold is None or low <= threshold <= high
    drawn(figure)


def test_one_distance_is_enough():
    drawn(plot_distances(np.array([0.5, math.nan]), np.array([True, False])))
    with pytest.raises(ValueError, match="not all of them missed"):
        plot_distances(np.array([math.nan]), np.array([True]))


def test_plots_import_no_matplotlib_before_the_first_figure_and_never_pyplot():
    code = (
        "import sys, cnnkit.plots, numpy as np; assert 'matplotlib' not in sys.modules; "
        "cnnkit.plots.plot_distances(np.array([0.5]), np.array([True])); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
