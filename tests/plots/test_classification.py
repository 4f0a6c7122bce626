import io

import numpy as np
import pytest
from PIL import Image

from cnnkit.metrics.classification import calibration, confusion_matrix
from cnnkit.plots import draw_mistakes, plot_calibration, plot_confusion


def drawn(figure):
    """The picture of a figure, as it is saved."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("L"))


def written(axes):
    return [text.get_text() for text in axes.texts]


def rim(picture):
    """The darkest pixel of the figure's edge: white where nothing is cut off."""
    return min(picture[0].min(), picture[-1].min(), picture[:, 0].min(), picture[:, -1].min())


def made(classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 30 * classes)
    called = np.where(rng.random(labels.size) < 0.7, labels, (labels + 1) % classes)
    return confusion_matrix(labels, called, classes)


def test_colours_are_shares_of_rows_and_numbers_are_counts():
    figure = plot_confusion(np.array([[6, 2], [0, 0]]), ["cat", "dog"], title="Pets")
    axes = figure.axes[0]
    # The second class has no picture.
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    # Zeros off the diagonal say nothing.
    assert written(axes) == ["6", "2", "", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert figure.get_suptitle() == "Pets"


@pytest.mark.parametrize("classes", [2, 20, 40, 41, 102])
def test_no_label_is_cut_off(classes):
    names = [f"a rather long name of class {index}" for index in range(classes)]
    figure = plot_confusion(made(classes), names, title="Confusion of the validation pictures")
    assert rim(drawn(figure)) == 255
    assert max(figure.get_size_inches()) < 12


def test_of_many_classes_the_most_confused_pairs_are_named():
    matrix = np.diag(np.full(50, 10))
    matrix[7, 3], matrix[3, 9] = 5, 8
    names = [f"n{index}" for index in range(50)]
    figure = plot_confusion(matrix, names)
    texts = [written(axes) for axes in figure.axes if axes.texts]
    assert texts == [["Confused most (true → predicted)", "8 of 18   n3 → n9", "5 of 15   n7 → n3"]]
    perfect = plot_confusion(np.eye(50, dtype=int), names)
    assert [written(axes) for axes in perfect.axes if axes.texts] == [["No mistake"]]


def test_a_matrix_without_its_names_is_refused():
    with pytest.raises(ValueError, match=r"Received: \(2, 2\), 3 names"):
        plot_confusion(np.eye(2), ["a", "b", "c"])


def test_mistakes_keep_their_shape_and_stand_in_order():
    red = np.broadcast_to(np.array([255, 0, 0], np.uint8), (100, 200, 3))
    blue = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (8, 4, 3))
    sheet = draw_mistakes([red, blue], ["cat", "dog"], ["cow", "cat"], [0.9, 0.8])
    reds, blues = (np.argwhere(np.all(sheet == color, -1)) for color in ([255, 0, 0], [0, 0, 255]))
    assert (np.ptp(reds, axis=0) + 1).tolist() == [72, 144]
    assert (np.ptp(blues, axis=0) + 1).tolist() == [144, 72]
    assert reds[:, 1].max() < blues[:, 1].min()


def test_grey_and_tiny_pictures_are_drawn_with_sharp_pixels():
    picture = np.zeros((2, 2, 1))
    picture[0, 0] = 1.0
    sheet = draw_mistakes([picture], ["7"], ["1"], [0.5])
    # One pixel of four is white, on a white sheet; the others are black.
    assert np.all(sheet == 0, -1).sum() >= 3 * 72 * 72
    with pytest.raises(ValueError, match="a picture at least"):
        draw_mistakes([], [], [], [])


def test_calibration_shows_full_bins_only():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.95, 0.05]])
    figure = plot_calibration(calibration(probabilities, np.array([0, 1, 0]), 10), title="Val")
    above, below = figure.axes
    # 0.7 in (0.6, 0.7], wrong; 0.9 in (0.8, 0.9], right; 0.95 in (0.9, 1], right.
    assert [bar.get_height() for bar in above.patches] == [0, 1, 1]
    assert [bar.get_x() + bar.get_width() / 2 for bar in above.patches] == pytest.approx(
        [0.65, 0.85, 0.95]
    )
    shares = [bar.get_height() for bar in below.patches]
    assert shares == pytest.approx([0, 0, 0, 0, 0, 0, 1 / 3, 0, 1 / 3, 1 / 3])
    # (0.7 + 0.1 + 0.05) / 3
    assert written(above) == ["expected calibration error 28.3%"]
    assert rim(drawn(figure)) == 255
