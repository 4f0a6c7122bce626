"""``cnnkit verify``, ``embed``, ``evaluate faces`` and ``train faces``."""

import csv
import io
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cnnkit.engine.batch import JsonLines, Outcome, Overwrite, Pictures, Recursive, check_json
from cnnkit.engine.command import DeviceSettings, EngineSettings, PrintSettings, command
from cnnkit.engine.evaluator import REPORT, check_report, report_option, write_report
from cnnkit.engine.observer import showing, suggest_model
from cnnkit.engine.ray_job import ResumableRaySettings
from cnnkit.engine.settings import (
    DATA_PANEL,
    OUTPUT_PANEL,
    RUN_PANEL,
    Argument,
    Option,
    RunFolder,
    require_there,
)
from cnnkit.errors import CnnkitError, ExitCode, UsageError
from cnnkit.results import SCHEMA, Failure, Milliseconds, Record, to_plain
from cnnkit.tasks.faces.reading import Stopwatch, batches, counted, place, read_pictures
from cnnkit.tasks.faces.settings import (
    CHOICES,
    FACE_PANEL,
    Choose,
    EmbedSettings,
    FaceSettings,
    TrainSettings,
)

if TYPE_CHECKING:
    from cnnkit.tasks.faces.results import Face, FaceEvaluation

# What `embed` writes, and files of the report of `evaluate faces`.
_SUFFIXES = (".npz", ".csv", ".jsonl")
_PAIRS, _ROC, _DISTANCES = "pairs.csv", "roc.png", "distances.png"

FailIfEmpty = Annotated[bool, Option("Exit with 4 when no face was found.", RUN_PANEL)]
Largest = Annotated[bool, Option("Only the largest face of each picture.")]


