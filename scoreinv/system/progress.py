"""Progress of work, and the way to stop it. Imports no torch.

The loops of the work call `report`, or enter a part of it (`part`, `parts`); they pass nothing on. Whoever wants the
progress of a call enters `reported_to` before. So everything can be stopped within: a task, a sampler, and the windows
and iterations of one evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from itertools import accumulate

from scoreinv.system.errors import Cancelled
from scoreinv.system.options import check, check_callback, says_stop
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.threads import yield_to_load

Callback = Callable[[float], bool | None]
"""Called with the fraction of the work that is done, in [0, 1]; returning False stops the work."""
Reporter = Callable[[float], None]
"""Called with a lower bound of the completed fraction of the current part; its exceptions stop the work."""

_reporter: ContextVar[Reporter] = ContextVar("reporter", default=lambda _: None)


def reporter() -> Reporter:
    """Return the function that takes the reports here, for other contexts."""
    return _reporter.get()


def report(share: float = 0.0) -> None:
    """Report a lower bound of the completed fraction of the current part; pass on the reporter's exceptions."""
    _reporter.get()(share)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Call the reporter for each report until the block ends."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


@contextmanager
def reported_to(callback: Callback) -> Iterator[None]:
    """Call the callback for each report until the block ends, with the largest fraction so far.

    Reports raise Cancelled if it returns False.
    """
    done = 0.0

    def call(fraction: float) -> None:
        nonlocal done
        done = max(done, min(1.0, fraction))
        if says_stop(callback(done)):
            raise Cancelled("stopped")

    with reporting(call):
        yield


class Part:
    """A part of the work: reports within the block are of this part. It reports its start; a next one, or the end.

    Args:
        begin: the fraction of the work before it.
        size: its own fraction.
    """

    def __init__(self, begin: float, size: float) -> None:
        self.begin, self.size = begin, size
        self._token: Token[Reporter] | None = None

    def __enter__(self) -> None:
        outer = reporter()
        outer(self.begin)
        self._token = _reporter.set(lambda share: outer(self.begin + share * self.size))

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _reporter.reset(self._token)


def part(number: int, count: int) -> Part:
    """Return part `number`, from 0, of `count` equal parts."""
    return Part(number / count, 1 / count)


def parts(durations: Iterable[float]) -> list[Part]:
    """Return the parts of the work with these durations, in any unit."""
    durations = list(durations)
    *begins, total = accumulate(durations, initial=0.0)
    return [Part(begin / (total or 1), size / (total or 1)) for begin, size in zip(begins, durations, strict=True)]


@contextmanager
def running(title: str, callback: Callback | None, *, progress: bool) -> Iterator[None]:
    """Run a call from Python: yield processors to other programs; report to the callback and to work around the call.

    Args:
        progress: show a progress bar.

    Raises SettingError if `callback` is not a function, or `progress` not True or False.
    """
    check_callback(callback)
    check("progress", progress, bool)
    outer = reporter()
    with yield_to_load(), progress_bar(title, quiet=not progress) as show:

        def forward(done: float) -> bool | None:
            show(done)
            outer(done)
            return None if callback is None else callback(done)

        with reported_to(forward):
            yield
            report(1.0)
