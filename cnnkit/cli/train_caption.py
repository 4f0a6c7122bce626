"""``cnnkit train caption``: from pictures and sentences to a network that writes such."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
    Json,
    Quiet,
    Seed,
    Threads,
    Verbose,
    require_there,
)
from cnnkit.cli._training import (
    ClipNorm,
    LabelSmoothing,
    Optimizer,
    Patience,
    Schedule,
    TimeBudget,
    Warmup,
    WeightDecay,
    fit_option,
    typed_settings,
)
from cnnkit.console import Console
from cnnkit.engine.observer import showing_tasks, suggest_model
from cnnkit.errors import UsageError
from cnnkit.options import (
    CAPTION_BACKBONES,
    CAPTION_CELLS,
    CaptionTrainOptions,
)
from cnnkit.results import SCHEMA

_DEFAULTS = CaptionTrainOptions()
_DATA_PANEL = "Data"
_MODEL_PANEL = "Model"


def _data(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_DATA_PANEL, **settings)


def _model(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_MODEL_PANEL, **settings)


def caption(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="A CSV with the columns file and sentence, a JSON file of COCO's captions, or a "
            "folder with such for train and val.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/caption"),
    images: Annotated[
        Path | None,
        _data(
            metavar="DIR",
            help="Where the pictures are.",
            show_default="beside DATA, or where COCO has them",
        ),
    ] = None,
    val_share: Annotated[
        float, _data(help="Share of the pictures kept for validation, where DATA has no such part.")
    ] = _DEFAULTS.val_share,
    vocabulary: Annotated[
        int, _data(help="Words at most; the rarest are left out.")
    ] = _DEFAULTS.vocabulary,
    min_count: Annotated[
        int, _data(help="Words that occur less often are left out.")
    ] = _DEFAULTS.min_count,
    max_words: Annotated[
        int, _data(help="Words of a sentence; longer ones lose their end.")
    ] = _DEFAULTS.max_words,
    mirror: Annotated[
        bool, _data(help="Train on mirror images too, and swap left and right in their sentences.")
    ] = _DEFAULTS.mirror,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Go on where most pictures are missing or cannot be read.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = False,
    backbone: Annotated[
        str,
        _model(metavar="|".join(CAPTION_BACKBONES), help="What the pictures are seen with."),
    ] = _DEFAULTS.backbone,
    cell: Annotated[
        str, _model(metavar="|".join(CAPTION_CELLS), help="What the decoder is made of.")
    ] = _DEFAULTS.cell,
    attention: Annotated[
        bool, _model(help="Look at places of the picture for each word.")
    ] = _DEFAULTS.attention,
    units: Annotated[int, _model(help="Numbers in the decoder's state.")] = _DEFAULTS.units,
    embedding: Annotated[int, _model(help="Numbers that stand for a word.")] = _DEFAULTS.embedding,
    transfer: Annotated[
        str,
        _model(
            metavar="head|last:N|all",
            help="What is trained: the decoder, the last N layers of the backbone too, or all.",
        ),
    ] = _DEFAULTS.transfer,
    size: Annotated[
        int | None,
        _model(
            help="Side that pictures are stretched to, in pixels.",
            show_default=", ".join(
                f"{side} for {name}" for name, side in CAPTION_BACKBONES.items()
            ),
        ),
    ] = _DEFAULTS.size,
    dropout: Annotated[
        float, _model(help="Share of what is seen that is left out in training.")
    ] = _DEFAULTS.dropout,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in -o, with its settings.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    epochs: Annotated[int, fit_option(min=1, help="Passes over the sentences.")] = _DEFAULTS.epochs,
    batch: Annotated[int, fit_option(min=1, help="Sentences in a step.")] = _DEFAULTS.batch_size,
    optimizer: Optimizer = _DEFAULTS.optimizer,
    learning_rate: Annotated[
        float | None,
        fit_option(
            help="At its highest.",
            show_default="0.002, 0.001 where the backbone trains; 50 times that for sgd",
        ),
    ] = _DEFAULTS.learning_rate,
    pretrained_rate: Annotated[
        float, fit_option(help="Of the learning rate, for the backbone.")
    ] = _DEFAULTS.pretrained_rate,
    schedule: Schedule = _DEFAULTS.schedule,
    warmup: Warmup = _DEFAULTS.warmup,
    weight_decay: WeightDecay = _DEFAULTS.weight_decay,
    label_smoothing: LabelSmoothing = _DEFAULTS.label_smoothing,
    clip_norm: ClipNorm = _DEFAULTS.clip_norm,
    patience: Patience = _DEFAULTS.patience,
    time_budget: TimeBudget = _DEFAULTS.time_budget,
    beams: Annotated[
        int, fit_option(help="Of the search for the sentences that the training ends with.")
    ] = _DEFAULTS.beams,
    seed: Seed = _DEFAULTS.seed,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
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
    console = Console(quiet=quiet, verbose=verbose)
    require_there([data])
    options = CaptionTrainOptions(
        backbone=backbone,
        cell=cell,
        attention=attention,
        units=units,
        embedding=embedding,
        transfer=transfer,
        size=size,
        vocabulary=vocabulary,
        min_count=min_count,
        max_words=max_words,
        mirror=mirror,
        epochs=epochs,
        batch_size=batch,
        optimizer=optimizer,
        learning_rate=learning_rate,
        pretrained_rate=pretrained_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        dropout=dropout,
        clip_norm=clip_norm,
        patience=patience,
        time_budget=time_budget,
        images=None if images is None else str(images),
        val_share=val_share,
        beams=beams,
        seed=seed,
    )
    if data is None and not resume:
        raise UsageError("no data is given; name a CSV of files and sentences, or COCO's JSON")
    if data is not None and not resume:
        from cnnkit.data.captions import read_captions

        read_captions(data, images, val_share=val_share, seed=seed, skip_bad=skip_bad)
    from cnnkit.runtime import configure

    configure(threads=threads, verbose=verbose, device=device)
    result = _train(context, data, output, options, resume, skip_bad, console)
    if result.collapsed:
        sentence, share = result.most_common
        console.warning(
            f"the model says '{sentence}' of {share:.0%} of the pictures: it has not learnt to "
            "look; train longer, on more pictures, or with another --learning-rate"
        )
    if json:
        console.json({"schema": SCHEMA, **asdict(result)})
        return 0
    scores = ", ".join(f"{score:.3f}" for score in result.bleu)
    console.result(
        f"perplexity {result.perplexity:.2f}; BLEU-1 to 4: {scores}; "
        f"{result.distinct:.0%} of the sentences differ"
    )
    console.result(
        f"{result.model}: {result.words} words and signs, epoch {result.best} of {result.epochs} "
        f"was best, {result.seconds:.0f} s"
    )
    suggest_model(console, "caption photo.jpg", output)
    return 0


def _train(
    context: typer.Context,
    data: Path | None,
    output: Path,
    options: CaptionTrainOptions,
    resume: bool,
    skip_bad: bool,
    console: Console,
) -> Any:
    """Trains, and shows how it goes."""
    from cnnkit.training.caption import read_run_options, train_captioner

    if resume:
        data_before, before = read_run_options(output)
        data = data or Path(data_before)
        options = replace(before, **typed_settings(context, options))

    def show(epoch: int, row: dict) -> None:
        console.note(
            f"epoch {epoch + 1} of {options.epochs}: loss {row['loss']:.3f}, validation "
            f"{row['val_loss']:.3f}, perplexity {row['val_perplexity']:.2f}"
        )

    with showing_tasks(console) as show_progress:
        return train_captioner(
            data,
            output,
            options,
            resume=resume,
            skip_bad=skip_bad,
            on_note=console.note,
            on_progress=show_progress,
            on_epoch=show,
        )
