import io

import numpy as np
from PIL import Image

from cnnkit.tasks.visualize.plots.filtering import plot_filtering


def drawn(figure):
    """The picture of a figure, as it is saved."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("L"))


def test_a_filtered_picture_stands_beside_its_kernel():
    image = np.linspace(0, 1, 64).reshape(8, 8)
    kernel = np.array([[1.0, 0.0, -1.5]])
    figure = plot_filtering(
        image, image[:, :6] - 0.5, kernel=kernel, window=(1, 3), title="row", lines=["8 - 3 + 1"]
    )
    assert [axes.get_title() for axes in figure.axes[:3]] == ["8 x 8", "1 x 3", "8 x 6"]
    assert [text.get_text() for text in figure.axes[1].texts] == ["1", "0", "−1.5"]
    assert [text.get_text() for text in figure.texts] == ["row", "8 - 3 + 1"]
    # White is 0: the colours reach as far down as up.
    low, high = figure.axes[2].images[0].get_clim()
    assert low == -high


def test_a_pooled_picture_has_no_kernel_and_no_sign():
    image = np.full((4, 6, 3), 0.25)
    figure = plot_filtering(
        image, image[::2, ::2], kernel=None, window=(2, 2), title="max", lines=[]
    )
    assert [text.get_text() for text in figure.axes[1].texts] == []
    assert figure.axes[2].images[0].get_clim() == (0, 1)


def test_a_flat_picture_can_be_drawn():
    flat = np.zeros((5, 5))
    figure = plot_filtering(
        flat, flat, kernel=np.zeros((20, 20)), window=(20, 20), title="", lines=[]
    )
    assert drawn(figure).std() > 1
