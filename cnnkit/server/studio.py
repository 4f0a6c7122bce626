"""The studio: a page to play on, made of Gradio's blocks, beside the HTTP API.

Nothing on it comes from elsewhere, and nothing leaves this machine: it works with the network off.
"""

import asyncio
import contextlib
import functools
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

# Before Gradio is imported, which asks the web for its newest version otherwise.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
import numpy as np
from fastapi import FastAPI

from cnnkit.data.samples import PHOTOGRAPH, SAMPLES, find_sample, load_sample, style_names
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.images import Picture, encode_image, fit_size, resize, to_pil, to_uint8, write_image
from cnnkit.ops.convolution import KERNELS
from cnnkit.results import Record
from cnnkit.server import answers
from cnnkit.server.answers import Answer, find_style
from cnnkit.server.http import Server
from cnnkit.server.settings import LEAST_CONFIDENCE
from cnnkit.server.videos import Step, Videos
from cnnkit.tasks.detect.settings import DetectSettings
from cnnkit.tasks.stylize.settings import COLORS, QUALITIES, StylizeSettings

_Result = TypeVar("_Result")
# Long side of the pictures of the strips, and of samples, in pixels.
_THUMBNAIL, _SAMPLE = 200, 640
_LOOK_SECONDS = 0.2
# Numbers of a kernel: never the name of a file.
_NUMBERS = re.compile(r"[-+\d.eE\s;,]+")
# Uploads and results that Gradio keeps, in seconds: how often it looks, and how old they get.
_KEPT = (600, 3600)
_NO_PICTURE = "Drop a photograph first, or click a sample below."
_NO_VIDEO = "Drop a video first."
# Of pictures: not "share", which would send them away.
_BUTTONS: Any = ["download", "fullscreen"]
_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "Consolas", "Liberation Mono", "monospace")
# Gradio's own footer links elsewhere.
_CSS = """
footer { display: none !important; }
.gradio-container { max-width: 1200px !important; }
@media (max-width: 640px) { .gradio-container { padding: 8px !important; } }
"""


@dataclass(frozen=True)
class _Found:
    """Objects of a picture, from which the slider chooses without looking again."""

    picture: Picture
    objects: tuple[dict[str, Any], ...]


