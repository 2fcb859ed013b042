"""Errors as one line for a person and an exit status for a script."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scoreinv.errors import InputError, ScoreinvError, SettingError
from scoreinv.text import printable

_OPTIONS = {"count": "-n", "label": "--class", "noise_std": "--noise"}
"""Options that are named otherwise than the settings of Python."""

_REMEDIES = {
    "classifier_training": "`scoreinv train --classifier`",
    "colorize=False": "--no-colorize",
    "conditional_training": "`scoreinv train --conditional`",
    "damage_training": "`scoreinv train --damage`",
    "denoise=False": "--no-denoise",
    "ema=False": "--raw",
    "find_damage": "`scoreinv damage`",
    "frame": "--frame N",
    "generate": "`scoreinv sample --class`",
    "init": "--init",
    "inpaint=False": "--no-inpaint",
    "invert": "--invert-mask",
    "load_official": "`scoreinv convert`",
    "mask": "--mask",
    "mask_threshold=0": "--mask-threshold 0",
    "out": "--out",
    "overwrite=True": "--overwrite",
    "paper_training": "`scoreinv train --config {}`",
    "resume=True": "--resume",
    "torch.float32": "--precision float32",
}
"""What errors of the library name in backquotes, as the command line has it; {} is the argument of a function."""

_NUMBERS = {
    r"Input should be greater than or equal to (\S+)": r"must be at least \1",
    r"Input should be less than or equal to (\S+)": r"must be at most \1",
    r"Input should be greater than (\S+)": r"must be above \1",
    r"Input should be less than (\S+)": r"must be below \1",
    r"Input should be a valid integer.*": "must be a whole number",
    r"Input should be a valid number.*": "must be a number",
    r"Value error, ": "",
    r"(\S+) is not in the range x>=(\S+)": r"must be at least \2, not \1",
    r"(\S+) is not in the range x<=(\S+)": r"must be at most \2, not \1",
    r"(\S+) is not in the range ([^\s<]+)<=x<=(\S+)": r"must be from \2 to \3, not \1",
    r"(\S+) is not a valid int(eger)?\b": r"must be a whole number, not \1",
    r"(\S+) is not a valid float\b": r"must be a number, not \1",
}
"""What versions of typer say of wrong values, as we say it."""

_QUOTED = re.compile(r"`([\w.]+(?:=\w+)?)(?:\(([^`]*)\))?`")

_PATHS = {
    number
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ELOOP", "ENAMETOOLONG", "ENXIO")
    if (number := getattr(errno, name, None)) is not None
}
"""What is wrong with a path that was given, and not with the machine."""


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Have an InputError of the block begin with the file that it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def exit_status(error: BaseException) -> int:
    """The exit status: 2 for usage and bad input, 1 for any other failure."""
    wrong_path = isinstance(error, OSError) and error.filename is not None and error.errno in _PATHS
    default = 2 if wrong_path or _is_usage_error(error) else 1
    return getattr(error, "exit_code", default)


def describe(error: BaseException) -> str:
    """What went wrong, on one line; an unexpected error with its type and the option that shows its traceback."""
    told = _described(error)
    return printable(f"{told}{_beside(error, told)}")


def option_of(setting: str) -> str:
    """What the command line calls a setting."""
    return _OPTIONS.get(setting, f"--{setting.replace('_', '-')}")


def as_options(text: str) -> str:
    """A text of the library, with its settings and functions replaced by options and commands."""

    def called(quoted: re.Match[str]) -> str:
        name, argument = quoted.groups()
        return _REMEDIES[name].format(argument) if name in _REMEDIES else quoted[0]

    return _QUOTED.sub(called, text)


def _described(error: BaseException) -> str:
    if isinstance(error, SettingError):
        return f"{option_of(error.setting)} {as_options(error.problem)}"
    if _is_usage_error(error):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "scoreinv"
        message = in_our_words(_one_line(error.format_message()).rstrip("."))  # type: ignore[attr-defined]  # it is
        return f"{_origin(error)}{message}{_explained(error)} (see {command} --help)" if message else ""
    if isinstance(error, ScoreinvError):
        return as_options(_one_line(str(error)))
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {_one_line(str(error))} (--debug shows where)"


def in_our_words(message: str) -> str:
    """What typer says of a wrong value, in our words."""
    for theirs, ours in _NUMBERS.items():
        message = re.sub(theirs, ours, message)
    return message


def _origin(error: BaseException) -> str:
    """What gave an option its wrong value, where that is not the command line."""
    context: Any = getattr(error, "ctx", None)
    parameter: Any = getattr(error, "param", None)
    source = None if context is None or parameter is None else context.get_parameter_source(parameter.name)
    if source is None or source.name not in ("ENVIRONMENT", "DEFAULT_MAP"):
        return ""
    variable = next((name for name in parameter.envvar or () if os.environ.get(name)), "")
    return f"{variable if source.name == 'ENVIRONMENT' else 'scoreinv.toml'}: "


def _beside(error: BaseException, told: str) -> str:
    """Of the options that an error of input names, those that were not typed, and what gave them."""
    defaults: dict[str, str] = getattr(error, "defaults", {}) if isinstance(error, InputError) else {}
    named = [f"{option} by {where}" for option, where in defaults.items() if _is_named(option, told)]
    return f" ({', '.join(named)})" if named else ""


def _is_named(option: str, told: str) -> bool:
    """Whether an error tells of an option, which stands with its value; of one that is switched off by `--no-`."""
    name, _, value = option.partition(" ")
    return name in told or (value == "False" and f"--no-{name.removeprefix('--')}" in told)


def _explained(error: BaseException) -> str:
    """What an option is that is missing."""
    words = getattr(getattr(error, "param", None), "help", None)
    missing = hasattr(error, "param_type")  # no other usage error has it
    return f": {words.rstrip('.')}" if missing and words else ""


def _is_usage_error(error: BaseException) -> bool:
    # Whichever module they live in: typer's own copy of click, or click itself with older versions of typer.
    return hasattr(error, "format_message")


def _one_line(text: str) -> str:
    return " ".join(text.split())
