"""``cnnkit evaluate segment``: how well a network labels pixels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from cnnkit.cli._segmenter import Model, Size
from cnnkit.cli._views import Flip, Scales, read_scales
from cnnkit.console import Console
from cnnkit.engine.evaluator import check_report, write_report
from cnnkit.engine.settings import check_split
from cnnkit.errors import ExitCode
from cnnkit.options import DEFAULT_SEGMENTER, MASK_SPLITS, SEGMENT_SIZE
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    import numpy as np

    from cnnkit.results import SegmentEvaluation


def segment(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder with images/ and labels/ (or val/ of those) and classes.txt, or one "
            "like that of Pascal VOC or of COCO's panoptic segments.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write report.json, pictures.csv, confusion.png and worst.png here.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="train|val|all", help="Part of the data.", show_default="val, else all"
        ),
    ] = None,
    model: Model = DEFAULT_SEGMENTER,
    size: Size = SEGMENT_SIZE,
    flip: Flip = False,
    scales: Scales = "1",
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Compare labelled pixels with true masks: accuracy, IoU, and what is taken for what.

    Example: cnnkit evaluate segment camvid/ --model runs/roads -o report/
    """
    from cnnkit.tasks.segment.files import find_segmenter_file

    console = Console(quiet=quiet, verbose=verbose)
    sizes = read_scales(scales)
    check_report(output, overwrite, ("pictures.csv", "confusion.png", "worst.png"))
    check_split(split, MASK_SPLITS)
    find_segmenter_file(model)
    require_there([data])
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.tasks.segment.evaluate import SegmentJudge, coding_for, read_pairs
    from cnnkit.tasks.segment.predict import Segmenter

    masks, pairs, part = read_pairs(data, split)
    for line in masks.lines():
        console.note(line)
    segmenter = Segmenter(model, size=size, flip=flip, scales=sizes)
    coding_for(masks, segmenter.names, segmenter.name)
    with console.progress() as bar:
        task = bar.add_task("evaluate", total=len(pairs), status="")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        judge = SegmentJudge(
            segmenter, on_progress=show, on_error=lambda error: console.error(str(error))
        )
        evaluation = judge.evaluate(masks, pairs, part)
    report = _report(evaluation)
    if output is not None:
        files = _files(evaluation, report, judge.draw_worst(evaluation, masks))
        names = write_report(output, files, overwrite)
        console.note(f"{output}: {', '.join(names)}")
    if json:
        console.json({"schema": SCHEMA, **report})
    else:
        for line in _lines(evaluation):
            console.result(line)
    return int(ExitCode.INPUT_FAILED if evaluation.failed else ExitCode.DONE)


def _report(evaluation: "SegmentEvaluation") -> dict[str, Any]:
    scores = evaluation.scores
    return {
        "model": evaluation.model,
        "split": evaluation.split,
        "pictures": evaluation.pictures,
        "failed": evaluation.failed,
        "pixels": scores.pixels,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
        "mean_iou": scores.mean_iou,
        "frequency_weighted_iou": scores.frequency_weighted_iou,
        "classes": [
            {
                "label": name,
                "class_id": index,
                "pixels": int(scores.support[index]),
                "iou": float(scores.iou[index]),
                "accuracy": float(scores.accuracy[index]),
            }
            for index, name in enumerate(evaluation.names)
        ],
        "confusion": evaluation.confusion,
    }


def _lines(evaluation: "SegmentEvaluation") -> list[str]:
    scores, names = evaluation.scores, evaluation.names
    of_part = "" if evaluation.split == "all" else f" of {evaluation.split}"
    failed = f", {evaluation.failed} cannot be used" if evaluation.failed else ""
    lines = [
        f"pictures         {evaluation.pictures:,}{of_part}{failed}",
        f"pixel accuracy   {scores.pixel_accuracy:.2%}",
        f"mean accuracy    {scores.mean_accuracy:.2%}, of the classes that occur",
        f"mean IoU         {scores.mean_iou:.2%}",
        f"by frequency     {scores.frequency_weighted_iou:.2%}, IoU weighted by true pixels",
        "",
    ]
    occur = [at for at in range(len(names)) if scores.iou[at] == scores.iou[at]]
    width = max(len("class"), *(len(names[at]) for at in occur))
    total = max(1, scores.pixels)
    lines.append(f"{'class':<{width}}  pixels     IoU  found  taken for")
    for at in sorted(occur, key=lambda at: -scores.iou[at]):
        wrong = evaluation.confusion[at].copy()
        wrong[at] = 0
        most = int(wrong.argmax())
        taken = names[most] if wrong[most] else ""
        found = "-" if scores.accuracy[at] != scores.accuracy[at] else f"{scores.accuracy[at]:.1%}"
        share = scores.support[at] / total
        lines.append(
            f"{names[at]:<{width}}  {share:>6.1%}  {scores.iou[at]:>6.1%}  {found:>6}  {taken}"
        )
    return [line.rstrip() for line in lines]


def _files(
    evaluation: "SegmentEvaluation", report: dict[str, Any], worst: "np.ndarray"
) -> dict[str, bytes]:
    import csv
    import io
    import json

    from cnnkit.images import Picture, encode_image
    from cnnkit.plots import encode_figure, plot_confusion
    from cnnkit.results import to_plain
    from cnnkit.tasks.segment.metrics import confusion_percent

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "mean_iou"])
    for source, iou in zip(evaluation.sources, evaluation.ious, strict=True):
        writer.writerow([source, f"{iou:.6f}"])
    matrix = evaluation.confusion
    used = [at for at in range(len(matrix)) if matrix[at].any() or matrix[:, at].any()]
    title = f"{evaluation.model}: % of the pixels of each class"
    figure = plot_confusion(
        confusion_percent(matrix)[used][:, used],
        [evaluation.names[at] for at in used],
        title=title,
    )
    return {
        "report.json": (json.dumps(to_plain(report), indent=2) + "\n").encode(),
        "pictures.csv": text.getvalue().encode(),
        "confusion.png": encode_figure(figure),
        "worst.png": encode_image(Picture(worst.astype("float32") / 255.0), ".png"),
    }
