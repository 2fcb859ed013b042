"""The estimated time of arrival: how long work still takes."""

from __future__ import annotations

from dataclasses import dataclass, field

_TELLING = 0.02  # share of the work whose pace tells that of the rest
_APART = 0.002  # share of the work between two reports that are kept: 500 at most


@dataclass
class ETA:
    """Estimate the time left by the slower of two paces: that of all that is done, and that of its later half.

    The estimate rises when the work slows down. It is never below what the work done so far implies. The time before
    the first progress (loading, and the first evaluation, which is slower) does not count. No clock is read here.
    """

    _reports: list[tuple[float, float]] = field(default_factory=list)

    def left(self, now: float, done: float) -> float | None:
        """Return the seconds left at the time `now`, when this share of the work in [0, 1] is done.

        `now` is in seconds of any clock. Return None if the reports so far are too few.
        """
        if not 0 < done < 1:
            return None if done <= 0 else 0.0
        reports = self._reports
        while reports and done < reports[-1][1]:
            reports.pop()  # what failed is done in another way
        if not reports or done >= reports[-1][1] + _APART:
            reports.append((now, done))
        half = (reports[0][1] + done) / 2
        halfway = next(report for report in reversed(reports) if report[1] <= half)
        if done - halfway[1] < _TELLING:
            return None
        return max((1 - done) * (now - begun) / (done - before) for begun, before in (reports[0], halfway))
