"""``cnnkit verify``: do two pictures show the same person?"""

import time
from typing import Annotated

import typer

from cnnkit.cli._faces import (
    FACE_PANEL,
    CalibrationFile,
    MaxSide,
    Model,
    Threshold,
    Upsample,
    place,
)
from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    Device,
    Engine,
    Json,
    Overwrite,
    Quiet,
    Threads,
    Verbose,
)
from cnnkit.console import Console
from cnnkit.errors import CnnkitError, ExitCode, UsageError
from cnnkit.options import FaceOptions
from cnnkit.results import Failure, Milliseconds, Record

_DEFAULTS = FaceOptions()


def verify(
    first: Annotated[str, typer.Argument(metavar="A", help="A picture, or - for stdin.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    face: Annotated[
        str | None,
        typer.Option(
            metavar="N[,M]",
            help="Which face of A (and of B), 1 for the largest.",
            show_default="large and near the middle",
            rich_help_panel=FACE_PANEL,
        ),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw both faces, their points, what is wrong with them, and the distance.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    model: Model = _DEFAULTS.model,
    threshold: Threshold = _DEFAULTS.threshold,
    calibration: CalibrationFile = _DEFAULTS.calibration,
    max_side: MaxSide = _DEFAULTS.max_side,
    upsample: Upsample = _DEFAULTS.upsample,
    overwrite: Overwrite = False,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Say whether two pictures show the same person. Exits with 0 for yes, 1 for no.

    Examples:

      cnnkit verify passport.jpg selfie.jpg

      cnnkit verify group.jpg selfie.jpg --face 3,1 --explain why.png
    """
    from pathlib import Path

    console = Console(quiet=quiet, verbose=verbose)
    options = FaceOptions(
        model=model,
        threshold=threshold,
        calibration=calibration,
        max_side=max_side,
        upsample=upsample,
    )
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
        start_inference(console, engine, threads=threads, device=device, verbose=verbose)
        from cnnkit.pipelines.verify import Verifier, verdict_lines

        verifier = Verifier(options, on_note=console.note)
        ready = time.monotonic()
        result = verifier.run(*pictures, faces=numbers)
        done = time.monotonic()
    except CnnkitError as error:
        if json:
            failure = Failure(type(error).__name__, str(error))
            console.json(Record(first, error=failure, details={"other": second}))
        raise
    if explain is not None:
        from cnnkit.images import write_bytes
        from cnnkit.plots import encode_figure

        write_bytes(
            explain, encode_figure(verifier.explain(*pictures, result)), overwrite=overwrite
        )
        console.note(f"{explain} shows why")
    faces = (result.first, result.second)
    if json:
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
        from cnnkit.pipelines._face_recognition import face_warnings

        for picture, one in zip(pictures, faces, strict=True):
            console.result(f"  {picture.source}: {', '.join([place(one), *face_warnings(one)])}")
            if one.is_fallback:
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
