"""How commands that run trained networks begin."""

import os
from pathlib import Path

from cnnkit.console import Console
from cnnkit.options import SHIPPED_NETWORKS


def start_viewing(
    console: Console,
    model: str,
    *,
    threads: int | None,
    device: str,
    verbose: bool,
    is_trained: bool = True,
) -> None:
    """Imports Keras to look into a network: on OpenVINO where nothing needs gradients.

    Args:
        console: told what takes a while; its JSON says from then on what computed.
        model: whose layers are looked at. Of models of others nobody knows whether OpenVINO has
            all of their operations.
        is_trained: whether it is one with weights, which must be there.
        threads: of `--threads`.
        device: of `--device`.
        verbose: of `--verbose`.

    Raises:
        UsageError: see `configure_inference`.
    """
    from cnnkit.engine.choice import (
        OPENVINO,
        configure_inference,
        current_engine,
        resolve_engine,
    )
    from cnnkit.engine.model_file import find_viewed_file

    if is_trained:
        find_viewed_file(model)
    console.working("loading the network")
    is_own = model.endswith(".keras") or Path(model).is_dir()
    is_known = not is_own and (model in SHIPPED_NETWORKS or not is_trained)
    is_chosen = bool(os.environ.get("KERAS_BACKEND")) or resolve_engine("auto", device) != OPENVINO
    configure_inference(
        "auto" if is_known or is_chosen else "tensorflow",
        threads=threads,
        device=device,
        verbose=verbose,
        note=console.note,
        needs_keras=True,
    )
    console.engine = current_engine
