"""Estimate of the remaining time of work."""

from __future__ import annotations

from dataclasses import dataclass, field

_MINIMUM = 0.02  # minimum share of the work for an estimate of its pace
_APART = 0.002  # minimum share of the work between stored reports: at most 500


@dataclass
class ETA:
    """Estimate the time left by the slower of two paces: of all completed work, and of its later half.

    The estimate rises when the work slows down. It is never below what the completed work implies. The time before the
    first progress (loading, and the slower first evaluation) does not count. Does not read a clock.
    """

    _reports: list[tuple[float, float]] = field(default_factory=list)

    def left(self, now: float, done: float) -> float | None:
        """Return the seconds left at the time `now`, in seconds of any clock, with this share in [0, 1] completed.

        Returns None if there are too few reports.
        """
        if not 0 < done < 1:
            return None if done <= 0 else 0.0
        reports = self._reports
        while reports and done < reports[-1][1]:
            reports.pop()  # failed work is repeated
        if not reports or done >= reports[-1][1] + _APART:
            reports.append((now, done))
        half = (reports[0][1] + done) / 2
        halfway = next(report for report in reversed(reports) if report[1] <= half)
        if done - halfway[1] < _MINIMUM:
            return None
        return max((1 - done) * (now - begun) / (done - before) for begun, before in (reports[0], halfway))
