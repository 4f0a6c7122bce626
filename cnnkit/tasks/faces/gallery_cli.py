"""``cnnkit faces``: a gallery of known people, and the unknown grouped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.console import Console
from cnnkit.engine.batch import (
    JsonLines,
    Outcome,
    Overwrite,
    Pictures,
    Recursive,
    check_json,
    find_videos,
    goes_on,
)
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.settings import OUTPUT_PANEL, Argument, Option
from cnnkit.errors import CnnkitError, ExitCode, GalleryError, ImageError, UsageError
from cnnkit.results import Record
from cnnkit.tasks.faces.cli import FailIfEmpty, Largest
from cnnkit.tasks.faces.reading import Stopwatch, batches, counted, place, read_pictures
from cnnkit.tasks.faces.settings import (
    CHOICES,
    FACE_PANEL,
    Choose,
    EmbedSettings,
    FaceSettings,
    MaxSide,
    Upsample,
)
from cnnkit.video.clip import VideoSettings
from cnnkit.video.formats import check_writable_video, suffix_for, video_suffixes

if TYPE_CHECKING:
    from cnnkit.data.gallery import Gallery
    from cnnkit.data.sources import Source
    from cnnkit.tasks.faces.predict import FaceBook
    from cnnkit.tasks.faces.results import IdentifiedFace

GalleryPath = Annotated[
    str | None,
    Option(
        "The gallery of known people.",
        "Gallery",
        ("--gallery",),
        metavar="FILE",
        show_default="in the user's data folder",
    ),
]
Json = Annotated[bool, PrintSettings.options["json"]]
Quiet = Annotated[bool, PrintSettings.options["quiet"]]

app = typer.Typer(help="Recognise people: a gallery of faces.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Recognise people: a gallery of faces."""


