"""``cnnkit stylize``, ``train backbone`` and ``train decoder``."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnkit.engine.batch import STDOUT, BatchSettings, Outcome, check_json
from cnnkit.engine.command import (
    DeviceSettings,
    EngineSettings,
    PrintSettings,
    command,
    typed_names,
)
from cnnkit.engine.settings import Argument, Option, RunFolder, require_there, spell
from cnnkit.errors import ExitCode, UsageError
from cnnkit.tasks.stylize.jobs import Jobs
from cnnkit.tasks.stylize.mask import Mask, MaskSettings
from cnnkit.tasks.stylize.outputs import ClipSettings, Order, WriteSettings
from cnnkit.tasks.stylize.settings import (
    LOOK_PANEL,
    BackboneSettings,
    DecoderSettings,
    StylizeSettings,
)
from cnnkit.tasks.stylize.sheet import SHEET_SIZE

# What goes with pictures that are painted for good, and not with a sheet of drafts.
_NOT_ON_SHEETS = ("mask", "resume", "save_every", "sidecar")


def _parse_strengths(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--strength takes a number from 0 to 1, or several as 0.2,0.5,0.8, not {text!r}"
        ) from None


@command
def stylize(
    context: typer.Context,
    pictures: Annotated[
        list[str],
        Argument(
            "Files, folders, globs, @list.txt or - (stdin), videos too; the last one is the style, "
            "a picture or a name, unless --style names styles.",
            metavar="CONTENT... STYLE",
        ),
    ],
    style: Annotated[
        list[str] | None,
        Option(
            "A style picture, or one that comes with cnnkit by its name (stained-glass, impasto, "
            "ink-wash, woodcut, mosaic, waves), with its share; may be given several times.",
            LOOK_PANEL,
            metavar="FILE[:WEIGHT]",
        ),
    ] = None,
    strength: Annotated[
        tuple[float, ...],
        Option(
            "From 0 (the picture as it is) to 1 (the style in full); means the same at every size. "
            "For --sheet several, as 0.2,0.5,0.8.",
            LOOK_PANEL,
            parse=_parse_strengths,
        ),
    ] = (1.0,),
    sheet: Annotated[
        bool,
        Option(
            "One picture to choose from: the photograph as a draft in all built-in styles, in "
            "those given, or at several strengths.",
            LOOK_PANEL,
        ),
    ] = False,
    *,
    writing: WriteSettings,
    settings: StylizeSettings,
    masks: MaskSettings,
    video: ClipSettings,
    batch: BatchSettings,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Paint pictures and videos in the style of a picture.

    Examples:

      cnnkit stylize photo.jpg painting.jpg -o result.png

      cnnkit stylize photo.jpg waves --size 1024 --budget 60s

      cnnkit stylize photo.jpg --sheet -o styles.jpg

      cnnkit stylize clip.mp4 woodcut --size 640 -o painted.mp4

      cnnkit stylize holiday/ -r --style a.jpg:0.7 --style b.jpg:0.3 -o painted/
    """
    started, typed = time.monotonic() - _process_age(), typed_names(context)
    check_json(printing.json, batch.jsonl)
    if writing.output == str(STDOUT) and (printing.json or batch.jsonl):
        raise UsageError("-o - writes the picture to stdout, where --json would write too")
    if len(strength) > 1 and not sheet:
        raise UsageError("several strengths are for --sheet; give one, or --sheet too")
    styles = [_parse_style(text) for text in style or ()]
    if sheet:
        settings = _settings_of_sheet(settings, typed, styles)
    for one in strength:
        replace(settings, strength=one)
    settings = replace(settings, strength=strength[0])
    if engine.engine == "openvino" and settings.quality != "draft":
        raise UsageError(
            "--engine openvino has no gradients: it paints --quality draft alone; leave it out"
        )
    from cnnkit.models._backbones import check_backbone

    check_backbone(settings.backbone)
    if writing.save_every and settings.quality == "draft":
        raise UsageError("--save-every is for --quality standard and fine: a draft has no steps")
    contents = list(pictures)
    if not styles:
        styles = _find_styles(contents, sheet)
    order = Order(
        contents,
        styles,
        settings,
        video_quality=settings.quality if "quality" in typed else "draft",
        strengths=strength if sheet else (),
        mask=Mask(masks),
        writing=writing,
        batch=batch,
        video=video,
        started=started,
    )
    console = printing.console()
    jobs = Jobs(console, order)
    outcome = Outcome(console, printing.json, batch.jsonl, jobs.is_single)
    jobs.run(outcome, engine, printing.verbose)
    code = outcome.finish()
    return int(ExitCode.INTERRUPTED) if jobs.interrupted else code


