"""``cnnkit stylize``: paint pictures in the style of others."""

import contextlib
import difflib
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
    Engine,
    Json,
    JsonLines,
    Overwrite,
    Quiet,
    Recursive,
    Seed,
    SkipExisting,
    Threads,
    Verbose,
    VideoEnd,
    VideoEvery,
    VideoStart,
)
from cnnkit.cli._style_sheet import SHEET_SIZE, paint_sheet, write_sheet
from cnnkit.console import Console, duration
from cnnkit.engine.batch import find_videos
from cnnkit.errors import CnnkitError, ExitCode, ImageError, UsageError
from cnnkit.options import (
    COLORS,
    INITS,
    OPTIMIZERS,
    PARAMETERIZATIONS,
    POOLINGS,
    QUALITIES,
    STYLE_LOSSES,
    TRANSFORMS,
    StylizeOptions,
)
from cnnkit.pipelines._stylize_results import StylizeProgress, StylizeResult
from cnnkit.results import Failure, Milliseconds, Record
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER
from cnnkit.video.clip import VideoSettings
from cnnkit.video.formats import (
    check_writable_video,
    is_video,
    parts_folder,
    suffix_for,
    video_suffixes,
)

if TYPE_CHECKING:
    from cnnkit.images import Picture
    from cnnkit.pipelines.stylize import Stylizer

_LOOK_PANEL = "Look"
_LOSS_PANEL = "Losses and network"
_OPTIMIZER_PANEL = "Optimizer"
_DEFAULTS = StylizeOptions()
_STDIN = _STDOUT = "-"
# What the optimizer takes at least, with TensorFlow's import and compiling, as a multiple of the
# time until the networks of drafts are loaded (benchmarks/stylize_budget.py).
_LEAST_OF_START = 9.0
_SEGMENT = "segment:"
# What is there reaches this share of a mask somewhere.
_SURE = 0.5


def _choice(values: tuple[str, ...], text: str, panel: str) -> Any:
    return typer.Option(help=f"{text}: {', '.join(values)}.", rich_help_panel=panel)


