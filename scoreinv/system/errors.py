"""The exception hierarchy; each class has the exit status of the command."""

from __future__ import annotations

from scoreinv.system.text import printable


class ScoreinvError(Exception):
    """Base of all errors that scoreinv raises intentionally; the text is one line, safe on a terminal."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(ScoreinvError, ValueError):
    """The input or the request is invalid; nothing was computed."""

    exit_code = 2


class SettingError(InputError):
    """A setting has a wrong type, is out of range, or does not fit the others.

    Attributes:
        setting: the name of the argument; the command line shows its option instead.
        problem: the predicate of the message, such as "must be positive, not 0".
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return printable(f"{self.setting} {self.problem}")


class ExistsError(InputError):
    """The output exists already, and overwriting is not allowed."""


class EmptyMaskError(InputError):
    """A mask has no hole.

    Attributes:
        black: whether the mask is black everywhere, so that no threshold finds a hole.
    """

    def __init__(self, problem: str, *, black: bool = False) -> None:
        super().__init__(problem)
        self.black = black


class CheckpointError(InputError):
    """A checkpoint is missing, truncated, of another kind, or does not fit its configuration."""


class Cancelled(ScoreinvError):  # noqa: N818 - not an error of the program
    """A callback stopped the work."""
