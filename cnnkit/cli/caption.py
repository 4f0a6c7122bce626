"""``cnnkit caption``: a sentence about a picture."""

import sys
from typing import Annotated

import typer

from cnnkit.cli._captioner import Batch, Beams, LengthPenalty, MaxWords, Model
from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import Device, Engine, Json, JsonLines, Quiet, Recursive, Threads, Verbose
from cnnkit.console import Console
from cnnkit.engine.batch import Outcome, check_json
from cnnkit.errors import CnnkitError
from cnnkit.options import DEFAULT_CAPTIONER, CaptionOptions
from cnnkit.results import Record

_DEFAULTS = CaptionOptions()


def caption(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMG...", help="Files, folders, globs, @list.txt or - (stdin)."),
    ],
    model: Model = DEFAULT_CAPTIONER,
    beams: Beams = _DEFAULTS.beams,
    max_words: MaxWords = _DEFAULTS.max_words,
    candidates: Annotated[
        int, typer.Option(min=1, help="Sentences for each picture, at most as many as beams.")
    ] = _DEFAULTS.candidates,
    length_penalty: LengthPenalty = _DEFAULTS.length_penalty,
    recursive: Recursive = False,
    batch: Batch = 16,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Say in a sentence what pictures show.

    Where it doubts, it says "not sure: a sentence?". What the shipped model can say, and what it
    cannot: `cnnkit weights card captions`.

    Examples:

      cnnkit caption photo.jpg

      cnnkit caption photos/ -r --candidates 3 --jsonl

      cnnkit caption photo.jpg --model runs/holidays --beams 8
    """
    from cnnkit.data.sources import find_sources
    from cnnkit.pipelines._captioner_files import find_captioner_file

    console = Console(quiet=quiet, verbose=verbose)
    check_json(json, jsonl)
    options = CaptionOptions(beams, max_words, candidates, length_penalty)
    find_captioner_file(model)
    sources = find_sources(pictures, recursive, note=console.note)
    outcome = Outcome(console, json, jsonl, len(sources) == 1)
    if outcome.none_is_there(sources):
        return outcome.finish()
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines._captioner import Captioner

    captioner = Captioner(model)
    with console.progress() as bar:
        task = bar.add_task("caption", total=len(sources), status="")
        paths = [source.path for source in sources]
        for path, found in captioner.caption(
            paths, options, batch=batch, stdin=sys.stdin.buffer.read
        ):
            if isinstance(found, CnnkitError):
                outcome.fail(path, found)
            else:
                height, width = found.size
                items = tuple(one.to_dict() for one in found.candidates)
                record = Record(path, width, height, items, model=found.model, ms=found.ms)
                doubt = f"not sure: {found.sentence}?"
                lines = [f"{path}: {doubt if found.is_sure is False else found.sentence}"]
                if candidates > 1:
                    shown = [f"  {one.score:>7.2%}  {one.sentence}" for one in found.candidates]
                    first = f"{path}: not sure" if found.is_sure is False else path
                    lines = [first, *shown]
                outcome.add(record, lines)
            bar.update(task, advance=1)
    return outcome.finish()
