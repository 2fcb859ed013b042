"""The hierarchy of errors, with the exit status of the command for each."""

from __future__ import annotations

from scoreinv.system.text import printable


class ScoreinvError(Exception):
    """Base of all errors that scoreinv raises deliberately; its text is one printable line."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(ScoreinvError, ValueError):
    """An input or a setting is wrong; nothing was computed."""

    exit_code = 2


class SettingError(InputError):
    """A setting has a wrong type, is out of range, or conflicts with another.

    Attributes:
        setting: name of the argument; the command line replaces it with that of the option.
        problem: predicate of a sentence whose subject is the setting.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return printable(f"{self.setting} {self.problem}")


class ExistsError(InputError):
    """A result exists and may not be replaced."""


class MaskError(InputError):
    """A mask has no hole or no known pixel.

    Attributes:
        remedy: field of `MaskOptions` that may mend it, with its value; the command line names the option.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        return printable(self.args[0])


class EmptyMaskError(MaskError):
    """A mask has no hole."""


class CheckpointError(InputError):
    """A checkpoint is missing, truncated or of another kind, or contradicts its configuration."""


class Cancelled(ScoreinvError):  # noqa: N818 - not a failure
    """A callback stopped the work."""