class Studio:
    """The page, and what its buttons do.

    Args:
        server: the networks, and the limits.
    """

    def __init__(self, server: Server):
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="cnnkit-studio-"))
        os.environ["GRADIO_TEMP_DIR"] = str(self._folder / "gradio")
        self._videos = Videos(server.settings.max_video_seconds, self._folder)
        server.at_close.append(functools.partial(shutil.rmtree, self._folder, ignore_errors=True))

    @property
    def folder(self) -> Path:
        """Where samples, uploads and results lie."""
        return self._folder

    def build(self) -> gr.Blocks:
        """The page."""
        with gr.Blocks(title="cnnkit studio", analytics_enabled=False, delete_cache=_KEPT) as page:
            gr.Markdown("# cnnkit studio\nYour pictures stay on this machine.")
            with gr.Tabs():
                self._add_stylize()
                self._add_find()
                self._add_cut_out()
                self._add_who()
                self._add_say()
                self._add_inside()
        return page

    # What all tabs share ------------------------------------------------------------------------

    def _read(self, path: str | None, name: str = "the picture", alpha: bool = False) -> Picture:
        if not path:
            raise UsageError(_NO_PICTURE)
        return self._server.decode(Path(path).read_bytes(), name, alpha)

    async def _run(self, job: Callable[[], _Result]) -> _Result:
        return await self._server.queue.run(job)

    @functools.cached_property
    def _samples(self) -> list[str]:
        """Files of the sample photographs."""
        paths = []
        for sample in SAMPLES:
            if sample.kind == PHOTOGRAPH:
                picture = load_sample(sample)
                size = fit_size(picture.height, picture.width, _SAMPLE)
                pixels = np.clip(resize(picture.pixels, *size), 0.0, 1.0)
                paths.append(str(self._folder / f"{sample.name}.png"))
                write_image(paths[-1], Picture(pixels))
        return paths

    @functools.cached_property
    def _styles(self) -> list[tuple[Any, str]]:
        """The painted styles, small, with their names."""
        strip = []
        for name in style_names():
            picture = load_sample(find_sample(name))
            size = fit_size(picture.height, picture.width, _THUMBNAIL)
            strip.append((to_uint8(np.clip(resize(picture.pixels, *size), 0.0, 1.0)), name))
        return strip

    def _photograph(self, label: str = "Photograph", name: str = "") -> gr.Image:
        return _file_input(
            label=label,
            sources=["upload", "webcam", "clipboard"],
            height=320,
            elem_id=name or None,
        )

    def _add_samples(self, *images: gr.Image, rows: Sequence[Sequence[str]] = ()) -> None:
        examples = [list(row) for row in rows] or [[path] for path in self._samples]
        gr.Examples(examples, list(images), label="Samples", examples_per_page=12)

    def _add_video(
        self,
        words: str,
        name: str,
        run: Callable[..., Any],
        settings: Sequence[Any],
        choice: str = "",
    ) -> None:
        """A short video, below what is done with pictures.

        Args:
            words: on the button.
            name: of the elements.
            run: takes the video and the settings, yields a video and its status.
            settings: elements whose values it gets.
            choice: words of a box to tick, whose value it gets last; "" for none.
        """
        longest = self._server.settings.max_video_seconds
        with gr.Accordion(f"A video, of up to {longest:g} seconds", open=False):
            with gr.Row():
                with gr.Column():
                    source = gr.Video(label="Video", sources=["upload"], height=320, elem_id=name)
                    if choice:
                        settings = [*settings, gr.Checkbox(True, label=choice)]
                    with gr.Row():
                        begin = gr.Button(words, variant="primary", elem_id=f"{name}-begin")
                        stop = gr.Button("Stop", variant="stop", elem_id=f"{name}-stop")
                with gr.Column():
                    made = gr.Video(
                        label="Made of it",
                        interactive=False,
                        buttons=["download"],
                        height=320,
                        elem_id=f"{name}-made",
                    )
                    status = gr.Markdown(elem_id=f"{name}-status")
            going = begin.click(
                run,
                [source, *settings],
                [made, status],
                show_progress="minimal",
                api_visibility="private",
            )
            stop.click(
                lambda: "stopped",
                None,
                status,
                cancels=[going],
                queue=False,
                api_visibility="private",
            )

    # Stylize ------------------------------------------------------------------------------------

    def _add_stylize(self) -> None:
        with gr.Tab("Stylize"):
            job = gr.State(None)
            style = gr.State(style_names()[-1])
            with gr.Row():
                with gr.Column():
                    content = self._photograph(name="content")
                    strip = gr.Gallery(
                        self._styles,
                        label="Style",
                        columns=3,
                        rows=2,
                        height=310,
                        object_fit="cover",
                        allow_preview=False,
                        interactive=False,
                        selected_index=len(self._styles) - 1,
                        elem_id="styles",
                    )
                    with gr.Row():
                        paint = gr.Button("Paint", variant="primary", elem_id="paint")
                        stop = gr.Button("Stop", variant="stop", elem_id="stop")
                    with gr.Accordion("A painting of yours", open=False):
                        own = _file_input(label="Painting", height=180, elem_id="own-style")
                    with gr.Accordion("Settings", open=False):
                        quality = gr.Radio(QUALITIES, value="standard", label="Quality")
                        size = gr.Slider(128, 1024, 512, step=64, label="Long side in pixels")
                        strength = gr.Slider(0, 1, 1, step=0.05, label="Strength")
                        color = gr.Dropdown(list(COLORS), value="none", label="Keep colours")
                        where = gr.Dropdown(
                            ["everywhere", "people", "background"],
                            value="everywhere",
                            label="Where",
                        )
                with gr.Column():
                    shown = gr.ImageSlider(label="Before and after", height=480, elem_id="painted")
                    status = gr.Markdown(elem_id="status")
                    saved = gr.DownloadButton("Download", interactive=False, elem_id="download")
            self._add_samples(content)
            self._add_video(
                "Paint the video", "film", self._paint_video, [style, own, size, strength, color]
            )

            def choose(event: gr.SelectData) -> tuple[str, None]:
                return style_names()[event.index], None

            strip.select(choose, None, [style, own], api_visibility="private")
            settings = [content, style, own, quality, size, strength, color, where]
            shows = [shown, status, saved, job]
            gr.on(
                [content.change, style.change, own.change],
                self._draft,
                settings,
                shows,
                trigger_mode="always_last",
                show_progress="minimal",
                api_visibility="private",
            )
            paint.click(
                self._paint, settings, shows, show_progress="minimal", api_visibility="private"
            )
            stop.click(self._stop, job, status, queue=False, api_visibility="private")

    def _stylize_inputs(
        self,
        content: str | None,
        style: str,
        own: str | None,
        quality: str,
        size: float,
        strength: float,
        color: str,
        where: str,
    ) -> tuple[Picture, Picture, StylizeSettings, Picture | None]:
        picture = self._read(content, alpha=True)
        painted = self._read(own, "the painting") if own else find_style(style)
        options = StylizeSettings(
            quality=quality, size=int(size), strength=strength, preserve_color=color
        )
        mask = None
        if where != "everywhere":
            mask = answers.mask_of(self._server.models, picture, where == "background")
        return picture, painted, options, mask

    async def _draft(self, content: str | None, *rest: Any) -> Any:
        """The picture at once, as soon as there are a photograph and a style."""
        if not content:
            return None, "", gr.update(interactive=False), None
        settings = [*rest]
        settings[2] = "draft"
        with _showing_errors():
            before, after = await self._run(lambda: self._paint_draft(content, *settings))
            return (before, after), "A draft. **Paint** goes on.", gr.update(), None

    def _paint_draft(self, *settings: Any) -> tuple[Any, Any]:
        picture, style, options, mask = self._stylize_inputs(*settings)
        return _beside(picture, _drawn(answers.draft(picture, style, options, mask)))

    async def _paint(self, *settings: Any) -> AsyncIterator[Any]:
        """The picture step by step."""
        quality = settings[3]
        with _showing_errors():
            picture, style, options, mask = await self._run(lambda: self._stylize_inputs(*settings))
            if quality == "draft":
                content = await self._run(
                    lambda: answers.draft(picture, style, options, mask).encode(".png")
                )
                assert content is not None
                path, pair = self._save(content), _beside(picture, _from_bytes(content))
                yield pair, "done", gr.update(value=path, interactive=True), None
                return
            painter = self._server.painter
            job = await asyncio.to_thread(painter.begin, picture, style, options, mask)
            name, version = job.name, -1
            while not job.is_over:
                if job.version != version:
                    version = job.version
                    so_far = job.preview()
                    left = "" if job.seconds_left is None else f" · {job.seconds_left:.0f} s left"
                    words = (
                        f"step {job.step} of {job.steps}{left}"
                        if job.steps
                        else f"{job.status} ..."
                    )
                    shown = _beside(picture, _from_bytes(so_far)) if so_far else gr.skip()
                    yield shown, words, gr.update(interactive=False), name
                await asyncio.sleep(_LOOK_SECONDS)
            done = job.result()
            if done is not None:
                path = self._save(done)
                pair = _beside(picture, _from_bytes(done))
                yield pair, "done", gr.update(value=path, interactive=True), None
            elif job.status == "cancelled":
                so_far = job.preview()
                partial = self._save(so_far, ".jpg") if so_far else None
                saved = gr.update(value=partial, interactive=partial is not None)
                yield gr.skip(), "stopped; this is the picture so far", saved, None
            else:
                raise UsageError(job.error or "the picture could not be painted")

    async def _paint_video(
        self,
        path: str | None,
        style: str,
        own: str | None,
        size: float,
        strength: float,
        color: str,
    ) -> AsyncIterator[Any]:
        """A draft of each frame: anything better takes minutes for a second of video."""
        with _showing_errors():
            if not path:
                raise UsageError(_NO_VIDEO)
            painted = self._read(own, "the painting") if own else find_style(style)
            options = StylizeSettings(
                quality="draft", size=int(size), strength=strength, preserve_color=color
            )
            steps = self._videos.paint(Path(path), painted, options)
            async with contextlib.aclosing(_shown(steps)) as shows:
                async for shown in shows:
                    yield shown

    def _stop(self, name: str | None) -> str:
        job = self._server.painter.find(name) if name else None
        if job is None:
            return "nothing is being painted"
        self._server.painter.cancel(job)
        return "stopping ..."

    def _save(self, content: bytes, suffix: str = ".png") -> str:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        path = folder / f"stylized{suffix}"
        path.write_bytes(content)
        return str(path)

    # Find ---------------------------------------------------------------------------------------

    def _add_find(self) -> None:
        with gr.Tab("Find"):
            found = gr.State(None)
            with gr.Row():
                with gr.Column():
                    picture = self._photograph(name="find-picture")
                    conf = gr.Slider(
                        LEAST_CONFIDENCE, 1, 0.25, step=0.01, label="Least score", elem_id="conf"
                    )
                with gr.Column():
                    drawn = gr.Image(
                        label="Found", interactive=False, buttons=_BUTTONS, elem_id="found"
                    )
                    table = gr.Dataframe(
                        headers=["what", "score", "box"], interactive=False, elem_id="objects"
                    )
            self._add_samples(picture)
            self._add_video(
                "Find in the video", "clip", self._find_in_video, [conf], "Number what is the same"
            )
            picture.change(
                self._find, [picture, conf], [found, drawn, table], api_visibility="private"
            )
            conf.change(
                self._show_found,
                [found, conf],
                [drawn, table],
                show_progress="hidden",
                trigger_mode="always_last",
                api_visibility="private",
            )

    async def _find(self, path: str | None, conf: float) -> Any:
        if not path:
            return None, None, []
        with _showing_errors():
            picture = self._read(path)
            answer = await self._run(
                lambda: answers.detect(self._server.models, picture, LEAST_CONFIDENCE)
            )
            found = _Found(picture, tuple(dict(one) for one in answer.record.items))
            return found, *self._show_found(found, conf)

    async def _find_in_video(
        self, path: str | None, conf: float, track: bool
    ) -> AsyncIterator[Any]:
        with _showing_errors():
            if not path:
                raise UsageError(_NO_VIDEO)
            steps = self._videos.detect(
                Path(path), self._server.settings.detector, DetectSettings(conf=conf), track
            )
            async with contextlib.aclosing(_shown(steps)) as shows:
                async for shown in shows:
                    yield shown

    def _show_found(self, found: _Found | None, conf: float) -> Any:
        from cnnkit.tasks.detect.plots import draw_detections

        if found is None:
            return None, []
        kept = [one for one in found.objects if one["score"] >= conf]
        boxes = np.array([list(one["box"].values()) for one in kept]).reshape(-1, 4)
        drawn = draw_detections(
            to_uint8(found.picture.pixels),
            boxes,
            [one["label"] for one in kept],
            np.array([one["score"] for one in kept]),
            np.array([one["class_id"] for one in kept], int),
        )
        rows = [
            [
                one["label"],
                f"{one['score']:.0%}",
                "{x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}".format(**one["box"]),
            ]
            for one in kept
        ]
        return drawn, rows

    # Cut out ------------------------------------------------------------------------------------

    def _add_cut_out(self) -> None:
        from cnnkit.data._class_names import VOC_CLASSES

        with gr.Tab("Cut out"):
            with gr.Row():
                with gr.Column():
                    picture = self._photograph(name="cut-picture")
                    subject = gr.Dropdown(
                        ["main subject", *VOC_CLASSES[1:]], value="main subject", label="Subject"
                    )
                    behind = gr.Radio(
                        ["transparent", "white", "blur"], value="transparent", label="Background"
                    )
                with gr.Column():
                    cut = gr.Image(
                        label="Cut out",
                        format="png",
                        interactive=False,
                        buttons=_BUTTONS,
                        elem_id="cut",
                    )
                    saved = gr.DownloadButton("Download", interactive=False)
            self._add_samples(picture)
            gr.on(
                [picture.change, subject.change, behind.change],
                self._cut_out,
                [picture, subject, behind],
                [cut, saved],
                trigger_mode="always_last",
                api_visibility="private",
            )

    async def _cut_out(self, path: str | None, subject: str, behind: str) -> Any:
        if not path:
            return None, gr.update(interactive=False)
        with _showing_errors():
            picture = self._read(path, alpha=True)
            drawn = await self._run(
                lambda: _drawn(
                    answers.cut_out(
                        self._server.models,
                        picture,
                        None if subject == "main subject" else subject,
                        None if behind == "transparent" else behind,
                    )
                )
            )
            saved = gr.update(value=self._save(encode_image(drawn, ".png")), interactive=True)
            return to_pil(drawn), saved

    # Who is it ----------------------------------------------------------------------------------

    def _add_who(self) -> None:
        with gr.Tab("Who is it"):
            with gr.Row():
                first = self._photograph("One picture", "first")
                second = self._photograph("Another picture", "second")
            compare = gr.Button("Same person?", variant="primary", elem_id="compare")
            verdict = gr.Markdown(elem_id="verdict")
            why = gr.Image(label="Why", interactive=False, buttons=_BUTTONS)
            compare.click(self._verify, [first, second], [verdict, why], api_visibility="private")
            astronaut = next(path for path in self._samples if "astronaut" in path)
            self._add_samples(first, second, rows=[[astronaut, astronaut]])
            if self._server.settings.gallery is not None:
                self._add_gallery()

    async def _verify(self, first: str | None, second: str | None) -> Any:
        with _showing_errors():
            pictures = self._read(first, "the first"), self._read(second, "the second")

            def job() -> tuple[Record, Picture]:
                answer = answers.verify(self._server.models, *pictures)
                return answer.record, _drawn(answer)

            record, drawn = await self._run(job)
            details = record.details
            words = "Same person" if details["same"] else "Different people"
            return (
                f"## {words}\ndistance {details['distance']:.3f}, the threshold is "
                f"{record.threshold:.3f}",
                to_pil(drawn),
            )

    def _add_gallery(self) -> None:
        gr.Markdown("## People you know")
        with gr.Row():
            with gr.Column():
                picture = self._photograph("A picture", "known")
                name = gr.Textbox(label="Name", elem_id="name")
                with gr.Row():
                    enroll = gr.Button("Remember", elem_id="enroll")
                    identify = gr.Button("Who is it?", variant="primary", elem_id="identify")
                    remove = gr.Button("Forget", variant="stop", elem_id="remove")
            with gr.Column():
                drawn = gr.Image(label="Known", interactive=False, buttons=_BUTTONS)
                words = gr.Markdown(elem_id="people")
        enroll.click(self._enroll, [picture, name], words, api_visibility="private")
        identify.click(self._identify, picture, [drawn, words], api_visibility="private")
        remove.click(self._remove, name, words, api_visibility="private")

    async def _enroll(self, path: str | None, name: str) -> str:
        def job() -> str:
            with self._server.gallery(reads_only=False) as gallery:
                answers.enroll(self._server.models, gallery, name, self._read(path))
                return _people(gallery)

        with _showing_errors():
            return await self._run(job)

    async def _identify(self, path: str | None) -> Any:
        def job() -> tuple[Any, str]:
            with self._server.gallery() as gallery:
                picture = self._read(path)
                answer = answers.identify(self._server.models, gallery, picture)
            names = [one["name"] or "unknown" for one in answer.record.items]
            return to_pil(_drawn(answer)), ", ".join(names) or "no face"

        with _showing_errors():
            return await self._run(job)

    async def _remove(self, name: str) -> str:
        def job() -> str:
            with self._server.gallery(reads_only=False) as gallery:
                gallery.remove(name)
                return _people(gallery)

        with _showing_errors():
            return await self._run(job)

    # Say ----------------------------------------------------------------------------------------

    def _add_say(self) -> None:
        with gr.Tab("Say"):
            with gr.Row():
                picture = self._photograph(name="say-picture")
                with gr.Column():
                    sentence = gr.Markdown(elem_id="sentence")
                    classes = gr.Label(label="Looks like", num_top_classes=5, elem_id="classes")
            self._add_samples(picture)
            picture.change(self._say, picture, [sentence, classes], api_visibility="private")

    async def _say(self, path: str | None) -> Any:
        if not path:
            return "", None
        with _showing_errors():
            picture, models = self._read(path), self._server.models
            said, named = await self._run(
                lambda: (answers.caption(models, picture), answers.classify(models, picture))
            )
            best = said.record.items[0]
            text = best["sentence"] if best.get("sure", True) else f"not sure: {best['sentence']}?"
            return f"## {text}", {one["label"]: one["score"] for one in named.record.items}

    # See inside ---------------------------------------------------------------------------------

    def _add_inside(self) -> None:
        with gr.Tab("See inside"):
            with gr.Row():
                with gr.Column():
                    picture = self._photograph(name="inside-picture")
                    kernel = gr.Dropdown(
                        list(KERNELS), value="sobel", label="Kernel", elem_id="kernel"
                    )
                    numbers = gr.Textbox(label="... or numbers", placeholder="0 1 0; 1 -4 1; 0 1 0")
                    with gr.Row():
                        edges = gr.Button("Edges", variant="primary", elem_id="edges")
                        gradcam = gr.Button("Where is it seen?", elem_id="gradcam")
                        units = gr.Button("What excites layer 3?", elem_id="units")
                with gr.Column():
                    shown = gr.Image(
                        label="Inside", interactive=False, buttons=_BUTTONS, elem_id="inside"
                    )
                    shapes = gr.Textbox(
                        "64x64x3 conv3-16p pool2 conv3-32p pool2 fc10",
                        label="A network in words",
                        elem_id="shapes",
                    )
                    follow = gr.Button("Follow its shapes")
                    table = gr.Code(label="Shapes", language=None, elem_id="shape-table")
            self._add_samples(picture)
            edges.click(self._edges, [picture, kernel, numbers], shown, api_visibility="private")
            gradcam.click(
                functools.partial(self._visualize, "gradcam"),
                picture,
                shown,
                api_visibility="private",
            )
            units.click(self._units, None, shown, api_visibility="private")
            follow.click(self._follow, shapes, table, api_visibility="private")

    async def _edges(self, path: str | None, kernel: str, numbers: str) -> Any:
        from cnnkit.tasks.visualize.edges import visualize_edges
        from cnnkit.tasks.visualize.settings import EdgeSettings

        def job() -> Any:
            picture = self._read(path)
            if numbers.strip() and not _NUMBERS.fullmatch(numbers):
                raise UsageError("a kernel is rows of numbers: 0 1 0; 1 -4 1; 0 1 0")
            settings = EdgeSettings(kernel=numbers.strip() or kernel, padding="same")
            return visualize_edges(picture, settings).plot()

        with _showing_errors():
            return await self._run(job)

    async def _visualize(self, what: str, path: str | None) -> Any:
        with _showing_errors():
            picture = self._read(path)
            return await self._run(lambda: self._command(what, picture))

    async def _units(self) -> Any:
        with _showing_errors():
            return await self._run(
                lambda: self._command("units", None, "layer3", "--images", str(self._folder))
            )

    def _command(self, what: str, picture: Picture | None, *arguments: str) -> Any:
        """A picture that a command makes: what needs gradients goes with its process."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        if picture is not None:
            write_image(folder / "picture.png", picture)
            arguments = (str(folder / "picture.png"), *arguments)
        made = folder / "made.png"
        code = f"import sys; sys.path[:] = {sys.path!r}; from cnnkit.__main__ import main; main()"
        command = [sys.executable, "-I", "-c", code, "visualize", what, *arguments]
        done = subprocess.run(
            [*command, "-o", str(made), "-q"], capture_output=True, text=True, check=False
        )
        if done.returncode or not made.exists():
            lines = done.stderr.strip().splitlines() or ["nothing was made"]
            raise UsageError(lines[-1].removeprefix("error: "))
        return _pil(made.read_bytes())

    async def _follow(self, text: str) -> str:
        from cnnkit.tasks.visualize.shapes import visualize_shapes

        with _showing_errors():
            found = visualize_shapes(text)
            return "\n".join(
                f"{row.name:<16} {' x '.join(map(str, row.output_shape))}" for row in found.layers
            )


def _file_input(**settings: Any) -> gr.Image:
    """A picture as the file that was dropped: what is wrong with it is said by cnnkit."""
    image = gr.Image(type="filepath", **settings)
    # Gradio would decode it. It writes files beside classes that inherit from its own.
    image.__dict__["preprocess"] = lambda payload: None if payload is None else payload.path
    return image


async def _shown(steps: AsyncGenerator[Step, None]) -> AsyncGenerator[tuple[Any, str], None]:
    """A video and words for the page, a few times a second."""
    begin, told = time.monotonic(), 0.0
    yield None, "starting ..."
    async with contextlib.aclosing(steps):
        async for step in steps:
            now = time.monotonic()
            if step.output is not None:
                yield str(step.output), step.words
            elif step.done == 0:
                begin = now
            elif now - told > _LOOK_SECONDS:
                told = now
                yield gr.skip(), _progress(step, now - begin)


def _progress(step: Step, seconds: float) -> str:
    speed = step.done / max(seconds, 1e-6)
    if step.total is None:
        return f"{step.done} frames · {speed:.1f} a second"
    left = max(0, step.total - step.done) / speed
    return (
        f"{step.done} of {max(step.total, step.done)} frames · {speed:.1f} a second · "
        f"{left:.0f} s left"
    )


def _drawn(answer: Answer) -> Picture:
    """The picture of an answer that has one."""
    assert answer.draw is not None
    return answer.draw()


@contextlib.contextmanager
def _showing_errors() -> Any:
    """Shows what a user can mend as a message on the page."""
    try:
        yield
    except CnnkitError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _beside(before: Picture, after: Picture) -> tuple[Any, Any]:
    """Two pictures of one size, for the slider."""
    if (before.height, before.width) != (after.height, after.width):
        pixels = np.clip(resize(before.opaque().pixels, after.height, after.width), 0.0, 1.0)
        before = Picture(pixels)
    return to_pil(before.opaque()), to_pil(after.opaque())


def _from_bytes(content: bytes) -> Picture:
    from cnnkit.images import read_image

    return read_image(content, "the picture so far")


def _pil(content: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(content)).convert("RGB")


def _people(gallery: Any) -> str:
    people = ", ".join(f"{one.name} ({one.faces})" for one in gallery.people())
    return f"In the gallery: {people or 'nobody'}"


def add_studio(app: FastAPI) -> FastAPI:
    """Puts the page at `/` of the API's application.

    Args:
        app: of `http.build_app`.

    Returns:
        The application with the page.
    """
    server: Server = app.state.server
    studio = Studio(server)
    theme = gr.themes.Soft(font=list(_FONT), font_mono=list(_MONO))
    page = studio.build().queue(max_size=server.settings.queue, api_open=False)
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=theme,
        css=_CSS,
        show_error=True,
        allowed_paths=[str(studio.folder)],
        max_file_size=int(server.settings.max_megabytes * 1e6),
        ssr_mode=False,
        footer_links=[],
    )
