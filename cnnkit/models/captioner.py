"""Sentences about pictures: a convolutional encoder, and a recurrent decoder that writes words.

After "Show and Tell" (Vinyals, Toshev, Bengio & Erhan 2015): the picture sets the first state of
the decoder, which is given each word and tells the next. As in "Where to put the Image in an Image
Caption Generator" (Tanti, Gatt & Camilleri 2018) the picture is seen once more beside the state
where the next word is told, not as a word of its own. Attention over a grid of places is that of
Luong, Pham & Manning (2015): it looks with the state behind a word, not with the one before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from cnnkit.data.captions import NAME
from cnnkit.data.text import END, PADDING, START, UNKNOWN, Vocabulary
from cnnkit.losses.captions import word_losses
from cnnkit.models._arguments import check_choice
from cnnkit.ops.beam import Hypothesis, beam_search
from cnnkit.ops.inference import compile_inference
from cnnkit.options import CAPTION_CELLS, CaptionOptions

# The layer that a captioner is taken apart at.
_ENCODING = "encoding"
# Sentences whose words are told at once.
_SENTENCES = 32
# All but short and frequent words, such as "of", "the" and "and", come once in a sentence: a
# network with few sentences to learn from goes in circles, "a person on a horse on a horse". The
# vocabulary is in the order of frequency.
_REPEATED_LETTERS, _FREQUENT = 3, 20


def build_captioner(
    picture: Any,
    features: Any,
    grid: Any,
    vocabulary_size: int,
    *,
    cell: str = "lstm",
    units: int = 192,
    embedding: int = 96,
    attention: bool = True,
    dropout: float = 0.4,
    name: str = "captioner",
) -> keras.Model:
    """Puts a decoder on what an encoder sees.

    Args:
        picture: the encoder's input.
        features: what it says of the whole picture, `(batch, D)`.
        grid: what it says of places, `(batch, rows, columns, channels)` of a fixed size; used with
            attention alone.
        vocabulary_size: V, words and signs.
        cell: "lstm", "gru" or "rnn".
        units: of the state, and of what the next word is told from.
        embedding: numbers that stand for a word.
        attention: look at places of the grid for each word.
        dropout: share of what is seen, of the embeddings and of what words are told from that is
            left out in training.
        name: of the model.

    Returns:
        A `keras.Model`: the picture and int32 words `(batch, T)`, the sign of the start first and
        padding (index 0) last -> logits of the next words `(batch, T, V)`. Padding changes no
        state, and with it nothing of the words before.

    Raises:
        ValueError: an unknown cell, or sizes below 1.
    """
    check_choice("cell", cell, CAPTION_CELLS)
    if min(vocabulary_size, units, embedding) < 1:
        raise ValueError(
            "expected vocabulary_size, units and embedding from 1. "
            f"Received: {vocabulary_size}, {units}, {embedding}"
        )
    layers = keras.layers
    parts = [features]
    places: tuple[int, ...] = ()
    if attention:
        rows, columns, channels = grid.shape[1:]
        places = (rows * columns, channels)
        parts.append(layers.Flatten(name="grid")(grid))
    # One vector, which can be kept in a file for an encoder that does not change.
    encoding = layers.Concatenate(name=_ENCODING)(parts) if attention else (
        layers.Identity(name=_ENCODING)(features)
    )  # fmt: skip
    # Filled with the statistics of the training data, and not trained.
    scaled = layers.BatchNormalization(
        center=False, scale=False, trainable=False, name="encoding_scale"
    )(encoding)
    whole = scaled
    looked = []
    if attention:
        width = features.shape[-1]
        whole = scaled[:, :width]
        # (B, places, channels)
        spots = layers.Reshape(places, name="places")(scaled[:, width:])
        spots = layers.Dropout(dropout / 2, name="places_dropout")(spots)
        looked = [layers.Dense(units, name=part)(spots) for part in ("keys", "values")]
    whole = layers.Dropout(dropout, name="features_dropout")(whole)
    seen = layers.Dense(units, activation="tanh", name="summary")(whole)
    count = 2 if cell == "lstm" else 1
    states = [
        layers.Dense(units, activation="tanh", name=f"first_state_{at}")(seen)
        for at in range(count)
    ]
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Embedding(vocabulary_size, embedding, mask_zero=True, name="embedding")(words)
    x = layers.Dropout(dropout / 2, name="embedding_dropout")(x)
    cells = {"lstm": layers.LSTM, "gru": layers.GRU, "rnn": layers.SimpleRNN}
    x = cells[cell](units, return_sequences=True, name="recurrent")(x, initial_state=states)
    new = {
        "state": layers.Dense(units, name="state"),
        "seen": layers.Dense(units, use_bias=False, name="seen"),
        "told": layers.Dropout(dropout, name="told_dropout"),
        "next_word": layers.Dense(vocabulary_size, name="next_word"),
    }
    if attention:
        new |= {
            "query": layers.Dense(units, name="query"),
            "attention": layers.Attention(use_scale=True, name="attention"),
            "attended": layers.Dense(units, use_bias=False, name="attended"),
        }
    logits = _tell(new, x, seen, looked)
    return keras.Model([picture, words], logits, name=name)


def _tell(layers: Any, states: Any, seen: Any, looked: Any) -> Any:
    """Logits of the next words from states `(B, T, units)` and what was seen."""
    parts = [layers["state"](states), layers["seen"](seen)[:, None, :]]
    if looked:
        keys, values = looked
        found = layers["attention"]([layers["query"](states), values, keys])
        parts.append(layers["attended"](found))
    told = parts[0]
    for part in parts[1:]:
        told = told + part
    return layers["next_word"](layers["told"](keras.ops.tanh(told)))


def encoder_of(model: keras.Model) -> keras.Model:
    """Pictures -> what the decoder is given of them, `(batch, D)`, of a captioner."""
    return keras.Model(model.inputs[0], model.get_layer(_ENCODING).output, name="encoder")


def decoder_of(model: keras.Model) -> keras.Model:
    """What the encoder says `(batch, D)` and words -> logits; its layers are those of a captioner.

    Trained in its place where the encoder does not change.
    """
    encoding = keras.Input(model.get_layer(_ENCODING).output.shape[1:], name="seen_before")
    # The graph behind the encoding, on the same layers.
    inner = keras.Model([model.get_layer(_ENCODING).output, model.inputs[1]], model.output)
    words = keras.Input((None,), dtype="int32", name="words")
    return keras.Model([encoding, words], inner([encoding, words]), name="decoder")


def writing_models(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """A captioner as it writes: what is done once for a picture, and what for each word.

    Args:
        model: as `build_captioner` makes it.

    Returns:
        What the encoder says of pictures `(batch, D)` -> list of what is kept of them, the states
        of the decoder last; and the last words `(batch,)` int32 with all that -> logits
        `(batch, V)` and the new states, as a list.

    Raises:
        ValueError: it is no such model.
    """
    names = {layer.name for layer in model.layers}
    missing = {_ENCODING, "summary", "embedding", "recurrent", "next_word"} - names
    if missing:
        raise ValueError(f"expected a captioner. Received: a model without {sorted(missing)}")
    has_attention = "attention" in names
    looked = [model.get_layer(part).output for part in ("keys", "values") if has_attention]
    seen = model.get_layer("summary").output
    count = sum(name.startswith("first_state_") for name in names)
    states = [model.get_layer(f"first_state_{at}").output for at in range(count)]
    encoding = model.get_layer(_ENCODING).output
    look = keras.Model(encoding, [seen, *looked, *states], name="look")

    word = keras.Input((), dtype="int32", name="word")
    kept = [
        keras.Input(tensor.shape[1:], name=f"kept_{at}") for at, tensor in enumerate(look.outputs)
    ]
    seen, *looked = kept[: len(kept) - count]
    # (B, 1, embedding) -> (B, embedding), without the mask, which a single step does not need.
    x = model.get_layer("embedding")(word[:, None])[:, 0]
    state, after = model.get_layer("recurrent").cell(x, kept[len(kept) - count :])
    parts = {name: model.get_layer(name) for name in ("state", "seen", "next_word")}
    parts["told"] = model.get_layer("told_dropout")
    if has_attention:
        parts |= {name: model.get_layer(name) for name in ("query", "attention", "attended")}
    logits = _tell(parts, state[:, None, :], seen, looked)[:, 0]
    write = keras.Model([word, *kept], [logits, *keras.tree.flatten(after)], name="write")
    return look, write


def total_word_loss(
    tell: Callable[[np.ndarray, np.ndarray], Any],
    encodings: np.ndarray,
    pictures: np.ndarray,
    words: np.ndarray,
) -> tuple[float, int]:
    """How improbable true sentences are.

    Args:
        tell: what `decoder_of` makes, on arrays: what the encoder says `(batch, D)` and words
            `(batch, T)` -> logits.
        encodings: float32 `(N, D)`, what the encoder says of N pictures.
        pictures: `(S,)`, the picture of each sentence.
        words: int32 `(S, T)`: start, words, end and padding.

    Returns:
        The sum of -log p over all words and ends, and their number.
    """
    total, count = 0.0, 0
    for first in range(0, len(words), _SENTENCES):
        part = slice(first, first + _SENTENCES)
        known, told = words[part, :-1], words[part, 1:]
        losses, _ = word_losses(told, tell(encodings[pictures[part]], known))
        total += float(keras.ops.sum(losses))
        count += int((told != PADDING).sum())
    return total, count


class SentenceWriter:
    """Writes sentences with the decoder of a captioner, compiled.

    Args:
        model: as `build_captioner` makes it; it is not trained afterwards.
        vocabulary: what its words are.

    Raises:
        ValueError: the model has another number of words, or the vocabulary no start and end.
    """

    def __init__(self, model: keras.Model, vocabulary: Vocabulary):
        if model.outputs[0].shape[-1] != len(vocabulary):
            raise ValueError(
                f"expected a model of {len(vocabulary)} words. "
                f"Received: {model.outputs[0].shape[-1]}"
            )
        self._start, self._end = vocabulary.index(START), vocabulary.index(END)
        if UNKNOWN in (self._start, self._end):
            raise ValueError(f"expected {START} and {END} in the vocabulary. Received: neither")
        self._name = vocabulary.index(NAME)
        self._once = [
            index
            for index, word in enumerate(vocabulary.tokens)
            if word not in (START, END) and (len(word) > _REPEATED_LETTERS or index >= _FREQUENT)
        ]
        look, write = writing_models(model)
        self._look = compile_inference(look, "float32")
        self._write = compile_inference(write, "float32")
        self._states = len(write.outputs) - 1
        self._vocabulary = vocabulary

    def write(
        self, encodings: np.ndarray, options: CaptionOptions | None = None
    ) -> list[list[Hypothesis]]:
        """The best sentences about pictures.

        Args:
            encodings: float32 `(N, D)`, what the encoder says of each picture.
            options: of the search.

        Returns:
            For each picture its sentences, best first, at most `options.candidates`.
        """
        options = options or CaptionOptions()

        def step(last: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
            logits, *after = self._write(last, *state)
            return logits, [*state[: len(state) - self._states], *after]

        found = beam_search(
            step,
            self._look(encodings),
            start=self._start,
            end=self._end,
            beams=options.beams,
            length=options.max_words,
            length_penalty=options.length_penalty,
            banned=(PADDING, UNKNOWN, self._start),
            once=self._once,
        )
        return [hypotheses[: options.candidates] for hypotheses in found]

    def sentence(self, hypothesis: Hypothesis, name: str = "") -> str:
        """The words of a hypothesis.

        Args:
            hypothesis: of `write`.
            name: what stands in the place of `NAME`.
        """
        return self._vocabulary.decode(hypothesis.tokens).replace(NAME, name)

    def has_name(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis has the name that the encoder's classifier gives."""
        return self._name != UNKNOWN and self._name in hypothesis.tokens
