"""A trained captioner, compiled, on pictures."""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.data.imagenet import SeenName
from cnnkit.data.labelled import read_example, stretch_pixels
from cnnkit.data.text import END, NAME, START, UNKNOWN
from cnnkit.engine.networks import NetworkSource, open_networks
from cnnkit.engine.predictor import (
    Loaded,
    PictureSource,
    collect,
    each_source,
    keep_last,
    loaded,
    milliseconds_since,
    name_of,
    predict_each,
)
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.images import Picture, header_size, read_image, to_uint8
from cnnkit.models.caption_encoder import names_seen
from cnnkit.ops.beam import Hypothesis
from cnnkit.results import Milliseconds
from cnnkit.tasks.caption.data import shares_word, split_caption
from cnnkit.tasks.caption.files import (
    find_captioner_file,
    read_captioner_settings,
    read_vocabulary,
)
from cnnkit.tasks.caption.results import Caption, CaptionCandidate
from cnnkit.tasks.caption.sentence_writer import SentenceWriter, total_word_loss
from cnnkit.tasks.caption.settings import DEFAULT_CAPTIONER, CaptionSettings
from cnnkit.weights import locate

# What is said where the name alone is sure.
_NAME_ALONE = f"a close up of {NAME}"
# Sentences that it has learnt begin in both ways, and it puts one before the other.
_SAID_TWICE = re.compile("^a picture of (?=a close up of )")


@dataclass(frozen=True, eq=False)
class _Seen:
    """A picture as the network sees it, its height and width, and itself if it is no file."""

    pixels: npt.NDArray[np.float32]
    size: tuple[int, int]
    picture: Picture | None = None


