"""The one hierarchy of errors: what went wrong, and with which exit status the command ends."""

from __future__ import annotations

from scoreinv.system.text import printable


class ScoreinvError(Exception):
    """Base of every error that scoreinv raises on purpose; its text is one line for a person, safe on a terminal."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(ScoreinvError, ValueError):
    """The input or the way it was asked for is wrong: nothing was computed."""

    exit_code = 2


class SettingError(InputError):
    """A setting is of another kind than it may be, out of its range, or does not go with the others.

    Attributes:
        setting: the name of the argument; the command line calls it by its option.
        problem: what is wrong with it, a sentence of which the setting is the subject.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return printable(f"{self.setting} {self.problem}")


class ExistsError(InputError):
    """A result is there already, and may not be replaced."""


class EmptyMaskError(InputError):
    """A mask has no hole.

    Attributes:
        black: it marks nothing at all, whatever the threshold.
    """

    def __init__(self, problem: str, *, black: bool = False) -> None:
        super().__init__(problem)
        self.black = black


class CheckpointError(InputError):
    """A checkpoint is missing, truncated, of another kind, or does not fit its configuration."""


class Cancelled(ScoreinvError):  # noqa: N818 - it is no error of the program's
    """A callback asked the work to stop."""


def describe(error: BaseException) -> str:
    """Return what went wrong on one line; an unexpected error with its type."""
    if isinstance(error, ScoreinvError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))
