"""Progress reports from within an evaluation; the callback can stop the work there.

Only a sampler or a task knows the total work. Only the inner loops (windows, orientations, iterations of a solver) know
the progress of one evaluation. The former enters `reporting`; the latter enter `part`, or call `report`. So every
prior, condition and operator can be stopped without passing a callback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Reporter = Callable[[float], object]
"""Called with a lower bound of an evaluation's completed fraction, in [0, 1]; its exceptions stop the work."""

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
    """Report a lower bound of the evaluation's completed fraction; pass on the reporter's exceptions."""
    if (reporter := _reporter.get()) is not None:
        reporter(share)


@contextmanager
def part(number: int, count: int) -> Iterator[None]:
    """Report the start of part `number` (from 0) of `count` equal parts; map reports in the block to that part."""
    outer = _reporter.get()
    if outer is None:
        yield
        return
    outer(number / count)
    with reporting(lambda share: outer((number + share) / count)):
        yield
