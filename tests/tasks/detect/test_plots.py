import numpy as np
import pytest

from cnnkit.tasks.detect.plots import class_color, draw_detections, plot_precision_recall


def drawn(boxes, side=200, labels=None):
    black = np.zeros((side, side, 3), np.uint8)
    count = len(boxes)
    labels = labels or ["cat"] * count
    ids = np.arange(count)
    return draw_detections(black, np.array(boxes), labels, np.linspace(0.9, 0.5, count), ids)


def test_boxes_have_the_colours_of_their_classes_and_the_picture_is_not_changed():
    black = np.zeros((100, 100, 3), np.uint8)
    found = draw_detections(
        black, np.array([[20, 40, 80, 90]]), ["a"], np.array([0.5]), np.array([3])
    )
    assert not black.any()
    assert tuple(found[90 - 1, 50]) == class_color(3)
    assert not found[70, 50].any()


def test_colours_of_the_first_classes_differ():
    colors = np.array([class_color(index) for index in range(20)], float)
    distances = np.abs(colors[:, None] - colors[None]).sum(axis=-1)
    assert distances[~np.eye(20, dtype=bool)].min() > 40


def test_a_small_box_lies_over_a_large_one():
    found = drawn([[60, 60, 100, 100], [10, 30, 190, 190]])
    assert tuple(found[100 - 1, 80]) == class_color(0)


def test_names_do_not_hide_one_another():
    same = [[50, 80, 150, 150]] * 3
    found = drawn(same)
    # Each class has its own area of colour, which letters take only a part of.
    for index in range(3):
        is_color = (found == class_color(index)).all(axis=-1)
        assert is_color.sum() > 300


@pytest.mark.parametrize("box", [[0, 0, 5, 5], [0, 0, 8, 8], [-3, -3, 20, 20], [7, 7, 7, 7]])
def test_pictures_smaller_than_a_name_are_no_problem(box):
    assert drawn([box], side=8).shape == (8, 8, 3)


def test_nothing_found_leaves_the_picture_as_it_is():
    assert not drawn(np.zeros((0, 4))).any()


def test_a_curve_for_each_class_and_their_mean():
    precision = np.linspace(1, 0, 101)[:, None] * [[1.0, 0.5, np.nan]]
    average = np.array([0.5, 0.25, np.nan])
    axes = plot_precision_recall(precision, average, ["a", "b", "c"]).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "a 50.0%",
        "b 25.0%",
        "mean of 2 classes",
    ]
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), 0.75 * np.linspace(1, 0, 101))


def test_no_class_with_objects_is_an_empty_plot():
    assert (
        not plot_precision_recall(np.full((101, 1), np.nan), np.array([np.nan]), ["a"])
        .axes[0]
        .lines
    )
