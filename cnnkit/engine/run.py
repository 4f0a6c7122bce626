"""The folder of a run: its settings, the state to go on from, and the rows of `results.csv`."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import yaml

from cnnkit import __version__
from cnnkit.engine.settings import FitSettings
from cnnkit.errors import CnnkitError, DataError, UsageError
from cnnkit.images import write_bytes
from cnnkit.weights.keras_file import (
    CLASSES_FILE,
    MODEL_FILE,
    SETTINGS_FILE,
    size_of,
    write_keras_file,
    writing_anew,
)

_Settings = TypeVar("_Settings", bound=FitSettings)

ARGS_FILE = "args.yaml"
NO_RUN = "{} holds no training run; leave out --resume to start one"
BEST, LAST = "best", "last"
RESULTS = "results.csv"


def weights_file(which: str, stage: str = "") -> str:
    """Name of a run's file of weights.

    Args:
        which: `BEST` or `LAST`.
        stage: of a run of several; "" for the whole.

    >>> weights_file(BEST), weights_file(LAST, "16s")
    ('best.weights.h5', 'last-16s.weights.h5')
    """
    return f"{which}{_ending(stage)}.weights.h5"


def state_file(stage: str = "") -> str:
    """Name of the file that a run, or a stage of it, goes on from."""
    return f"state{_ending(stage)}.npz"


def _ending(stage: str) -> str:
    return f"-{stage}" if stage else ""


BEST_WEIGHTS = weights_file(BEST)
STATE = state_file()


def finished_epochs(path: Path) -> int:
    """The epoch that a run goes on with whose state is in this file; 0 where there is none."""
    if not path.exists():
        return 0
    with np.load(path) as file:
        return int(file["epoch"])


def save_state(path: Path, model: keras.Model, epoch: int) -> None:
    """Keeps all that a training has a state in, in one file, all or nothing.

    Args:
        path: of the file.
        model: that is compiled.
        epoch: that the run goes on with.
    """
    variables = states_of(model)
    values = {
        str(index): keras.ops.convert_to_numpy(variable) for index, variable in enumerate(variables)
    }
    about = {"paths": [one.path for one in variables], "versions": _versions()}
    size = sum(value.nbytes for value in values.values())
    with writing_anew(path, size) as temporary:
        np.savez(temporary, epoch=epoch, about=json.dumps(about), **values)


def restore(path: Path, model: keras.Model) -> None:
    """Puts a model that was compiled into the state that `save_state` kept, if it kept one.

    Variables are matched by their paths. In a process that built other models before, Keras numbers
    layers without a name otherwise; then they are matched by their order.

    Raises:
        DataError: the state is of another network, or of another version that has others.
    """
    # Keras would build at the first step, and a run would be restored into nothing.
    model.optimizer.build(model.trainable_variables)
    if not path.exists():
        return
    variables = states_of(model)
    with np.load(path) as file:
        # Files of before 0.2 have no paths.
        about = json.loads(str(file["about"])) if "about" in file else {}
        values = [file[str(index)] for index in range(len(file.files)) if str(index) in file]
    paths = [one.path for one in variables]
    kept = about.get("paths", paths)
    if len(set(paths)) == len(paths) and set(kept) == set(paths):
        values = [values[kept.index(name)] for name in paths]
    if [one.shape for one in values] != [tuple(one.shape) for one in variables]:
        made_by = about.get("versions", {})
        versions = ", ".join(f"{name} {version}" for name, version in made_by.items())
        raise DataError(
            f"{path} is the state of another network"
            + (f", made by {versions}" if versions else "")
            + "; give another -o to start anew"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _versions() -> dict[str, str]:
    """What wrote a state: names of a variable's path may change with it."""
    return {"cnnkit": __version__, "keras": keras.__version__, "backend": keras.backend.backend()}


def states_of(model: keras.Model) -> list[keras.Variable]:
    """Weights, states of random layers, and the optimizer's variables; not those of metrics."""
    measured = {id(variable) for metric in model.metrics for variable in metric.variables}
    own = [variable for variable in model.variables if id(variable) not in measured]
    return [*own, *model.optimizer.variables]


