"""Networks to look into, by name or file, without Keras; and what imports Keras for them."""

import os
from pathlib import Path

from cnnkit.console import Console
from cnnkit.engine.command import DeviceSettings
from cnnkit.errors import UsageError, WeightsError
from cnnkit.options import CLASSIFIER_WEIGHTS
from cnnkit.tasks.visualize.settings import VIEWABLE
from cnnkit.weights import locate

# Those of `VIEWABLE` that come with the installation.
_SHIPPED = ("compact", "imagenet", "caltech101")


def find_viewed_file(model: str) -> Path:
    """The file of a network to look into.

    Args:
        model: one of `VIEWABLE`, the folder of a run, or a `.keras` file.

    Raises:
        UsageError: an unknown name.
        WeightsError: the weights are not here, or a file of another format.
    """
    # Help would wait for what reads pictures too.
    from cnnkit.weights.keras_file import MODEL_FILE, refuse_other_formats

    refuse_other_formats(model, "--model")
    if model in VIEWABLE:
        # Of VGG the convolutions are looked at, which lie in a file of their own.
        return locate({**CLASSIFIER_WEIGHTS, "vgg16": "vgg16", "vgg19": "vgg19"}.get(model, model))
    path = Path(model)
    if path.is_dir():
        path /= MODEL_FILE
    if path.suffix == ".keras":
        if not path.is_file():
            raise WeightsError(f"{path} does not exist; give --model a .keras file or a name")
        return path
    raise UsageError(
        f"there is no trained network named {model!r}; use a .keras file or one of: "
        f"{', '.join(VIEWABLE)}"
    )


def start_viewing(
    console: Console,
    model: str,
    device: DeviceSettings,
    verbose: bool,
    *,
    is_trained: bool = True,
    needs_gradients: bool = False,
) -> None:
    """Imports Keras to look into a network: on OpenVINO where nothing needs gradients.

    Args:
        console: told what takes a while; its JSON says from then on what computed.
        model: whose layers are looked at. Of models of others nobody knows whether OpenVINO has
            all of their operations.
        device: what to compute on.
        verbose: let the engine's own messages through.
        is_trained: whether it is one with weights, which must be there.
        needs_gradients: whether TensorFlow must compute.

    Raises:
        UsageError: an unknown name, or see `configure_inference`.
        WeightsError: the weights are not here.
    """
    if is_trained:
        find_viewed_file(model)
    if needs_gradients:
        console.working("loading TensorFlow and the network")
        device.start_keras(verbose)
        return
    from cnnkit.engine.choice import OPENVINO, configure_inference, current_engine, resolve_engine

    console.working("loading the network")
    is_own = model.endswith(".keras") or Path(model).is_dir()
    is_known = not is_own and (model in _SHIPPED or not is_trained)
    is_chosen = (
        bool(os.environ.get("KERAS_BACKEND")) or resolve_engine("auto", device.device) != OPENVINO
    )
    configure_inference(
        "auto" if is_known or is_chosen else "tensorflow",
        threads=device.threads,
        device=device.device,
        verbose=verbose,
        note=console.note,
        needs_keras=True,
    )
    console.engine = current_engine