@command
def verify(
    first: Annotated[str, Argument("A picture, or - for stdin.", metavar="A")],
    second: Annotated[str, Argument("Another one.", metavar="B")],
    face: Annotated[
        str | None,
        Option(
            "Which face of A (and of B), 1 for the largest.",
            FACE_PANEL,
            metavar="N[,M]",
            show_default="large and near the middle",
        ),
    ] = None,
    explain: Annotated[
        str | None,
        Option(
            "Draw both faces, their points, what is wrong with them, and the distance.",
            OUTPUT_PANEL,
            metavar="FILE.png",
        ),
    ] = None,
    *,
    settings: FaceSettings,
    overwrite: Overwrite = False,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Say whether two pictures show the same person. Exits with 0 for yes, 1 for no.

    Examples:

      cnnkit verify passport.jpg selfie.jpg

      cnnkit verify group.jpg selfie.jpg --face 3,1 --explain why.png
    """
    console = printing.console()
    numbers = _parse_faces(face)
    if first == second == "-":
        raise UsageError("only one picture can come from stdin (-)")
    if explain is not None:
        if Path(explain).suffix.lower() != ".png":
            raise UsageError(f"--explain writes a .png, not {explain}")
        if Path(explain).exists() and not overwrite:
            raise UsageError(f"{explain} exists; use --overwrite or another name")
    from cnnkit.data.face_pictures import read_face_picture

    begin = time.monotonic()
    try:
        # What cannot be read is found out before the heavy imports.
        pictures = [read_face_picture(source) for source in (first, second)]
        loaded = time.monotonic()
        engine.start(console, printing.verbose)
        from cnnkit.tasks.faces.verify import Verifier, verdict_lines

        verifier = Verifier(settings, on_note=console.note)
        ready = time.monotonic()
        one, other = pictures
        result = verifier.run(one, other, faces=numbers)
        done = time.monotonic()
    except CnnkitError as error:
        if printing.json:
            failure = Failure(type(error).__name__, str(error))
            console.json(Record(first, error=failure, details={"other": second}))
        raise
    if explain is not None:
        from cnnkit.images import write_bytes
        from cnnkit.plots import encode_figure

        write_bytes(
            explain, encode_figure(verifier.explain(one, other, result)), overwrite=overwrite
        )
        console.note(f"{explain} shows why")
    faces = (result.first, result.second)
    if printing.json:
        height, width = pictures[0].pixels.shape[:2]
        console.json(
            Record(
                first,
                width,
                height,
                items=tuple(
                    {**one.to_dict(), "source": source}
                    for one, source in zip(faces, (first, second), strict=True)
                ),
                model=result.model,
                threshold=result.threshold,
                ms=Milliseconds(
                    load=round(1e3 * (loaded - begin), 1),
                    pre=round(1e3 * (ready - loaded), 1),
                    net=round(1e3 * (done - ready), 1),
                ),
                details={
                    "other": second,
                    "same": result.same,
                    "distance": round(result.distance, 6),
                    "confidence": round(result.confidence, 6),
                    "false_accept_rate": result.false_accept_rate,
                },
            )
        )
    else:
        console.result("same person" if result.same else "different people")
        for line in verdict_lines(result):
            console.result(f"  {line}")
        from cnnkit.tasks.faces.recognition import face_warnings

        for picture, found in zip(pictures, faces, strict=True):
            console.result(
                f"  {picture.source}: {', '.join([place(found), *face_warnings(found)])}"
            )
            if found.is_fallback:
                console.note(f"{picture.source}: found only at a second look")
    return int(ExitCode.DONE if result.same else ExitCode.NO)


def _parse_faces(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    parts = text.split(",")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise UsageError(f"--face takes N or N,M counted from 1, not {text}")
    return numbers[0], numbers[1] if len(numbers) == 2 else None


@command(whole=("output",))
def embed(
    pictures: Pictures,
    output: Annotated[
        str | None,
        Option(
            "An .npz, .csv or .jsonl file. Without it, JSON lines go to stdout.",
            OUTPUT_PANEL,
            ("-o", "--output"),
            metavar="FILE",
        ),
    ] = None,
    largest: Largest = False,
    *,
    settings: EmbedSettings,
    recursive: Recursive = False,
    fail_if_empty: FailIfEmpty = False,
    overwrite: Overwrite = False,
    engine: EngineSettings,
    ray: ResumableRaySettings,
    jsonl: JsonLines = False,
    printing: PrintSettings,
) -> int:
    """Turn each face of the pictures into a vector: near for one person, far for two.

    An .npz holds `embeddings` (N, D), `sources` (N,) and `boxes_xyxy` (N, 4); a .csv one face a
    line.

    Examples:

      cnnkit embed photos/ -r -o faces.npz

      cnnkit embed a.jpg --jsonl
    """
    from cnnkit.data.sources import find_sources

    console = printing.console()
    check_json(printing.json, jsonl)
    if output is not None:
        if Path(output).suffix.lower() not in _SUFFIXES:
            raise UsageError(f"-o takes a name in {', '.join(_SUFFIXES)}, not {output}")
        if Path(output).exists() and not overwrite:
            raise UsageError(f"{output} exists; use --overwrite or another -o")
    sources = find_sources(pictures, recursive, note=console.note)
    # A program reads them; a person is told how many there are.
    is_read = not sys.stdout.isatty()
    jsonl = jsonl or (output is None and not printing.json and is_read)
    outcome = Outcome(console, printing.json, jsonl, len(sources) == 1)
    rows: list[tuple[str, Face]] = []
    records: list[Record] = []
    recognizer: Any = None
    watch = Stopwatch(outcome)
    with console.progress() as bar:
        task = bar.add_task("embed", total=len(sources), status="")
        for batch in batches(read_pictures(sources, outcome)):
            if recognizer is None:
                engine.start(console, printing.verbose)
                from cnnkit.tasks.faces.recognition import FaceRecognizer

                recognizer = FaceRecognizer(settings.faces, console.note)
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
                        "embedding": [float(value) for value in face.vector],
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
    elif not printing.json and not jsonl and rows:
        numbers = len(rows[0][1].vector)
        console.note(f"{numbers} numbers for each face; write them with -o faces.npz or --jsonl")
    return outcome.finish(fail_if_empty)


def _encode(suffix: str, rows: "list[tuple[str, Face]]", records: list[Record]) -> bytes:
    import numpy as np

    if suffix == ".jsonl":
        lines = [json.dumps(record.to_json(), ensure_ascii=False) for record in records]
        return "".join(f"{line}\n" for line in lines).encode()
    if suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text)
        size = len(rows[0][1].vector) if rows else 0
        writer.writerow(["source", "x1", "y1", "x2", "y2", *(f"e{i}" for i in range(size))])
        for source, face in rows:
            # The shortest text that is the same float32 again.
            writer.writerow([source, *face.box_xyxy, *map(str, face.vector.astype(np.float32))])
        return text.getvalue().encode()
    buffer = io.BytesIO()
    size = len(rows[0][1].vector) if rows else 0
    np.savez(
        buffer,
        embeddings=np.array([face.vector for _, face in rows], np.float32).reshape(len(rows), size),
        sources=np.array([source for source, _ in rows], str),
        boxes_xyxy=np.array([face.box_xyxy for _, face in rows], np.float32).reshape(-1, 4),
    )
    return buffer.getvalue()


@command
def evaluate(
    pairs: Annotated[
        Path, Option("Pairs: a list of LFW's, or a .csv with a, b, same.", metavar="FILE")
    ],
    images: Annotated[
        Path | None,
        Option("Where the pictures are.", metavar="DIR", show_default="beside the pairs"),
    ] = None,
    threshold_pairs: Annotated[
        Path | None,
        Option("Choose the threshold on these pairs, of other people.", FACE_PANEL, metavar="FILE"),
    ] = None,
    choose: Choose = CHOICES[0],
    output: Annotated[Path | None, report_option(_PAIRS, _ROC, _DISTANCES)] = None,
    *,
    settings: FaceSettings,
    overwrite: Overwrite = False,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Tell pairs of faces apart: accuracy, ROC, and a threshold.

    Accuracy is over ten folds where the list has folds, the threshold of each chosen on the others.

    Example: cnnkit evaluate faces --pairs pairs.txt --images lfw -o report/
    """
    from cnnkit.data.pairs import read_pairs

    console = printing.console()
    if settings.threshold is not None and threshold_pairs is not None:
        raise UsageError("--threshold and --threshold-pairs exclude each other")
    check_report(output, overwrite, (_PAIRS, _ROC, _DISTANCES))
    listed = read_pairs(pairs, images)
    others = None if threshold_pairs is None else read_pairs(threshold_pairs, images)
    engine.start(console, printing.verbose)
    from cnnkit.tasks.faces.evaluate import FaceJudge

    with counted(console) as show:
        judge = FaceJudge(settings, choose=choose, on_note=console.note, on_progress=show)
        evaluation = judge.evaluate(listed, others)
    for _, error in judge.unreadable:
        console.error(str(error))
    for path in judge.missed[:10]:
        console.note(f"{path}: no face found")
    report = _report(evaluation)
    if output is not None:
        names = write_report(output, _files(evaluation, report, listed), overwrite)
        console.note(f"{output}: {', '.join(names)}")
    if printing.json:
        console.json({"schema": SCHEMA, **report})
    else:
        for line in _lines(evaluation):
            console.result(line)
    return int(ExitCode.INPUT_FAILED if judge.unreadable else ExitCode.DONE)


def _report(evaluation: "FaceEvaluation") -> dict[str, Any]:
    values = asdict(evaluation)
    del values["distances"], values["same"]
    return values


def _lines(evaluation: "FaceEvaluation") -> list[str]:
    accuracy = evaluation.accuracy
    low, high = accuracy.interval
    lines = [
        f"pairs      {evaluation.pairs:,} of {evaluation.pictures:,} pictures, "
        f"{evaluation.missed} without a face",
        f"accuracy   {accuracy.value:.2%} at {evaluation.threshold:.4f} "
        f"({evaluation.threshold_origin}; 95 % interval {low:.2%} to {high:.2%})",
    ]
    folded = evaluation.folded
    if folded is not None:
        lines.append(
            f"folds      {folded.mean:.2%} ± {folded.standard_error:.2%} "
            f"over {len(folded.folds)} folds"
        )
    validation = evaluation.validation
    note = f" ({validation.note})" if validation.note else ""
    return [
        *lines,
        f"VAL        {validation.rate:.2%} at a false accept rate of 0.1 %{note}",
        f"AUC        {evaluation.area_under_curve:.5f}",
        f"EER        {evaluation.equal_error_rate:.2%}",
        f"threshold  {evaluation.best_threshold:.4f} is best on these pairs",
    ]


def _files(
    evaluation: "FaceEvaluation", report: dict[str, Any], pairs: list[Any]
) -> dict[str, bytes]:
    from cnnkit.plots import encode_figure
    from cnnkit.tasks.faces.evaluate import draw_distances, draw_roc

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "b", "same", "distance"])
    for pair, distance in zip(pairs, evaluation.distances, strict=True):
        shown = "" if distance != distance else f"{distance:.6f}"
        writer.writerow([pair.first, pair.second, int(pair.same), shown])
    return {
        REPORT: (json.dumps(to_plain(report), indent=2) + "\n").encode(),
        _PAIRS: text.getvalue().encode(),
        _ROC: encode_figure(draw_roc(evaluation)),
        _DISTANCES: encode_figure(draw_distances(evaluation)),
    }