def stylize(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTENT... STYLE",
            help="Files, folders, globs, @list.txt or - (stdin), videos too; the last one is the "
            "style, a picture or a name, unless --style names styles.",
        ),
    ],
    style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:WEIGHT]",
            help="A style picture, or one that comes with cnnkit by its name "
            "(stained-glass, impasto, ink-wash, woodcut, mosaic, waves), with its share; "
            "may be given several times.",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="A file for one picture (.png .jpg .webp .tif, or - for stdout) or video (.mp4 "
            ".webm .gif and more), else a folder.",
            show_default="<name>-stylized.png or .mp4 here",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Long side in pixels, or 'original'. Nothing is enlarged.",
            show_default=f"{_DEFAULTS.size}, on a sheet {SHEET_SIZE}",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            help=f"In a second, or with an optimizer: {', '.join(QUALITIES)}.",
            show_default=f"{_DEFAULTS.quality}, of videos draft",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = None,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet",
            help="One picture to choose from: the photograph as a draft in all built-in styles, "
            "in those given, or at several strengths.",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Finish within this time, start-up included: 20s, 5m, 1h.",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps over all scales.", rich_help_panel=_LOOK_PANEL),
    ] = _DEFAULTS.steps,
    strength: Annotated[
        str,
        typer.Option(
            help="From 0 (the picture as it is) to 1 (the style in full); means the same at every "
            "size. For --sheet several, as 0.2,0.5,0.8.",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = f"{_DEFAULTS.strength:g}",
    style_scale: Annotated[
        float,
        typer.Option(
            help="Size of the brush strokes: 0.5 finer, 2 coarser.", rich_help_panel=_LOOK_PANEL
        ),
    ] = _DEFAULTS.style_scale,
    preserve_color: Annotated[
        str, _choice(COLORS, "Keep the content's colours", _LOOK_PANEL)
    ] = _DEFAULTS.preserve_color,
    transform: Annotated[
        str, _choice(TRANSFORMS, "How a draft takes on the style", _LOOK_PANEL)
    ] = _DEFAULTS.transform,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|segment:LABEL,...",
            help="White is stylised, black is kept; or what is found, such as segment:person.",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = None,
    invert_mask: Annotated[
        bool,
        typer.Option(
            "--invert-mask",
            help="Keep what the mask would stylise, and stylise the rest.",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = False,
    segmenter: Annotated[
        str,
        typer.Option(
            metavar="RUN|FILE.keras|NAME",
            help="What finds the labels of --mask segment:LABEL.",
            rich_help_panel=_LOOK_PANEL,
        ),
    ] = DEFAULT_SEGMENTER,
    backbone: Annotated[
        str,
        typer.Option(
            help="auto, compact, vgg16, vgg19 or a .keras file.", rich_help_panel=_LOSS_PANEL
        ),
    ] = _DEFAULTS.backbone,
    pooling: Annotated[
        str, _choice(POOLINGS, "Pooling of the network", _LOSS_PANEL)
    ] = _DEFAULTS.pooling,
    style_loss: Annotated[
        str, _choice(STYLE_LOSSES, "Style loss", _LOSS_PANEL)
    ] = _DEFAULTS.style_loss,
    content_weight: Annotated[
        float, typer.Option(help="alpha, weight of the content loss.", rich_help_panel=_LOSS_PANEL)
    ] = _DEFAULTS.content_weight,
    style_weight: Annotated[
        float, typer.Option(help="beta, weight of the style loss.", rich_help_panel=_LOSS_PANEL)
    ] = _DEFAULTS.style_weight,
    tv_weight: Annotated[
        float,
        typer.Option(help="gamma, weight of the total variation.", rich_help_panel=_LOSS_PANEL),
    ] = _DEFAULTS.tv_weight,
    content_layer: Annotated[
        str, typer.Option(help="Layer of the content loss.", rich_help_panel=_LOSS_PANEL)
    ] = _DEFAULTS.content_layer,
    style_layers: Annotated[
        str,
        typer.Option(
            metavar="LAYER[:WEIGHT],...",
            help="Layers of the style loss.",
            rich_help_panel=_LOSS_PANEL,
        ),
    ] = ",".join(_DEFAULTS.style_layers),
    init: Annotated[str, _choice(INITS, "Start from", _OPTIMIZER_PANEL)] = _DEFAULTS.init,
    optimizer: Annotated[
        str, _choice(OPTIMIZERS, "Optimizer", _OPTIMIZER_PANEL)
    ] = _DEFAULTS.optimizer,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="First step size.",
            show_default="by optimizer",
            rich_help_panel=_OPTIMIZER_PANEL,
        ),
    ] = _DEFAULTS.learning_rate,
    parameterization: Annotated[
        str, _choice(PARAMETERIZATIONS, "What Adam moves", _OPTIMIZER_PANEL)
    ] = _DEFAULTS.parameterization,
    ema: Annotated[
        float,
        typer.Option(
            help="Decay of an average over the steps that becomes the result; 0 for none.",
            rich_help_panel=_OPTIMIZER_PANEL,
        ),
    ] = _DEFAULTS.ema,
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Let L-BFGS look at tiles of N pixels: the same loss, in less memory and more "
            "time.",
            show_default="where memory is short",
            rich_help_panel=_OPTIMIZER_PANEL,
        ),
    ] = _DEFAULTS.tile,
    seed: Seed = _DEFAULTS.seed,
    start: VideoStart = None,
    end: VideoEnd = None,
    every: VideoEvery = 1,
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run of the same command.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    save_every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Write the picture every N steps too.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    sidecar: Annotated[
        bool,
        typer.Option(
            "--sidecar",
            help="Write settings and losses to <output>.json too.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Paint pictures and videos in the style of a picture.

    Examples:

      cnnkit stylize photo.jpg painting.jpg -o result.png

      cnnkit stylize photo.jpg waves --size 1024 --budget 60s

      cnnkit stylize photo.jpg --sheet -o styles.jpg

      cnnkit stylize clip.mp4 woodcut --size 640 -o painted.mp4

      cnnkit stylize holiday/ -r --style a.jpg:0.7 --style b.jpg:0.3 -o painted/
    """
    started = time.monotonic() - _process_age()
    console = Console(quiet=quiet, verbose=verbose)
    if json and jsonl:
        raise UsageError("--json and --jsonl exclude each other; give one of them")
    if output == _STDOUT and (json or jsonl):
        raise UsageError("-o - writes the picture to stdout, where --json would write too")
    strengths = _parse_strengths(strength)
    if len(strengths) > 1 and not sheet:
        raise UsageError("several strengths are for --sheet; give one, or --sheet too")
    if sheet:
        quality, size = quality or "draft", size or str(SHEET_SIZE)
        _refuse_with_sheet(
            quality=quality != "draft",
            mask=mask is not None,
            resume=resume,
            save_every=save_every is not None,
            sidecar=sidecar,
        )
        if any(_parse_style(text)[1] != 1.0 for text in style or ()):
            raise UsageError("--sheet shows each style alone: leave out their shares")
    options = StylizeOptions(
        size=_DEFAULTS.size if size is None else _parse_size(size),
        quality=quality or _DEFAULTS.quality,
        steps=steps,
        budget=None if budget is None else _parse_duration(budget),
        strength=strengths[0],
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        content_layer=content_layer,
        style_layers=_parse_layers(style_layers),
        style_loss=style_loss,
        style_scale=style_scale,
        transform=transform,
        init=init,
        optimizer=optimizer,
        learning_rate=learning_rate,
        parameterization=parameterization,
        ema=ema,
        pooling=pooling,
        preserve_color=preserve_color,
        backbone=backbone,
        tile=tile,
        seed=seed,
    )
    for one in strengths:
        replace(options, strength=one)
    if engine == "openvino" and options.quality != "draft":
        raise UsageError(
            "--engine openvino has no gradients: it paints --quality draft alone; leave it out"
        )
    from cnnkit.models._backbones import check_backbone

    check_backbone(backbone)
    if save_every and quality == "draft":
        raise UsageError("--save-every is for --quality standard and fine: a draft has no steps")
    from cnnkit.data.samples import style_names

    contents = list(pictures)
    if not style:
        if len(contents) > 1:
            style = [contents.pop()]
        elif sheet:
            style = list(style_names())
        else:
            raise UsageError(
                "give a content picture and a style picture, or a style's name: "
                + ", ".join(style_names())
            )
    batch = _Batch(
        console,
        options,
        contents,
        [_parse_style(text) for text in style],
        mask=_parse_mask(mask, invert_mask, segmenter),
        output=output,
        recursive=recursive,
        overwrite=overwrite,
        skip_existing=skip_existing,
        resume=resume,
        save_every=save_every,
        sidecar=sidecar,
        strengths=strengths if sheet else (),
        started=started,
        video=VideoSettings(start, end, every, resume),
        video_quality=quality or "draft",
    )
    records = []
    for record in batch.run(threads, verbose, device, engine):
        records.append(record)
        if jsonl:
            console.json_lines([record])
        elif not json and record.model is not None and output != _STDOUT:
            console.result(_line(record))
    if json:
        console.json(records[0] if records and batch.is_single else records)
    return int(ExitCode.INTERRUPTED if batch.interrupted else batch.exit_code)


class _Mask:
    """Which part of each picture is stylised.

    Args:
        path: of a picture, white where it is stylised.
        class_ids: of what is to be found in each picture instead.
        labels: the names of these classes.
        segmenter: what finds them.
        is_inverted: the other part.
    """

    def __init__(
        self,
        path: str | None = None,
        class_ids: tuple[int, ...] = (),
        labels: str = "",
        segmenter: str = "",
        is_inverted: bool = False,
    ):
        self.path = path
        self._class_ids, self._labels, self._name = class_ids, labels, segmenter
        self._is_inverted = is_inverted
        self._picture: Any = None
        self._segmenter: Any = None

    def read(self) -> None:
        """Reads the file, if there is one."""
        if self.path is not None:
            self._picture = _read(self.path).opaque(0.0)

    @property
    def name(self) -> str:
        """What it depends on."""
        return f"{self.path or self._labels}{' inverted' * self._is_inverted} {self._name}".strip()

    def of_frame(self, pixels: Any) -> Any:
        """The mask of a frame of a video, where what is to be found may come and go."""
        if not self._class_ids:
            return self.of(None)
        from cnnkit.images import as_picture

        plane = self._plane(as_picture(pixels, "the frame"))
        return 1.0 - plane if self._is_inverted else plane

    def of(self, content: Any) -> Any:
        """The mask of a picture that was read; None for all of it.

        Raises:
            ImageError: what is to be found is not there.
        """
        if self._class_ids:
            return self._found(content)
        if self._picture is None or not self._is_inverted:
            return self._picture
        return replace(self._picture, pixels=1.0 - self._picture.pixels)

    def _plane(self, content: Any) -> Any:
        from cnnkit.tasks.segment.predict import Segmenter
        from cnnkit.tasks.segment.regions import soft_mask

        if self._segmenter is None:
            self._segmenter = Segmenter(self._name)
        return soft_mask(self._segmenter.label(content), self._class_ids)

    def _found(self, content: Any) -> Any:
        plane = self._plane(content)
        if plane.max() < _SURE:
            raise ImageError(
                f"{content.source or 'the picture'} shows no {self._labels} that could be found; "
                "give --mask a picture that is white where to stylise"
            )
        return 1.0 - plane if self._is_inverted else plane


def _parse_mask(mask: str | None, is_inverted: bool, segmenter: str) -> _Mask:
    if mask is None or not mask.startswith(_SEGMENT):
        if mask is None and is_inverted:
            raise UsageError("--invert-mask is for --mask; give both")
        if segmenter != DEFAULT_SEGMENTER:
            raise UsageError("--segmenter is for --mask segment:LABEL; give both")
        return _Mask(mask, is_inverted=is_inverted)
    from cnnkit.tasks.segment.files import find_classes, find_segmenter_file

    file = find_segmenter_file(segmenter, "--segmenter")
    labels = mask.removeprefix(_SEGMENT)
    class_ids = find_classes(labels, file.classes, "--mask")
    return _Mask(None, class_ids, labels, segmenter, is_inverted)


class _Batch:
    """All contents of one command, painted one after the other with one `Stylizer`."""

    def __init__(
        self,
        console: Console,
        options: StylizeOptions,
        contents: list[str],
        styles: list[tuple[str, float]],
        *,
        mask: "_Mask",
        output: str | None,
        recursive: bool,
        overwrite: bool,
        skip_existing: bool,
        resume: bool,
        save_every: int | None,
        sidecar: bool,
        strengths: Sequence[float],
        started: float,
        video: VideoSettings,
        video_quality: str,
    ):
        from cnnkit.data.sources import find_sources, plan_outputs, stopped_path
        from cnnkit.images import READABLE_SUFFIXES, check_writable_format

        self._console = console
        self._options = options
        self._styles = styles
        self._mask = mask
        self._resume = resume
        self._save_every = save_every
        self._sidecar = sidecar
        # --resume replaces the picture of the run that was stopped.
        self._replaces = overwrite or resume
        self._sheet = tuple(strengths)
        self._started = started
        self.interrupted = False
        self.exit_code = ExitCode.DONE
        self._to_stdout = output == _STDOUT
        finds_again = overwrite or skip_existing or resume
        sources = find_sources(
            contents, recursive, (*READABLE_SUFFIXES, *video_suffixes()), console.note
        )
        self.is_single = len(sources) == 1
        self._video, self._video_options = video, options
        # Pictures too are gone on with.
        self._videos = find_videos(sources, replace(video, resume=False), ("av", "cv2"))
        self._check_videos()
        if self._videos:
            self._video_options = replace(options, quality=video_quality)
        givens = [name for name, _ in styles] + ([] if mask.path is None else [mask.path])
        if [*(source.path for source in sources), *givens].count(_STDIN) > 1:
            raise UsageError("only one picture can come from stdin (-)")
        if self._to_stdout:
            if not self.is_single:
                raise UsageError(f"-o - takes one picture, not {len(sources)}")
            if self._sheet:
                raise UsageError("--sheet is written to a file; give -o a name")
            if sys.stdout.isatty():
                raise UsageError("-o - would write a picture to the terminal; redirect it: > a.png")
            if save_every or sidecar or resume:
                raise UsageError("-o - goes without --save-every, --sidecar and --resume")
            outputs = [Path("stdout.png")]
        elif self._sheet:
            outputs = plan_outputs(sources, output, "sheet", ".jpg", keeps_names=finds_again)
        else:
            kinds = [suffix_for(one.path) if one in self._videos else ".png" for one in sources]
            outputs = plan_outputs(sources, output, "stylized", kinds, keeps_names=finds_again)
        if resume and output is None:
            outputs = [stopped_path(path, self._state_path) for path in outputs]
        self._jobs = []
        for source, path in zip(sources, outputs, strict=True):
            (check_writable_video if source in self._videos else check_writable_format)(path)
            is_done = False
            if not self._to_stdout and _is_there(path):
                if path.is_dir():
                    raise UsageError(f"{path} is a folder; give -o a file name")
                if os.path.realpath(path) in {os.path.realpath(given) for given in givens}:
                    raise UsageError(f"{path} is the style or the mask; give another -o")
                if resume and not self._state_path(path).exists():
                    console.note(f"{path} is done already")
                    is_done = True
                elif skip_existing:
                    console.note(f"{path} exists, skipped")
                    is_done = True
                elif not overwrite and not resume:
                    raise UsageError(f"{path} exists; use --overwrite, --skip-existing or -o")
            if sidecar and not is_done and not self._replaces:
                beside = path.with_name(f"{path.name}.json")
                if _is_there(beside):
                    raise UsageError(f"{beside} exists; use --overwrite or another -o")
            self._jobs.append((source, path, is_done))

    def _state_path(self, output: Path) -> Path:
        if is_video(output):
            return parts_folder(output)
        return output.with_name(f".{output.name}.cnnkit-state")

    def _check_videos(self) -> None:
        """Refuses what does not go with videos."""
        given = {
            "--sheet": bool(self._sheet),
            "--budget": self._options.budget is not None,
            "--save-every": self._save_every is not None,
            "--sidecar": self._sidecar,
            "-o -": self._to_stdout,
        }
        for name, is_given in given.items():
            if is_given and self._videos:
                raise UsageError(f"{name} is of pictures; leave it out for {self._videos[0].path}")

    def run(self, threads: int | None, verbose: bool, device: str, engine: str) -> Iterator[Record]:
        """Paints everything; yields a `Record` for each picture.

        A picture that fails is a record; what concerns all of them, such as an unreadable style,
        is raised.
        """

        def start(quality: str) -> None:
            settings = {"threads": threads, "device": device, "verbose": verbose}
            if quality == "draft":
                start_inference(self._console, engine, **settings)
                return
            from cnnkit.engine.choice import remember_choice
            from cnnkit.runtime import configure

            self._console.working("loading TensorFlow and the networks")
            remember_choice(engine, note=self._console.note, **settings)
            if self._falls_back_to_draft():
                start_inference(self._console, engine, **settings)
                return
            # What paints drafts needs no TensorFlow: it is made ready beside its import.
            ahead = threading.Thread(target=_prepare_drafts)
            ahead.start()
            configure(**settings)
            ahead.join()

        stylizer = video_stylizer = None
        if not all(is_done for _, _, is_done in self._jobs):
            # What cannot be read is found out before the heavy imports.
            styles = [(_read_style(name), weight) for name, weight in self._styles]
            self._mask.read()
        for source, path, is_done in self._jobs:
            if is_done:
                yield Record(source.path, items=({"output": str(path), "skipped": True},))
                continue
            if source in self._videos:

                def load() -> "Stylizer":
                    nonlocal video_stylizer
                    if video_stylizer is None:
                        options = self._video_options
                        start(options.quality)
                        from cnnkit.pipelines.stylize import Stylizer

                        video_stylizer = Stylizer(styles, options, on_note=self._console.note)
                    return video_stylizer

                yield self._paint_video(source.path, path, load)
                if self.interrupted:
                    return
                continue
            begin = time.monotonic()
            try:
                content = _read(source.path)
            except CnnkitError as error:
                yield self._failure(source.path, error)
                continue
            load = time.monotonic() - begin
            if self._sheet:
                start(self._options.quality)
                yield self._paint_sheet(content, [style for style, _ in styles], source.path, path)
                continue
            if stylizer is None:
                start(self._options.quality)
                from cnnkit.pipelines.stylize import Stylizer

                stylizer = Stylizer(styles, self._options, on_note=self._console.note)
                # The first picture's budget counts the start of the program too.
                begin = self._started
            try:
                mask = self._mask.of(content)
                record = self._paint(stylizer, content, mask, source.path, path, load, begin)
            except CnnkitError as error:
                record = self._failure(source.path, error)
            except KeyboardInterrupt:
                self.interrupted = True
                self._console.note(f"stopped by Ctrl-C before {path} was begun")
                return
            yield record
            if self.interrupted:
                return

    def _paint_video(self, source: str, path: Path, load: "Callable[[], Stylizer]") -> Record:
        from cnnkit.engine.video import run_video

        def make() -> Any:
            from cnnkit.pipelines.stylize_video import StylizeVideo

            return StylizeVideo(load(), source, self._mask.of_frame, self._mask.name)

        record = Record(source)

        def keep(frame: Record) -> None:
            nonlocal record
            record = frame

        begin = time.monotonic()
        try:
            run_video(
                source,
                path,
                make,
                self._video,
                console=self._console,
                on_record=keep,
                overwrite=self._replaces,
            )
        except CnnkitError as error:
            return self._failure(source, error)
        except KeyboardInterrupt:
            self.interrupted = True
        frames = record.details["frame"] + 1 if record.details else 0
        return Record(
            source,
            record.width,
            record.height,
            items=(
                {
                    "output": str(path),
                    "frames": frames,
                    "finished": not self.interrupted,
                },
            ),
            model=None if self.interrupted else self._video_options.quality,
            ms=Milliseconds(net=round((time.monotonic() - begin) * 1e3, 1)),
        )

    def _falls_back_to_draft(self) -> bool:
        """Makes the options a draft's where the budget is too short for the optimizer.

        A draft needs no TensorFlow, whose import and compiling alone may take the whole budget. How
        long they will take is told from how long it took to come so far, with the draft's networks.

        Returns:
            Whether they were made so.
        """
        budget = self._options.budget
        if not self.is_single or self._resume or budget is None:
            return False
        converting = _prepare_drafts()
        if converting is None:
            return False
        age = time.monotonic() - self._started
        if budget - age >= _LEAST_OF_START * (age - converting):
            return False
        # Other settings of the optimizer than the usual ones are not given up for speed.
        with contextlib.suppress(UsageError):
            self._options = replace(self._options, quality="draft", budget=None)
            self._console.note(
                f"budget {budget:g} s: too short for the optimizer; the picture is a draft"
            )
            return True
        return False

    def _paint_sheet(
        self, content: "Picture", styles: "Sequence[Picture]", source: str, path: Path
    ) -> Record:
        begin = time.monotonic()
        names = [Path(name).stem for name, _ in self._styles]
        try:
            sheet = paint_sheet(
                self._console,
                content,
                list(zip(names, styles, strict=True)),
                self._sheet,
                self._options,
            )
            return write_sheet(sheet, source, path, names, begin, self._replaces)
        except CnnkitError as error:
            return self._failure(source, error)
        except KeyboardInterrupt:
            self.interrupted = True
            self._console.note(f"stopped by Ctrl-C before {path} was written")
            return Record(source)

    def _failure(self, source: str, error: CnnkitError) -> Record:
        self._console.error(str(error))
        self.exit_code = error.exit_code if self.is_single else ExitCode.INPUT_FAILED
        return Record(source, error=Failure(type(error).__name__, str(error)))

    def _paint(
        self,
        stylizer: "Stylizer",
        content: Any,
        mask: Any,
        source: str,
        path: Path,
        load: float,
        begin: float,
    ) -> Record:
        with self._console.progress() as bar:
            task = bar.add_task(path.name, total=None, status="starting")

            def show(progress: StylizeProgress) -> None:
                bar.update(
                    task,
                    total=progress.total_steps,
                    completed=progress.total_step,
                    status=f"{progress.width}x{progress.height}"
                    + (f" loss {progress.losses['loss']:.3f}" if progress.losses else ""),
                    seconds_left=progress.seconds_left,
                )
                is_last = progress.step == progress.steps
                if is_last and progress.losses and not self._console.is_live:
                    losses = ", ".join(
                        f"{name} {progress.losses[name]:.4f}"
                        for name in ("loss", "content", "style", "tv")
                        if name in progress.losses
                    )
                    self._console.note(
                        f"scale {progress.scale} of {progress.scales}: "
                        f"{progress.width}x{progress.height}, {progress.steps} steps, {losses}"
                        + (
                            f", {duration(progress.seconds_left)} left"
                            if progress.scale < progress.scales and progress.seconds_left
                            else ""
                        )
                    )
                if self._save_every and progress.total_step % self._save_every == 0:
                    self._write_step(path, content, progress)

            result = stylizer.run(
                content,
                mask=mask,
                on_progress=show,
                checkpoint=None if self._to_stdout else self._state_path(path),
                resume=self._resume,
                started=begin,
            )
        if not result.finished:
            self.interrupted = True
        return self._write(result, source, path, load)

    def _write_step(self, path: Path, content: Any, progress: StylizeProgress) -> None:
        from cnnkit.images import Picture, resize, write_image

        pixels, alpha = progress.image(), content.alpha
        if alpha is not None:
            alpha = resize(alpha, *pixels.shape[:2]).clip(0.0, 1.0)
        step = path.with_stem(f"{path.stem}-step{progress.total_step:05d}")
        try:
            write_image(step, Picture(pixels).with_alpha(alpha))
        except ImageError as error:
            # What matters is the picture at the end.
            self._console.warning(f"{error}; no more steps are written")
            self._save_every = None

    def _write(self, result: StylizeResult, source: str, path: Path, load: float) -> Record:
        import json

        from cnnkit.images import encode_image, write_bytes, write_image

        begin = time.monotonic()
        record_text = json.dumps(
            {
                **result.settings,
                "losses": result.losses,
                "scales": [{"size": [s.height, s.width], "steps": s.steps} for s in result.scales],
                "finished": result.finished,
            }
        )
        if self._to_stdout:
            self._console.binary(encode_image(result.image, ".png", record_text))
        else:
            try:
                write_image(path, result.image, record_text, overwrite=self._replaces)
            except ImageError as error:
                try:
                    rescue = Path(tempfile.mkdtemp(prefix="cnnkit-")) / path.name
                    write_image(rescue, result.image, record_text)
                except (OSError, ImageError):
                    raise error from None
                raise ImageError(f"{error}. The picture is safe in {rescue}") from None
            if self._sidecar:
                write_bytes(
                    path.with_name(f"{path.name}.json"),
                    record_text.encode(),
                    overwrite=self._replaces,
                )
        output = _STDOUT if self._to_stdout else str(path)
        if not result.finished:
            can_resume = not self._to_stdout and self._state_path(path).exists()
            self._console.note(
                f"stopped by Ctrl-C; {output} is the picture so far"
                + (", --resume goes on from here" if can_resume else "")
            )
        post = time.monotonic() - begin
        return Record(
            source,
            result.image.width,
            result.image.height,
            items=(
                {
                    "output": output,
                    "losses": dict(result.losses),
                    "steps": sum(scale.steps for scale in result.scales),
                    "finished": result.finished,
                },
            ),
            model=result.backbone,
            ms=Milliseconds(
                load=round(load * 1e3, 1),
                net=round(result.seconds * 1e3, 1),
                post=round(post * 1e3, 1),
            ),
        )


def _read(name: str) -> "Picture":
    from cnnkit.images import read_image

    return read_image(sys.stdin.buffer if name == _STDIN else name, keep_alpha=True)


def _read_style(name: str) -> "Picture":
    """A style picture: a file, or one that comes with cnnkit."""
    from cnnkit.data.samples import find_sample, load_sample, style_names

    if name == _STDIN or Path(name).exists():
        return _read(name)
    if name in style_names():
        return load_sample(find_sample(name))
    if Path(name).suffix:
        return _read(name)
    nearest = difflib.get_close_matches(name, style_names(), n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"styles are {', '.join(style_names())}"
    raise ImageError(f"there is no picture and no style named {name}; {hint}")


def _refuse_with_sheet(**given: bool) -> None:
    for name, is_given in given.items():
        if is_given:
            raise UsageError(
                f"--sheet is of drafts and goes without --{name.replace('_', '-')}; "
                "choose a style there, then paint with it"
            )


def _is_there(path: Path) -> bool:
    """Whether there is a file; an `ImageError` if none could be written there either.

    Better now than after minutes of painting.
    """
    try:
        is_there = path.exists()
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written: {error.strerror or error}; give another -o"
        ) from None
    if not folder.is_dir():
        raise ImageError(f"{path} cannot be written: {folder} is no folder; give another -o")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{path} cannot be written: {folder} is read-only; give another -o")
    return is_there


def _line(record: Record) -> str:
    item = record.items[0]
    if "frames" in item:
        return (
            f"{item['output']}  {record.width}x{record.height}, {item['frames']:,} frames, "
            f"{duration(record.ms.net / 1e3)}"
        )
    if "styles" in item:
        return (
            f"{item['output']}  {record.width}x{record.height}, {', '.join(item['styles'])}, "
            f"{record.ms.net / 1e3:.1f} s"
        )
    work = "draft"
    if item["steps"]:
        work = f"{item['steps']} steps, loss {item['losses'].get('loss', float('nan')):.4f}"
    return f"{item['output']}  {record.width}x{record.height}, {work}, {record.ms.net / 1e3:.1f} s"


def _prepare_drafts() -> float | None:
    """Loads the networks of drafts, where they run without TensorFlow.

    Returns:
        Seconds of it that making their graphs took; None where nothing was loaded. What is wrong is
        told later.
    """
    from cnnkit.engine.choice import runs_beside_keras

    if runs_beside_keras():
        from cnnkit.pipelines._stylize_fast import fast_stylizer

        with contextlib.suppress(CnnkitError):
            return fast_stylizer().conversion_seconds
    return None


def _process_age() -> float:
    """Seconds since this process started, so that a budget counts what the user waits for."""
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())


def _parse_size(text: str) -> int | str:
    if text == "original":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--size takes a number of pixels or 'original', not {text!r}")
    return int(text)


def _parse_strengths(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--strength takes a number from 0 to 1, or several as 0.2,0.5,0.8, not {text!r}"
        ) from None


def _parse_duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)", text.strip())
    if not match:
        raise UsageError(f"--budget takes a time such as 60s, 2m or 1h, not {text!r}")
    return float(match[1]) * {"s": 1, "": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def _parse_style(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition(":")
    if name and not Path(text).exists():
        try:
            return name, float(weight)
        except ValueError:
            pass
    return text, 1.0


def _parse_layers(text: str) -> dict[str, float]:
    layers = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        try:
            layers[name] = float(weight) if weight else 1.0
        except ValueError:
            raise UsageError(f"--style-layers takes LAYER:WEIGHT,..., not {part!r}") from None
    return layers
