"""``cnnkit export``: a trained classifier in the format of other programs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cnnkit.cli._options import OUTPUT_PANEL, Json, Overwrite, Quiet, Threads, Verbose
from cnnkit.console import Console
from cnnkit.results import SCHEMA


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="The folder of a training run, a .keras file, or a name."
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            help="keras, savedmodel (TensorFlow), onnx, or tflite (TensorFlow Lite, now LiteRT)."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The file; of a SavedModel the folder.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ],
    overwrite: Overwrite = False,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    r"""Write a classifier in another format, and run both to compare them.

    The names of the classes are written beside it. onnx needs: pip install "cnnkit\[onnx]"

    Examples:

      cnnkit export runs/pets --format onnx -o pets.onnx

      cnnkit export runs/pets --format savedmodel -o pets
    """
    from cnnkit.pipelines._export_checks import check_export

    console = Console(quiet=quiet, verbose=verbose)
    check_export(format, output, overwrite)
    from cnnkit.tasks.classify.files import check_classifier

    check_classifier(model)
    from cnnkit.runtime import configure

    # Conversion and comparison take moments: a GPU would only add rounding of its own.
    configure(threads=threads, verbose=verbose, device="cpu")
    from cnnkit.pipelines.export import export

    made = export(model, output, format=format, overwrite=overwrite, on_note=console.note)
    if json:
        console.json({"schema": SCHEMA, **asdict(made)})
        return
    shape = "x".join("?" if axis is None else str(axis) for axis in made.input_shape)
    console.result(
        f"{made.path}  {made.format}, {made.size / 1e6:.1f} MB, input {shape}"
        + (
            ""
            if made.largest_difference is None
            else f", differs by {made.largest_difference:.1g} at most"
        )
    )
    if made.classes_path is not None:
        console.note(f"{made.classes_path} has the names of the classes")
