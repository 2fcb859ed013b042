"""Reports from within an evaluation: parts of parts, and the end of what takes them."""

import numpy as np
import pytest

from scoreinv.system.errors import Cancelled
from scoreinv.system.progress import part, report, reported_to, reporting, running


def test_parts_of_parts_report_shares_of_the_whole() -> None:
    shares: list[float] = []
    with reporting(shares.append):
        for number in range(2):
            with part(number, 2):
                for inner in range(2):
                    with part(inner, 2):
                        report(0.5)
    assert shares == [0, 0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.625, 0.75, 0.875]
    report(1.0)  # nothing takes it
    assert len(shares) == 10


def test_a_reporter_that_raises_stops_the_work_and_takes_no_more_reports() -> None:
    def stop(share: float) -> None:
        raise Cancelled

    outer: list[float] = []
    with reporting(outer.append):
        with pytest.raises(Cancelled), reporting(stop), part(0, 2):
            raise AssertionError
        report(0.25)
    assert outer == [0.25]


@pytest.mark.parametrize("answer", [False, np.False_])
def test_false_alone_stops_the_work(answer: object) -> None:
    for other in (None, True, 0, "", np.True_):
        with reported_to(lambda _, other=other: other):  # type: ignore[misc, return-value]
            report(0.5)
    with pytest.raises(Cancelled), reported_to(lambda _: answer):  # type: ignore[return-value, arg-type]
        report(0.5)


def test_a_call_reports_to_the_work_around_it_too() -> None:
    inner: list[float] = []
    outer: list[float] = []
    with reporting(outer.append), part(1, 2), running("testing", inner.append, progress=False):
        report(0.5)
    assert (inner, outer) == ([0.5, 1], [0.5, 0.75, 1])
