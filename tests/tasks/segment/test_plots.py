"""Classes as colours."""

import numpy as np

from cnnkit.tasks.segment.plots import (
    add_legend,
    class_palette,
    color_segments,
    contours,
    draw_segments,
    outline_segments,
    overlay_segments,
)

# As published with VOC's development kit.
VOC = {0: (0, 0, 0), 1: (128, 0, 0), 7: (128, 128, 128), 8: (64, 0, 0), 20: (0, 64, 128)}


def test_colours_are_those_of_voc():
    palette = class_palette()
    for index, color in VOC.items():
        assert tuple(palette[index]) == color
    assert len(np.unique(palette, axis=0)) == 256
    classes = np.array([[0, 8], [20, 255]], np.uint8)
    assert color_segments(classes)[1].tolist() == [[0, 64, 128], [224, 224, 192]]


def test_the_background_of_an_overlay_is_the_picture():
    pixels = np.full((6, 6, 3), 100, np.uint8)
    classes = np.zeros((6, 6), np.uint8)
    classes[2:4, 2:4], classes[0, 0] = 1, 255
    drawn = overlay_segments(pixels, classes, opacity=0.5, contour=False)
    assert (drawn[classes == 0] == 100).all()
    assert (drawn[0, 0] == 100).all()
    # Halfway from 100 to (128, 0, 0).
    assert (drawn[2:4, 2:4] == (114, 50, 50)).all()
    assert (pixels == 100).all()


def test_contours_surround_regions():
    classes = np.zeros((7, 7), np.uint8)
    classes[2:5, 2:5] = 3
    edges = contours(classes)
    assert edges[2:5, 1].all()
    assert edges[1, 2:5].all()
    assert not edges[3, 3]
    assert contours(classes, 3).sum() > edges.sum()
    assert not contours(np.zeros((4, 4), int)).any()


def test_outlines_leave_the_inside_alone():
    pixels = np.full((40, 40, 3), 100, np.uint8)
    classes = np.zeros((40, 40), np.uint8)
    classes[10:30, 10:30] = 1
    drawn = outline_segments(pixels, classes)
    assert (drawn[20, 20] == 100).all()
    assert (drawn[:5] == 100).all()
    assert (drawn == 255).all(axis=-1).any()
    assert (drawn == (128, 0, 0)).all(axis=-1).any()


def test_the_legend_is_below_and_as_wide_as_it_needs():
    pixels = np.full((50, 60, 3), 100, np.uint8)
    drawn = add_legend(pixels, [(1, "aeroplane"), (15, "person"), (11, "diningtable")])
    assert drawn.shape[0] > 50
    assert drawn.shape[1] >= 60
    for index in (1, 15, 11):
        assert (drawn[50:] == class_palette()[index]).all(axis=-1).any()
    # Nothing is cut off at the right.
    assert (drawn[50:, -3:] == 255).all()
    assert add_legend(pixels, []) is pixels


def test_a_sheet_shows_picture_truth_and_prediction():
    pixels = np.full((30, 40, 3), 100, np.uint8)
    true = np.zeros((30, 40), np.uint8)
    true[:, :20] = 1
    rows = [(pixels, true, np.zeros_like(true))] * 2
    sheet = draw_segments(rows, ["background", "cat"], side=80)
    assert sheet.shape[1] == 3 * 88 + 8
    assert sheet.shape[0] > 2 * 60
    # A quarter of the picture and three of the colour.
    assert (sheet == (0.25 * 100 + 0.75 * 128, 25, 25)).all(axis=-1).any()


def test_a_sheet_shows_several_predictions_side_by_side():
    pixels = np.full((30, 40, 3), 100, np.uint8)
    maps = [np.full((30, 40), index, np.uint8) for index in (0, 1, 0)]
    row = [pixels, *maps]
    sheet = draw_segments([row], ["background", "cat"], predictions=("first", "second"), side=80)
    assert sheet.shape[1] == 4 * 88 + 8
    middles = sheet[26 + 30, [8 + 88 * column + 40 for column in range(4)]].tolist()
    assert middles == [[100] * 3, [25] * 3, [121, 25, 25], [25] * 3]