@command
def train(
    data: Annotated[
        list[Path], Argument("Folders with one folder of pictures per person.", metavar="DIR...")
    ],
    *,
    output: RunFolder = Path("runs/faces"),
    settings: TrainSettings,
    train_people: Annotated[
        Path | None,
        Option(
            "Names to train on, one in a line; LFW's lists are read too.",
            DATA_PANEL,
            metavar="FILE",
        ),
    ] = None,
    val_people: Annotated[
        Path | None, Option("Names to validate with.", DATA_PANEL, metavar="FILE")
    ] = None,
    val_pairs: Annotated[
        Path | None,
        Option(
            "Pairs to validate with, LFW's list or a .csv; nobody in them is trained on.",
            DATA_PANEL,
            metavar="FILE",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        Option(
            "Where the pictures of --val-pairs are.",
            DATA_PANEL,
            metavar="DIR",
            show_default="the folder of the file",
        ),
    ] = None,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Learn to tell people apart: an encoder of faces from scratch, or a head for dlib's.

    Writes faces.keras, which verify, faces and evaluate take as --model. People are kept for
    validation whole, and the threshold comes from them. Stopped runs go on when the same command
    is given again; Ctrl-C keeps the best so far.

    Example: cnnkit train faces people/ --loss binary -o runs/faces
    """
    console = printing.console()
    if val_pairs is not None and val_people is not None:
        raise UsageError("--val-pairs and --val-people exclude each other; give one of them")
    if images is not None and val_pairs is None:
        raise UsageError("--images says where the pictures of --val-pairs are; give both")
    from cnnkit.data.pairs import read_pairs

    require_there(data)
    pairs = None if val_pairs is None else read_pairs(val_pairs, images)
    device.start_keras(printing.verbose)
    from cnnkit.data.people import read_people
    from cnnkit.tasks.faces.chips import MainFaces
    from cnnkit.tasks.faces.train import train_faces

    def epoch_line(epoch: int, row: dict[str, Any]) -> str:
        done = min(settings.total_steps, (epoch + 1) * settings.epoch_steps)
        active = f", active {row['active']:.0%}" if "active" in row else ""
        spread = f", spread {row['distance']:.2f}" if "distance" in row else ""
        return (
            f"step {done} of {settings.total_steps}: loss {row['loss']:.4f}{active}{spread}, "
            f"validation {row['val_accuracy']:.1%}"
        )

    with showing(console, epoch_line, ("val_accuracy", "accuracy")) as observer:
        result = train_faces(
            data,
            output,
            settings,
            source=MainFaces(),
            train_people=None if train_people is None else read_people(train_people),
            val_people=None if val_people is None else read_people(val_people),
            val_pairs=pairs,
            observer=observer,
        )
    threshold = result.threshold
    if printing.json:
        console.json(
            {
                "model": result.model,
                "name": result.similarity.name,
                "hash": result.similarity.hash,
                "threshold": threshold,
                "accuracy": result.accuracy,
                "auc": result.auc,
                "people": dict(zip(("training", "validation"), result.people, strict=True)),
                "pictures": dict(zip(("training", "validation"), result.pictures, strict=True)),
                "missed": result.missed,
                "restarts": result.restarts,
            }
        )
    else:
        console.result(
            f"{result.model}: {result.accuracy:.1%} of the pairs for validation right at "
            f"{threshold:.3f}, AUC {result.auc:.4f}"
        )
        suggest_model(console, "verify a.jpg b.jpg", output)
    return 0
