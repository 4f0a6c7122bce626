"""``cnnkit evaluate detect``: how good a detector is, on pictures with boxes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._classifier import Batch
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
    require_there,
)
from cnnkit.cli._report import check_report, write_report
from cnnkit.cli._views import Flip, Scales, read_scales
from cnnkit.console import Console
from cnnkit.errors import ExitCode
from cnnkit.options import check_split
from cnnkit.results import SCHEMA
from cnnkit.tasks.detect.settings import DEFAULT_DETECTOR, DETECTORS

if TYPE_CHECKING:
    from cnnkit.results import DetectEvaluation

# Classes that are shown without --all-classes.
_WORST = 10
_FIGURES = (
    *(("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75"), ("ap_small", "AP small")),
    *(("ap_medium", "AP medium"), ("ap_large", "AP large"), ("ar1", "AR 1"), ("ar10", "AR 10")),
    *(("ar100", "AR 100"), ("ar_small", "AR small"), ("ar_medium", "AR medium")),
    ("ar_large", "AR large"),
)


def detect(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of YOLO, Pascal VOC or COCO; or a .yaml (Ultralytics, Roboflow), .data "
            "(Darknet) or .json (COCO).",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|RUN|FILE.keras",
            help=f"{', '.join(DETECTORS)} (fetched), a run of 'cnnkit train detect', or a file.",
        ),
    ] = DEFAULT_DETECTOR,
    split: Annotated[
        str | None,
        typer.Option(
            help="Part of the data: test, val, train or all.",
            show_default="test where DATA has it, else val, else all",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Long side that the network sees pictures at, in pixels.",
            show_default="the model's own",
        ),
    ] = None,
    flip: Flip = False,
    scales: Scales = "1",
    all_classes: Annotated[
        bool,
        typer.Option(
            "--all-classes",
            help=f"Show all classes, not only the {_WORST} worst.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write report.json and precision-recall.png here.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    batch: Batch = 8,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Compare what is found with true boxes: COCO's AP and AR, and Pascal VOC's AP.

    Example: cnnkit evaluate detect people/ --model runs/people -o report/
    """
    console = Console(quiet=quiet, verbose=verbose)
    check_split(split)
    sizes = read_scales(scales)
    check_report(output, overwrite, ("precision-recall.png",))
    from cnnkit.tasks.detect.predict import find_detector_file

    find_detector_file(model)
    require_there([data])
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines.evaluate_detect import evaluate_detect

    with console.progress() as bar:
        task = bar.add_task("evaluate", total=None, status="")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        evaluation = evaluate_detect(
            data,
            model=model,
            split=split,
            size=size,
            flip=flip,
            scales=sizes,
            batch=batch,
            on_progress=show,
            on_error=lambda error: console.error(str(error)),
            on_note=console.note,
        )
    if split is None and evaluation.split == "all":
        console.note(
            f"{data} has no part named val or test, so these are all of its pictures: if the model "
            "was trained on some of them, it does worse on others"
        )
    report = _report(evaluation)
    if output is not None:
        names = write_report(output, _files(evaluation, report), overwrite)
        console.note(f"{output}: {', '.join(names)}")
    if json:
        console.json({"schema": SCHEMA, **report})
    else:
        for line in _lines(evaluation, all_classes):
            console.result(line)
    return int(ExitCode.INPUT_FAILED if evaluation.failed else ExitCode.DONE)


def _report(evaluation: "DetectEvaluation") -> dict[str, Any]:
    """All figures as plain values; None where there is nothing to find."""
    coco = evaluation.coco
    return {
        "model": evaluation.model,
        "split": evaluation.split,
        "pictures": evaluation.pictures,
        "failed": evaluation.failed,
        "coco": {name: _known(getattr(coco, name)) for name, _ in _FIGURES},
        "voc": {
            "ap_11_points": _known(_mean(evaluation.voc_11)),
            "ap_all_points": _known(_mean(evaluation.voc_all)),
        },
        "classes": [
            {
                "label": name,
                "objects": int(coco.objects[index]),
                "ap": _known(coco.class_ap[index]),
                "ap50": _known(coco.class_ap50[index]),
                "voc_11_points": _known(evaluation.voc_11[index]),
                "voc_all_points": _known(evaluation.voc_all[index]),
            }
            for index, name in enumerate(evaluation.names)
        ],
    }


def _known(value: float) -> float | None:
    return None if value != value else float(value)


def _mean(values: Any) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


def _lines(evaluation: "DetectEvaluation", all_classes: bool) -> list[str]:
    coco = evaluation.coco
    of_part = "" if evaluation.split == "all" else f" of {evaluation.split}"
    failed = f", {evaluation.failed} cannot be read" if evaluation.failed else ""
    objects = int(coco.objects.sum())
    lines = [f"pictures   {evaluation.pictures:,}{of_part} with {objects:,} objects{failed}"]
    lines += [f"{label:<9}  {_percent(getattr(coco, name))}" for name, label in _FIGURES]
    lines.append(f"{'VOC 2007':<9}  {_percent(_mean(evaluation.voc_11))} (11 points)")
    lines.append(f"{'VOC 2010':<9}  {_percent(_mean(evaluation.voc_all))} (all points)")
    seen = [index for index, count in enumerate(coco.objects) if count]
    order = sorted(seen, key=lambda index: (coco.class_ap50[index], -coco.objects[index]))
    shown = order if all_classes else order[:_WORST]
    width = max([len("class"), *(len(evaluation.names[index]) for index in shown)])
    lines += ["", f"{'class':<{width}}  objects     AP50       AP"]
    for index in shown:
        lines.append(
            f"{evaluation.names[index]:<{width}}  {int(coco.objects[index]):>7,}  "
            f"{_percent(coco.class_ap50[index]):>7}  {_percent(coco.class_ap[index]):>7}"
        )
    if len(shown) < len(order):
        lines.append(f"and {len(order) - len(shown)} better ones; --all-classes shows all")
    return lines


def _percent(value: float) -> str:
    return "-" if value != value else f"{value:.1%}"


def _files(evaluation: "DetectEvaluation", report: dict[str, Any]) -> dict[str, bytes]:
    import json

    from cnnkit.plots import encode_figure
    from cnnkit.tasks.detect.plots import plot_precision_recall

    coco = evaluation.coco
    figure = plot_precision_recall(
        coco.precision50,
        coco.class_ap50,
        evaluation.names,
        title=f"{evaluation.model}: AP50 {coco.ap50:.1%}, AP {coco.ap:.1%}",
    )
    return {
        "report.json": (json.dumps(report, indent=2) + "\n").encode(),
        "precision-recall.png": encode_figure(figure),
    }
