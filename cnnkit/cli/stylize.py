"""``cnnkit stylize``."""


def stylize() -> None:
    """Paint a picture in the style of another."""
