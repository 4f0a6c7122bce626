"""Sheets of pictures and their random changes."""

import numpy as np

from cnnkit.plots import draw_augmented

RED = np.full((40, 60, 3), (200, 0, 0), np.uint8)


def test_a_row_shows_a_picture_and_its_variants_in_their_colours():
    green = np.zeros((30, 30, 3))
    green[..., 1] = 0.5
    sheet = draw_augmented([RED], [[green, green]], cell=60)
    # 60 x 40 of the picture, and 60 x 60 of each variant.
    assert (sheet == (200, 0, 0)).all(axis=-1).sum() == 60 * 40
    assert (sheet == (0, 128, 0)).all(axis=-1).sum() == 2 * 60 * 60


def test_grey_variants_are_shown_as_grey():
    sheet = draw_augmented([RED], [[np.full((30, 30, 1), 0.25)]], cell=60)
    # round(0.25 * 255) = 64.
    assert (sheet == 64).all(axis=-1).sum() == 60 * 60


def test_rows_grow_with_pictures_and_their_labels():
    variants = [[RED / 255.0] * 4] * 3
    plain = draw_augmented([RED] * 3, variants)
    labelled = draw_augmented([RED] * 3, variants, labels=["cat", "dog", "Käse"])
    assert plain.shape[1] == labelled.shape[1]
    assert labelled.shape[0] == plain.shape[0] + 3 * 18


def test_a_sheet_is_wide_enough_for_its_heading():
    sheet = draw_augmented([RED], [[RED / 255.0]], cell=16)
    assert (sheet[:, -16:] == 255).all()
    assert sheet.shape[1] > 150
