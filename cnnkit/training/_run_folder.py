"""The folder of a run and its settings, which must stay the same."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from cnnkit import __version__
from cnnkit.errors import DataError, UsageError
from cnnkit.images import write_bytes

ARGS_FILE = "args.yaml"
NO_RUN = "{} holds no training run; leave out --resume to start one"


def open_run(
    folder: Path,
    data: str | Path,
    options: Any,
    data_hash: str,
    resume: bool,
    extendable: Sequence[str] = ("epochs", "time_budget", "patience"),
) -> None:
    """Makes the folder of a run, or makes sure that it is the same run.

    Args:
        folder: of the run.
        data: what is trained on.
        options: a dataclass of settings.
        data_hash: of what is trained on.
        resume: go on with a run.
        extendable: settings that may differ then.

    Raises:
        UsageError: the folder holds another run, or one while `resume` is off.
        DataError: no run, other data, or the folder cannot be made.
    """
    settings = {
        "data": str(data),
        "version": __version__,
        "data_hash": data_hash,
        # As YAML gives them back.
        "options": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(options).items()
        },
    }
    if (folder / ARGS_FILE).exists():
        if not resume:
            raise UsageError(f"{folder} holds a run; use --resume to go on, or another -o")
        stored = read_run(folder)
        changed = [
            name
            for name, value in stored["options"].items()
            if name not in extendable and value != settings["options"].get(name)
        ]
        if changed:
            raise UsageError(
                f"{folder} holds a run with another {', '.join(changed)}; "
                "leave that out to go on, or give another -o"
            )
        if stored["data_hash"] != data_hash:
            raise DataError(
                f"the files of {data} are not those that {folder} was started with; "
                "give another -o to start anew"
            )
    elif resume:
        raise DataError(NO_RUN.format(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror or error}") from None
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    write_bytes(folder / ARGS_FILE, text.encode("utf-8", "surrogateescape"))


def read_run(folder: str | Path) -> dict[str, Any]:
    """What `open_run` wrote.

    Raises:
        DataError: the folder holds no run.
    """
    path = Path(folder) / ARGS_FILE
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not {"data", "data_hash", "options"} <= set(values):
            raise ValueError("it has not the settings of a run")
    except FileNotFoundError:
        raise DataError(NO_RUN.format(folder)) from None
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return values


def require_mostly_good(
    data: str | Path, bad: Sequence[tuple[str, str]], count: int, skip_bad: bool
) -> None:
    """Has a training go on without a few files that cannot be used, which were named before.

    Args:
        data: where they are.
        bad: each with the reason.
        count: of all files.
        skip_bad: whether to go on in any case.

    Raises:
        DataError: it is more than half of them: the data are not what they seem.
    """
    if skip_bad or 2 * len(bad) <= count:
        return
    path, reason = bad[0]
    named = reason if path in reason else f"{path} {reason}"
    raise DataError(
        f"{data} has {len(bad):,} of {count:,} files that cannot be used ({named}); mend them, or "
        "use --skip-bad"
    )
