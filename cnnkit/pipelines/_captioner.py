"""A trained captioner, compiled, on pictures."""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnkit.data.captions import NAME, shares_word, split_caption
from cnnkit.data.imagenet import SeenName
from cnnkit.data.labelled import read_example, stretch_pixels
from cnnkit.data.text import END, START, UNKNOWN
from cnnkit.engine.networks import Networks, NetworkSource
from cnnkit.engine.predictor import PictureSource, loaded, name_of, read_ahead
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.images import Picture, header_size, read_image, to_uint8
from cnnkit.models.caption_encoder import names_seen
from cnnkit.models.sentence_writer import SentenceWriter, total_word_loss
from cnnkit.ops.beam import Hypothesis
from cnnkit.options import DEFAULT_CAPTIONER, CaptionOptions
from cnnkit.pipelines._captioner_files import (
    find_captioner_file,
    read_captioner_settings,
    read_vocabulary,
)
from cnnkit.results import Caption, CaptionCandidate, Milliseconds
from cnnkit.weights import locate

# What is said where the name alone is sure.
_NAME_ALONE = f"a close up of {NAME}"
# Sentences that it has learnt begin in both ways, and it puts one before the other.
_SAID_TWICE = re.compile("^a picture of (?=a close up of )")


@dataclass(frozen=True, eq=False)
class _Seen:
    """A picture that was read, or why it was not."""

    source: str
    pixels: np.ndarray | None = None
    size: tuple[int, int] = (0, 0)
    taken: float = 0.0
    error: CnnkitError | None = None


class Captioner:
    """A trained captioner.

    Args:
        model: a name, the folder of a run of `cnnkit train caption`, or its `.keras` file.

    Raises:
        UsageError: no such captioner.
        WeightsError: its weights are not here.
        DataError: what its file says of itself cannot be read.
    """

    def __init__(self, model: str = DEFAULT_CAPTIONER):
        file = find_captioner_file(model)
        self.name, self.vocabulary = file.name, read_vocabulary(file)
        self._settings = read_captioner_settings(file)
        files = [file.path]
        settings = {"words": len(self.vocabulary)}
        if "backbone_hash" in self._settings:
            files.append(locate(self._settings["backbone"]))
            settings["side"] = self._settings["side"]
        self._networks = Networks(
            NetworkSource(
                f"captioner {file.name}",
                "cnnkit.pipelines._captioner_network:build",
                files,
                settings,
            )
        )
        self._shape: tuple[int, ...] = tuple(self._networks.facts["picture"])
        self._encode = self._networks["encode"]
        try:
            self._writer = SentenceWriter(
                self._networks["look"], self._networks["write"], self.vocabulary
            )
        except ValueError as error:
            raise UsageError(f"{file.path} is no captioner that can be used: {error}") from None

    def caption(
        self,
        sources: Iterable[PictureSource],
        options: CaptionOptions | None = None,
        *,
        batch: int = 16,
        stdin: Callable[[], bytes] | None = None,
    ) -> Iterator[tuple[str, Caption | CnnkitError]]:
        """What is said of pictures, in their order.

        Args:
            sources: paths, "-", or pictures.
            options: of the search.
            batch: pictures at a time.
            stdin: reads what "-" stands for.

        Yields:
            Each source with its `Caption`, or why there is none.
        """
        for path, found, _ in self.look_and_caption(sources, options, batch=batch, stdin=stdin):
            yield path, found

    def look_and_caption(
        self,
        sources: Iterable[PictureSource],
        options: CaptionOptions | None = None,
        *,
        batch: int = 16,
        stdin: Callable[[], bytes] | None = None,
    ) -> Iterator[tuple[str, Caption | CnnkitError, np.ndarray | None]]:
        """`caption`, with what the encoder says of each picture, float32 `(D,)`."""

        def read(source: PictureSource) -> _Seen:
            begin, name = time.monotonic(), name_of(source)
            try:
                pixels, size = self._read(name, loaded(source, stdin))
            except CnnkitError as error:
                return _Seen(name, error=error)
            return _Seen(name, pixels, size, time.monotonic() - begin)

        for now in read_ahead(sources, read, batch):
            begin = time.monotonic()
            good = [one.pixels for one in now if one.pixels is not None]
            encodings = self.encode(good, batch)
            seen = time.monotonic()
            said = iter(zip(self.write(encodings, options), encodings, strict=True))
            end = time.monotonic()
            count = max(1, len(good))
            for one in now:
                if one.error is not None:
                    yield one.source, one.error, None
                    continue
                ms = Milliseconds(
                    load=round(1e3 * one.taken, 1),
                    net=round(1e3 * (seen - begin) / count, 1),
                    post=round(1e3 * (end - seen) / count, 1),
                )
                candidates, encoding = next(said)
                caption = Caption(one.source, candidates, one.size, self.name, ms)
                yield one.source, caption, encoding

    def _read(self, path: str, picture: Picture | None) -> tuple[np.ndarray, tuple[int, int]]:
        if picture is None:
            # As in training, to the last bit.
            pixels = read_example(path, self._shape)
            size = header_size(path)
            if size is not None:
                return pixels, size
            picture = read_image(path)
        pixels = stretch_pixels(to_uint8(picture.pixels), self._shape)
        return pixels, (picture.height, picture.width)

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
        self, encodings: np.ndarray, options: CaptionOptions | None = None
    ) -> list[tuple[CaptionCandidate, ...]]:
        """Sentences about pictures that were encoded, the best first."""
        if not len(encodings):
            return []
        options = options or CaptionOptions()
        names = names_seen(encodings, self._settings, self.vocabulary)
        return [
            self._with_name(
                encoding,
                [self._candidate(one, name) for one in hypotheses],
                name,
                options.length_penalty,
            )
            for encoding, hypotheses, name in zip(
                encodings, self._writer.write(encodings, options), names, strict=True
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
