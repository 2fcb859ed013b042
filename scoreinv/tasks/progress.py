"""How a task reports its progress, and how a callback stops it. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scoreinv.checks import says_stop
from scoreinv.errors import Cancelled

if TYPE_CHECKING:
    from scoreinv.samplers import Progress

TaskCallback = Callable[[float], bool | None]
"""Called with the share of the work that is done, in (0, 1]; by returning False it stops the work with `Cancelled`."""


def tell(callback: TaskCallback | None, fraction: float) -> None:
    """Report that a fraction of the work is done; raises Cancelled when the callback returns False."""
    if callback is not None and says_stop(callback(fraction)):
        raise Cancelled("stopped")


def for_sampler(callback: TaskCallback | None) -> Callable[[Progress], bool | None] | None:
    """The callback of a task as a sampler takes it."""
    return None if callback is None else lambda progress: callback(progress.fraction)


class Share:
    """A callback for one part of the work after another, which reports the progress of the whole.

    Arguments:
        callback: what is called with the progress of the whole.
        total: sum of the sizes of all parts, in any unit.
    """

    def __init__(self, callback: TaskCallback | None, total: float) -> None:
        self.callback = callback
        self.total = total
        self.done = 0.0
        self.size = 0.0

    def begin(self, size: float) -> None:
        """Begin the next part, which has this size."""
        self.done += self.size
        self.size = size

    def __call__(self, fraction: float) -> bool | None:
        """Report the fraction of the current part that is done."""
        if self.callback is None:
            return None
        return self.callback(min(1.0, (self.done + fraction * self.size) / self.total))
