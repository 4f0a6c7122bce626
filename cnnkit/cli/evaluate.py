"""``cnnkit evaluate``: how good a model is, on labelled data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._faces import (
    FACE_PANEL,
    CalibrationFile,
    Choose,
    MaxSide,
    Model,
    Threshold,
    Upsample,
    counted,
)
from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    Device,
    Engine,
    Json,
    Overwrite,
    Quiet,
    Threads,
    Verbose,
)
from cnnkit.console import Console
from cnnkit.engine.evaluator import (
    check_report,
    write_report,
)
from cnnkit.errors import ExitCode, UsageError
from cnnkit.options import FACE_CHOICES, FaceOptions
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from cnnkit.results import FaceEvaluation

app = typer.Typer(help="Measure how good a model is.", no_args_is_help=True)
_DEFAULTS = FaceOptions()


@app.callback()
def main() -> None:
    """Measure how good a model is."""


@app.command(
    "faces", epilog="Example: cnnkit evaluate faces --pairs pairs.txt --images lfw -o report/"
)
def faces(
    pairs: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Pairs: a list of LFW's, or a .csv with a, b, same."),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the pictures are.", show_default="beside the pairs"
        ),
    ] = None,
    threshold_pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Choose the threshold on these pairs, of other people.",
            rich_help_panel=FACE_PANEL,
        ),
    ] = None,
    choose: Choose = FACE_CHOICES[0],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write roc.png, distances.png, pairs.csv and report.json here.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    model: Model = _DEFAULTS.model,
    threshold: Threshold = _DEFAULTS.threshold,
    calibration: CalibrationFile = _DEFAULTS.calibration,
    max_side: MaxSide = _DEFAULTS.max_side,
    upsample: Upsample = _DEFAULTS.upsample,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Tell pairs of faces apart: accuracy, ROC, and a threshold.

    Accuracy is over ten folds where the list has folds, the threshold of each chosen on the others.
    """
    from cnnkit.data.pairs import read_pairs

    console = Console(quiet=quiet, verbose=verbose)
    options = FaceOptions(
        model=model,
        threshold=threshold,
        calibration=calibration,
        max_side=max_side,
        upsample=upsample,
    )
    if threshold is not None and threshold_pairs is not None:
        raise UsageError("--threshold and --threshold-pairs exclude each other")
    check_report(output, overwrite, ("pairs.csv", "roc.png", "distances.png"))
    listed = read_pairs(pairs, images)
    others = None if threshold_pairs is None else read_pairs(threshold_pairs, images)
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines.evaluate_faces import FaceJudge

    with counted(console) as show:
        judge = FaceJudge(options, choose=choose, on_note=console.note, on_progress=show)
        evaluation = judge.evaluate(listed, others)
    for _, error in judge.unreadable:
        console.error(str(error))
    for path in judge.missed[:10]:
        console.note(f"{path}: no face found")
    report = _report(evaluation)
    if output is not None:
        names = write_report(output, _files(evaluation, report, listed), overwrite)
        console.note(f"{output}: {', '.join(names)}")
    if json:
        console.json({"schema": SCHEMA, **report})
    else:
        for line in _lines(evaluation):
            console.result(line)
    return int(ExitCode.INPUT_FAILED if judge.unreadable else ExitCode.DONE)


def _report(evaluation: "FaceEvaluation") -> dict[str, Any]:
    from dataclasses import asdict

    values = asdict(evaluation)
    del values["distances"], values["same"]
    return values


def _lines(evaluation: "FaceEvaluation") -> list[str]:
    accuracy = evaluation.accuracy
    low, high = accuracy.interval
    lines = [
        f"pairs      {evaluation.pairs:,} of {evaluation.pictures:,} pictures, "
        f"{evaluation.missed} without a face",
        f"accuracy   {accuracy.value:.2%} at {evaluation.threshold:.4f} "
        f"({evaluation.threshold_origin}; 95 % interval {low:.2%} to {high:.2%})",
    ]
    folded = evaluation.folded
    if folded is not None:
        lines.append(
            f"folds      {folded.mean:.2%} ± {folded.standard_error:.2%} "
            f"over {len(folded.folds)} folds"
        )
    validation = evaluation.validation
    note = f" ({validation.note})" if validation.note else ""
    return [
        *lines,
        f"VAL        {validation.rate:.2%} at a false accept rate of 0.1 %{note}",
        f"AUC        {evaluation.area_under_curve:.5f}",
        f"EER        {evaluation.equal_error_rate:.2%}",
        f"threshold  {evaluation.best_threshold:.4f} is best on these pairs",
    ]


def _files(
    evaluation: "FaceEvaluation", report: dict[str, Any], pairs: list[Any]
) -> dict[str, bytes]:
    import csv
    import io
    import json

    from cnnkit.pipelines.evaluate_faces import draw_distances, draw_roc
    from cnnkit.plots import encode_figure
    from cnnkit.results import to_plain

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "b", "same", "distance"])
    for pair, distance in zip(pairs, evaluation.distances, strict=True):
        shown = "" if distance != distance else f"{distance:.6f}"
        writer.writerow([pair.first, pair.second, int(pair.same), shown])
    return {
        "report.json": (json.dumps(to_plain(report), indent=2) + "\n").encode(),
        "pairs.csv": text.getvalue().encode(),
        "roc.png": encode_figure(draw_roc(evaluation)),
        "distances.png": encode_figure(draw_distances(evaluation)),
    }
