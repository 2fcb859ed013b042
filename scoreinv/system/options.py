"""How an option is stated, once for Python and the command line; and ranges and defaults that several tasks share.

Settings are data classes (`tasks.settings`) whose fields are annotated with a `Setting`. By it they check themselves
when they are made, so that errors come at once, and the command line makes options of them. What only Python and files
give, as the options of a network, is annotated with its `Range`. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.text import shown

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]

GRAY_LEVELS = 255  # the command line gives levels of noise in these


@dataclass(frozen=True)
class Range:
    """Finite numbers of a kind, int or float, from `least` to `most`, both allowed; None for `least`: any above 0."""

    kind: type[int] | type[float]
    least: float | None = 0
    most: float = math.inf


Whole, Number = partial(Range, int), partial(Range, float)

# A thousand times the paper's, and the like: what can be asked for is bounded by memory and patience.
STEPS = Whole(1, 1_000_000)
GRID = Whole(2, 1_000_000)  # times of a discrete model's grid
CHANNELS = Whole(1, 64)  # of the pictures of a network
SAMPLES = Whole(1, 1000)
SEED = Whole(0, 2**63 - 1)
RTOL = Number(1e-12, 0.1)
ODE_RTOL = 1e-5  # tolerance of the adaptive solver, relative and absolute
GUIDANCE = Number(0.0, 1e6)
TRAINING_STEPS = Whole(1, 999_999_999)  # what the nine digits of a state's name count
TRAINING_MINUTES = Number(None, 1e7)  # nineteen years
BATCH_SIZE = Whole(1, 2**20)  # far more than any memory takes of pictures of a useful size
LEARNING_RATE = Number(None, 1000.0)
SENSITIVITY = Number(0.0, 1.0)
USUAL_SENSITIVITY = 0.5  # pixels whose probability of damage is above 1 - 0.5 are marked
MOST_GROW = 100_000  # pixels by which holes may grow on the command line: more than a picture's side
FOUND_GROW = 2  # pixels by which damage that is found is enlarged: soft edges would show as outlines of what is filled
MASK_THRESHOLD = 0.5  # values of a mask in [0, 1] above which pixels are holes


@dataclass(frozen=True)
class Setting:
    """What is said of a field of settings, beside its type.

    Attributes:
        words: what it does, in one or two sentences.
        range: of a number.
        metavar: what stands for its value in the help of the command line.
        read: makes the value of the text on the command line, None of None, where it is not a plain number or word.
        advanced: it is for scripts and researchers, and told apart from what everybody needs.
        option: name on the command line, if it differs from the field's.
    """

    words: str
    range: Range | None = None
    metavar: str | None = None
    read: Callable[[str | None], Any] | None = None
    advanced: bool = False
    option: str | None = None


SampleCount = Annotated[int, Setting("Draw this many: NAME.1.png, NAME.2.png, ...", SAMPLES)]


def check_settings(settings: Any, within: str = "") -> None:
    """Raise SettingError for a declared field that is not a choice, a flag or in its range, and for a wrong seed.

    Declared are fields of a few words (`Literal`), and those annotated with a `Setting` or, of a tuple for each of its
    entries, a `Range`. within: what their names begin with in messages.
    """
    if hasattr(settings, "seed"):
        check("seed", settings.seed, SEED)
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        kind, told = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, None)
        value, members = getattr(settings, name), get_args(kind)
        if NoneType in members:
            if value is None:
                continue
            kind = next(member for member in members if member is not NoneType)
        allowed = told.range if isinstance(told, Setting) else told
        if get_origin(kind) is Literal:
            allowed = get_args(kind)
        elif kind is bool and isinstance(told, Setting):
            allowed = bool
        if get_origin(kind) is tuple and isinstance(allowed, Range):
            for each in value:
                check(f"each of {within}{name}", each, allowed)
        elif isinstance(allowed, Range | tuple | type):
            check(within + name, value, allowed)


def check(setting: str, value: Any, allowed: Range | Sequence[str] | type[bool]) -> None:
    """Raise SettingError unless the value is what is allowed: in a range, one of some words, or True or False.

    Python's and NumPy's numbers and flags are taken alike; a flag is no number. The text names the setting and what it
    may be.
    """
    is_flag, problem = type(value).__name__ in ("bool", "bool_"), ""
    if isinstance(allowed, type):
        problem = "" if is_flag else "True or False"
    elif isinstance(allowed, Range):
        least, most = -math.inf if allowed.least is None else allowed.least, allowed.most
        kind: Any = Integral if allowed.kind is int else Real
        if is_flag or not isinstance(value, kind) or not abs(value) < math.inf:
            problem = "a whole number" if kind is Integral else "a number"
        elif allowed.least is None and value <= 0:
            problem = "positive"
        elif not least <= value <= most:
            low, high = (f"{bound:,}" if isinstance(bound, Integral) else f"{bound:g}" for bound in (least, most))
            problem = f"at least {low}" if math.isinf(most) else f"from {low} to {high}"
            problem = f"at most {high}" if math.isinf(least) else problem
    elif not isinstance(value, str) or value not in allowed:
        problem = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    if problem:
        raise SettingError(setting, f"must be {problem}, not {shown(value)}")


def check_noise_share(value: float) -> None:
    """The noise_std of a photograph: a share of the range from black to white."""
    check("noise_std", value, Number(0))
    if value > 1:
        raise SettingError("noise_std", f"must be from 0 to 1, not {shown(value)}: 25 grey levels are 25/255")


def check_callback(value: object) -> None:
    """A function, or None."""
    if value is not None and not callable(value):
        raise SettingError("callback", f"must be a function, not {shown(value)}")


def says_stop(answer: object) -> bool:
    """Whether what a callback returned is False, Python's or NumPy's."""
    return type(answer).__name__ in ("bool", "bool_") and not answer


def require(condition: bool, message: str) -> None:
    """Raise InputError with the message unless the condition holds."""
    if not condition:
        raise InputError(message)
