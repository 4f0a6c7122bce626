import numpy as np

from cnnkit.data.letterbox import fill_canvas
from cnnkit.ops.boxes import Letterbox


def test_a_picture_lies_in_the_middle_of_its_canvas():
    white = np.full((10, 40, 3), 255, np.uint8)
    canvas = fill_canvas(white, Letterbox.fit(10, 40, 80))
    # 20 of 80 rows, 30 above.
    assert (canvas[30:50] == 255).all()
    assert (canvas[:30] == 114).all()
    assert (canvas[50:] == 114).all()
