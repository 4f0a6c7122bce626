"""Sentences about pictures: a convolutional encoder, and a recurrent decoder that writes words.

After "Show and Tell" (Vinyals, Toshev, Bengio & Erhan 2015): the picture sets the first state of
the decoder, which is given each word and tells the next. As in "Where to put the Image in an Image
Caption Generator" (Tanti, Gatt & Camilleri 2018) the picture is seen once more beside the state
where the next word is told, not as a word of its own. Attention over a grid of places is that of
Luong, Pham & Manning (2015): it looks with the state behind a word, not with the one before.
"""

from typing import Any

import keras

from cnnkit.models._arguments import check_choice
from cnnkit.options import CAPTION_CELLS

# The layer that a captioner is taken apart at.
_ENCODING = "encoding"


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
