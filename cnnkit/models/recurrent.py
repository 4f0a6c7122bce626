"""Classifiers of texts: a recurrent network over embedded words, and the bag of words."""

import keras

from cnnkit.models._arguments import check_choice, check_classes

EMBEDDING = "embedding"
# Index of padding, as `data.text` and Keras have it.
_PADDING = 0


def build_text_classifier(
    vocabulary_size: int,
    classes: int,
    *,
    network: str = "lstm",
    embedding_size: int = 32,
    units: int = 64,
    bidirectional: bool = False,
    dropout: float = 0.2,
    table_size: int = 0,
    name: str | None = None,
) -> keras.Model:
    """Builds a network that tells the class of a text from the indices of its tokens.

    A recurrent network reads one vector `x` after the other, learned embeddings or one-hots, and
    the last layer sees its last state `h`. With `s` for the sigmoid:

    - "rnn": `h = tanh(W x + U h + b)` (Elman 1990).
    - "lstm": `c = s(f) * c + s(i) * tanh(g)`, `h = s(o) * tanh(c)`, where each of i, f, g and o is
      its own `W x + U h + b`; the b of f begins at 1 (Hochreiter & Schmidhuber 1997; Gers et al.
      2000).
    - "gru": `h = s(z) * h + (1 - s(z)) * tanh(W x + b + s(r) * (U h + b'))` (Cho et al. 2014, with
      the reset gate behind the product as in Keras and cuDNN).
    - "bag": no network but the sum of the one-hots, which knows no order; the baseline.

    Steps of padding are left out: the state stays as it is, and so the loss does not depend on how
    far texts are padded.

    Args:
        vocabulary_size: number of indices, those of padding (0) and unknown included.
        classes: number of classes.
        network: "rnn", "lstm", "gru" or "bag".
        embedding_size: of the learned vector of each token; 0 for one-hots. A bag has one-hots.
        units: size of the state, in each direction.
        bidirectional: read from the end to the begin too, with weights of its own.
        dropout: share of the last layer's inputs left out in training.
        table_size: of a second input, the vector of the other columns, joined in before the last
            layer; 0 for none.
        name: of the model.

    Returns:
        A `keras.Model`: int32 `(batch, length)` of any length, and with a table float32
        `(batch, table_size)` -> probabilities `(batch, classes)`.

    Raises:
        ValueError: a size below 1, no class, or no such network.

    Example:

    3 * 2 weights for the vectors, 2 * 4 + 4 * 4 + 4 for the network, 4 * 2 + 2 for the classes.

    >>> build_text_classifier(3, 2, network="rnn", embedding_size=2, units=4).count_params()
    44
    """
    check_choice("network", network, ("rnn", "lstm", "gru", "bag"))
    check_classes(classes)
    if vocabulary_size < 2 or embedding_size < 0 or units < 1 or table_size < 0:
        raise ValueError(
            "expected two indices, a unit, and no sizes below 0. Received: "
            f"vocabulary_size={vocabulary_size}, embedding_size={embedding_size}, units={units}, "
            f"table_size={table_size}"
        )
    layers = keras.layers
    inputs = [keras.Input((None,), dtype="int32", name="tokens")]
    if network == "bag":
        counts = layers.CategoryEncoding(vocabulary_size, output_mode="count", name="counts")
        x = counts(inputs[0])[:, _PADDING + 1 :]
    else:
        cells = {"rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}
        layer = cells[network](units, name=network)
        if bidirectional:
            layer = layers.Bidirectional(layer, name="both")
        x = layer(_vectors(inputs[0], vocabulary_size, embedding_size))
    if table_size:
        inputs.append(keras.Input((table_size,), name="table"))
        x = layers.Concatenate(name="joined")([x, inputs[1]])
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs if table_size else inputs[0], x, name=name or f"text_{network}")


def _vectors(
    tokens: keras.KerasTensor, vocabulary_size: int, embedding_size: int
) -> keras.KerasTensor:
    """A vector for each token, masked where it is padding."""
    layers = keras.layers
    if embedding_size:
        return layers.Embedding(vocabulary_size, embedding_size, mask_zero=True, name=EMBEDDING)(
            tokens
        )
    # Without its own place padding is a row of zeros, which is what `Masking` looks for.
    one_hots = keras.ops.one_hot(tokens, vocabulary_size)[:, :, _PADDING + 1 :]
    return layers.Masking(name="mask")(one_hots)
