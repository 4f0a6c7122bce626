"""``cnnkit train text``: from a CSV of texts and labels to a model."""

from dataclasses import replace
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
    Ema,
    LabelSmoothing,
    Optimizer,
    Patience,
    Schedule,
    TimeBudget,
    Warmup,
    WeightDecay,
    classifier_epoch,
    fit_option,
    show_classifier,
    typed_settings,
)
from cnnkit.console import Console
from cnnkit.errors import UsageError
from cnnkit.options import (
    TEXT_NETWORKS,
    TEXT_SPLITS,
    TextTrainOptions,
)

_DEFAULTS = TextTrainOptions()
_DATA_PANEL = "Data"
_MODEL_PANEL = "Model"


def _data(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_DATA_PANEL, **settings)


def _model(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_MODEL_PANEL, **settings)


def text(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.csv",
            help="A row for each text; a column split may say train, val or test.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/text"),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in -o, with its settings; --epochs may be more.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    text_column: Annotated[
        str, _data(metavar="NAME", help="Column of the texts.")
    ] = _DEFAULTS.text_column,
    label_column: Annotated[
        str, _data(metavar="NAME", help="Column of the labels.")
    ] = _DEFAULTS.label_column,
    table_columns: Annotated[
        str,
        _data(
            metavar="NAME,...",
            help="Others that help to tell the label: numbers, yes or no, or categories; "
            "zip:category says what zip is.",
            show_default="none",
        ),
    ] = "",
    val_share: Annotated[
        float, _data(help="Share of each class kept for validation, where no row is for that.")
    ] = _DEFAULTS.val_share,
    class_weights: Annotated[
        bool,
        typer.Option(
            "--class-weights",
            help="Let rare classes count as much as frequent ones.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = _DEFAULTS.class_weights,
    network: Annotated[
        str,
        _model(
            metavar="|".join(TEXT_NETWORKS),
            help="What reads the text; a bag of words knows no order, and is there to compare.",
        ),
    ] = _DEFAULTS.network,
    by: Annotated[
        str, _model(metavar="|".join(TEXT_SPLITS), help="What texts are split into.")
    ] = _DEFAULTS.by,
    vocabulary_size: Annotated[
        int, _model(help="Words that are told apart, the most frequent; the others are unknown.")
    ] = _DEFAULTS.vocabulary_size,
    embedding_size: Annotated[
        int, _model(help="Numbers that are learned for each word; 0 for one-hots.")
    ] = _DEFAULTS.embedding_size,
    units: Annotated[
        int, _model(help="Numbers that the network keeps in mind, in each direction.")
    ] = _DEFAULTS.units,
    bidirectional: Annotated[
        bool,
        typer.Option(
            "--bidirectional",
            help="Read from the end too.",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.bidirectional,
    max_words: Annotated[
        int, _model(help="Of each text; what comes later is left out.")
    ] = _DEFAULTS.max_words,
    dropout: Annotated[
        float, _model(help="Share of the last layer's inputs left out.")
    ] = _DEFAULTS.dropout,
    epochs: Annotated[int, fit_option(min=1, help="Passes over the data.")] = _DEFAULTS.epochs,
    batch: Annotated[int, fit_option(min=1, help="Texts in a step.")] = _DEFAULTS.batch_size,
    optimizer: Optimizer = _DEFAULTS.optimizer,
    learning_rate: Annotated[
        float | None,
        fit_option(
            help="At its highest.",
            show_default=f"{_DEFAULTS.peak_learning_rate:g}, "
            f"{replace(_DEFAULTS, optimizer='sgd').peak_learning_rate:g} for sgd",
        ),
    ] = _DEFAULTS.learning_rate,
    schedule: Schedule = _DEFAULTS.schedule,
    warmup: Warmup = _DEFAULTS.warmup,
    weight_decay: WeightDecay = _DEFAULTS.weight_decay,
    label_smoothing: LabelSmoothing = _DEFAULTS.label_smoothing,
    ema: Ema = _DEFAULTS.ema,
    clip_norm: Annotated[
        float, fit_option(help="Longest gradient of a step, all weights together; 0 for any.")
    ] = _DEFAULTS.clip_norm,
    patience: Patience = _DEFAULTS.patience,
    time_budget: TimeBudget = _DEFAULTS.time_budget,
    seed: Seed = _DEFAULTS.seed,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Train a classifier of texts on your own CSV file.

    A network reads the words in their order: an LSTM, a GRU or a plain RNN. The run folder gets
    model.keras (take it with classify-text, evaluate text, visualize words), the vocabulary,
    curves, the confusion matrix and the worst mistakes. Ctrl-C keeps the best so far.

    Examples:

      cnnkit train text mail.csv -o runs/mail

      cnnkit train text mail.csv --network bag -o runs/mail-bag

      cnnkit train text posts.csv --label-column topic --table-columns age,sex,country

      cnnkit train text --resume -o runs/mail --epochs 40
    """
    console = Console(quiet=quiet, verbose=verbose)
    require_there([data])
    options = TextTrainOptions(
        text_column=text_column,
        label_column=label_column,
        table_columns=tuple(name.strip() for name in table_columns.split(",") if name.strip()),
        network=network,
        by=by,
        vocabulary_size=vocabulary_size,
        embedding_size=embedding_size,
        units=units,
        bidirectional=bidirectional,
        max_words=max_words,
        epochs=epochs,
        batch_size=batch,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        dropout=dropout,
        ema=ema,
        clip_norm=clip_norm,
        patience=patience,
        time_budget=time_budget,
        class_weights=class_weights,
        val_share=val_share,
        seed=seed,
    )
    if not resume:
        _check_data(data, options)
    from cnnkit.runtime import configure

    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.training.text import read_run_options, train_text

    if resume:
        data_before, before = read_run_options(output)
        data = data or Path(data_before)
        options = replace(before, **typed_settings(context, options))

    def show(epoch: int, row: dict) -> None:
        console.note(classifier_epoch(epoch, row, options.epochs))

    result = train_text(data, output, options, resume=resume, on_note=console.note, on_epoch=show)
    show_classifier(console, result, json, 'classify-text "a sentence"', output)
    return 0


def _check_data(data: Path | None, options: TextTrainOptions) -> None:
    """Says at once what is wrong with a file, before Keras is imported."""
    from cnnkit.data.labelled_texts import read_labelled_texts
    from cnnkit.data.tables import TableEncoder

    if data is None:
        raise UsageError("no data is given; name a .csv with texts and labels")
    texts = read_labelled_texts(
        data, text_column=options.text_column, label_column=options.label_column
    )
    TableEncoder.build(texts.table, options.table_columns)
