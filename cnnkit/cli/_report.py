"""The folder that an evaluation leaves its report in."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnnkit.errors import UsageError

REPORT = "report.json"


def check_report(folder: Path | None, overwrite: bool, names: Sequence[str]) -> None:
    """Refuses a folder that has a report already, or another file of a report's name.

    Args:
        folder: of `-o`; None where nothing is written.
        overwrite: whether files may be replaced.
        names: of the files beside `report.json`.

    Raises:
        UsageError: one of the files is there.
    """
    if folder is None or overwrite:
        return
    if (folder / REPORT).exists():
        raise UsageError(f"{folder} has a report already; use --overwrite or another -o")
    for name in names:
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists; use --overwrite or another -o")


def write_report(folder: Path, files: Mapping[str, bytes], overwrite: bool) -> list[str]:
    """Writes the files of a report; what came into the folder meanwhile stays, and that is told.

    Returns:
        Their names.

    Raises:
        ImageError: a file cannot be written, or is there and must not be replaced.
    """
    from cnnkit.images import write_bytes

    for name, content in files.items():
        write_bytes(folder / name, content, overwrite=overwrite)
    return list(files)
