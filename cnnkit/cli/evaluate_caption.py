"""``cnnkit evaluate caption``: how good sentences about pictures are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._captioner import Batch, Beams, LengthPenalty, MaxWords, Model
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
from cnnkit.console import Console
from cnnkit.engine.evaluator import check_report, write_report
from cnnkit.errors import ExitCode, UsageError
from cnnkit.options import DEFAULT_CAPTIONER, CaptionOptions
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from cnnkit.results import CaptionEvaluation

_DEFAULTS = CaptionOptions()


def caption(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A CSV with the columns file and sentence, a JSON file of COCO's captions, or a "
            "folder with such for train and val.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write report.json, captions.csv and captions.png here.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the pictures are.",
            show_default="beside DATA, or where COCO has them",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="train|val|all", help="Part of the data.", show_default="val, else all"
        ),
    ] = None,
    model: Model = DEFAULT_CAPTIONER,
    beams: Beams = _DEFAULTS.beams,
    max_words: MaxWords = _DEFAULTS.max_words,
    length_penalty: LengthPenalty = _DEFAULTS.length_penalty,
    overwrite: Overwrite = False,
    batch: Batch = 16,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Compare what is said of pictures with what people wrote: BLEU, CIDEr-D, perplexity, variety.

    Example: cnnkit evaluate caption captions.csv --model runs/holidays -o report/
    """
    from cnnkit.pipelines._captioner_files import find_captioner_file

    console = Console(quiet=quiet, verbose=verbose)
    require_there([data])
    options = CaptionOptions(beams, max_words, length_penalty=length_penalty)
    check_report(output, overwrite, ("captions.csv", "captions.png"))
    if split not in (None, "train", "val", "all"):
        raise UsageError(f"--split must be one of train, val, all, not {split}")
    find_captioner_file(model)
    from cnnkit.data.captions import read_captions

    read_captions(data, images, val_share=0.0)
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines._captioner import Captioner
    from cnnkit.pipelines.evaluate_caption import CaptionJudge, read_split

    pictures, part = read_split(data, images, split)
    with console.progress() as bar:
        task = bar.add_task("evaluate", total=len(pictures), status="")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        judge = CaptionJudge(
            Captioner(model),
            options,
            batch=batch,
            on_progress=show,
            on_error=lambda error: console.error(str(error)),
        )
        evaluation = judge.evaluate(pictures, part)
    report = _report(evaluation)
    if output is not None:
        names = write_report(output, _files(evaluation, report), overwrite)
        console.note(f"{output}: {', '.join(names)}")
    if evaluation.collapsed:
        console.warning(
            f"{evaluation.model} says '{evaluation.most_common}' of "
            f"{evaluation.most_common_share:.0%} of the pictures: it does not look at them"
        )
    if json:
        console.json({"schema": SCHEMA, **report})
    else:
        for line in _lines(evaluation):
            console.result(line)
    return int(ExitCode.INPUT_FAILED if evaluation.failed else ExitCode.DONE)


def _report(evaluation: "CaptionEvaluation") -> dict[str, Any]:
    return {
        "model": evaluation.model,
        "split": evaluation.split,
        "pictures": evaluation.pictures,
        "failed": evaluation.failed,
        "perplexity": evaluation.perplexity,
        "unknown": evaluation.unknown,
        "bleu": evaluation.bleu,
        "cider": evaluation.cider,
        "distinct": evaluation.distinct,
        "distinct_share": evaluation.distinct / evaluation.pictures,
        "collapsed": evaluation.collapsed,
        "most_common": {
            "sentence": evaluation.most_common,
            "share": evaluation.most_common_share,
        },
    }


def _lines(evaluation: "CaptionEvaluation") -> list[str]:
    of_part = "" if evaluation.split == "all" else f" of {evaluation.split}"
    failed = f", {evaluation.failed} cannot be read" if evaluation.failed else ""
    share = evaluation.distinct / evaluation.pictures
    return [
        f"pictures     {evaluation.pictures:,}{of_part}{failed}",
        *(f"BLEU-{n}       {score:.3f}" for n, score in enumerate(evaluation.bleu, start=1)),
        f"CIDEr-D      {evaluation.cider:.3f}",
        f"perplexity   {evaluation.perplexity:.2f}, {evaluation.unknown:.1%} of the words unknown",
        f"different    {evaluation.distinct:,} sentences, {share:.0%}",
        f"most common  {evaluation.most_common_share:.0%}: {evaluation.most_common}",
    ]


def _files(evaluation: "CaptionEvaluation", report: dict[str, Any]) -> dict[str, bytes]:
    import json

    from cnnkit.data.captions import encode_captions
    from cnnkit.images import Picture, encode_image
    from cnnkit.pipelines.evaluate_caption import draw_evaluation
    from cnnkit.results import to_plain

    table = encode_captions(
        [one.source for one in evaluation.captions],
        [one.sentence for one in evaluation.captions],
        [one.candidates[0].score for one in evaluation.captions],
        evaluation.references,
    )
    sheet = Picture(draw_evaluation(evaluation).astype("float32") / 255.0)
    return {
        "report.json": (json.dumps(to_plain(report), indent=2) + "\n").encode(),
        "captions.csv": table,
        "captions.png": encode_image(sheet, ".png"),
    }
