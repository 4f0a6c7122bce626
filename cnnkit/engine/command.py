"""Commands of the command line, made of functions whose parameters are settings."""

import abc
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.console import Console
from cnnkit.engine.settings import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Argument,
    Option,
    Settings,
    check_option,
    spell,
    split_option,
)
from cnnkit.errors import UsageError

if TYPE_CHECKING:
    from cnnkit.runtime import Cluster

# Between the name of a setting and a name of before, in the name of a hidden parameter.
_FORMER = "__former"


@dataclass(frozen=True)
class PrintSettings(Settings):
    """What a command prints."""

    json: Annotated[bool, Option("Print one JSON document on stdout.", OUTPUT_PANEL)] = False
    quiet: Annotated[
        bool, Option("Print only results and errors.", OUTPUT_PANEL, ("-q", "--quiet"))
    ] = False
    verbose: Annotated[bool, Option("Print details too.", OUTPUT_PANEL, ("-v", "--verbose"))] = (
        False
    )

    def console(self) -> Console:
        """A console that prints so much."""
        return Console(quiet=self.quiet, verbose=self.verbose)


@dataclass(frozen=True)
class DeviceSettings(Settings):
    """What a command computes on."""

    threads: Annotated[
        int | None, Option("Compute threads.", RUN_PANEL, show_default="all cores")
    ] = None
    device: Annotated[str, Option("auto, cpu, or gpu.", RUN_PANEL)] = "auto"

    def start_keras(self, verbose: bool = False, cluster: "Cluster | None" = None) -> None:
        """Imports Keras, to train.

        Args:
            verbose: let the messages of its backend through.
            cluster: processes to join.

        Raises:
            UsageError: see `configure`.
        """
        from cnnkit.runtime import configure

        configure(threads=self.threads, verbose=verbose, device=self.device, cluster=cluster)


@dataclass(frozen=True)
class EngineSettings(DeviceSettings):
    """What a command that only runs trained networks computes on."""

    engine: Annotated[str, Option("What computes: auto, openvino, or tensorflow.", RUN_PANEL)] = (
        "auto"
    )

    def start(self, console: Console, verbose: bool = False) -> None:
        """Chooses the engine, and says from now on that the network is being loaded.

        Args:
            console: told what takes a while; its JSON says from then on what computed.
            verbose: let the engine's own messages through.

        Raises:
            UsageError: see `configure_inference`.
        """
        from cnnkit.engine.choice import configure_inference, current_engine

        console.working("loading the network")
        configure_inference(
            self.engine,
            threads=self.threads,
            device=self.device,
            verbose=verbose,
            note=console.note,
        )
        console.engine = current_engine


@dataclass(frozen=True)
class Call:
    """A call of a command, for another process to repeat.

    Attributes:
        function: "module:name" of the command.
        values: name of each option -> what the user gave, or the default.
        whole: names of options that name one file for all inputs together.
    """

    function: str
    values: Mapping[str, Any]
    whole: tuple[str, ...] = ()


class ElsewhereSettings(Settings):
    """Settings that may have another process run a command."""

    @property
    @abc.abstractmethod
    def is_on(self) -> bool:
        """Whether another process is to run it."""

    @abc.abstractmethod
    def run(self, call: Call) -> int:
        """Has it run; the exit code."""