def save_weights(model: keras.Model, path: Path) -> None:
    """All or nothing: a run that is killed here finds the file of before."""
    with writing_anew(path, size_of(model)) as temporary:
        model.save_weights(temporary)


def class_file(classes: Sequence[str]) -> dict[str, bytes]:
    """The names of classes as a file, by its name, for `write_model`."""
    names = "".join(f"{name}\n" for name in classes)
    return {CLASSES_FILE: names.encode("utf-8", "surrogateescape")}


def write_model(
    folder: Path, model: keras.Model, about: Mapping[str, Any], files: Mapping[str, bytes]
) -> None:
    """Writes the model of a run.

    Args:
        folder: of the run.
        model: with the weights of the best epoch.
        about: what it says of itself, as plain JSON types.
        files: that lie in the model's file and beside it, by name.
    """
    described = json.dumps({**about, "cnnkit": __version__}).encode()
    write_keras_file(model, folder / MODEL_FILE, {**files, SETTINGS_FILE: described})
    for name, content in files.items():
        write_bytes(folder / name, content)


def write_run_report(folder: Path, result: Any, settings: Any) -> None:
    """Writes what a training gave, a dataclass, and its settings into `report.json`."""
    report = {**asdict(result), "model": MODEL_FILE, "options": asdict(settings)}
    write_bytes(folder / "report.json", json.dumps(report, indent=1, default=str).encode())


def read_results(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's `results.csv`, numbers as such; none where there is none yet."""
    path = Path(folder) / RESULTS
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def write_results(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes all rows of a run's `results.csv`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(folder / RESULTS, text.getvalue().encode())


def _number(text: str) -> int | float | str:
    """
    >>> [_number(text) for text in ("3", "0.5", "inf", "hard")]
    [3, 0.5, inf, 'hard']
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def check_same_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keeps the settings of a run, or refuses to go on with one that has others."""
    path = folder / "args.json"
    if path.exists():
        before = json.loads(path.read_text())
        changed = sorted(key for key in settings if before.get(key) != settings[key])
        if changed:
            raise CnnkitError(
                f"{folder} holds a run with other settings ({', '.join(changed)}); "
                "give another --output, or the same settings to resume it"
            )
    write_bytes(path, json.dumps(settings, indent=1).encode())


def open_run(
    folder: Path,
    data: str | Path,
    options: FitSettings,
    data_hash: str,
    resume: bool,
    extendable: Sequence[str] = ("epochs", "time_budget", "patience"),
) -> None:
    """Makes the folder of a run, or makes sure that it is the same run.

    Args:
        folder: of the run.
        data: what is trained on.
        options: settings of the training.
        data_hash: of what is trained on.
        resume: go on with a run.
        extendable: settings that may differ then.

    Raises:
        UsageError: the folder holds another run, or one while `resume` is off.
        DataError: no run, other data, or the folder cannot be made.
    """
    settings: dict[str, Any] = {
        "data": str(data),
        "version": __version__,
        "data_hash": data_hash,
        "options": _plain_settings(options),
    }
    if (folder / ARGS_FILE).exists():
        if not resume:
            raise UsageError(f"{folder} holds a run; use --resume to go on, or another -o")
        stored = read_run(folder)
        before = _plain_settings(_settings_of(folder, stored, type(options)))
        changed = [
            name
            for name, value in before.items()
            if name not in extendable and value != settings["options"][name]
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


def _plain_settings(settings: FitSettings) -> dict[str, Any]:
    """As YAML gives them back."""
    return {name: _plain(value) for name, value in asdict(settings).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _settings_of(folder: str | Path, values: Mapping[str, Any], kind: type[_Settings]) -> _Settings:
    try:
        return kind.of_run(values["options"])
    except TypeError:
        raise DataError(f"{folder} holds no run of {kind.trains}; give another -o") from None


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


def read_run_settings(folder: str | Path, kind: type[_Settings]) -> tuple[str, _Settings]:
    """The data and the settings that a run was started with.

    Args:
        folder: of the run.
        kind: the class of the settings.

    Raises:
        DataError: the folder holds no such run.
    """
    values = read_run(folder)
    return values["data"], _settings_of(folder, values, kind)


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
