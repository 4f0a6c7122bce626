"""The pictures and videos of one command, painted one after the other in one style."""

import contextlib
import difflib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.console import Console, duration
from cnnkit.engine.batch import STDOUT, Outcome
from cnnkit.engine.command import EngineSettings
from cnnkit.errors import CnnkitError, ImageError, UsageError
from cnnkit.results import Milliseconds, Record
from cnnkit.tasks.stylize.outputs import Job, Order, plan_jobs, state_path
from cnnkit.tasks.stylize.results import StylizeProgress, StylizeResult
from cnnkit.tasks.stylize.sheet import paint_sheet, write_sheet

if TYPE_CHECKING:
    from cnnkit.engine.video import VideoTask
    from cnnkit.images import Picture
    from cnnkit.tasks.stylize.predict import Stylizer

_STDIN = "-"
# What the optimizer takes at least, with TensorFlow's import and compiling, as a multiple of the
# time until the networks of drafts are loaded (benchmarks/stylize_budget.py).
_LEAST_OF_START = 9.0


class Jobs:
    """All contents of one command.

    Args:
        console: for notes and progress.
        order: what is to be painted.

    Attributes:
        is_single: whether one content was named.
        interrupted: whether Ctrl-C ended the run.

    Raises:
        CnnkitError: see `plan_jobs`.
    """

    def __init__(self, console: Console, order: Order):
        self._console, self._order, self._settings = console, order, order.settings
        self._save_every = order.writing.save_every
        self.interrupted = False
        self._jobs = plan_jobs(order, console)
        self.is_single = len(self._jobs) == 1
        self._video_settings = self._settings
        if any(job.is_video for job in self._jobs):
            self._video_settings = replace(self._settings, quality=order.video_quality)

    def run(self, outcome: Outcome, engine: EngineSettings, verbose: bool) -> None:
        """Paints everything that is not there; a content that fails is a record.

        Args:
            outcome: takes the records.
            engine: that computes.
            verbose: let its own messages through.

        Raises:
            CnnkitError: what concerns all contents, such as a style that cannot be read.
        """
        styles = []
        if not all(job.is_done for job in self._jobs):
            # What cannot be read is found out before the heavy imports.
            styles = [(_read_style(name), weight) for name, weight in self._order.styles]
            if self._order.mask.path is not None:
                self._order.mask.take(_read(self._order.mask.path))
        made: dict[str, Stylizer] = {}

        def stylizer(kind: str) -> "Stylizer":
            """The one of all pictures or of all videos, whose settings may differ."""
            if kind not in made:
                is_picture = kind == "picture"
                self._start(is_picture, engine, verbose)
                from cnnkit.tasks.stylize.predict import Stylizer

                settings = self._settings if is_picture else self._video_settings
                made[kind] = Stylizer(styles, settings, on_note=self._console.note)
            return made[kind]

        for job in self._jobs:
            source = job.source.path
            if job.is_done:
                outcome.add(Record(source, items=({"output": str(job.path), "skipped": True},)))
                continue
            begin = time.monotonic()
            try:
                content = None if job.is_video else _read(source)
            except CnnkitError as error:
                outcome.fail(source, error)
                continue
            reading = time.monotonic() - begin
            painter = None
            if self._order.strengths:
                self._start(True, engine, verbose)
            elif not job.is_video:
                if "picture" not in made:
                    # The budget of the first picture counts the start of the program too.
                    begin = self._order.started
                painter = stylizer("picture")
            try:
                if content is None:
                    record = self._paint_video(job, lambda: stylizer("video"))
                elif painter is None:
                    record = self._paint_sheet(job, content, [style for style, _ in styles])
                else:
                    record = self._paint(job, content, painter, begin, reading)
            except CnnkitError as error:
                outcome.fail(source, error)
            except KeyboardInterrupt:
                self.interrupted = True
                self._console.note(f"stopped by Ctrl-C before {job.path} was begun")
            else:
                is_shown = record.model is not None and not self._order.to_stdout
                outcome.add(record, [line_of(record)] if is_shown else [])
            if self.interrupted:
                return

    def _start(self, is_picture: bool, engine: EngineSettings, verbose: bool) -> None:
        """Imports what computes, which for a draft is no TensorFlow."""
        settings = self._settings if is_picture else self._video_settings
        if settings.quality == "draft":
            engine.start(self._console, verbose)
            return
        from cnnkit.engine.choice import remember_choice
        from cnnkit.runtime import configure

        how: dict[str, Any] = {
            "threads": engine.threads,
            "device": engine.device,
            "verbose": verbose,
        }
        self._console.working("loading TensorFlow and the networks")
        remember_choice(engine.engine, note=self._console.note, **how)
        if self._falls_back_to_draft():
            engine.start(self._console, verbose)
            return
        # What paints drafts needs no TensorFlow: it is made ready beside its import.
        ahead = threading.Thread(target=_prepare_drafts)
        ahead.start()
        configure(**how)
        ahead.join()

    def _falls_back_to_draft(self) -> bool:
        """Makes the settings a draft's where the budget is too short for the optimizer.

        A draft needs no TensorFlow, whose import and compiling alone may take the whole budget. How
        long they will take is told from how long it took to come so far, with the draft's networks.

        Returns:
            Whether they were made so.
        """
        budget = self._settings.budget
        if not self.is_single or self._order.video.resume or budget is None:
            return False
        converting = _prepare_drafts()
        if converting is None:
            return False
        age = time.monotonic() - self._order.started
        if budget - age >= _LEAST_OF_START * (age - converting):
            return False
        # Other settings of the optimizer than the usual ones are not given up for speed.
        with contextlib.suppress(UsageError):
            self._settings = replace(self._settings, quality="draft", budget=None)
            self._console.note(
                f"budget {budget:g} s: too short for the optimizer; the picture is a draft"
            )
            return True
        return False

    def _paint_video(self, job: Job, load: "Callable[[], Stylizer]") -> Record:
        from cnnkit.engine.video import run_video

        source, mask = job.source.path, self._order.mask

        def make() -> "VideoTask":
            from cnnkit.tasks.stylize.video import StylizeVideo

            return StylizeVideo(load(), source, mask.of_frame, mask.name)

        record = Record(source)

        def keep(frame: Record) -> None:
            nonlocal record
            record = frame

        begin = time.monotonic()
        try:
            run_video(
                source,
                job.path,
                make,
                self._order.video,
                console=self._console,
                on_record=keep,
                overwrite=self._order.replaces,
            )
        except KeyboardInterrupt:
            self.interrupted = True
        frames = record.details["frame"] + 1 if record.details else 0
        item = {"output": str(job.path), "frames": frames, "finished": not self.interrupted}
        return Record(
            source,
            record.width,
            record.height,
            items=(item,),
            model=None if self.interrupted else self._video_settings.quality,
            ms=Milliseconds(net=round((time.monotonic() - begin) * 1e3, 1)),
        )

    def _paint_sheet(self, job: Job, content: "Picture", styles: "list[Picture]") -> Record:
        begin, order = time.monotonic(), self._order
        names = [Path(name).stem for name, _ in order.styles]
        try:
            sheet = paint_sheet(
                self._console,
                content,
                list(zip(names, styles, strict=True)),
                order.strengths,
                self._settings,
            )
            return write_sheet(sheet, job.source.path, job.path, names, begin, self._order.replaces)
        except KeyboardInterrupt:
            self.interrupted = True
            self._console.note(f"stopped by Ctrl-C before {job.path} was written")
            return Record(job.source.path)

    def _paint(
        self, job: Job, content: "Picture", stylizer: "Stylizer", begin: float, reading: float
    ) -> Record:
        """Paints a picture.

        Args:
            job: the picture.
            content: that was read.
            stylizer: that paints it.
            begin: `time.monotonic()` when its budget began.
            reading: seconds that reading took.
        """
        mask = self._order.mask.of(content)
        with self._console.progress() as bar:
            task = bar.add_task(job.path.name, total=None, status="starting")

            def show(progress: StylizeProgress) -> None:
                bar.update(
                    task,
                    total=progress.total_steps,
                    completed=progress.total_step,
                    status=f"{progress.width}x{progress.height}"
                    + (f" loss {progress.losses['loss']:.3f}" if progress.losses else ""),
                    seconds_left=progress.seconds_left,
                )
                self._note_scale(progress)
                if self._save_every and progress.total_step % self._save_every == 0:
                    self._write_step(job.path, content, progress)

            result = stylizer.run(
                content,
                mask=mask,
                on_progress=show,
                checkpoint=None if self._order.to_stdout else state_path(job.path),
                resume=self._order.video.resume,
                started=begin,
            )
        if not result.finished:
            self.interrupted = True
        return self._write(result, job, reading)

    def _note_scale(self, progress: StylizeProgress) -> None:
        """A line at the end of a scale, where there is no bar."""
        is_last = progress.step == progress.steps
        if not is_last or not progress.losses or self._console.is_live:
            return
        losses = ", ".join(
            f"{name} {progress.losses[name]:.4f}"
            for name in ("loss", "content", "style", "tv")
            if name in progress.losses
        )
        left = ""
        if progress.scale < progress.scales and progress.seconds_left:
            left = f", {duration(progress.seconds_left)} left"
        self._console.note(
            f"scale {progress.scale} of {progress.scales}: {progress.width}x{progress.height}, "
            f"{progress.steps} steps, {losses}{left}"
        )

    def _write_step(self, path: Path, content: "Picture", progress: StylizeProgress) -> None:
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

    def _write(self, result: StylizeResult, job: Job, reading: float) -> Record:
        """Writes a picture; its record."""
        begin, path = time.monotonic(), job.path
        scales = [{"size": [s.height, s.width], "steps": s.steps} for s in result.scales]
        done = {"losses": result.losses, "scales": scales, "finished": result.finished}
        self._write_files(result, path, json.dumps({**result.settings, **done}))
        output = str(STDOUT) if self._order.to_stdout else str(path)
        if not result.finished:
            can_resume = not self._order.to_stdout and state_path(path).exists()
            self._console.note(
                f"stopped by Ctrl-C; {output} is the picture so far"
                + (", --resume goes on from here" if can_resume else "")
            )
        item = {
            "output": output,
            "losses": dict(result.losses),
            "steps": sum(scale.steps for scale in result.scales),
            "finished": result.finished,
        }
        times = (reading, 0.0, result.seconds, time.monotonic() - begin)
        return Record(
            job.source.path,
            result.image.width,
            result.image.height,
            items=(item,),
            model=result.backbone,
            ms=Milliseconds(*(round(1e3 * seconds, 1) for seconds in times)),
        )

    def _write_files(self, result: StylizeResult, path: Path, about: str) -> None:
        from cnnkit.images import encode_image, write_bytes, write_image

        if self._order.to_stdout:
            self._console.binary(encode_image(result.image, ".png", about))
            return
        try:
            write_image(path, result.image, about, overwrite=self._order.replaces)
        except ImageError as error:
            try:
                rescue = Path(tempfile.mkdtemp(prefix="cnnkit-")) / path.name
                write_image(rescue, result.image, about)
            except (OSError, ImageError):
                raise error from None
            raise ImageError(f"{error}. The picture is safe in {rescue}") from None
        if self._order.writing.sidecar:
            beside = path.with_name(f"{path.name}.json")
            write_bytes(beside, about.encode(), overwrite=self._order.replaces)


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


def line_of(record: Record) -> str:
    """What people are told of a result."""
    item = record.items[0]
    seconds = record.ms.net / 1e3
    if "frames" in item:
        work, time_taken = f"{item['frames']:,} frames", duration(seconds)
    else:
        time_taken = f"{seconds:.1f} s"
        if "styles" in item:
            work = ", ".join(item["styles"])
        elif item["steps"]:
            work = f"{item['steps']} steps, loss {item['losses'].get('loss', float('nan')):.4f}"
        else:
            work = "draft"
    return f"{item['output']}  {record.width}x{record.height}, {work}, {time_taken}"


def _prepare_drafts() -> float | None:
    """Loads the networks of drafts, where they run without TensorFlow.

    Returns:
        Seconds of it that making their graphs took; None where nothing was loaded. What is wrong is
        told later.
    """
    from cnnkit.engine.choice import runs_beside_keras

    if runs_beside_keras():
        from cnnkit.tasks.stylize.draft import draft_painter

        with contextlib.suppress(CnnkitError):
            return draft_painter().conversion_seconds
    return None
