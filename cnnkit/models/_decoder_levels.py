"""Where the decoders of the compact backbone start, without Keras."""


def entrance(level: int) -> str:
    """The layer of the backbone that a decoder starts from.

    >>> entrance(3)
    'block3_conv1'
    """
    return f"block{level}_conv1"
