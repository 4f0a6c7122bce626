"""Pictures of words: labels that can be read."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cnnkit.tasks.visualize.plots.words import plot_words


def test_labels_do_not_lie_on_one_another_and_not_outside():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(80, 2)) * 0.1
    words = ["".join(generator.choice([*"abcdef"], 7)) for _ in range(80)]
    figure = plot_words(points, words, {0: [40, 41, 42], 1: [50, 51, 42]}, title="words")
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.axes[0]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    shown = {text.get_text() for text in axes.texts}
    assert {words[at] for at in (0, 1, 40, 41, 42, 50, 51)} <= shown
    frame = axes.get_window_extent(renderer)
    for number, box in enumerate(boxes):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_words_at_one_place_can_be_plotted():
    figure = plot_words(np.zeros((3, 2)), ["a", "b", "c"], shares=(0.0, 0.0))
    assert figure.axes[0].get_xlabel() == "first main axis, 0% of the variance"
    assert figure.axes[0].texts


def test_names_of_axes_lie_within_the_figure_however_wide_their_numbers_are():
    points = np.random.default_rng(0).uniform(-0.15, 0.15, (20, 2))
    figure = plot_words(points, [f"word{n}" for n in range(20)], shares=(0.1, 0.08))
    # Drawing puts the name beside the numbers.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert figure.axes[0].yaxis.label.get_window_extent(canvas.get_renderer()).x0 >= 0.0
