"""``cnnkit embed``: faces as vectors."""

import csv
import io
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._faces import (
    FailIfEmpty,
    MaxSide,
    Model,
    Stopwatch,
    Upsample,
    batches,
    place,
    read_pictures,
)
from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    Device,
    Engine,
    Json,
    JsonLines,
    Overwrite,
    Quiet,
    Recursive,
    Threads,
    Verbose,
)
from cnnkit.console import Console
from cnnkit.engine.batch import Outcome, check_json
from cnnkit.errors import UsageError
from cnnkit.options import FaceOptions
from cnnkit.results import Record

if TYPE_CHECKING:
    from cnnkit.results import Face

_DEFAULTS = FaceOptions()
_SUFFIXES = (".npz", ".csv", ".jsonl")


def embed(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMG...", help="Files, folders, globs, @list.txt or - (stdin)."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="An .npz, .csv or .jsonl file. Without it, JSON lines go to stdout.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Only the largest face of each picture.")
    ] = False,
    model: Model = _DEFAULTS.model,
    max_side: MaxSide = _DEFAULTS.max_side,
    upsample: Upsample = _DEFAULTS.upsample,
    recursive: Recursive = False,
    fail_if_empty: FailIfEmpty = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Turn each face of the pictures into a vector: near for one person, far for two.

    An .npz holds `embeddings` (N, D), `sources` (N,) and `boxes_xyxy` (N, 4); a .csv one face a
    line.

    Examples:

      cnnkit embed photos/ -r -o faces.npz

      cnnkit embed a.jpg --jsonl
    """
    from pathlib import Path

    from cnnkit.data.sources import find_sources

    console = Console(quiet=quiet, verbose=verbose)
    check_json(json, jsonl)
    options = FaceOptions(model=model, max_side=max_side, upsample=upsample)
    if output is not None:
        if Path(output).suffix.lower() not in _SUFFIXES:
            raise UsageError(f"-o takes a name in {', '.join(_SUFFIXES)}, not {output}")
        if Path(output).exists() and not overwrite:
            raise UsageError(f"{output} exists; use --overwrite or another -o")
    sources = find_sources(pictures, recursive, note=console.note)
    # A program reads them; a person is told how many there are.
    is_read = not sys.stdout.isatty()
    jsonl = jsonl or (output is None and not json and is_read)
    outcome = Outcome(console, json, jsonl, len(sources) == 1)
    rows: list[tuple[str, Face]] = []
    records: list[Record] = []
    recognizer: Any = None
    watch = Stopwatch(outcome)
    with console.progress() as bar:
        task = bar.add_task("embed", total=len(sources), status="")
        for batch in batches(read_pictures(sources, outcome)):
            if recognizer is None:
                start_inference(console, engine, threads=threads, device=device, verbose=verbose)
                from cnnkit.pipelines._face_recognition import FaceRecognizer

                recognizer = FaceRecognizer(options, console.note)
            watch.start()
            found = recognizer.faces(
                [picture for _, picture in batch], max_faces=1 if largest else None
            )
            watch.stop(len(batch))
            for (source, picture), faces in zip(batch, found, strict=True):
                height, width = picture.pixels.shape[:2]
                items = tuple(
                    {
                        **face.to_dict(),
                        "embedding": [float(value) for value in face.embedding],
                    }
                    for face in faces
                )
                record = Record(
                    source.path,
                    width,
                    height,
                    items,
                    model=recognizer.model,
                    ms=watch.times(source),
                )
                lines = [f"{source.path}: {place(face)}" for face in faces]
                outcome.add(record, lines or [f"{source.path}: no face"])
                records.append(record)
                rows += [(source.path, face) for face in faces]
            bar.update(task, advance=len(batch))
    if output is not None and recognizer is not None:
        from cnnkit.images import write_bytes

        write_bytes(
            output, _encode(Path(output).suffix.lower(), rows, records), overwrite=overwrite
        )
        console.note(f"{output}: {len(rows)} faces of {len(records)} pictures")
    elif not json and not jsonl and rows:
        numbers = len(rows[0][1].embedding)
        console.note(f"{numbers} numbers for each face; write them with -o faces.npz or --jsonl")
    return outcome.finish(fail_if_empty)


def _encode(suffix: str, rows: "list[tuple[str, Face]]", records: list[Record]) -> bytes:
    import json

    import numpy as np

    if suffix == ".jsonl":
        lines = [json.dumps(record.to_json(), ensure_ascii=False) for record in records]
        return "".join(f"{line}\n" for line in lines).encode()
    if suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text)
        size = len(rows[0][1].embedding) if rows else 0
        writer.writerow(["source", "x1", "y1", "x2", "y2", *(f"e{i}" for i in range(size))])
        for source, face in rows:
            # The shortest text that is the same float32 again.
            writer.writerow([source, *face.box_xyxy, *map(str, face.embedding.astype(np.float32))])
        return text.getvalue().encode()
    buffer = io.BytesIO()
    size = len(rows[0][1].embedding) if rows else 0
    np.savez(
        buffer,
        embeddings=np.array([face.embedding for _, face in rows], np.float32).reshape(
            len(rows), size
        ),
        sources=np.array([source for source, _ in rows], str),
        boxes_xyxy=np.array([face.box_xyxy for _, face in rows], np.float32).reshape(-1, 4),
    )
    return buffer.getvalue()
