"""Reports from within an evaluation, where the callback of the work can stop it.

Only a sampler or a task knows how much work there is. Only the loops below it know how far one evaluation is: windows,
orientations, iterations of a solver. The former opens `reporting`; the latter enter `part`, or call `report`. So every
prior, condition and operator can be stopped, and none of them passes a callback on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Reporter = Callable[[float], object]
"""Called with the share of an evaluation that is done at least, in [0, 1]; what it raises stops the work."""

_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Call the reporter for each report until the block ends."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


def report(share: float = 0.0) -> None:
    """Report that at least this share of the evaluation is done; raise what the reporter raises."""
    if (reporter := _reporter.get()) is not None:
        reporter(share)


@contextmanager
def part(number: int, count: int) -> Iterator[None]:
    """Do part `number`, from 0, of `count` equal parts of an evaluation: report its start, and then shares of it."""
    outer = _reporter.get()
    if outer is None:
        yield
        return
    outer(number / count)
    with reporting(lambda share: outer((number + share) / count)):
        yield