class Captioner:
    """A trained captioner; several threads may use it.

    Args:
        model: a name, the folder of a run of `cnnkit train caption`, or its `.keras` file.

    Raises:
        UsageError: no such captioner.
        WeightsError: its weights are not here.
        DataError: what its file says of itself cannot be read.
    """

    def __init__(self, model: str | Path = DEFAULT_CAPTIONER):
        file = find_captioner_file(str(model))
        self.name, self.vocabulary = file.name, read_vocabulary(file)
        self._settings = read_captioner_settings(file)
        files = [file.path]
        settings = {"words": len(self.vocabulary)}
        if "backbone_hash" in self._settings:
            files.append(locate(self._settings["backbone"]))
            settings["side"] = self._settings["side"]
        self._networks = open_networks(
            NetworkSource(
                f"captioner {file.name}",
                "cnnkit.tasks.caption.network:build",
                files,
                settings,
            )
        )
        height, width, channels = self._networks.facts["picture"]
        self._shape = int(height), int(width), int(channels)
        self._encode = self._networks["encode"]
        try:
            self._writer = SentenceWriter(
                self._networks["look"], self._networks["write"], self.vocabulary
            )
        except ValueError as error:
            raise UsageError(f"{file.path} is no captioner that can be used: {error}") from None

    def caption(self, sources: Any, settings: CaptionSettings | None = None) -> list[Caption]:
        """Says what pictures show; for arguments and errors see `cnnkit.caption`."""
        return collect(
            each_source(sources),
            lambda given: self.caption_each(given, settings),
            lambda found: replace(found, picture=None, encoding=None),
        )

    def caption_each(
        self,
        sources: Iterable[PictureSource],
        settings: CaptionSettings | None = None,
        *,
        batch: int = 16,
        stdin: Callable[[], bytes] | None = None,
    ) -> Iterator[Caption | CnnkitError]:
        """Says what pictures show one after another; one that cannot be read gives its error.

        Args:
            sources: paths, "-", or pictures.
            settings: of the search.
            batch: pictures at a time.
            stdin: reads what "-" stands for.

        Yields:
            For each a `Caption`, with what the encoder says of the picture, or why there is none.
        """

        def describe(seen: Sequence[Loaded[_Seen]]) -> Iterator[Caption]:
            begin = time.monotonic()
            encodings = self.encode([one.value.pixels for one in seen], batch)
            net, begin = milliseconds_since(begin), time.monotonic()
            said = self.write(encodings, settings)
            post, count = milliseconds_since(begin), max(1, len(seen))
            for one, candidates, encoding in zip(seen, said, encodings, strict=True):
                times = (round(ms, 1) for ms in (one.ms, 0.0, net / count, post / count))
                yield Caption(
                    *(one.source, candidates, one.value.size, self.name, Milliseconds(*times)),
                    picture=one.value.picture,
                    encoding=encoding,
                )

        return predict_each(
            sources,
            lambda source: self.read(name_of(source), loaded(source, stdin)),
            describe,
            batch=batch,
        )

    def read(self, path: str, picture: Picture | None) -> _Seen:
        """A picture as the network sees it, of a file or in memory.

        Raises:
            ImageError: a file cannot be read.
        """
        if picture is None:
            # As in training, to the last bit.
            pixels = read_example(path, self._shape)
            size = header_size(path)
            if size is not None:
                return _Seen(pixels, size)
            picture = read_image(path)
        pixels = stretch_pixels(to_uint8(picture.pixels), self._shape)
        return _Seen(pixels, (picture.height, picture.width), picture)

    def encode(self, pictures: Sequence[np.ndarray], batch: int = 16) -> np.ndarray:
        """What the encoder says of pictures that are read already.

        Args:
            pictures: float32, each of the network's input shape, in [0, 1].
            batch: pictures at a time.

        Returns:
            float32 `(N, D)`.
        """
        found = []
        for first in range(0, len(pictures), batch):
            values = np.stack(pictures[first : first + batch])
            count = len(values)
            if self._networks.compiles_each_size:
                values = np.pad(values, [(0, batch - count)] + [(0, 0)] * 3)
            found.append(self._encode(values)[:count])
        return np.concatenate(found) if found else np.zeros((0, 1), np.float32)

    def write(
        self, encodings: np.ndarray, settings: CaptionSettings | None = None
    ) -> list[tuple[CaptionCandidate, ...]]:
        """Sentences about pictures that were encoded, the best first."""
        if not len(encodings):
            return []
        settings = settings or CaptionSettings()
        names = names_seen(encodings, self._settings, self.vocabulary)
        return [
            self._with_name(
                encoding,
                [self._candidate(one, name) for one in hypotheses],
                name,
                settings.length_penalty,
            )
            for encoding, hypotheses, name in zip(
                encodings, self._writer.write(encodings, settings), names, strict=True
            )
        ]

    def _with_name(
        self,
        encoding: np.ndarray,
        said: list[CaptionCandidate],
        name: SeenName,
        length_penalty: float,
    ) -> tuple[CaptionCandidate, ...]:
        """Puts the name alone first where it is sure, and the best sentence is not and lacks it."""
        settings = self._settings
        if (
            "least_name_to_say" not in settings
            or name.probability < settings["least_name_to_say"]
            or said[0].likelihood >= settings["least_likelihood_unnamed"]
            or shares_word(name.phrase, said[0].sentence)
        ):
            return tuple(said)
        text = [START, *split_caption(_NAME_ALONE), END]
        words = self.vocabulary.encode([text], len(text))
        loss, _ = total_word_loss(self._networks["tell"], encoding[None], np.zeros(1, int), words)
        tokens = tuple(int(word) for word in words[0, 1:-1])
        named = Hypothesis(tokens, -loss, -loss / (len(tokens) + 1) ** length_penalty)
        # The classifier is sure of it, whatever the network would say of such sentences.
        best = replace(self._candidate(named, name), is_sure=True)
        return (best, *said[:-1])

    def _candidate(self, found: Hypothesis, name: SeenName) -> CaptionCandidate:
        has_name = self._writer.has_name(found)
        likelihood = math.exp(found.log_probability / (len(found.tokens) + 1))
        sentence = _SAID_TWICE.sub("", self._writer.sentence(found, name.phrase))
        is_sure = None
        if "least_likelihood" in self._settings:
            least = self._settings["least_likelihood"]
            if has_name:
                is_sure = name.probability >= self._settings["least_name_probability"]
            elif not shares_word(name.phrase, sentence):
                least = self._settings.get("least_likelihood_apart", least)
            is_sure = is_sure is not False and likelihood >= least
        return CaptionCandidate(
            sentence,
            math.exp(found.score),
            found.log_probability,
            likelihood,
            name.probability if has_name else None,
            is_sure,
        )

    def word_losses(
        self, encodings: np.ndarray, sentences: Sequence[Sequence[str]]
    ) -> tuple[float, int, int]:
        """How probable true sentences are.

        Args:
            encodings: `(N, D)` of N pictures.
            sentences: about each of them.

        Returns:
            The sum of -log p over all words and ends, their number, and how many of the words are
            unknown.
        """
        texts = [[START, *split_caption(one), END] for said in sentences for one in said]
        pictures = np.repeat(np.arange(len(sentences)), [len(said) for said in sentences])
        words = self.vocabulary.encode(texts, max(map(len, texts)))
        total, count = total_word_loss(self._networks["tell"], encodings, pictures, words)
        return total, count, int((words == UNKNOWN).sum())


_captioner = keep_last(Captioner)


def caption(
    sources: Any,
    settings: CaptionSettings | None = None,
    *,
    model: str | Path = DEFAULT_CAPTIONER,
    **changes: Any,
) -> list[Caption]:
    """Says in a sentence what pictures show.

    The captioner stays loaded for the next call with the same model.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them.
        settings: of the search for sentences; see `CaptionSettings`.
        model: "captions" (shipped), the folder of a run of `cnnkit train caption`, or its `.keras`
            file.
        changes: of the settings, by name, such as `candidates=2`.

    Returns:
        A `Caption` for each, in order.

    Raises:
        UsageError: no such captioner, or settings that do not fit.
        WeightsError: its weights are not here.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.
    """
    settings = replace(settings or CaptionSettings(), **changes)
    return _captioner(str(model)).caption(sources, settings)
