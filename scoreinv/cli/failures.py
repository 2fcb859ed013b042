"""Errors as one line for a person and an exit status for a script."""

from __future__ import annotations

import errno

from scoreinv.errors import ScoreinvError, SettingError
from scoreinv.text import printable

_OPTIONS = {"count": "-n", "label": "--class"}
"""Options that are not called as the settings of Python that they give."""

_PATHS = {
    number
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ELOOP", "ENAMETOOLONG", "ENXIO")
    if (number := getattr(errno, name, None)) is not None
}
"""What is wrong with a path that was given, and not with the machine."""


def exit_status(error: BaseException) -> int:
    """2 for usage and bad input, 1 for any other failure."""
    wrong_path = isinstance(error, OSError) and error.filename is not None and error.errno in _PATHS
    default = 2 if wrong_path or _is_usage_error(error) else 1
    return getattr(error, "exit_code", default)


def describe(error: BaseException) -> str:
    """What went wrong, on one line; an error that nobody foresaw names its type and the way to its traceback."""
    return printable(_described(error))


def option_of(setting: str) -> str:
    """How the command line calls a setting."""
    return _OPTIONS.get(setting, f"--{setting.replace('_', '-')}")


def _described(error: BaseException) -> str:
    if isinstance(error, SettingError):
        return f"{option_of(error.setting)} {error.problem}"
    if _is_usage_error(error):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "scoreinv"
        message = _one_line(error.format_message()).rstrip(".")
        return f"{message} (see {command} --help)" if message else ""
    if isinstance(error, ScoreinvError):
        return _one_line(str(error))
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {_one_line(str(error))} (--debug shows where)"


def _is_usage_error(error: BaseException) -> bool:
    # Whichever module they live in: typer's own copy of click, or click itself with older versions of typer.
    return hasattr(error, "format_message")


def _one_line(text: str) -> str:
    return " ".join(text.split())