def command(
    run: Callable[..., int] | None = None, *, whole: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """Makes of a function what Typer takes for a command.

    A parameter whose type is a `Settings` class becomes the options of that class, and the function
    is given an object of it. A parameter annotated with an `Option` or `Argument` becomes that.
    Others are left as they are, such as Typer's context. `ElsewhereSettings` that are on run the
    command instead of the function.

    Args:
        run: of such parameters; its docstring is the help. Without it a decorator comes back.
        whole: see `Call`.

    Returns:
        A function of keywords, one for each option.

    Raises:
        TypeError: two parameters have an option of one name.
    """
    if run is None:
        return functools.partial(command, whole=whole)
    hints = typing.get_type_hints(run, include_extras=True)
    groups: dict[str, type[Settings]] = {}
    options: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(run).parameters.values():
        kind = hints[one.name]
        if isinstance(kind, type) and issubclass(kind, Settings):
            groups[one.name] = kind
            own = {item.name: (kind.option_of(item.name), _default(item)) for item in _shown(kind)}
        elif split_option(kind)[1] is not None:
            own = {one.name: (kind, one.default)}
        else:
            own = {}
            parameters.append(_parameter(one.name, kind, one.default))
        for name, (typed, default) in own.items():
            options[name] = typed
            parameters += _option_parameters(name, typed, default)
    names = [one.name for one in parameters]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise TypeError(f"options must have names of their own. Received twice: {twice}")

    @functools.wraps(run)
    def wrapper(**values: Any) -> int:
        for name in [name for name in values if _FORMER in name]:
            value = values.pop(name)
            if value is not None:
                values[name.split(_FORMER)[0]] = value
        for name, typed in options.items():
            values[name] = read_value(name, typed, values[name])
        call = Call(f"{run.__module__}:{run.__qualname__}", dict(values), whole)
        settings = {
            name: kind(**{item.name: values.pop(item.name) for item in _shown(kind)})
            for name, kind in groups.items()
        }
        for one in settings.values():
            if isinstance(one, ElsewhereSettings) and one.is_on:
                return one.run(call)
        return run(**settings, **values)

    wrapper.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": int}
    return wrapper


def _option_parameters(name: str, kind: Any, default: Any) -> list[inspect.Parameter]:
    """The parameter of an option, and a hidden one for each of its names of before."""
    typed = option_type(name, kind, default)
    plain, *_ = typing.get_args(typed)
    optional = plain if NoneType in typing.get_args(plain) else plain | None
    option = split_option(kind)[1]
    former = [] if option is None else option.former
    return [_parameter(name, typed, default)] + [
        _parameter(
            f"{name}{_FORMER}{number}", Annotated[optional, typer.Option(one, hidden=True)], None
        )
        for number, one in enumerate(former)
    ]


def _shown(kind: type[Settings]) -> list[Field[Any]]:
    """The fields that are options; those of the class itself before those that it shares."""
    own = list(kind.__annotations__)
    known = {name for name, option in kind.options.items() if option.on_command_line}
    options = [one for one in fields(kind) if one.name in known]
    return sorted(options, key=lambda one: own.index(one.name) if one.name in own else len(own))


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def option_type(name: str, kind: Any, default: Any) -> Any:
    """A setting as Typer takes it: its type on the command line, annotated with its option.

    Args:
        name: of the setting.
        kind: `Annotated[type, Option(...)]`.
        default: of the setting; for one that is True there is an option to switch it off.

    Example:

    >>> option_type("size", Annotated[int, Option("Pixels.")], 8)
    typing.Annotated[int, <typer.models.OptionInfo object at ...>]
    """
    kind, option = split_option(kind)
    if option is None:
        raise TypeError(f"{name} has no option")
    names = option.names or (f"--{spell(name)}",)
    if default is True:
        names = (f"{names[0]}/--no-{names[0].removeprefix('--')}",)
    typed = Annotated[kind, option]

    def check(value: Any) -> Any:
        read_value(name, typed, value)
        return value

    said: dict[str, Any] = {
        "help": option.help,
        "metavar": option.metavar or "|".join(option.choices) or None,
        "show_default": True if option.show_default is None else option.show_default,
        "rich_help_panel": option.panel,
        "callback": check,
    }
    is_argument = isinstance(option, Argument)
    info = typer.Argument(**said) if is_argument else typer.Option(*names, **said)
    if option.parse is not None or _items(kind) is not None:
        kind = str | None if NoneType in typing.get_args(kind) else str
    return Annotated[kind, info]


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    if isinstance(default, tuple):
        default = ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in default)
    elif isinstance(default, Mapping):
        weighted = default.items()
        default = ",".join(key if share == 1.0 else f"{key}:{share:g}" for key, share in weighted)
    if default is MISSING:
        default = inspect.Parameter.empty
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _items(kind: Any) -> type | None:
    """The type of the items of a tuple, or of a tuple or None; None of another type."""
    for one in (kind, *typing.get_args(kind)):
        if typing.get_origin(one) is tuple:
            return typing.get_args(one)[0]
    return None


def read_value(name: str, kind: Any, value: Any) -> Any:
    """What was typed for a setting; several values stand between commas.

    Args:
        name: of the setting.
        kind: `Annotated[type, Option(...)]`.
        value: as Typer gives it.

    Raises:
        UsageError: the value is not allowed.

    Example:

    >>> read_value("sizes", Annotated[tuple[int, ...], Option("Pixels.")], "8, 16")
    (8, 16)
    """
    item, option = _items(split_option(kind)[0]), split_option(kind)[1]
    if option is not None and option.parse is not None and isinstance(value, str):
        value = option.parse(value)
    elif item is not None and isinstance(value, str):
        parts = [part.strip() for part in value.split(",")] if value.strip() else []
        try:
            if option is not None and option.ranges:
                value = _read_ranges(name, parts)
            else:
                value = tuple(item(part) for part in parts)
        except ValueError:
            example = option.example if option else ""
            raise UsageError(
                f"--{spell(name)} takes numbers such as {example}, not {value!r}"
            ) from None
    check_option(name, kind, value)
    return value


def _read_ranges(name: str, parts: Sequence[str]) -> tuple[int, ...]:
    """Whole numbers such as 5 and 0-8, each once.

    >>> _read_ranges("unit", ["5", "0-2", "5"])
    (5, 0, 1, 2)
    """
    numbers: list[int] = []
    for part in parts:
        ends = part.split("-")
        # No layer has a million channels.
        if len(ends) > 2 or not all(end.isdecimal() and len(end) < 7 for end in ends):
            raise ValueError(part)
        first, last = int(ends[0]), int(ends[-1])
        if first > last:
            raise UsageError(f"--{spell(name)}: {part} runs backwards")
        numbers += range(first, last + 1)
    return tuple(dict.fromkeys(numbers))


def typed_names(context: typer.Context) -> set[str]:
    """Names of the parameters that the user typed, and not left at their defaults."""
    return {
        name.split(_FORMER)[0]
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }


def typed_settings(context: typer.Context, settings: Settings) -> dict[str, Any]:
    """Of settings, those that the user typed.

    A run that goes on has the others as they were; what must not change is refused later.
    """
    typed = typed_names(context)
    return {one.name: getattr(settings, one.name) for one in fields(settings) if one.name in typed}
