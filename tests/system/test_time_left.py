"""Estimates of the time left, with made-up clocks: within 30 % once a tenth of the work is done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scoreinv.system.time_left import ETA, Countdown


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


def test_even_work_is_estimated_exactly() -> None:
    assert _errors([2.0] * 40) == pytest.approx([0.0] * 36, abs=1e-9)


def test_starting_and_the_first_evaluation_do_not_count() -> None:
    assert _errors([9.0, *[2.0] * 39], start=300.0) == pytest.approx([0.0] * 36, abs=1e-9)
    assert _errors([9.0, 2.0, 2.0, 2.0]) == pytest.approx([0.0, 0.0])  # of few parts the second tells it


def test_uneven_parts() -> None:
    """Windows cost more or less than their share by a half."""
    assert max(map(abs, _errors([1.0, 3.0] * 50)[:-2])) < 0.3


def test_work_whose_second_part_is_slower_than_its_share() -> None:
    """No one can know it before; then it is within 30 % when a third of that part is done."""
    errors = _errors([1.0] * 50 + [3.0] * 50)
    assert max(map(abs, errors[60:])) < 0.5
    assert abs(errors[-1]) < 0.05


def test_nothing_is_told_too_early() -> None:
    pace = ETA()
    assert [pace.left(now, done) for now, done in ((5, 0.3), (6, 0.31), (7, 0.315))] == [None] * 3
    assert pace.left(8, 0.4) == pytest.approx(0.6 / 0.085)  # as fast as since 0.315
    assert ETA().left(5, 1.0) is None


def test_work_that_falls_back_is_estimated_anew() -> None:
    pace = ETA()
    for now, done in ((0, 0.3), (10, 0.5), (20, 0.7)):
        pace.left(now, done)
    assert pace.left(30, 0.1) is None
    assert pace.left(40, 0.2) == pytest.approx(80)


def test_what_a_person_is_told_never_rises() -> None:
    """As it did for a fill whose second part is slower, 6, 5, 4, 7, 9, 14 seconds; but for work that begins anew."""
    estimate, told, seen, shown = ETA(), Countdown(), [], []
    for done in range(1, 100):
        now = done if done <= 50 else 50 + 3 * (done - 50)
        seen.append(estimate.left(now, done / 100) or 1e9)
        shown.append(told.left(now, done / 100) or 1e9)
    assert max(seen[50:]) > seen[49] + 5
    assert shown == sorted(shown, reverse=True)
    assert told.left(152, 0.9999) is not None
    assert told.left(152, 1.0) == 0
    told.left(160, 0.1)
    assert (told.left(260, 0.2) or 0) > 100
