"""``cnnkit classify-text``: what texts are about."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import RUN_PANEL, Device, Engine, Json, JsonLines, Quiet, Threads, Verbose
from cnnkit.cli._text import TextBatch, TextColumn, TextModel, shortened
from cnnkit.console import Console
from cnnkit.engine.batch import Outcome, check_json
from cnnkit.errors import DataError, UsageError
from cnnkit.results import Record

if TYPE_CHECKING:
    from cnnkit.data._csv_table import CsvTable

STDIN = "-"


def classify_text(
    model: TextModel,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="Each in quotes; - for the lines of stdin."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="A row for each text, with the table columns that the model was trained with.",
        ),
    ] = None,
    text_column: TextColumn = None,
    top: Annotated[int, typer.Option(min=1, help="Classes for each text, at most.")] = 5,
    conf: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only classes that are as probable as this.")
    ] = 0.0,
    fail_if_empty: Annotated[
        bool,
        typer.Option(
            "--fail-if-empty",
            help="Exit with 4 when no class of any text reaches --conf.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    batch: TextBatch = 32,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Tell the classes of texts, the most probable ones first.

    Examples:

      cnnkit classify-text "see you at the meeting" --model runs/mail

      cnnkit classify-text --file new.csv --model runs/mail --top 1 --jsonl

      cat lines.txt | cnnkit classify-text - --model runs/mail --top 1
    """
    console = Console(quiet=quiet, verbose=verbose)
    check_json(json, jsonl)
    from cnnkit.pipelines._text_files import find_text_file

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
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines._text_predictor import TextPredictor
    from cnnkit.pipelines.classify_text import classify_texts

    outcome = Outcome(console, json, jsonl, len(sources) == 1)
    found = classify_texts(
        TextPredictor(model), [text for _, _, text in sources], table, top=top, batch=batch
    )
    for (source, line, text), one in zip(sources, found, strict=True):
        best = [item for item in one.best if item.score >= conf]
        record = Record(
            source,
            items=tuple(
                {"label": item.label, "class_id": item.class_id, "score": item.score}
                for item in best
            ),
            model=one.model,
            threshold=conf or None,
            ms=one.ms,
            details={"text": text, "line": line},
        )
        shown = [f"{item.score:>7.2%}  {item.label}" for item in best]
        shown = shown or [f"no class reaches {conf:g}"]
        if top == 1:
            lines = [f"{shown[0].strip()}  {shortened(text)}"]
        else:
            lines = [shortened(text), *(f"  {line}" for line in shown)]
        outcome.add(record, lines)
    return outcome.finish(fail_if_empty)


def _read_file(path: Path, text_column: str) -> "tuple[CsvTable, list[tuple[str, int, str]]]":
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
