"""The estimated time of arrival: how long work still takes."""

from __future__ import annotations

from dataclasses import dataclass, field

_TELLING = 0.02  # share of the work whose pace tells that of the rest
_APART = 0.002  # share of the work between two reports that are kept: 500 at most


@dataclass
class ETA:
    """Estimates the time left by the pace of the later half of what is done.

    What comes before the first report (loading, and the first evaluation, which is slower) does not count, and a part
    that was slower or faster than the rest is forgotten as the work goes on. No clock is looked at here.
    """

    _reports: list[tuple[float, float]] = field(default_factory=list)

    def left(self, now: float, done: float) -> float | None:
        """Seconds left at the time `now`, in seconds of any clock, when this share of the work in [0, 1] is done.

        None where the reports so far do not tell it.
        """
        reports = self._reports
        while reports and done < reports[-1][1]:
            reports.pop()  # what failed is done in another way
        if not reports or done >= reports[-1][1] + _APART:
            reports.append((now, done))
        half = (reports[0][1] + done) / 2
        begun, before = next(report for report in reversed(reports) if report[1] <= half)
        if done - before < _TELLING:
            return None
        return (1 - done) * (now - begun) / (done - before)


class Countdown(ETA):
    """The same as a person is told it: it never rises.

    A part that turns out slower than its share makes an estimate rise, which nobody who waits believes; the least that
    was told stands until what is left is less.
    """

    def __init__(self) -> None:
        super().__init__()
        self._done = 0.0
        self._told: float | None = None

    def left(self, now: float, done: float) -> float | None:
        estimate = 0.0 if done >= 1 else super().left(now, done)
        if done < self._done:
            self._told = None  # the work begins anew, in another way
        self._done = done
        if self._told is None or (estimate is not None and estimate < self._told):
            self._told = estimate
        return self._told
