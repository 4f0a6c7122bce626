"""``cnnkit visualize words``: what a network learned of words."""

from pathlib import Path
from typing import Annotated

import typer

from cnnkit.cli._options import (
    OUTPUT_PANEL,
    Device,
    Json,
    JsonLines,
    Overwrite,
    Quiet,
    Threads,
    Verbose,
)
from cnnkit.cli._visualize import check_png
from cnnkit.console import Console
from cnnkit.engine.batch import Outcome, check_json
from cnnkit.engine.command import option_type
from cnnkit.errors import DataError, UsageError
from cnnkit.results import Record
from cnnkit.tasks.text.settings import Model

TextModel = option_type("model", Model, None)


def words(
    model: TextModel,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD...", help="Words to look at.")
    ] = None,
    near: Annotated[int, typer.Option(min=1, help="Words near to each, at most.")] = 8,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw all words in a plane, these and those near to them in colours.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """List the nearest words of words in what train text learned, and draw them all.

    Near is a small angle between the vectors of two words: the number is its cosine, 1 for the
    same direction.

    Example:

      cnnkit visualize words cold dirty --model runs/reviews --plot words.png
    """
    console = Console(quiet=quiet, verbose=verbose)
    check_json(json, jsonl)
    if not words and plot is None:
        raise UsageError("name words to look at, or give --plot FILE.png for all of them")
    check_png(plot, "--plot", overwrite)
    from cnnkit.runtime import configure
    from cnnkit.tasks.text.files import find_text_file

    find_text_file(model)
    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.images import write_bytes
    from cnnkit.pipelines.visualize_words import WordMap
    from cnnkit.plots import encode_figure

    known = WordMap(model)
    outcome = Outcome(console, json, jsonl, len(words or ()) == 1)
    found = []
    for word in words or ():
        try:
            one = known.nearest(word, near)
        except DataError as error:
            outcome.fail(word, error)
            continue
        found.append(one)
        items = tuple({"label": other.word, "similarity": other.similarity} for other in one.near)
        lines = [one.word, *(f"  {other.similarity:>6.3f}  {other.word}" for other in one.near)]
        outcome.add(Record(word, items=items, model=one.model), lines)
    if plot is not None:
        write_bytes(plot, encode_figure(known.plot(found)), overwrite=overwrite)
        console.note(f"{plot} shows the words")
    return outcome.finish() if words else 0
