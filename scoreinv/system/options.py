"""Declaration and validation of options for Python and the command line, and shared ranges and defaults.

Requests (`tasks.requests`) and settings are data classes with fields annotated by a `Setting`. They validate themselves
when made, and the command line derives its options from them. Options that only Python and files set, such as those of
a network, are annotated with a `Range`. This module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.text import shown

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]

GRAY_LEVELS = 255  # unit of noise levels on the command line


@dataclass(frozen=True)
class Range:
    """A closed range of finite int or float values; with `least` None, all values above 0 up to `most`."""

    kind: type[int] | type[float]
    least: float | None = 0
    most: float = math.inf


Whole, Number = partial(Range, int), partial(Range, float)

# Generous bounds, such as a thousand times the paper's steps: memory and time limit the rest.
QUALITY = Whole(1, 100)
"""Of lossy file formats."""
STEPS = Whole(1, 1_000_000)
GRID = Whole(2, 1_000_000)  # time steps of a discrete model
CHANNELS = Whole(1, 64)  # of the pictures of a network
SAMPLES = Whole(1, 1000)
SEED = Whole(0, 2**63 - 1)
RTOL = Number(1e-12, 0.1)
ODE_RTOL = 1e-5  # tolerance of the adaptive solver, relative and absolute
GUIDANCE = Number(0.0, 1e6)
TRAINING_STEPS = Whole(1, 999_999_999)  # nine digits in the name of a state
TRAINING_MINUTES = Number(None, 1e7)  # nineteen years
BATCH_SIZE = Whole(1, 2**20)  # far beyond any memory
LEARNING_RATE = Number(None, 1000.0)
BELOW_ONE = Number(0.0, 0.999999)  # decay of an average, or a share that is never all
SENSITIVITY = Number(0.0, 1.0)
USUAL_SENSITIVITY = 0.5  # a pixel is damaged if its probability exceeds 1 - sensitivity
MOST_GROW = 100_000  # largest --grow in pixels: more than a picture's side
FOUND_GROW = 2  # dilation of detected damage in pixels, since soft edges would outline the fill
MASK_THRESHOLD = 0.5  # mask values in [0, 1] above it are holes


@dataclass(frozen=True)
class Setting:
    """Annotation of a field of settings.

    Attributes:
        words: its help, in one or two sentences.
        range: the allowed values of a number.
        metavar: placeholder of the value in the command line's help.
        read: converts the command line's text (None: not given) to the value; None: the value is a number or a word.
        advanced: for scripts and researchers; the help lists it separately.
        option: name on the command line; None: the field's name.
        choices: words for `read`, the default first; empty: any text.
        repeatable: the option may be given several times; `read` then takes a list.
        needs: name of the setting that must be on; in forms also `name=value`.
        label: name in the forms of the page and GIMP; empty: it is in no form.
        form: least value, greatest value and step in forms; None: the range. With the step 0 it is typed on the page.
        unit: unit on the page; `%`: the value is a fraction.
        none: the value None in forms.
    """

    words: str
    range: Range | None = None
    metavar: str | None = None
    read: Callable[[Any], Any] | None = None
    advanced: bool = False
    option: str | None = None
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    needs: str = ""
    label: str = ""
    form: tuple[float, float, float] | None = None
    unit: str = ""
    none: str = "auto"


class Declared(NamedTuple):
    """A field of a data class, or a parameter of a function.

    Attributes:
        kind: its type, without None.
        is_optional: None is a value, too.
        annotation: a `Setting`, a `Range`, or None.
    """

    name: str
    kind: Any
    is_optional: bool
    annotation: Any
    default: Any

    @classmethod
    def of(cls, name: str, hint: Any, default: Any) -> Declared:
        """Split a type hint into its parts."""
        kind, annotation = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, None)
        is_optional = NoneType in get_args(kind) and len(get_args(kind)) == 2
        return cls(name, get_args(kind)[0] if is_optional else kind, is_optional, annotation, default)

    @property
    def type(self) -> Any:
        """The type with None, if that is a value."""
        return self.kind | None if self.is_optional else self.kind

    @property
    def setting(self) -> Setting | None:
        return self.annotation if isinstance(self.annotation, Setting) else None

    @property
    def option(self) -> str:
        """The name on the command line and in the routes of the page."""
        setting = self.setting  # with choices, the option has another meaning than the field
        return self.name if setting is None or setting.choices else setting.option or self.name


def declared(settings: Any) -> list[Declared]:
    """Return the fields of a data class."""
    hints = get_type_hints(settings, include_extras=True)
    return [Declared.of(each.name, hints[each.name], each.default) for each in fields(settings)]


SampleCount = Annotated[int, Setting("Number of samples: NAME.1.png, NAME.2.png, ...", SAMPLES)]


def check_settings(settings: Any, within: str = "") -> None:
    """Raise SettingError for a field with a wrong type, an unknown choice, or a value out of range.

    Checks the field `seed`, fields of type `Literal`, and fields annotated with a `Setting` or a `Range`. The range of
    a tuple applies to each entry. A field that `needs` another one must have its default while that is off.

    Args:
        within: prefix of the names in messages.
    """
    for name, kind, is_optional, annotation, default in declared(type(settings)):
        value = getattr(settings, name)
        allowed = SEED if name == "seed" else annotation.range if isinstance(annotation, Setting) else annotation
        if is_optional and value is None:
            continue
        if get_origin(kind) is Literal:
            allowed = get_args(kind)
        elif kind is bool and isinstance(annotation, Setting):
            allowed = bool
        if get_origin(kind) is tuple and isinstance(allowed, Range):
            for each in value:
                check(f"each of {within}{name}", each, allowed)
        elif isinstance(allowed, Range | tuple | type):
            check(within + name, value, allowed)
        needs = annotation.needs if isinstance(annotation, Setting) else ""
        if needs and value != default and not getattr(settings, needs):
            raise SettingError(within + name, f"needs the setting {needs}, which is off")


class Checked:
    """Base of data classes of settings: their ranges are checked when they are made."""

    def __post_init__(self) -> None:
        check_settings(self)


def check(setting: str, value: Any, allowed: Range | Sequence[str] | type[bool]) -> None:
    """Raise SettingError unless the value is in the range, one of the words, or a bool (`allowed=bool`).

    Numbers and flags may be Python's or NumPy's; a flag is not a number. The message names the setting and the range.
    """
    if problem := problem_of(value, allowed):
        raise SettingError(setting, problem)


def problem_of(value: Any, allowed: Range | Sequence[str] | type[bool]) -> str:
    """Return what is wrong with a value, for `check`; empty if it is allowed."""
    is_flag, problem = type(value).__name__ in ("bool", "bool_"), ""
    if isinstance(allowed, type):
        problem = "" if is_flag else "True or False"
    elif isinstance(allowed, Range):
        least, most = -math.inf if allowed.least is None else allowed.least, allowed.most
        kind: Any = Integral if allowed.kind is int else Real
        low, high = (f"{bound:,}" if isinstance(bound, Integral) else f"{bound:g}" for bound in (least, most))
        both = "" if math.isinf(most - least) else f"from {low} to {high}"
        if is_flag or not isinstance(value, kind) or not abs(value) < math.inf:
            problem = f"{'a whole number' if kind is Integral else 'a number'} {both}".rstrip()
        elif allowed.least is None and value <= 0:
            problem = "positive"
        elif not least <= value <= most:
            problem = both or (f"at most {high}" if math.isinf(least) else f"at least {low}")
    elif not isinstance(value, str) or value not in allowed:
        problem = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    return f"must be {problem}, not {shown(value)}" if problem else ""


def checked_numbers(setting: str, given: Any, count: int) -> Any:
    """Return several numbers as a tuple of floats; raise SettingError unless they are `count` finite ones."""
    values = tuple(given) if isinstance(given, Iterable) else ()
    if len(values) != count or not all(isinstance(value, Real) and math.isfinite(value) for value in values):
        what = ", ".join(map(shown, values)) if isinstance(given, list | tuple) else shown(given)
        raise SettingError(setting, f"must be {count} numbers, not {what}")
    return tuple(float(value) for value in values)


def check_noise_share(value: float) -> None:
    """Raise SettingError unless a photograph's noise_std is in [0, 1], in units of the range from black to white."""
    check("noise_std", value, Number(0))
    if value > 1:
        raise SettingError("noise_std", f"must be from 0 to 1, not {shown(value)}: 25 grey levels are 25/255")


def check_callback(value: object) -> None:
    """Raise SettingError unless a callback is a function or None."""
    if value is not None and not callable(value):
        raise SettingError("callback", f"must be a function, not {shown(value)}")


def says_stop(answer: object) -> bool:
    """Return whether a callback's answer is False, Python's or NumPy's."""
    return type(answer).__name__ in ("bool", "bool_") and not answer


def require(condition: bool, message: str) -> None:
    """Raise InputError with the message unless the condition holds."""
    if not condition:
        raise InputError(message)
