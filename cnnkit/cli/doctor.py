"""``cnnkit doctor``."""


def doctor() -> None:
    """Tell what this installation can do."""
