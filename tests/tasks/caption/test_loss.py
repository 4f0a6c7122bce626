import keras
import numpy as np
import pytest

from cnnkit.tasks.caption.loss import WordCrossEntropy, word_losses


def loss_of(words, logits, smoothing=0.0):
    return float(WordCrossEntropy(smoothing)(np.array(words), np.asarray(logits, np.float32)))


def test_the_mean_is_over_words_and_not_over_padding():
    p = np.array([[[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], [[0.2, 0.6, 0.2], [0.9, 0.05, 0.05]]])
    # (-log 0.7 - log 0.3 - log 0.6) / 3; the last place is padding.
    expected = -np.log([0.7, 0.3, 0.6]).mean()
    assert loss_of([[2, 1], [1, 0]], np.log(p)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_padding_changes_neither_the_loss_nor_its_gradient(smoothing):
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, 5)).astype(np.float32)
    words = np.array([[3, 4, 2], [1, 2, 0]])
    longer = np.concatenate([logits, 9 * random.normal(size=(2, 4, 5))], axis=1)
    padded = np.pad(words, [(0, 0), (0, 4)])
    assert loss_of(padded, longer, smoothing) == pytest.approx(
        loss_of(words, logits, smoothing), rel=1e-6
    )
    # What is said at a padded place does not matter.
    changed = longer.copy()
    changed[1, 2:] = 7.0
    assert loss_of(padded, changed, smoothing) == loss_of(padded, longer, smoothing)


def test_smoothing_by_hand():
    p = np.array([[[0.1, 0.2, 0.7]]])
    # 0.8 of -log 0.7, and 0.2 of the mean of -log of all three.
    expected = -0.8 * np.log(0.7) - 0.2 * np.log([0.1, 0.2, 0.7]).mean()
    assert loss_of([[2]], np.log(p), 0.2) == pytest.approx(expected, abs=1e-6)


def test_each_word_has_its_loss():
    p = np.array([[[0.25, 0.75], [0.5, 0.5]]])
    losses, counts = word_losses(np.array([[1, 0]]), np.log(p))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(losses), [[-np.log(0.75), 0]], rtol=1e-6)
    assert keras.ops.convert_to_numpy(counts).tolist() == [[1.0, 0.0]]


def test_nothing_but_padding_has_no_loss():
    assert loss_of([[0, 0]], np.zeros((1, 2, 3))) == 0.0


def test_the_loss_can_be_saved_and_smoothing_of_all_is_refused():
    again = WordCrossEntropy.from_config(WordCrossEntropy(0.3).get_config())
    assert again.smoothing == 0.3
    with pytest.raises(ValueError, match="Received: 1"):
        WordCrossEntropy(1.0)