def _settings_of_sheet(
    settings: StylizeSettings, typed: set[str], styles: Sequence[tuple[str, float]]
) -> StylizeSettings:
    """Those of the drafts on a sheet; refuses what goes with pictures alone."""
    refused = [name for name in _NOT_ON_SHEETS if name in typed]
    if "quality" in typed and settings.quality != "draft":
        refused.insert(0, "quality")
    if refused:
        raise UsageError(
            f"--sheet is of drafts and goes without --{spell(refused[0])}; choose a style there, "
            "then paint with it"
        )
    if any(weight != 1.0 for _, weight in styles):
        raise UsageError("--sheet shows each style alone: leave out their shares")
    size = settings.size if "size" in typed else SHEET_SIZE
    return replace(settings, quality="draft", size=size)


def _find_styles(contents: list[str], sheet: bool) -> list[tuple[str, float]]:
    """The styles where no --style names one: the last argument, which is taken away, or all."""
    from cnnkit.data.samples import style_names

    if len(contents) > 1:
        return [_parse_style(contents.pop())]
    if sheet:
        return [(name, 1.0) for name in style_names()]
    raise UsageError(
        "give a content picture and a style picture, or a style's name: " + ", ".join(style_names())
    )


def _parse_style(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition(":")
    if name and not Path(text).exists():
        try:
            return name, float(weight)
        except ValueError:
            pass
    return text, 1.0


def _process_age() -> float:
    """Seconds since this process started, so that a budget counts what the user waits for."""
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())


_Pictures = Annotated[
    list[Path],
    Option("Folder with pictures; may be given several times.", names=("--data",), metavar="DIR"),
]
_HoldOut = Annotated[
    list[str] | None,
    Option(
        "Pictures to keep for the report, such as '*/bsds/*'; may be given several times.",
        metavar="PATTERN",
    ),
]


@command
def backbone(
    data: _Pictures,
    teacher: Annotated[
        str,
        Option(
            "vgg19 (its weights must be here), a Keras .h5 or .keras file of a VGG-19, or the .npz "
            "of a compressed one.",
            metavar="vgg19|FILE",
        ),
    ],
    output: RunFolder = Path("runs/backbone"),
    hold_out: _HoldOut = None,
    *,
    settings: BackboneSettings,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Distil a compact VGG-19, the network that stylize sees with.

    Stopped runs go on when the same command is given again.

    Example: cnnkit train backbone --data pictures --teacher vgg19 -o runs/backbone
    """
    from cnnkit import weights

    console = printing.console()
    require_there(data)
    path = weights.locate("vgg19") if teacher == "vgg19" else Path(teacher)
    device.start_keras(printing.verbose)
    from cnnkit.tasks.stylize.train_backbone import train_backbone

    def show(epoch: int, losses: dict[str, Any]) -> None:
        done = min(settings.steps, (epoch + 1) * settings.steps_per_epoch)
        console.note(f"step {done} of {settings.steps}: unexplained {losses['loss']:.4f}")

    report = train_backbone(data, path, output, settings, hold_out or (), show)
    lines = [f"{name:24} {value:.3f}" for name, value in report.items()]
    title = "explained variance on the pictures held out"
    _print_report(printing, output / "compact.npz", {"explained_variance": report}, title, lines)
    return int(ExitCode.DONE)


@command
def decoder(
    data: _Pictures,
    output: RunFolder = Path("runs/decoder"),
    hold_out: _HoldOut = None,
    start: Annotated[
        Path | None,
        Option("Polish these decoders, instead of training new ones first.", metavar="FILE.npz"),
    ] = None,
    *,
    settings: DecoderSettings,
    device: DeviceSettings,
    printing: PrintSettings,
) -> int:
    """Train the networks that turn activations back into pictures, for stylize in a second.

    Stopped runs go on when the same command is given again.

    Example: cnnkit train decoder --data pictures -o runs/decoder
    """
    console = printing.console()
    require_there(data)
    device.start_keras(printing.verbose)
    from cnnkit.tasks.stylize.train_decoder import train_decoder

    def show(level: int, epoch: int, losses: dict[str, Any]) -> None:
        count = settings.polish_steps + (settings.steps_of(level) if start is None else 0)
        done = min(count, (epoch + 1) * settings.steps_per_epoch)
        console.note(f"level {level}, step {done} of {count}: squared error {losses['pixels']:.5f}")

    report = train_decoder(data, output, settings, hold_out or (), show, start)
    lines = [f"level {level}  {value:.2f} dB" for level, value in report.items()]
    title = "PSNR on the pictures held out"
    _print_report(printing, output / "decoder.npz", {"psnr": report}, title, lines)
    return int(ExitCode.DONE)


def _print_report(
    printing: PrintSettings, weights: Path, report: dict[str, Any], title: str, lines: list[str]
) -> None:
    """Says where the weights are, and how good they are, where pictures were held out."""
    console = printing.console()
    console.note(f"weights: {weights}")
    if printing.json:
        console.json({"weights": weights, **report})
        return
    for line in [title, *lines] if lines else []:
        console.result(line)
