"""``cnnkit classify``: what pictures show."""

import sys
from typing import Annotated

import typer

from cnnkit.cli._classifier import (
    Batch,
    Classes,
    Classifier,
    ClassifierPixels,
    check_classifier,
)
from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import (
    RUN_PANEL,
    Device,
    Engine,
    Json,
    JsonLines,
    Quiet,
    Recursive,
    Threads,
    Verbose,
)
from cnnkit.console import Console
from cnnkit.engine.batch import Outcome, check_json
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import DEFAULT_CLASSIFIER


def classify(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="IMG...",
            help="Files, folders, globs, @list.txt or - (stdin); .npy files for a model of arrays.",
        ),
    ],
    model: Classifier = DEFAULT_CLASSIFIER,
    top: Annotated[int, typer.Option(min=1, help="Classes for each picture, at most.")] = 5,
    group: Annotated[
        bool,
        typer.Option(
            "--group", help="Of imagenet: sum the classes into everyday groups (dog, car) too."
        ),
    ] = False,
    conf: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only classes that are as probable as this.")
    ] = 0.0,
    classes: Classes = None,
    pixels: ClassifierPixels = "unit",
    recursive: Recursive = False,
    fail_if_empty: Annotated[
        bool,
        typer.Option(
            "--fail-if-empty",
            help="Exit with 4 when no class of any picture reaches --conf.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    batch: Batch = 32,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Tell what pictures show: the most probable classes of each.

    Examples:

      cnnkit classify cat.jpg

      cnnkit classify photos/ -r --group --top 1

      cnnkit classify cat.jpg --model runs/pets

      cnnkit classify photos/ -r --model runs/pets --top 1 --jsonl
    """
    from cnnkit.data.sources import find_sources
    from cnnkit.images import READABLE_SUFFIXES

    console = Console(quiet=quiet, verbose=verbose)
    check_json(json, jsonl)
    if group and model != DEFAULT_CLASSIFIER:
        raise UsageError(f"--group is for --model {DEFAULT_CLASSIFIER}; {model} has no groups")
    file = check_classifier(model)
    takes_arrays = file is not None and file.kind == "arrays"
    suffixes = (".npy",) if takes_arrays else READABLE_SUFFIXES
    sources = find_sources(pictures, recursive, suffixes, console.note)
    outcome = Outcome(console, json, jsonl, len(sources) == 1)
    if outcome.none_is_there(sources):
        return outcome.finish()
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines._predictor import Predictor
    from cnnkit.pipelines.classify import classify_each

    predictor = Predictor(model, pixels=pixels, classes=classes)
    with console.progress() as bar:
        task = bar.add_task("classify", total=len(sources), status="")
        paths = [source.path for source in sources]
        for path, found in classify_each(
            predictor, paths, top=top, group=group, batch=batch, stdin=sys.stdin.buffer.read
        ):
            if isinstance(found, CnnkitError):
                outcome.fail(path, found)
            else:
                found = found.at_least(conf)
                shown = found.class_lines()
                outcome.add(
                    found.to_record(),
                    [f"{path}: {shown[0].strip()}"]
                    if top == 1
                    else [path, *(f"  {line}" for line in shown)],
                )
            bar.update(task, advance=1)
    return outcome.finish(fail_if_empty)
