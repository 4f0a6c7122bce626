"""How good a captioner is on pictures with sentences that people wrote."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnnkit.data.captions import CaptionedPictures, read_captions
from cnnkit.data.text import split_text
from cnnkit.engine.settings import check_split
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import read_pixels
from cnnkit.metrics.captions import (
    cider_d,
    corpus_bleu,
    has_collapsed,
    perplexity,
    sentence_variety,
)
from cnnkit.options import DEFAULT_CAPTIONER, CaptionOptions
from cnnkit.pipelines._captioner import Captioner
from cnnkit.plots import draw_captions
from cnnkit.results import Caption, CaptionEvaluation

SPLITS = ("train", "val", "all")
# Pictures on the sheet, and pixels that a side of each needs.
_SHOWN, _TILE = 24, 208


def evaluate_caption(
    data: str | Path,
    *,
    images: str | Path | None = None,
    model: str | Path = DEFAULT_CAPTIONER,
    split: str | None = None,
    options: CaptionOptions | None = None,
) -> CaptionEvaluation:
    """Measures how good a captioner is.

    Args:
        data: a CSV, a JSON file of COCO's, or a folder of such; see `data.captions.read_captions`.
        images: folder of the pictures, where it is not that of `data`.
        model: see `caption`.
        split: "train", "val" or "all"; val by default, which is all where the data have no parts.
        options: of the search.

    Returns:
        A `CaptionEvaluation`. Pictures that cannot be read are left out, and counted.

    Raises:
        UsageError: no such captioner, or no such split.
        WeightsError: its weights are not here.
        DataError: the data cannot be read, or no picture can.
    """
    pictures, part = read_split(data, images, split)
    return CaptionJudge(Captioner(str(model)), options).evaluate(pictures, part)


def read_split(
    data: str | Path, images: str | Path | None = None, split: str | None = None
) -> tuple[CaptionedPictures, str]:
    """The part of the data to evaluate on, and its name; see `evaluate_caption`."""
    check_split(split, SPLITS)
    found = read_captions(data, images, val_share=0.0)
    has_parts = len(found.val) > 0
    name = split or ("val" if has_parts else "all")
    if name == "all":
        train, val = found.train, found.val
        return CaptionedPictures(train.paths + val.paths, train.sentences + val.sentences), name
    if not has_parts:
        raise UsageError(f"{data} has no part named {name}: --split can be all")
    pictures = found.train if name == "train" else found.val
    if not len(pictures):
        raise UsageError(f"{data} has no pictures in {name}; give another --split")
    return pictures, name


class CaptionJudge:
    """Evaluates a captioner.

    Args:
        captioner: that is evaluated.
        options: of the search.
        batch: pictures at a time.
        on_progress: called with the pictures done and their number.
        on_error: called with the reason for each picture that cannot be read.
    """

    def __init__(
        self,
        captioner: Captioner,
        options: CaptionOptions | None = None,
        *,
        batch: int = 16,
        on_progress: Callable[[int, int], None] | None = None,
        on_error: Callable[[CnnkitError], None] | None = None,
    ):
        self._captioner, self._options, self._batch = captioner, options, batch
        self._on_progress, self._on_error = on_progress, on_error

    def evaluate(self, pictures: CaptionedPictures, split: str) -> CaptionEvaluation:
        """Writes a sentence about all pictures and compares.

        Args:
            pictures: with their true sentences.
            split: their name.

        Raises:
            DataError: no picture could be read.
        """
        captions: list[Caption] = []
        references: list[tuple[str, ...]] = []
        encodings: list[np.ndarray] = []
        found = self._captioner.look_and_caption(pictures.paths, self._options, batch=self._batch)
        for done, ((_, result, encoding), known) in enumerate(
            zip(found, pictures.sentences, strict=True), start=1
        ):
            if isinstance(result, CnnkitError):
                if self._on_error:
                    self._on_error(result)
            else:
                captions.append(result)
                references.append(known)
                encodings.append(encoding)
            if self._on_progress:
                self._on_progress(done, len(pictures))
        if not captions:
            raise DataError(f"none of the {len(pictures)} pictures can be read; see above")
        total, count, unknown = self._captioner.word_losses(np.stack(encodings), references)
        candidates = [split_text(one.sentence) for one in captions]
        true_words = [[split_text(one) for one in known] for known in references]
        said = sentence_variety([one.sentence for one in captions])
        true = sentence_variety([one for known in references for one in known])
        return CaptionEvaluation(
            pictures=len(captions),
            failed=len(pictures) - len(captions),
            perplexity=perplexity(total / count),
            unknown=unknown / count,
            bleu=corpus_bleu(candidates, true_words),
            cider=cider_d(candidates, true_words),
            distinct=said.distinct,
            collapsed=has_collapsed(said, true),
            most_common=said.most_common,
            most_common_share=said.most_common_share,
            split=split,
            model=self._captioner.name,
            captions=tuple(captions),
            references=tuple(references),
        )


def draw_evaluation(evaluation: CaptionEvaluation) -> np.ndarray:
    """Pictures of an evaluation, evenly spread, with what is said of them.

    Returns:
        uint8 `(height, width, 3)`.
    """
    count = evaluation.pictures
    shown = sorted({round(at) for at in np.linspace(0, count - 1, min(_SHOWN, count))})
    return draw_captions(
        (read_pixels(evaluation.captions[at].source, _TILE) for at in shown),
        [evaluation.captions[at].sentence for at in shown],
        title=f"What {evaluation.model} says",
        subtitle=f"{len(shown)} of {count} pictures",
    )
