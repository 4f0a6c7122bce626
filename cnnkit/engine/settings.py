"""Settings of tasks: frozen dataclasses whose fields say all that there is to say of an option.

A field is written once, as in

    conf: Annotated[float, Option("Least score.", min=0.0, max=1.0, panel="Boxes")] = 0.25

and is the default, the range, the help and the option `--conf` of the command line, which
`engine.command` makes of it, and an argument of the class for programs in Python.
"""

import abc
import inspect
import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin

from cnnkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

LEARNING_RATE_SCHEDULES = ("cosine", "constant", "exponential")
TRAINING_OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop")
MIXED_PRECISIONS = ("auto", "on", "bfloat16", "off")

DATA_PANEL, FIT_PANEL, NETWORK_PANEL = "Data", "Fit", "Network"
MODEL_PANEL = "Model"
AUGMENT_PANEL = "Augmentation (0 switches off)"
OUTPUT_PANEL, RUN_PANEL = "Output", "Run"

# What values of a kind are called in messages.
_KINDS = {
    int: "a number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    NoneType: "None",
    tuple: "several values in brackets",
    Mapping: "a mapping of names to numbers",
}


@dataclass(frozen=True)
class Option:
    """What a setting is, beside its name, type and default.

    Attributes:
        help: one sentence, for the help of the command line and for that of the class.
        panel: heading that it stands under in the help.
        names: on the command line, such as "-o" and "--output"; "--<name>" by default.
        metavar: what stands for its value in the help; by default its type, or its choices.
        show_default: what the help says of the default; by default the default itself.
        choices: the values that are allowed.
        min: the smallest number that is allowed.
        max: the largest number that is allowed.
        above: the number that it must be more than.
        below: the number that it must be less than.
        unit: of the numbers, for messages, such as "pixels".
        example: of several values, as they are typed, for messages.
        ranges: whether 0-8 stands for the whole numbers from 0 to 8, each of which counts once.
        former: names of before on the command line, which still work and are not shown.
        parse: makes a value of what is typed, where that is written otherwise than in Python.
        on_command_line: whether it is an option there, or a setting of Python alone.
    """

    help: str
    panel: str | None = None
    names: tuple[str, ...] = ()
    metavar: str | None = None
    show_default: str | None = None
    choices: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    unit: str = ""
    example: str = ""
    ranges: bool = False
    former: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    on_command_line: bool = True

    def __repr__(self) -> str:
        """Short, since signatures show it."""
        return f"{type(self).__name__}({self.help!r})"

    def check(self, name: str, value: Any, is_whole: bool) -> None:
        """Refuses a value that is not allowed; None stands for what suits the rest.

        Args:
            name: of the setting, for the message.
            value: of the right type.
            is_whole: whether it must be a whole number.

        Raises:
            UsageError: it is not allowed.
        """
        if value is not None and not self._allows(value, is_whole):
            raise UsageError(f"{spell(name)} must be {self._expected(is_whole)}, not {value!r}")

    def _allows(self, value: Any, is_whole: bool) -> bool:
        if self.choices:
            return value in self.choices
        if is_whole and not is_count(value, -math.inf):
            return False
        limits = (
            *((self.min, operator.ge), (self.max, operator.le)),
            *((self.above, operator.gt), (self.below, operator.lt)),
        )
        known = [(limit, compare) for limit, compare in limits if limit is not None]
        return not known or (
            math.isfinite(value) and all(compare(value, limit) for limit, compare in known)
        )

    def _expected(self, is_whole: bool) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        lower = self.above if self.min is None else self.min
        upper = self.below if self.max is None else self.max
        if upper is not None:
            if lower is None:
                return f"at most {upper:g}"
            if self.min is not None and self.below is not None:
                return f"at least {lower:g} and less than {upper:g}"
            return f"between {lower:g} and {upper:g}"
        if self.unit:
            return f"at least {lower:g} {self.unit}"
        if is_whole:
            return "a whole number" + ("" if lower is None else f" from {lower:g}")
        return f"more than {lower:g}" if self.min is None else f"at least {lower:g}"


class Argument(Option):
    """What is typed without a name in front of it."""


