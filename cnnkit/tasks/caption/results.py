"""What is said of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cnnkit.engine.result import PlottedResult, RunResult
from cnnkit.images import Picture, read_image, to_uint8
from cnnkit.results import Milliseconds, Record


@dataclass(frozen=True)
class CaptionCandidate:
    """A sentence about a picture.

    Attributes:
        sentence: in lower case but for names such as "Siamese cat", without a full stop.
        score: in (0, 1], by which sentences are ranked: exp(log P / (words + 1)^length_penalty),
            for a length penalty of 1 the geometric mean of the probabilities of all words and of
            the end. A name that is said alone, since it is surer, is the first whatever its score.
        log_probability: of the whole sentence, in nats.
        likelihood: geometric mean of the probabilities of all words and of the end, in (0, 1].
        name_probability: of what the encoder's classifier calls the thing, where the sentence has
            its name.
        is_sure: whether likelihood and name are as probable as those of sentences that were right
            more often than not; None where the captioner was not calibrated.
    """

    sentence: str
    score: float
    log_probability: float
    likelihood: float
    name_probability: float | None = None
    is_sure: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """The sentence as plain JSON types."""
        item: dict[str, Any] = {
            "sentence": self.sentence,
            "score": self.score,
            "log_probability": self.log_probability,
        }
        if self.is_sure is not None:
            item |= {"likelihood": self.likelihood, "sure": self.is_sure}
        return item


@dataclass(frozen=True, repr=False)
class Caption(PlottedResult):
    """What is said of a picture.

    Attributes:
        source: path, "-", or what a picture in memory is called.
        candidates: sentences, the best first; one at least.
        size: height and width of the upright picture.
        model: name of the captioner.
        ms: time spent.
        picture: that is meant; None of a file, which is read again where it is drawn.
        encoding: float32 `(D,)`, what the encoder says of it; None once that is not needed.

    Example:

    >>> said = CaptionCandidate("a cup of tea", 0.5, -2.0, 0.5, is_sure=False)
    >>> found = Caption("cup.jpg", (said,), (10, 20), "captions", Milliseconds())
    >>> found
    Caption(cup.jpg: not sure: a cup of tea?)
    """

    source: str
    candidates: tuple[CaptionCandidate, ...]
    size: tuple[int, int]
    model: str
    ms: Milliseconds
    picture: Picture | None = field(default=None, compare=False)
    encoding: npt.NDArray[np.float32] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Caption({self.source}: {self._said})"

    @property
    def sentence(self) -> str:
        """The best one."""
        return self.candidates[0].sentence

    @property
    def is_sure(self) -> bool | None:
        """Of the best one, see `CaptionCandidate`."""
        return self.candidates[0].is_sure

    @property
    def _said(self) -> str:
        return f"not sure: {self.sentence}?" if self.is_sure is False else self.sentence

    def plot(self) -> Image.Image:
        """The picture with the best sentence below it.

        Raises:
            ImageError: the picture is a file that cannot be read any more.
        """
        from cnnkit.plots import draw_captioned

        picture = read_image(self.source) if self.picture is None else self.picture
        return Image.fromarray(draw_captioned(to_uint8(picture.pixels), [self._said]))

    def to_record(self) -> Record:
        """What the command line's JSON says of the picture."""
        height, width = self.size
        items = tuple(one.to_dict() for one in self.candidates)
        return Record(self.source, width, height, items, model=self.model, ms=self.ms)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return self.to_record().to_json()

    def lines(self) -> list[str]:
        """For people: the sentence, or of several a line each."""
        if len(self.candidates) == 1:
            return [f"{self.source}: {self._said}"]
        first = f"{self.source}: not sure" if self.is_sure is False else self.source
        return [first, *(f"  {one.score:>7.2%}  {one.sentence}" for one in self.candidates)]


@dataclass(frozen=True)
class CaptionEvaluation:
    """How good a captioner is on pictures with sentences.

    Attributes:
        pictures: number of those that could be read.
        failed: number of those that could not; they count nowhere.
        perplexity: of the true sentences; words that the captioner does not know count as unknown.
        unknown: share of the true words that it does not know.
        bleu: BLEU-1 to BLEU-4.
        cider: CIDEr-D, from 0 to 10.
        distinct: number of different sentences that it says.
        collapsed: whether it says nearly the same of all pictures.
        most_common: what it says most often.
        most_common_share: of which share of the pictures.
        split: the part of the data, such as "val".
        model: name of the captioner.
        captions: what it says of each picture.
        references: the true sentences about each.
    """

    pictures: int
    failed: int
    perplexity: float
    unknown: float
    bleu: tuple[float, ...]
    cider: float
    distinct: int
    collapsed: bool
    most_common: str
    most_common_share: float
    split: str
    model: str
    captions: tuple[Caption, ...]
    references: tuple[tuple[str, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types."""
        names = (
            *("model", "split", "pictures", "failed", "perplexity", "unknown", "bleu", "cider"),
            *("distinct", "collapsed"),
        )
        return {
            **{name: getattr(self, name) for name in names},
            "bleu": list(self.bleu),
            "distinct_share": self.distinct / self.pictures,
            "most_common": {"sentence": self.most_common, "share": self.most_common_share},
        }

    def lines(self) -> list[str]:
        """For people."""
        of_part = "" if self.split == "all" else f" of {self.split}"
        failed = f", {self.failed} cannot be read" if self.failed else ""
        share = self.distinct / self.pictures
        return [
            f"pictures     {self.pictures:,}{of_part}{failed}",
            *(f"BLEU-{n}       {score:.3f}" for n, score in enumerate(self.bleu, start=1)),
            f"CIDEr-D      {self.cider:.3f}",
            f"perplexity   {self.perplexity:.2f}, {self.unknown:.1%} of the words unknown",
            f"different    {self.distinct:,} sentences, {share:.0%}",
            f"most common  {self.most_common_share:.0%}: {self.most_common}",
        ]


@dataclass(frozen=True, kw_only=True)
class TrainedCaptioner(RunResult):
    """What a training gave.

    Attributes, beside those of every training:
        words: number of words that it knows, with the four signs.
        counts: pictures for training and for validation.
        sentences: to train on.
        perplexity: of the sentences about the validation pictures.
        bleu: BLEU-1 to BLEU-4 of what is said of them.
        distinct: share of what is said of them that differs.
        collapsed: whether nearly all of it is one sentence.
        most_common: what is said most often, and of which share of the pictures.
    """

    words: int
    counts: tuple[int, int]
    sentences: int
    perplexity: float
    bleu: Sequence[float]
    distinct: float
    collapsed: bool
    most_common: tuple[str, float]

    def lines(self) -> list[str]:
        """For people."""
        scores = ", ".join(f"{score:.3f}" for score in self.bleu)
        return [
            f"perplexity {self.perplexity:.2f}; BLEU-1 to 4: {scores}; "
            f"{self.distinct:.0%} of the sentences differ",
            self._model_line(f"{self.words} words and signs"),
        ]

    def warnings(self) -> list[str]:
        """Says so where the network writes nearly the same of all pictures."""
        if not self.collapsed:
            return []
        sentence, share = self.most_common
        return [
            f"the model says '{sentence}' of {share:.0%} of the pictures: it has not learnt to "
            "look; train longer, on more pictures, or with another --learning-rate"
        ]
