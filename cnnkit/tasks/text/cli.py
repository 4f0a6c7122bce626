"""``cnnkit classify-text``, ``cnnkit evaluate text`` and ``cnnkit train text``."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.engine.batch import JsonLines, Outcome, Overwrite, check_json
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.evaluator import (
    CLASS_FILES,
    AllClasses,
    check_report,
    report_option,
    show_evaluation,
)
from cnnkit.engine.observer import Observer
from cnnkit.engine.settings import (
    RUN_PANEL,
    Argument,
    Option,
    RunFolder,
    require_there,
)
from cnnkit.engine.train_command import RunSettings, class_line, run_training_command
from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.text.settings import (
    DATA,
    BatchSize,
    EvaluateSettings,
    Model,
    TextColumn,
    TextSettings,
    TrainSettings,
)

if TYPE_CHECKING:
    from cnnkit.data._csv_table import CsvTable
    from cnnkit.engine.classifier_training import TrainedClassifier

STDIN = "-"
# A file of the report of `evaluate text`.
_MISTAKES = "mistakes.csv"


@command
def classify_text(
    model: Model,
    texts: Annotated[
        list[str] | None, Argument("Each in quotes; - for the lines of stdin.", metavar="TEXT...")
    ] = None,
    file: Annotated[
        Path | None,
        Option(
            "A row for each text, with the table columns that the model was trained with.",
            metavar="FILE.csv",
        ),
    ] = None,
    text_column: TextColumn = None,
    *,
    settings: TextSettings,
    fail_if_empty: Annotated[
        bool, Option("Exit with 4 when no class of any text reaches --conf.", RUN_PANEL)
    ] = False,
    batch: BatchSize = 32,
    engine: EngineSettings,
    jsonl: JsonLines = False,
    printing: PrintSettings,
) -> int:
    """Tell the classes of texts, the most probable ones first.

    Examples:

      cnnkit classify-text "see you at the meeting" --model runs/mail

      cnnkit classify-text --file new.csv --model runs/mail --top 1 --jsonl

      cat lines.txt | cnnkit classify-text - --model runs/mail --top 1
    """
    from cnnkit.tasks.text.files import find_text_file

    console = printing.console()
    check_json(printing.json, jsonl)
    trained = find_text_file(model)
    if (file is None) == (not texts):
        raise UsageError("give texts in quotes, - for the lines of stdin, or --file with a .csv")
    table = None
    if file is not None:
        table, sources = _read_file(file, text_column or trained.text_column)
        # Before Keras is imported.
        trained.encoder.encode(table)
    elif text_column is not None:
        raise UsageError("--text-column is for --file; leave it out")
    else:
        sources = _read_arguments(texts or [])
        if trained.encoder.columns:
            names = ", ".join(column.name for column in trained.encoder.columns)
            console.note(f"{trained.name} knows {names} too; give them in a --file with the texts")
    engine.start(console, printing.verbose)
    from cnnkit.tasks.text.predict import TextClassifier

    outcome = Outcome(console, printing.json, jsonl, len(sources) == 1)
    found = TextClassifier(model).classify(
        [text for _, _, text in sources], settings, table, batch=batch
    )
    for (origin, line, _), one in zip(sources, found, strict=True):
        one = replace(one, origin=origin, line=line)
        outcome.add(one.to_record(), one.lines(is_short=settings.top == 1))
    return outcome.finish(fail_if_empty)


def _read_file(
    path: Path, text_column: str
) -> "tuple[CsvTable, list[tuple[str, int | None, str]]]":
    from cnnkit.data._csv_table import read_csv_table

    table = read_csv_table(path)
    rows = zip(table.lines, table.column(text_column), strict=True)
    return table, [(str(path), line, text) for line, text in rows]


def _read_arguments(texts: list[str]) -> list[tuple[str, int | None, str]]:
    """Where each text is from, its line of stdin, and the text."""
    found: list[tuple[str, int | None, str]] = []
    for text in texts:
        if text != STDIN:
            found.append(("argument", None, text))
            continue
        try:
            lines = sys.stdin.buffer.read().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise DataError("stdin is not UTF-8 text; give lines of such") from None
        found += [(STDIN, number, line) for number, line in enumerate(lines, 1)]
    if not found:
        raise DataError("stdin is empty; give a text in each line")
    return found


@command
def evaluate(
    data: Annotated[Path, DATA],
    model: Model,
    *,
    settings: EvaluateSettings,
    all_classes: AllClasses = False,
    output: Annotated[Path | None, report_option(*CLASS_FILES, _MISTAKES)] = None,
    overwrite: Overwrite = False,
    batch: BatchSize = 32,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Tell labelled texts apart: accuracy, calibration, and the figures of each class.

    A run does not remember which texts it kept for validation: where no column split says so, the
    figures are of all texts, those that it was trained on included.

    Example: cnnkit evaluate text test.csv --model runs/mail -o report/
    """
    from cnnkit.tasks.text.data import read_known_texts
    from cnnkit.tasks.text.files import find_text_file

    check_report(output, overwrite, (*CLASS_FILES, _MISTAKES))
    require_there([data])
    file = find_text_file(model)
    texts = read_known_texts(data, file, settings)
    console = printing.console()
    engine.start(console, printing.verbose)
    from cnnkit.tasks.text.evaluate import evaluate_text, mistakes_table

    found = evaluate_text(texts, settings, model=model, batch=batch)
    if settings.split is None and found.split == "all":
        console.note(
            f"{data} does not say which rows are for val and test, so these are all: if the model "
            "was trained on some of them, it does worse on others"
        )
    return show_evaluation(
        console,
        found,
        found.lines(all_classes),
        is_json=printing.json,
        folder=output,
        draw=lambda: {**found.files("text"), _MISTAKES: mistakes_table(texts, found)},
        overwrite=overwrite,
    )


@command
def train(
    context: typer.Context,
    data: Annotated[Path | None, DATA] = None,
    *,
    output: RunFolder = Path("runs/text"),
    settings: TrainSettings,
    run: RunSettings,
    printing: PrintSettings,
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
    run.check_data(data, "a .csv with texts and labels")
    if data is not None and not run.resume:
        _check_data(data, settings)

    def fit(data: str | Path, settings: TrainSettings, observer: Observer) -> "TrainedClassifier":
        from cnnkit.tasks.text.train import train_text

        return train_text(data, output, settings, resume=run.resume, observer=observer)

    return run_training_command(
        context,
        data,
        output,
        settings,
        run,
        printing,
        train=fit,
        epoch_line=lambda epoch, row, settings: class_line(epoch, row, settings.epochs),
        score=("val_accuracy", "accuracy"),
        try_next='classify-text "a sentence"',
    )


def _check_data(data: Path, settings: TrainSettings) -> None:
    """Says at once what is wrong with a file, before Keras is imported."""
    from cnnkit.data.tables import TableEncoder
    from cnnkit.tasks.text.data import read_labelled_texts

    texts = read_labelled_texts(
        data, text_column=settings.text_column, label_column=settings.label_column
    )
    TableEncoder.build(texts.table, settings.table_columns)
