import keras
import numpy as np
import pytest

from cnnkit.data.text import END, START, Vocabulary
from cnnkit.models.captioner import (
    build_captioner,
    decoder_of,
    encoder_of,
    writing_models,
)
from cnnkit.ops.inference import compile_inference
from cnnkit.tasks.caption.loss import WordCrossEntropy
from cnnkit.tasks.caption.sentence_writer import SentenceWriter, total_word_loss
from cnnkit.tasks.caption.settings import CaptionSettings

VOCABULARY = Vocabulary.build(["a cat", "a dog"], special=(START, END))
START_AT, END_AT = VOCABULARY.index(START), VOCABULARY.index(END)


def tiny(cell="lstm", attention=True, seed=0, dropout=0.3):
    keras.utils.set_random_seed(seed)
    picture = keras.Input((8, 8, 3))
    grid = keras.layers.Conv2D(4, 3, strides=4, padding="same")(picture)
    features = keras.layers.GlobalAveragePooling2D()(grid)
    model = build_captioner(
        picture,
        features,
        grid,
        len(VOCABULARY),
        cell=cell,
        units=6,
        embedding=5,
        attention=attention,
        dropout=dropout,
    )
    random = np.random.default_rng(seed)
    values = [random.normal(0, 1.0, w.shape) for w in model.get_weights()]
    are_variances = ["variance" in one.path for one in model.weights]
    model.set_weights(
        [np.square(v) if yes else v for v, yes in zip(values, are_variances, strict=True)]
    )
    return model


def run(model, inputs):
    """Without compiling anything."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(inputs, training=False))


def pictures(count=2, seed=0):
    return np.random.default_rng(seed).random((count, 8, 8, 3)).astype(np.float32)


WORDS = np.array([[START_AT, 4, 5, 6, 0, 0], [START_AT, 6, 4, 0, 0, 0]], np.int32)

KINDS = [(cell, attention) for cell in ("lstm", "gru", "rnn") for attention in (True, False)]


@pytest.mark.parametrize(("cell", "attention"), KINDS)
def test_word_by_word_it_says_what_it_says_of_all_words_at_once(cell, attention):
    model = tiny(cell, attention)
    x = pictures()
    whole = run(model, [x, WORDS])
    encoding = run(encoder_of(model), x)
    np.testing.assert_allclose(run(decoder_of(model), [encoding, WORDS]), whole, atol=1e-5)
    look, write = writing_models(model)
    kept = run(look, encoding)
    states = 2 if cell == "lstm" else 1
    for at in range(3):
        logits, *after = run(write, [WORDS[:, at], *kept])
        np.testing.assert_allclose(logits, whole[:, at], atol=1e-5)
        kept = [*kept[:-states], *after]


@pytest.fixture
def in_float64():
    """Products of other sizes are added up in another order, which float32 shows."""
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_padding_changes_nothing_that_is_said_before(cell):
    model = tiny(cell)
    x = pictures().astype(np.float64)
    short = run(model, [x, WORDS[:, :4]])
    np.testing.assert_allclose(run(model, [x, WORDS])[:, :4], short, atol=1e-12)
    # Nor the loss: the rows of targets are padded just as far.
    loss = WordCrossEntropy()
    targets = np.concatenate([WORDS[:, 1:], np.zeros((2, 1), np.int32)], axis=1)
    assert float(loss(targets[:, :3], short[:, :3])) == pytest.approx(
        float(loss(targets, run(model, [x, WORDS]))), rel=1e-5
    )


def test_attention_by_hand():
    """The first word's logits, with NumPy from the weights."""
    model = tiny("rnn", attention=True, dropout=0.0)
    x = pictures(1)
    weights = {layer.name: layer.get_weights() for layer in model.layers}

    def dense(name, value):
        kernel, *bias = weights[name]
        return value @ kernel + (bias[0] if bias else 0.0)

    mean, variance = weights["encoding_scale"]
    scaled = (run(encoder_of(model), x)[0] - mean) / np.sqrt(variance + 1e-3)
    features, spots = scaled[:4], scaled[4:].reshape(4, 4)
    seen = np.tanh(dense("summary", features))
    kernel, recurrent, bias = weights["recurrent"]
    word = weights["embedding"][0][START_AT]
    state = np.tanh(word @ kernel + np.tanh(dense("first_state_0", seen)) @ recurrent + bias)
    scores = dense("keys", spots) @ dense("query", state) * weights["attention"][0]
    shares = np.exp(scores - scores.max())
    found = (shares / shares.sum()) @ dense("values", spots)
    told = dense("state", state) + dense("seen", seen) + dense("attended", found)
    expected = dense("next_word", np.tanh(told))
    actual = run(model, [x, WORDS[:1, :1]])[0, 0]
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_the_best_sentence_of_many_beams_is_that_of_all_sentences():
    model = tiny("gru", seed=4)
    look, write = (compile_inference(one, "float32") for one in writing_models(model))
    writer = SentenceWriter(look, write, VOCABULARY)
    encodings = run(encoder_of(model), pictures(3))
    settings = CaptionSettings(beams=15, max_words=2, candidates=15, length_penalty=1.0)
    written = writer.write(encodings, settings)
    decoder = decoder_of(model)
    allowed = [VOCABULARY.index(word) for word in ("a", "cat", "dog")]
    sequences = [(), *((w,) for w in allowed), *((v, w) for v in allowed for w in allowed)]
    for at, hypotheses in enumerate(written):
        expected = {}
        for sequence in sequences:
            words = np.array([[START_AT, *sequence, END_AT]], np.int32)
            logits = run(decoder, [encodings[at : at + 1], words[:, :-1]])[0]
            total = 0.0
            for place, word in enumerate((*sequence, END_AT)):
                # Neither padding, nor unknown, nor another start is ever said.
                possible = np.exp(logits[place, [END_AT, *allowed]].astype(float))
                total += np.log(np.exp(float(logits[place, word])) / possible.sum())
            expected[sequence] = total / (len(sequence) + 1)
        best = sorted(expected, key=expected.get, reverse=True)
        assert [one.tokens for one in hypotheses] == best
        assert hypotheses[0].score == pytest.approx(expected[best[0]], abs=1e-4)
    assert set(writer.sentence(written[0][0]).split()) <= {"a", "cat", "dog"}


def test_the_loss_of_true_sentences_is_counted_without_padding():
    model = tiny()
    decoder = decoder_of(model)
    encodings = run(encoder_of(model), pictures(2))
    # Two sentences about the second picture, of 3 and 2 words behind the start.
    total, count = total_word_loss(
        lambda seen, words: run(decoder, [seen, words]), encodings, np.array([1, 1]), WORDS
    )
    logits = run(decoder, [encodings[[1, 1]], WORDS[:, :-1]]).astype(float)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    places = [(0, 0, 4), (0, 1, 5), (0, 2, 6), (1, 0, 6), (1, 1, 4)]
    assert count == 5
    assert total == pytest.approx(-sum(np.log(p[place]) for place in places), rel=1e-4)


def test_other_models_and_vocabularies_are_refused():
    with pytest.raises(ValueError, match="cell must be one of 'lstm', 'gru', 'rnn'"):
        tiny("lstn")
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="expected a captioner"):
        writing_models(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
    with pytest.raises(ValueError, match="in the vocabulary"):
        SentenceWriter(print, print, Vocabulary(("", "[UNK]", *"abcde")))
