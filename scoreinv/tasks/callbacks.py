"""Callbacks: progress of a task, and the way to stop it. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from scoreinv.system.errors import Cancelled
from scoreinv.system.options import check, check_callback, says_stop
from scoreinv.system.part_progress import reporting
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.threads import yield_to_load

if TYPE_CHECKING:
    from scoreinv.samplers import Progress

Callback = Callable[[float], bool | None]
"""Called at every window with the fraction of work done, in [0, 1]; returning False stops the work."""


def notify(callback: Callback | None, fraction: float) -> None:
    """Call the callback with the fraction that is done; raise Cancelled if it returns False."""
    if callback is not None and says_stop(callback(fraction)):
        raise Cancelled("stopped")


@contextmanager
def running(title: str, callback: Callback | None, *, progress: bool) -> Iterator[Callback]:
    """Run a call from Python: yield processors to other programs, and show a progress bar if `progress` is True.

    Yields:
        The callback of the work. Work outside a sampler reports through `system.part_progress`.

    Raises SettingError if `callback` is not a function, or `progress` not True or False.
    """
    check_callback(callback)
    check("progress", progress, bool)
    done = 0.0
    with yield_to_load(), progress_bar(title, quiet=not progress) as show:

        def forward(fraction: float) -> bool | None:
            nonlocal done
            done = fraction
            show(fraction)
            return None if callback is None else callback(fraction)

        with reporting(lambda _: notify(forward, done)):
            yield forward


def for_sampler(callback: Callback | None) -> Callable[[Progress], bool | None] | None:
    """Return the callback in the form that samplers take."""
    return None if callback is None else lambda progress: callback(progress.fraction)


def split(callback: Callback | None, sizes: Iterable[float]) -> list[Callback]:
    """Return a callback for each part of the work; each reports the progress of the whole.

    Args:
        sizes: durations of the parts, in any unit.
    """
    sizes = list(sizes)
    *begins, total = accumulate(sizes, initial=0.0)

    def forward(begin: float, size: float, fraction: float) -> bool | None:
        return None if callback is None else callback(min(1.0, (begin + fraction * size) / total))

    return [partial(forward, begin, size) for begin, size in zip(begins, sizes, strict=True)]
