"""How good a captioner is on pictures with sentences that people wrote."""

from pathlib import Path

import numpy as np

from cnnkit.data.text import split_text
from cnnkit.engine.observer import Observer
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import read_pixels
from cnnkit.tasks.caption.data import CaptionedPictures, read_captions
from cnnkit.tasks.caption.metrics import (
    cider_d,
    corpus_bleu,
    has_collapsed,
    perplexity,
    sentence_variety,
)
from cnnkit.tasks.caption.plots import draw_captions
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.tasks.caption.results import Caption, CaptionEvaluation
from cnnkit.tasks.caption.settings import DEFAULT_CAPTIONER, CaptionSettings, EvaluateSettings

# Pictures on the sheet, and pixels that a side of each needs.
_SHOWN, _TILE = 24, 208


def evaluate_caption(
    data: str | Path,
    settings: EvaluateSettings | None = None,
    *,
    model: str | Path = DEFAULT_CAPTIONER,
    batch: int = 16,
    observer: Observer | None = None,
) -> CaptionEvaluation:
    """Measures how good a captioner is.

    Args:
        data: a CSV, a JSON file of COCO's, or a folder of such; see `data.read_captions`.
        settings: the part of the data, its pictures, and the search for sentences.
        model: see `caption`.
        batch: pictures at a time.
        observer: is told how far the evaluation is, and why a picture cannot be read.

    Returns:
        A `CaptionEvaluation`. Pictures that cannot be read are left out, and counted.

    Raises:
        UsageError: no such captioner, or no such split.
        WeightsError: its weights are not here.
        DataError: the data cannot be read, or no picture can.
    """
    settings, observer = settings or EvaluateSettings(), observer or Observer()
    pictures, part = read_split(data, settings)
    captioner = Captioner(model)
    search = CaptionSettings(settings.beams, settings.max_words, settings.length_penalty)
    captions: list[Caption] = []
    references: list[tuple[str, ...]] = []
    found = captioner.caption_each(pictures.paths, search, batch=batch)
    for done, (one, known) in enumerate(zip(found, pictures.sentences, strict=True), start=1):
        if isinstance(one, CnnkitError):
            observer.on_error(one)
        else:
            captions.append(one)
            references.append(known)
        observer.on_progress("evaluate", done, len(pictures))
    if not captions:
        raise DataError(f"none of the {len(pictures)} pictures can be read; see above")
    encodings = np.stack([one.encoding for one in captions if one.encoding is not None])
    total, count, unknown = captioner.word_losses(encodings, references)
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
        split=part,
        model=captioner.name,
        captions=tuple(captions),
        references=tuple(references),
    )


def read_split(data: str | Path, settings: EvaluateSettings) -> tuple[CaptionedPictures, str]:
    """The part of the data to evaluate on, and its name; see `evaluate_caption`."""
    found = read_captions(data, settings.images, val_share=0.0)
    has_parts = len(found.val) > 0
    name = settings.split or ("val" if has_parts else "all")
    if name == "all":
        train, val = found.train, found.val
        return CaptionedPictures(train.paths + val.paths, train.sentences + val.sentences), name
    if not has_parts:
        raise UsageError(f"{data} has no part named {name}: --split can be all")
    pictures = found.train if name == "train" else found.val
    if not len(pictures):
        raise UsageError(f"{data} has no pictures in {name}; give another --split")
    return pictures, name


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