@app.command("enroll", epilog="Example: cnnkit faces enroll 'Ada Lovelace' ada.jpg")
@command
def enroll(
    name: Annotated[
        str, Argument("Of the person; with -r a folder with one folder per person.", metavar="NAME")
    ],
    pictures: Annotated[
        list[str] | None, Argument("One picture is enough; more make it surer.", metavar="[IMG...]")
    ] = None,
    face: Annotated[
        int | None,
        Option(
            "Which face, 1 for the largest.",
            FACE_PANEL,
            show_default="large and near the middle",
            min=1,
        ),
    ] = None,
    *,
    recursive: Recursive = False,
    gallery: GalleryPath = None,
    settings: EmbedSettings,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Remember a person by the faces in some pictures.

    A picture that was enrolled before is not looked at again. With -r each folder in a folder is a
    person, named by the folder.
    """
    console = printing.console()
    people = _people(name, pictures or [], recursive, console)
    from cnnkit.data.gallery import Gallery

    outcome = Outcome(console, printing.json, False, len(people) == 1)
    with Gallery(gallery) as opened:
        book: Any = None
        with console.progress() as bar:
            task = bar.add_task("enrol", total=sum(len(s) for _, s in people), status="")
            for person, sources in people:
                read = Outcome(console, True, False, len(sources) == 1)
                rows = []
                for batch in batches(read_pictures(sources, read)):
                    if book is None:
                        book = _open_book(opened, settings.faces, console, printing, engine)
                    found = book.find([picture for _, picture in batch])
                    for (source, picture), faces in zip(batch, found, strict=True):
                        try:
                            rows.append(book.pick(picture, faces, face)[1])
                        except CnnkitError as error:
                            read.fail(source.path, error)
                    bar.update(task, advance=len(batch), status=person)
                outcome.absorb(read)
                if not rows:
                    continue
                try:
                    stored = opened.enroll(person, rows)
                except GalleryError as error:
                    outcome.fail(person, error)
                    continue
                kept = f", {stored.known} there already" if stored.known else ""
                faces_word = "face" if stored.added == 1 else "faces"
                outcome.add(
                    Record(
                        person,
                        items=(
                            {"name": stored.name, "added": stored.added, "known": stored.known},
                        ),
                        model=book.recognizer.model,
                        details={"gallery": str(opened.path)},
                    ),
                    [f"{stored.name}: {stored.added} {faces_word} added{kept}"],
                )
    return outcome.finish()


@app.command("identify", epilog="Example: cnnkit faces identify party.jpg")
@command
def identify(
    pictures: Pictures,
    matches: Annotated[int, Option("People to name for each face.", FACE_PANEL, min=1)] = 2,
    draw: Annotated[
        str | None,
        Option(
            "Draw names and boxes into copies of the pictures and videos.",
            OUTPUT_PANEL,
            ("-o", "--output"),
            metavar="FILE|DIR",
        ),
    ] = None,
    *,
    recursive: Recursive = False,
    gallery: GalleryPath = None,
    settings: FaceSettings,
    fail_if_empty: FailIfEmpty = False,
    overwrite: Overwrite = False,
    video: VideoSettings,
    engine: EngineSettings,
    jsonl: JsonLines = False,
    printing: PrintSettings,
) -> int:
    """Say who is in pictures and videos: a name or "unknown" for each face, and the next best."""
    from cnnkit.data.gallery import Gallery
    from cnnkit.data.sources import find_sources, plan_outputs
    from cnnkit.images import READABLE_SUFFIXES

    console = printing.console()
    check_json(printing.json, jsonl)
    sources = find_sources(
        pictures, recursive, (*READABLE_SUFFIXES, *video_suffixes()), console.note
    )
    videos = find_videos(sources, video)
    outputs: dict[str, Path] = {}
    if draw is not None:
        kinds = [suffix_for(one.path) if one in videos else ".png" for one in sources]
        planned = plan_outputs(sources, draw, "faces", kinds)
        outputs = {source.path: path for source, path in zip(sources, planned, strict=True)}
        for one in videos:
            check_writable_video(outputs[one.path])
        _refuse_existing([one for one in planned if not goes_on(one, video)], overwrite)
    outcome = Outcome(console, printing.json, jsonl, len(sources) == 1)
    watch = Stopwatch(outcome)
    with Gallery(gallery, create=False, read_only=True) as opened:
        book: Any = None
        still = [source for source in sources if source not in videos]
        for batch in batches(read_pictures(still, outcome)):
            if book is None:
                book = _open_book(opened, settings, console, printing, engine)
            watch.start()
            found = book.identify([picture for _, picture in batch], matches=matches)
            watch.stop(len(batch))
            for (source, picture), faces in zip(batch, found, strict=True):
                height, width = picture.pixels.shape[:2]
                record = Record(
                    source.path,
                    width,
                    height,
                    tuple(one.to_dict() for one in faces),
                    book.recognizer.model,
                    book.recognizer.threshold,
                    ms=watch.times(source),
                )
                lines = [f"{source.path}: {_identified_line(one)}" for one in faces]
                outcome.add(record, lines or [f"{source.path}: no face"])
                if source.path in outputs:
                    _draw_names(outputs[source.path], picture, faces, overwrite)
                    console.note(f"{outputs[source.path]} shows it")
        for source in videos:

            def make(source: "Source" = source) -> Any:
                nonlocal book
                if book is None:
                    book = _open_book(opened, settings, console, printing, engine)
                from cnnkit.tasks.faces.video import IdentifyVideo

                return IdentifyVideo(book, source.path, matches)

            output = outputs.get(source.path)
            overwrites = overwrite or goes_on(output, video)
            outcome.video(source.path, output, make, video, overwrites)
    return outcome.finish(fail_if_empty)


@app.command("list", epilog="Example: cnnkit faces list")
@command
def list_people(gallery: GalleryPath = None, json: Json = False, quiet: Quiet = False) -> int:
    """Show who is in the gallery."""
    from cnnkit.data.gallery import Gallery

    console = Console(quiet=quiet)
    with Gallery(gallery, create=False, read_only=True) as opened:
        people, statistics = opened.people(), opened.statistics()
    if json:
        console.json(
            {
                "schema": "cnnkit/1",
                "gallery": str(statistics.path),
                "bytes": statistics.bytes,
                "items": [
                    {"name": one.name, "faces": one.faces, "added": one.added.isoformat()}
                    for one in people
                ],
            }
        )
        return int(ExitCode.DONE)
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Name")
    table.add_column("Faces", justify="right")
    table.add_column("Added")
    for one in people:
        table.add_row(one.name, str(one.faces), one.added.astimezone().strftime("%Y-%m-%d %H:%M"))
    if people:
        console.table(table)
    console.note(
        f"{statistics.path}: {_count(len(people), 'person', 'people')}, "
        f"{_count(statistics.faces, 'face', 'faces')}, {statistics.bytes / 1e6:.1f} MB"
    )
    return int(ExitCode.DONE)


@app.command("remove", epilog="Example: cnnkit faces remove 'Ada Lovelace'")
@command
def remove(
    names: Annotated[list[str], Argument("People to forget.", metavar="NAME...")],
    gallery: GalleryPath = None,
    quiet: Quiet = False,
) -> int:
    """Forget people: names, faces and embeddings are erased from the gallery's files."""
    from cnnkit.data.gallery import Gallery

    console = Console(quiet=quiet)
    with Gallery(gallery, create=False) as opened:
        removal = opened.remove(*names)
    faces = _count(removal.faces, "face", "faces")
    console.result(f"removed {', '.join(removal.names)} ({faces})")
    if not removal.is_erased:
        console.warning(
            "another program is reading the gallery; the last bytes are erased when it is next "
            "opened for writing"
        )
    return int(ExitCode.DONE)


@app.command("rename", epilog="Example: cnnkit faces rename 'Augusta Byron' 'Ada Lovelace'")
@command
def rename(
    name: Annotated[str, Argument("Somebody in the gallery.", metavar="NAME")],
    new_name: Annotated[str, Argument("The new name.", metavar="NEW")],
    merge: Annotated[bool, Option("NEW is in the gallery too: make them one person.")] = False,
    gallery: GalleryPath = None,
    quiet: Quiet = False,
) -> int:
    """Give a person another name, or make two people one."""
    from cnnkit.data.gallery import Gallery

    with Gallery(gallery, create=False) as opened:
        if merge:
            opened.merge(name, new_name)
        else:
            opened.rename(name, new_name)
    Console(quiet=quiet).result(f"{name} is {new_name} now")
    return int(ExitCode.DONE)


@app.command("export", epilog="Example: cnnkit faces export people.jsonl")
@command
def export(
    file: Annotated[Path, Argument("Where to write, as JSON lines.", metavar="FILE")],
    gallery: GalleryPath = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> int:
    """Write everybody to a file that another gallery can import."""
    from cnnkit.data.gallery import Gallery

    with Gallery(gallery, create=False, read_only=True) as opened:
        faces = opened.export(file, overwrite=overwrite)
    Console(quiet=quiet).result(f"{file}: {_count(faces, 'face', 'faces')}")
    return int(ExitCode.DONE)


@app.command("import", epilog="Example: cnnkit faces import people.jsonl")
@command
def import_people(
    file: Annotated[Path, Argument("A file of 'faces export'.", metavar="FILE")],
    gallery: GalleryPath = None,
    quiet: Quiet = False,
) -> int:
    """Add the people of an exported gallery."""
    from cnnkit.data.gallery import Gallery

    console = Console(quiet=quiet)
    with Gallery(gallery) as opened:
        done = opened.import_(file)
    for there, here, source in done.elsewhere:
        console.warning(f"{source or 'a face'}: {there} in the file, {here} here; left as it is")
    console.result(
        f"{_count(done.people, 'new person', 'new people')}, "
        f"{_count(done.added, 'face', 'faces')} added, {done.known} there already"
    )
    return int(ExitCode.DONE)


@app.command("cluster", epilog="Example: cnnkit faces cluster holiday/ -r -o people/")
@command
def cluster(
    pictures: Pictures,
    output: Annotated[
        Path | None,
        Option(
            "Write the faces here, a folder for each person, and a sheet of all.",
            OUTPUT_PANEL,
            ("-o", "--output"),
            metavar="DIR",
        ),
    ] = None,
    *,
    recursive: Recursive = False,
    settings: FaceSettings,
    fail_if_empty: FailIfEmpty = False,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Group the faces of unknown people: who appears how often, and where.

    With -o each group becomes a folder that `faces enroll -r` takes once it has a name.
    """
    from cnnkit.data.sources import find_sources

    console = printing.console()
    sources = find_sources(pictures, recursive, note=console.note)
    if output is not None and output.exists():
        if not output.is_dir():
            raise UsageError(f"{output} is a file; name a folder")
        if any(output.iterdir()):
            raise UsageError(f"{output} is not empty; name another folder")
    outcome = Outcome(console, True, False, len(sources) == 1)
    if outcome.none_is_there(sources):
        return outcome.code()
    read = read_pictures(sources, outcome)
    engine.start(console, printing.verbose)
    from cnnkit.tasks.faces.predict import FaceGroups

    groups = FaceGroups(settings, chip_size=150 if output is None else 256, on_note=console.note)
    with console.progress() as bar:
        task = bar.add_task("faces", total=len(sources), status="")
        for batch in batches(read):
            groups.add([picture for _, picture in batch])
            bar.update(task, advance=len(batch), status=batch[-1][0].path)
    people = groups.people()
    if output is not None:
        groups.write(output, people)
    if printing.json:
        console.json(
            {
                "schema": "cnnkit/1",
                "model": groups.recognizer.model,
                "threshold": groups.recognizer.threshold,
                "items": [
                    {
                        "group": number,
                        "faces": [{**one.face.to_dict(), "source": one.source} for one in members],
                    }
                    for number, members in enumerate(people, 1)
                ],
            }
        )
    else:
        for number, members in enumerate(people, 1):
            names = list(dict.fromkeys(one.source for one in members))
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            console.result(f"person {number}: {_count(len(members), 'face', 'faces')}: {shown}")
        if not people:
            console.result("no face")
    if output is not None and people:
        console.note(f"{output} has a folder for each person, and sheet.png")
    code = outcome.code()
    if code == ExitCode.DONE and fail_if_empty and not people:
        return int(ExitCode.NOTHING_FOUND)
    return code


@app.command("crop", epilog="Example: cnnkit faces crop team.jpg -o heads/ --size 256")
@command
def crop(
    pictures: Pictures,
    output: Annotated[
        Path, Option("Where to write the faces.", None, ("-o", "--output"), metavar="DIR")
    ],
    size: Annotated[int, Option("Side of a face, in pixels.", min=16, max=4096)] = 256,
    margin: Annotated[float, Option("Around the face, as a part of it.", min=0.0, max=4.0)] = 0.6,
    largest: Largest = False,
    *,
    recursive: Recursive = False,
    max_side: MaxSide = 1000,
    upsample: Upsample = 0,
    fail_if_empty: FailIfEmpty = False,
    overwrite: Overwrite = False,
    engine: EngineSettings,
    jsonl: JsonLines = False,
    printing: PrintSettings,
) -> int:
    """Cut the faces out, upright and square."""
    from cnnkit.data.sources import find_sources

    console = printing.console()
    check_json(printing.json, jsonl)
    sources = find_sources(pictures, recursive, note=console.note)
    outcome = Outcome(console, printing.json, jsonl, len(sources) == 1)
    if outcome.none_is_there(sources):
        return outcome.finish()
    read = read_pictures(sources, outcome)
    engine.start(console, printing.verbose)
    from cnnkit.images import Picture, write_image
    from cnnkit.tasks.faces.predict import crop_face
    from cnnkit.tasks.faces.recognition import FaceRecognizer

    recognizer = FaceRecognizer(FaceSettings(max_side=max_side, upsample=upsample), console.note)
    watch = Stopwatch(outcome)
    for batch in batches(read):
        watch.start()
        found = recognizer.faces(
            [picture for _, picture in batch], max_faces=1 if largest else None, embed=False
        )
        watch.stop(len(batch))
        for (source, picture), faces in zip(batch, found, strict=True):
            height, width = picture.pixels.shape[:2]
            items, lines = [], []
            try:
                for number, face in enumerate(faces, 1):
                    name = f"{source.relative.stem}-face{number}.png"
                    path = output / source.relative.with_name(name)
                    _refuse_existing([path], overwrite)
                    pixels = crop_face(picture, face, size, margin)
                    write_image(
                        path, Picture(pixels.astype("float32") / 255.0), overwrite=overwrite
                    )
                    items.append({**face.to_dict(), "output": str(path)})
                    lines.append(f"{path}  {place(face)}")
            except CnnkitError as error:
                outcome.fail(source.path, error)
                continue
            record = Record(source.path, width, height, tuple(items), ms=watch.times(source))
            outcome.add(record, lines or [f"{source.path}: no face"])
    return outcome.finish(fail_if_empty)


@app.command("calibrate", epilog="Example: cnnkit faces calibrate people/ -o mine.json")
@command
def calibrate(
    data: Annotated[Path, Argument("A folder with a folder for each person.", metavar="DIR")],
    output: Annotated[
        Path | None,
        Option(
            "Write what --calibration of verify and identify takes.",
            OUTPUT_PANEL,
            ("-o", "--output"),
            metavar="FILE.json",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        Option("Choose the threshold on these pairs instead of all.", FACE_PANEL, metavar="FILE"),
    ] = None,
    choose: Choose = CHOICES[0],
    note: Annotated[str, Option("What the pictures are, for those who read the file.")] = "",
    *,
    settings: EmbedSettings,
    overwrite: Overwrite = False,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Find the threshold for people like yours, from a folder of known ones."""
    from cnnkit.data.pairs import read_pairs

    console = printing.console()
    if output is not None:
        _refuse_existing([output], overwrite)
    if not data.is_dir():
        raise UsageError(f"{data} is no folder; give one with a folder for each person")
    listed = None if pairs is None else read_pairs(pairs, data)
    engine.start(console, printing.verbose)
    from cnnkit.tasks.faces.calibration import calibration_to_json, write_calibration
    from cnnkit.tasks.faces.evaluate import FaceJudge

    with counted(console) as show:
        judge = FaceJudge(settings.faces, choose=choose, on_note=console.note, on_progress=show)
        calibration = judge.calibrate(data, listed, note)
    for _, error in judge.unreadable:
        console.error(str(error))
    if judge.missed:
        console.note(f"{_count(len(judge.missed), 'picture', 'pictures')} without a face")
    if output is not None:
        write_calibration(output, calibration, overwrite=overwrite)
    if printing.json:
        console.json({"schema": "cnnkit/1", **calibration_to_json(calibration)})
    else:
        rate = calibration.false_accept_rate(calibration.threshold)
        console.result(
            f"threshold {calibration.threshold:.4f}: {rate:.2%} of pairs of strangers pass "
            f"({calibration.pairs:,} labelled pairs, {calibration.strangers:,} of strangers)"
        )
        for distance, share in calibration.false_accepts:
            console.detail(f"{share:g} of strangers are nearer than {distance:.4f}")
        if output is not None:
            console.result(f"use it with: cnnkit verify A B --calibration {output}")
    return int(ExitCode.INPUT_FAILED if judge.unreadable else ExitCode.DONE)


def _people(
    name: str, pictures: list[str], recursive: bool, console: Console
) -> "list[tuple[str, list[Source]]]":
    """Who is to be enrolled, and from which pictures; folders without any are named."""
    from cnnkit.data.sources import find_sources

    if not recursive:
        if not pictures:
            raise UsageError("give a name and at least one picture, or -r and a folder of people")
        return [(name, find_sources(pictures, note=console.note))]
    people: dict[str, list[str]] = {}
    for folder in (name, *pictures):
        if not Path(folder).is_dir():
            raise UsageError(f"-r takes a folder with a folder for each person, not {folder}")
        for inner in sorted(Path(folder).iterdir()):
            if inner.is_dir() and not inner.name.startswith("."):
                people.setdefault(inner.name.replace("_", " "), []).append(str(inner))
    if not people:
        raise UsageError(f"{name} has no folders in it; make one for each person")
    found: list[tuple[str, list[Source]]] = []
    for person, folders in people.items():
        sources: list[Source] = []
        for folder in folders:
            try:
                sources += find_sources([folder], True, note=console.note)
            except ImageError as error:
                console.warning(f"{error}; nothing of {person} is enrolled from it")
        if sources:
            found.append((person, sources))
    if not found:
        raise ImageError(f"{name} has no pictures in its folders; put some into each")
    return found


def _open_book(
    gallery: "Gallery",
    settings: FaceSettings,
    console: Console,
    printing: PrintSettings,
    engine: EngineSettings,
) -> "FaceBook":
    engine.start(console, printing.verbose)
    from cnnkit.tasks.faces.predict import FaceBook

    return FaceBook(gallery, settings, on_note=console.note)


def _identified_line(one: "IdentifiedFace") -> str:
    if not one.matches:
        return f"unknown  {place(one.face)}, the gallery is empty"
    near = ", ".join(f"{match.name} {match.distance:.3f}" for match in one.matches)
    sure = f", confidence {min(one.confidence, 0.999):.1%}" if one.name else ""
    return f"{one.name or 'unknown'}  {place(one.face)}; nearest: {near}{sure}"


def _draw_names(path: Path, picture: Any, faces: "list[IdentifiedFace]", overwrite: bool) -> None:
    from cnnkit.images import Picture, write_image
    from cnnkit.plots import draw_labels

    labels = [one.name or "unknown" for one in faces]
    known = [one.name is not None for one in faces]
    drawn = draw_labels(picture.pixels, [one.face.box_xyxy for one in faces], labels, known)
    write_image(path, Picture(drawn.astype("float32") / 255.0), overwrite=overwrite)


def _refuse_existing(paths: list[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; use --overwrite or another -o")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
