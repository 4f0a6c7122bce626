"""``cnnkit samples``."""


def samples() -> None:
    """Write sample photographs and style pictures."""