def split_option(kind: Any) -> tuple[Any, Option | None]:
    """The type of a field, and its option if it has one.

    >>> split_option(Annotated[int, Option("Pixels.")])
    (<class 'int'>, Option('Pixels.'))
    >>> split_option(int)
    (<class 'int'>, None)
    """
    if get_origin(kind) is not Annotated:
        return kind, None
    kind, *extras = get_args(kind)
    return kind, next((one for one in extras if isinstance(one, Option)), None)


@dataclass(frozen=True)
class Settings:
    """Settings that check themselves when they are made.

    A subclass is a frozen dataclass too. What its options say is appended to its docstring. A field
    that it declares anew without an option, for another default, keeps the option that it had.

    Attributes:
        options: name of a field -> what it is.

    Raises:
        UsageError: a value of another type, or outside of what is allowed.
    """

    options: ClassVar[Mapping[str, Option]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        found = {name: split_option(kind)[1] for name, kind in cls.__annotations__.items()}
        own = {name: option for name, option in found.items() if option is not None}
        inherited: dict[str, Option] = {}
        for base in reversed(cls.__bases__):
            inherited |= getattr(base, "options", {})
        cls.options = {**inherited, **own}
        lines = [f"    {name}: {option.help}" for name, option in own.items()]
        if lines:
            heading = [inspect.cleandoc(cls.__doc__ or cls.__name__), "", "Attributes:"]
            cls.__doc__ = "\n".join([*heading, *lines])

    def __post_init__(self) -> None:
        check_kinds(self)
        for item in fields(self):
            check_option(item.name, self.option_of(item.name), getattr(self, item.name))
        self.check()

    @classmethod
    def option_of(cls, name: str) -> Any:
        """The type of a field, annotated with its option where it has one."""
        kind, _ = split_option(cls.__dataclass_fields__[name].type)
        return Annotated[kind, cls.options[name]] if name in cls.options else kind

    def check(self) -> None:
        """Refuses values that do not go together; a subclass says which."""


def check_option(name: str, kind: Any, value: Any) -> None:
    """Refuses a value that an option does not allow.

    Args:
        name: of the setting, for the message.
        kind: `Annotated[type, Option(...)]`.
        value: of that type.

    Raises:
        UsageError: the value is not allowed.
    """
    kind, option = split_option(kind)
    if option is not None:
        kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        option.check(name, value, is_whole=int in kinds and str not in kinds)


def is_count(value: Any, least: float = 1) -> bool:
    """Whether a value is a whole number, and at least so many."""
    try:
        return bool(operator.index(value) >= least)
    except TypeError:
        return False


def check_kinds(settings: Any) -> None:
    """Refuses values of another kind than a setting's, which would end in a traceback.

    A whole number is told from another one by the setting's own check. A path and its text stand
    for each other, and a list for a tuple.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        kind, _ = split_option(item.type)
        kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        if isinstance(value, os.PathLike) and str in (kind, *get_args(kind)):
            object.__setattr__(settings, item.name, os.fspath(value))
        elif isinstance(value, list) and any(get_origin(one) is tuple for one in kinds):
            # Settings are compared, and keys of what stays loaded.
            object.__setattr__(settings, item.name, tuple(value))
        elif isinstance(value, str) and Path in kinds:
            object.__setattr__(settings, item.name, Path(value))
        if not _is_of_kind(getattr(settings, item.name), kind):
            words = " or ".join(_KINDS.get(get_origin(one) or one, one.__name__) for one in kinds)
            raise UsageError(f"{spell(item.name)} must be {words}, not {value!r}")


def _is_of_kind(value: Any, kind: Any) -> bool:
    if isinstance(kind, UnionType):
        return any(_is_of_kind(value, one) for one in get_args(kind))
    if kind in (int, float):
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if kind is bool:
        # NumPy's too.
        return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")
    origin = get_origin(kind)
    if origin is tuple:
        inner = get_args(kind)[0]
        is_several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return is_several and all(_is_of_kind(one, inner) for one in value)
    if origin is Mapping:
        inner = get_args(kind)[1]
        return isinstance(value, Mapping) and all(_is_of_kind(v, inner) for v in value.values())
    return isinstance(value, kind)


def spell(name: str) -> str:
    """A setting's name as it is typed.

    >>> spell("max_det")
    'max-det'
    """
    return name.replace("_", "-")


# In which views a network looks at a picture.
Flip = Annotated[
    bool,
    Option("Look at the mirror image too, and average; takes twice the time.", NETWORK_PANEL),
]
Scales = Annotated[
    tuple[float, ...],
    Option(
        "Look at the picture at all these sizes, such as 0.75,1,1.25, and average.",
        NETWORK_PANEL,
        metavar="S,...",
        example="0.75,1,1.25",
    ),
]


def check_scales(scales: Sequence[float]) -> None:
    """Refuses sizes to look at a picture at, as multiples of its own, that make no sense.

    Raises:
        UsageError: there are none, or one is not from 0.1 to 4.
    """
    if not scales or not all(0.1 <= scale <= 4.0 for scale in scales):
        raise UsageError(f"scales must be from 0.1 to 4, not {list(scales)}")


# Parts of labelled data that can be evaluated; "all" is every picture.
SPLITS = ("train", "val", "test", "all")

Split = Annotated[
    str | None,
    Option(
        "Part of the data: test, val, train or all.",
        show_default="test where DATA has it, else val, else all",
    ),
]


def check_split(split: str | None, splits: tuple[str, ...] = SPLITS) -> None:
    """Refuses a part of the data that there cannot be.

    Raises:
        UsageError: `split` is neither None nor one of `splits`.
    """
    if split is not None and split not in splits:
        raise UsageError(f"--split must be one of {', '.join(splits)}, not {split}")


Seed = Annotated[int, Option("Seed of everything random.", RUN_PANEL, min=0)]
StepsPerEpoch = Annotated[
    int, Option("Steps between two lines and two checkpoints.", RUN_PANEL, min=1)
]
TimeBudget = Annotated[
    float | None,
    Option("Seconds; the learning rate falls in time.", FIT_PANEL, show_default="none", above=0.0),
]
# Options of several trainings, not of all.
Ema = Annotated[
    float,
    Option(
        "Momentum of averaged weights, such as 0.999; 0 for none.", FIT_PANEL, min=0.0, max=0.99999
    ),
]
LabelSmoothing = Annotated[
    float,
    Option("Share of the target that goes to all classes alike.", FIT_PANEL, min=0.0, max=0.9),
]
MixedPrecision = Annotated[
    str, Option("16 bits: auto is on GPUs.", FIT_PANEL, choices=MIXED_PRECISIONS)
]
Workers = Annotated[
    int,
    Option(
        "Processes that make examples, for a GPU that would wait; 0 for threads of this one.",
        RUN_PANEL,
        min=0,
    ),
]
Distillation = Annotated[
    float,
    Option(
        "Weight of what the teacher sees.",
        MODEL_PANEL,
        min=0.0,
        max=100.0,
        former=("--imitation",),
    ),
]
RunFolder = Annotated[Path, Option("Run folder.", OUTPUT_PANEL, ("-o", "--output"))]
Resume = Annotated[
    bool, Option("Go on with the run in -o, with its settings; --epochs may be more.", RUN_PANEL)
]
OnDevice = Annotated[
    bool,
    Option(
        "Keep the pictures in the GPU's memory and make the examples there: many times faster "
        "than --workers.",
        RUN_PANEL,
    ),
]


def _augment_option(help: str, most: float, former: tuple[str, ...] = ()) -> Option:
    return Option(help, AUGMENT_PANEL, min=0.0, max=most, former=former)


@dataclass(frozen=True)
class AugmentSettings(Settings):
    """How pictures are changed at random before a network is trained on them.

    Each number is the most of it; 0 switches it off. What a class is must not change: leave out
    flips for letters, colours for ripe and unripe fruit. Krizhevsky et al. (2012) have 0.1
    as `pca_color`.
    """

    horizontal_flip: Annotated[
        float, _augment_option("Share that is mirrored, left for right.", 1.0, ("--mirror",))
    ] = 0.5
    rotation: Annotated[float, _augment_option("Degrees each way.", 180.0)] = 10.0
    shear: Annotated[float, _augment_option("Degrees each way.", 45.0)] = 5.0
    crop: Annotated[float, _augment_option("Part of the area cut away.", 0.95)] = 0.5
    stretch: Annotated[float, _augment_option("Change of width to height.", 1.0)] = 0.2
    color: Annotated[float, _augment_option("Brightness, contrast, saturation, channels.", 1.0)] = (
        0.2
    )
    pca_color: Annotated[float, _augment_option("Shift along the main axes of colours.", 10.0)] = (
        0.1
    )
    cutout: Annotated[float, _augment_option("Side of a grey square, as a part.", 0.9)] = 0.0
    mixup: Annotated[
        float, _augment_option("Mix two pictures; alpha of the Beta distribution.", 10.0)
    ] = 0.0

    @staticmethod
    def off() -> "AugmentSettings":
        """Pictures as they are.

        >>> AugmentSettings.off().rotation
        0.0
        """
        return AugmentSettings(**dict.fromkeys(AugmentSettings.options, 0.0))


@dataclass(frozen=True)
class FitSettings(Settings, abc.ABC):
    """What the trainings have in common; each has defaults of its own.

    The learning rate is None for what suits the rest, the time budget for none.

    Attributes:
        trains: what comes of it, for messages, such as "a detector".
        former: name of a setting in runs of before 0.2 -> its name.
    """

    trains: ClassVar[str]
    former: ClassVar[Mapping[str, str]] = {}

    batch_size: Annotated[int, Option("Examples in a step.", FIT_PANEL, ("--batch",), min=1)] = 32
    optimizer: Annotated[str, Option("Of Keras.", FIT_PANEL, choices=TRAINING_OPTIMIZERS)] = "adamw"
    learning_rate: Annotated[float | None, Option("At its highest.", FIT_PANEL, above=0.0)] = None
    find_lr: Annotated[
        bool,
        Option(
            "First find the learning rate, by 100 steps with one that grows; draws the loss over "
            "it, and takes the steepest point.",
            FIT_PANEL,
        ),
    ] = False
    schedule: Annotated[
        str, Option("Of the learning rate.", FIT_PANEL, choices=LEARNING_RATE_SCHEDULES)
    ] = "cosine"
    warmup: Annotated[
        float,
        Option("Share of the run in which the learning rate grows.", FIT_PANEL, min=0.0, max=0.9),
    ] = 0.05
    weight_decay: Annotated[
        float, Option("Decoupled from the gradient.", FIT_PANEL, min=0.0, max=10.0)
    ] = 0.05
    clip_norm: Annotated[
        float,
        Option("Longest gradient of each weight array; 0 for any.", FIT_PANEL, min=0.0, max=1e6),
    ] = 0.0
    patience: Annotated[
        int,
        Option("Stop after so many epochs without a better one; 0 for never.", FIT_PANEL, min=0),
    ] = 0
    time_budget: TimeBudget = None
    val_share: Annotated[
        float,
        Option(
            "Share of the pictures kept for validation, where DATA has none.",
            DATA_PANEL,
            above=0.0,
            below=1.0,
        ),
    ] = 0.15
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.find_lr and self.learning_rate is not None:
            raise UsageError("--find-lr chooses the learning rate; leave out --learning-rate")

    @classmethod
    def of_run(cls, values: Mapping[str, Any]) -> "Self":
        """The settings that a run's folder keeps, those of an earlier version too.

        Raises:
            TypeError: they are of another training.
        """
        return cls(**{cls.former.get(name, name): value for name, value in values.items()})

    @property
    def averaging(self) -> float:
        """Momentum of averaged weights, of those trainings that have them; 0 for none."""
        return getattr(self, "ema", 0.0)

    @property
    def slow_rate(self) -> float:
        """Share of the learning rate that weights have which come trained, where some do."""
        return getattr(self, "pretrained_rate", 1.0)

    @property
    def keeps_on_device(self) -> bool:
        """Whether the data lie on the device that trains, of those trainings that can do that."""
        return getattr(self, "on_device", False)

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate at its highest, whether given or not."""
        return self.learning_rate or self.usual_learning_rate

    @property
    @abc.abstractmethod
    def usual_learning_rate(self) -> float:
        """What the learning rate is at its highest where none is given."""


def require_there(paths: Iterable[str | Path | None]) -> None:
    """Says at once, before an engine is imported, that data are not there; None is left alone.

    Raises:
        DataError: a path does not exist, or is a URL.
    """
    for path in paths:
        if path is not None and not os.path.lexists(path):
            from cnnkit.images import explain_missing

            raise DataError(explain_missing(str(path)))
