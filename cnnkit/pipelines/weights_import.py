"""Files of Darknet to a detector in a `.keras` file."""

import json
from collections.abc import Sequence
from pathlib import Path

from cnnkit import __version__
from cnnkit.errors import DataError
from cnnkit.tasks.detect.files import default_names
from cnnkit.tasks.detect.network import build_from_darknet
from cnnkit.weights.keras_file import (
    CLASSES_FILE,
    DETECTOR_KIND,
    SETTINGS_FILE,
    read_names,
    write_keras_file,
)


def import_darknet(
    weights: str | Path, cfg: str | Path, output: str | Path, names: str | Path | None = None
) -> Sequence[str]:
    """Turns a detector of Darknet into a `.keras` file that `detect` takes.

    Args:
        weights: the `.weights` file.
        cfg: the `.cfg` file.
        output: where the `.keras` file goes.
        names: file with the names of the classes, one a line; COCO's for 80 classes, else numbers.

    Returns:
        The names of the classes.

    Raises:
        WeightsError: a file cannot be read, has a layer that is not known, or they do not belong
            together.
        DataError: there are not as many names as classes.
    """
    model, size = build_from_darknet(weights, cfg)
    classes = model.outputs[0].shape[-1] - 4
    known = default_names(classes) if names is None else read_names(Path(names))
    if len(known) != classes:
        raise DataError(f"{names} has {len(known)} names, but the network has {classes} classes")
    settings = {"kind": DETECTOR_KIND, "size": size, "cnnkit": __version__}
    text = "".join(f"{name}\n" for name in known)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    files = {CLASSES_FILE: text.encode(), SETTINGS_FILE: json.dumps(settings).encode()}
    write_keras_file(model, output, files)
    return known
