"""The shapes of a network that is written as words."""

import math
import re
from typing import Any

from cnnkit.engine.layer_summary import LayerSummary, NetworkSummary, field_columns
from cnnkit.errors import UsageError
from cnnkit.ops.convolution import (
    Padding,
    ReceptiveField,
    convolution_multiply_adds,
    convolution_parameters,
    output_arithmetic,
    output_size,
    padding_of,
    weights_arithmetic,
)

_INPUT = re.compile(r"\d{1,7}(x\d{1,7}){1,3}")
_LAYER = re.compile(
    r"(?P<kind>conv|pool|maxpool|avgpool|gap|flatten|fc)"
    r"(?P<window>\d{1,7}(?:x\d{1,7})*)?"
    r"(?:-(?P<filters>\d{1,7}))?"
    r"(?P<options>(?:/\d{1,7}(?:x\d{1,7})*|p\d{0,7}|same|valid|d\d{1,7}|g\d{1,7})*)"
)
_OPTION = re.compile(r"/\d+(?:x\d+)*|p\d*|same|valid|d\d+|g\d+")
_LAYERS_BY_EXAMPLE = "conv5-16, pool2, avgpool2, gap, flatten or fc10"


def visualize_shapes(text: str) -> NetworkSummary:
    """Sizes, weights, work and receptive field of each layer.

    Args:
        text: such as "14x14x3 conv5-16 pool2 fc10"; see `trace_shapes`.

    Returns:
        A `NetworkSummary`.

    Raises:
        UsageError: a word that is no layer, or a layer that does not fit.

    Example:

    >>> visualize_shapes("14x1 conv5-16 conv5-32").layers[-1].output_shape
    (6, 32)
    """
    try:
        return trace_shapes(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def trace_shapes(text: str) -> NetworkSummary:
    """Follows a network written as words, such as "14x14x3 conv5-16 pool2 fc10".

    The first word is the input: one to three axes, then the channels. A word each follows for

    - `convF-N`: N filters of size F, or `conv3x5-N` where the axes differ;
    - `poolF`, `avgpoolF`: maximum and average over windows of F, with stride F;
    - `gap`: the average of each channel;
    - `flatten`: all numbers in one row; a dense layer does that by itself;
    - `fcN`: a dense layer of N units.

    After a convolution or a pool may stand, in any order: `/S` for a stride, `p` or `same` for
    padding that keeps the size, `pP` for P places on each side, `valid` for none (the default),
    `dD` for a dilation and, after a convolution, `gG` for G groups: `conv11-96/4`, `pool3/2p`.
    Convolutions and dense layers have biases.

    Args:
        text: the words, with blanks between them.

    Returns:
        A `NetworkSummary`, the input not among its layers.

    Raises:
        ValueError: a word that is none of these, or a layer that does not fit what comes before it.

    Example:

    >>> found = trace_shapes("14x14x3 conv5-16 conv5-32 pool2 fc10")
    >>> [layer.output_shape for layer in found.layers]
    [(10, 10, 16), (6, 6, 32), (3, 3, 32), (10,)]
    >>> found.parameters
    16938
    """
    words = text.replace("×", "x").split()
    if not words or not _INPUT.fullmatch(words[0]):
        raise ValueError(
            "word 1 must be the input, one to three axes and the channels, such as 14x14x3. "
            f"Received: {words[0] if words else ''!r}"
        )
    shape: tuple[Any, ...] = tuple(map(int, words[0].split("x")))
    if 0 in shape:
        raise ValueError(f"word 1 must have no axis of size 0. Received: {words[0]!r}")
    if len(words) == 1:
        raise ValueError(f"word 2 must be a layer such as {_LAYERS_BY_EXAMPLE}. Received: ''")
    fields = (ReceptiveField(),) * (len(shape) - 1)
    layers: list[LayerSummary] = []
    for number, word in enumerate(words[1:], start=2):
        try:
            layer, fields = _trace_word(word, shape, fields)
        except ValueError as error:
            raise ValueError(f"word {number}, {word!r}: {error}") from None
        layers.append(layer)
        shape = layer.output_shape
    return NetworkSummary(" ".join(words), tuple(map(int, words[0].split("x"))), tuple(layers))


def _trace_word(
    word: str, shape: tuple[Any, ...], fields: tuple[ReceptiveField, ...]
) -> tuple[LayerSummary, tuple[ReceptiveField, ...]]:
    match = _LAYER.fullmatch(word)
    if match is None:
        raise ValueError(f"must be a layer such as {_LAYERS_BY_EXAMPLE}. Received: {word!r}")
    kind, window, filters, options = match.group("kind", "window", "filters", "options")
    if kind in ("fc", "gap", "flatten"):
        if filters or options or (window is None) == (kind == "fc") or "x" in (window or ""):
            right = {"fc": "fcN, such as fc10"}.get(kind, f"{kind} alone")
            raise ValueError(f"must be {right}. Received: {word!r}")
        return _trace_whole(kind, word, int(window or 0), shape, fields)
    if len(shape) < 2:
        raise ValueError(
            f"must come before what makes a row of numbers (fc, gap, flatten). Received: {word!r}"
        )
    if window is None or (kind == "conv") != (filters is not None):
        right = "convF-N, such as conv5-16" if kind == "conv" else f"{kind}F, such as {kind}2"
        raise ValueError(f"must be {right}. Received: {word!r}")
    axes = len(shape) - 1
    kernel = _per_axis(window, axes)
    stride = (1,) * axes if kind == "conv" else kernel
    padding: Padding = "valid"
    dilation = groups = 1
    chosen = _OPTION.findall(options)
    # "p" as in p1, "s" as in same, and "v" as in valid all are the padding.
    if len({{"s": "p", "v": "p"}.get(option[0], option[0]) for option in chosen}) < len(chosen):
        raise ValueError(f"must have each option once. Received: {options!r}")
    for option in chosen:
        if option.startswith("/"):
            stride = _per_axis(option[1:], axes)
        elif option in ("p", "same"):
            padding = "same"
        elif option.startswith("p"):
            padding = int(option[1:])
        elif option.startswith("d"):
            dilation = int(option[1:])
        elif option.startswith("g"):
            groups = int(option[1:])
    channels = shape[-1]
    count = int(filters) if filters else channels
    if kind != "conv" and groups != 1:
        raise ValueError(f"must have no groups, only a convolution has. Received: {word!r}")
    if count < 1 or groups < 1 or channels % groups or count % groups:
        raise ValueError(
            "must have at least one filter and as many groups as divide channels and filters. "
            f"Received: {channels} channels, {count} filters, {groups} groups"
        )
    slides: list[dict[str, Any]] = [
        {"f": f, "stride": s, "padding": padding, "dilation": dilation}
        for f, s in zip(kernel, stride, strict=True)
    ]
    output = tuple(output_size(n, **slide) for n, slide in zip(shape[:-1], slides, strict=True))
    arithmetic = [
        f"size: {line}"
        for line in dict.fromkeys(
            output_arithmetic(n, **slide) for n, slide in zip(shape[:-1], slides, strict=True)
        )
    ]
    fields = tuple(
        field.through(f, stride=s, dilation=dilation, padding=padding_of(n, **slide)[0])
        for field, f, s, n, slide in zip(fields, kernel, stride, shape[:-1], slides, strict=True)
    )
    parameters = work = 0
    if kind == "conv":
        parameters = convolution_parameters(kernel, channels, count, groups=groups)
        work = convolution_multiply_adds(output, kernel, channels, count, groups=groups)
        arithmetic += weights_arithmetic(output, (*kernel, channels), count, groups=groups)
    layer = LayerSummary(
        word,
        {"pool": "maxpool"}.get(kind, kind),
        (*output, count),
        parameters,
        work,
        **field_columns(fields),
        kernel=kernel,
        stride=stride,
        arithmetic=tuple(arithmetic),
    )
    return layer, fields


def _trace_whole(
    kind: str, word: str, units: int, shape: tuple[int, ...], fields: tuple[ReceptiveField, ...]
) -> tuple[LayerSummary, tuple[ReceptiveField, ...]]:
    """A layer whose units see all places at once."""
    if kind == "gap" and len(shape) < 2:
        raise ValueError(f"must come before what makes a row of numbers. Received: {word!r}")
    if len(shape) > 1:
        fields = tuple(field.union(n) for field, n in zip(fields, shape[:-1], strict=True))
    numbers = math.prod(shape)
    arithmetic: list[str] = []
    parameters = work = 0
    if kind == "fc":
        if units < 1:
            raise ValueError(f"must have at least one unit. Received: {word!r}")
        work = numbers * units
        parameters = work + units
        arithmetic = weights_arithmetic((), shape, units)
    elif kind == "flatten" and len(shape) > 1:
        arithmetic = [f"size: {'*'.join(map(str, shape))} = {numbers:,}"]
    output = {"fc": (units,), "gap": shape[-1:], "flatten": (numbers,)}[kind]
    layer = LayerSummary(
        word, kind, output, parameters, work, **field_columns(fields), arithmetic=tuple(arithmetic)
    )
    return layer, fields


def _per_axis(text: str, axes: int) -> tuple[int, ...]:
    numbers = tuple(map(int, text.split("x")))
    if len(numbers) not in (1, axes):
        raise ValueError(f"must have one number, or one for each of {axes} axes. Received: {text}")
    return numbers * axes if len(numbers) == 1 else numbers
