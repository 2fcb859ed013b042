"""Estimates of the time left, with made-up clocks: within 30 % once a tenth of the work is done."""

from collections.abc import Sequence

import pytest

from scoreinv.system.progress_bar import ETA


def _errors(costs: Sequence[float], start: float = 0.0, parts: Sequence[float] | None = None) -> list[float]:
    """Left over truth, less 1, of each estimate from a tenth of the work on.

    costs: seconds of each part of the work, which is reported at its end; parts: their sizes. start: before the first.
    """
    sizes = [1.0] * len(costs) if parts is None else list(parts)
    pace, now, done = ETA(), 1000 + start, 0.0
    left = sum(costs)
    errors = []
    for cost, size in zip(costs, sizes, strict=True):
        now, done, left = now + cost, done + size / sum(sizes), left - cost
        estimate = pace.left(now, done)
        if 0.1 <= done < 0.999:
            assert estimate is not None or not errors
            errors += [] if estimate is None else [estimate / left - 1]
    return errors


def test_even_work_is_estimated_exactly_whatever_its_start_and_first_part_took() -> None:
    even = pytest.approx([0.0] * 36, abs=1e-9)
    assert _errors([2.0] * 40) == _errors([9.0, *[2.0] * 39], start=300.0) == even
    assert _errors([9.0, 2.0, 2.0, 2.0]) == pytest.approx([0.0, 0.0])  # of few parts the second tells it


def test_parts_that_cost_more_or_less_than_their_share() -> None:
    """Windows by a half. No one knows before that a second part is slower; when a third of it is done, within 50 %."""
    assert max(map(abs, _errors([1.0, 3.0] * 50)[:-2])) < 0.3
    errors = _errors([1.0] * 50 + [3.0] * 50)
    assert max(map(abs, errors[60:])) < 0.5
    assert abs(errors[-1]) < 0.05


def test_work_that_falls_back_is_estimated_anew() -> None:
    pace = ETA()
    for now, done in ((0, 0.3), (10, 0.5), (20, 0.7)):
        pace.left(now, done)
    assert pace.left(30, 0.1) is None
    assert pace.left(40, 0.2) == pytest.approx(80)


def test_an_estimate_is_never_below_what_the_work_implies() -> None:
    """Work whose later parts are quicker, as of a folder whose last photographs are small."""
    pace, now = ETA(), 0.0
    for number, seconds in enumerate([10.0] * 20 + [1.0] * 80, 1):
        now += seconds
        left, done = pace.left(now, number / 100), number / 100
        if left is not None:
            assert left >= (1 - done) * (now - 10) / (done - 0.01) - 1e-9  # since the first report
    assert left == 0
