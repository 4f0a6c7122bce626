"""Sentences about pictures."""

from pathlib import Path
from typing import Any

from cnnkit.engine.predictor import each_source, keep_last
from cnnkit.errors import CnnkitError
from cnnkit.options import DEFAULT_CAPTIONER, CaptionOptions
from cnnkit.pipelines._captioner import Captioner
from cnnkit.results import Caption

_captioner = keep_last(Captioner)


def caption(
    sources: Any,
    *,
    model: str | Path = DEFAULT_CAPTIONER,
    beams: int = CaptionOptions.beams,
    max_words: int = CaptionOptions.max_words,
    candidates: int = CaptionOptions.candidates,
    length_penalty: float = CaptionOptions.length_penalty,
) -> list[Caption]:
    """Says in a sentence what pictures show.

    The captioner stays loaded for the next call with the same model.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them.
        model: "captions" (shipped), the folder of a run of `cnnkit train caption`, or its `.keras`
            file.
        beams: sentences that are followed at a time; 1 takes the most probable word each time.
        max_words: of a sentence.
        candidates: sentences for each picture, at most as many as beams.
        length_penalty: 0 prefers the most probable sentences, which are short; 1 those whose words
            are the most probable on average, which are long.

    Returns:
        A `Caption` for each, in order.

    Raises:
        UsageError: no such captioner, or settings that do not fit.
        WeightsError: its weights are not here.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.
    """
    options = CaptionOptions(beams, max_words, candidates, length_penalty)
    found = []
    for _, result in _captioner(str(model)).caption(each_source(sources), options):
        if isinstance(result, CnnkitError):
            raise result
        found.append(result)
    return found
