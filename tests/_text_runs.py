"""Runs of classifiers of texts whose weights are set by hand."""

import json

import numpy as np

from cnnkit.data.tables import NumberColumn, TableEncoder
from cnnkit.data.text import Vocabulary
from cnnkit.models.recurrent import build_text_classifier
from cnnkit.weights.keras_file import write_keras_file

VECTORS = {
    "good": (1.0, 0.0),
    "bad": (-1.0, 0.0),
    "fine": (0.9, 0.1),
    "poor": (-0.9, 0.2),
    "film": (0.0, 1.0),
}
NAMES = ("bad", "good")


def write_text_run(folder, *, network="rnn", table=False):
    """A classifier that takes the last of good, fine, bad and poor words for the class.

    The state is tanh(vector + 0.5 state), and the logits of bad and good are -4 and 4 times its
    first number. With a table the column age, scaled by 40 and 10, is added to that of good.
    """
    vocabulary = Vocabulary(("", "[UNK]", *VECTORS))
    encoder = TableEncoder((NumberColumn("age", 40.0, 10.0),) if table else ())
    model = build_text_classifier(
        len(vocabulary),
        2,
        network=network,
        embedding_size=2,
        units=2,
        table_size=len(encoder.outputs),
    )
    head = [4 * np.array([[-1.0, 1.0], [0.0, 0.0]])] + [np.array([[0.0, 1.0]])] * table
    if network == "rnn":
        rows = [(0.0, 0.0), (0.0, 0.0), *VECTORS.values()]
        model.get_layer("embedding").set_weights([np.array(rows)])
        model.get_layer("rnn").set_weights([np.eye(2), 0.5 * np.eye(2), np.zeros(2)])
        model.get_layer("predictions").set_weights([np.concatenate(head), np.zeros(2)])
    settings = {
        "kind": "text",
        "length": 6,
        "text_column": "text",
        "label_column": "label",
        "table": encoder.to_json(),
    }
    folder.mkdir(parents=True)
    write_keras_file(
        model,
        folder / "model.keras",
        {
            "classes.txt": "\n".join(NAMES).encode(),
            "vocabulary.txt": vocabulary.to_text().encode(),
            "settings.json": json.dumps(settings).encode(),
        },
    )
    return str(folder)
