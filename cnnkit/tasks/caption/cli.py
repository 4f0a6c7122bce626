"""``cnnkit caption``, ``cnnkit evaluate caption`` and ``cnnkit train caption``."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.engine.batch import Batch, BatchSettings, JsonLines, Overwrite, Pictures, Recursive
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.evaluator import check_report, report_option, show_evaluation
from cnnkit.engine.observer import Observer, showing
from cnnkit.engine.ray_job import ResumableRaySettings
from cnnkit.engine.settings import (
    DATA_PANEL,
    RUN_PANEL,
    Option,
    RunFolder,
    require_there,
)
from cnnkit.engine.train_command import RunSettings, run_training_command
from cnnkit.errors import CnnkitError
from cnnkit.tasks.caption.settings import (
    DATA,
    DEFAULT_CAPTIONER,
    CaptionSettings,
    EvaluateSettings,
    Model,
    TrainSettings,
)

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.tasks.caption.results import Caption, CaptionEvaluation, TrainedCaptioner

# Files of a report beside report.json.
_TABLE, _SHEET = "captions.csv", "captions.png"
_BatchSize = Annotated[
    int, Option("Pictures that the network sees at a time.", RUN_PANEL, ("--batch",), min=1)
]


@command
def caption(
    pictures: Pictures,
    model: Model = DEFAULT_CAPTIONER,
    *,
    settings: CaptionSettings,
    recursive: Recursive = False,
    batch: _BatchSize = 16,
    engine: EngineSettings,
    ray: ResumableRaySettings,
    jsonl: JsonLines = False,
    printing: PrintSettings,
) -> int:
    """Say in a sentence what pictures show.

    Where it doubts, it says "not sure: a sentence?". What the shipped model can say, and what it
    cannot: `cnnkit weights card captions`.

    Examples:

      cnnkit caption photo.jpg

      cnnkit caption photos/ -r --candidates 3 --jsonl

      cnnkit caption photo.jpg --model runs/holidays --beams 8
    """
    from cnnkit.tasks.caption.files import find_captioner_file

    find_captioner_file(model)
    console = printing.console()
    batch_settings = BatchSettings(jsonl=jsonl, recursive=recursive)
    job = Batch("caption", pictures, batch_settings, printing, console)

    def predict(sources: "Sequence[Source]") -> "Iterable[Caption | CnnkitError]":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.caption.predict import Captioner

        paths = [source.path for source in sources]
        return Captioner(model).caption_each(
            paths, settings, batch=batch, stdin=sys.stdin.buffer.read
        )

    return job.run(predict)


@command
def evaluate(
    data: Annotated[Path, DATA],
    model: Model = DEFAULT_CAPTIONER,
    *,
    settings: EvaluateSettings,
    output: Annotated[Path | None, report_option(_TABLE, _SHEET)] = None,
    overwrite: Overwrite = False,
    batch: _BatchSize = 16,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Compare what is said of pictures with what people wrote: BLEU, CIDEr-D, perplexity, variety.

    Example: cnnkit evaluate caption captions.csv --model runs/holidays -o report/
    """
    from cnnkit.tasks.caption.data import read_captions
    from cnnkit.tasks.caption.files import find_captioner_file

    require_there([data])
    check_report(output, overwrite, (_TABLE, _SHEET))
    find_captioner_file(model)
    read_captions(data, settings.images, val_share=0.0)
    console = printing.console()
    engine.start(console, printing.verbose)
    from cnnkit.tasks.caption.evaluate import evaluate_caption

    with showing(console) as observer:
        found = evaluate_caption(data, settings, model=model, batch=batch, observer=observer)
    if found.collapsed:
        console.warning(
            f"{found.model} says '{found.most_common}' of {found.most_common_share:.0%} of the "
            "pictures: it does not look at them"
        )
    return show_evaluation(
        console,
        found,
        found.lines(),
        is_json=printing.json,
        folder=output,
        draw=lambda: _report_files(found),
        overwrite=overwrite,
    )


def _report_files(found: "CaptionEvaluation") -> Mapping[str, bytes]:
    from cnnkit.images import as_picture, encode_image
    from cnnkit.tasks.caption.data import encode_captions
    from cnnkit.tasks.caption.evaluate import draw_evaluation

    table = encode_captions(
        [one.source for one in found.captions],
        [one.sentence for one in found.captions],
        [one.candidates[0].score for one in found.captions],
        found.references,
    )
    sheet = as_picture(draw_evaluation(found), _SHEET)
    return {_TABLE: table, _SHEET: encode_image(sheet, ".png")}


@command
def train(
    context: typer.Context,
    data: Annotated[Path | None, DATA] = None,
    *,
    output: RunFolder = Path("runs/caption"),
    settings: TrainSettings,
    skip_bad: Annotated[
        bool, Option("Go on where most pictures are missing or cannot be read.", DATA_PANEL)
    ] = False,
    run: RunSettings,
    printing: PrintSettings,
) -> int:
    """Train a network that writes sentences about pictures, on your own.

    The run folder gets model.keras (take it with caption and evaluate), curves, a sheet of pictures
    with what is said of them, and captions.csv. At the end BLEU and the share of different
    sentences are measured; a network that says one sentence of all pictures is told. Ctrl-C keeps
    the best so far.

    Examples:

      cnnkit train caption captions.csv -o runs/holidays

      cnnkit train caption annotations/captions_train2017.json --images train2017

      cnnkit train caption --resume -o runs/holidays
    """
    run.check_data(data, "a CSV of files and sentences, or COCO's JSON")
    if data is not None and not run.resume:
        from cnnkit.tasks.caption.data import read_captions

        read_captions(
            data,
            settings.images,
            val_share=settings.val_share,
            seed=settings.seed,
            skip_bad=skip_bad,
        )

    def fit(data: str | Path, settings: TrainSettings, observer: Observer) -> "TrainedCaptioner":
        from cnnkit.tasks.caption.train import train_captioner

        return train_captioner(
            data, output, settings, resume=run.resume, skip_bad=skip_bad, observer=observer
        )

    return run_training_command(
        context,
        data,
        output,
        settings,
        run,
        printing,
        train=fit,
        epoch_line=_epoch_line,
        try_next="caption photo.jpg",
    )


def _epoch_line(epoch: int, row: dict[str, Any], settings: TrainSettings) -> str:
    return (
        f"epoch {epoch + 1} of {settings.epochs}: loss {row['loss']:.3f}, validation "
        f"{row['val_loss']:.3f}, perplexity {row['val_perplexity']:.2f}"
    )
