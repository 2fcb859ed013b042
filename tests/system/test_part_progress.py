"""Reports from within an evaluation: parts of parts, and the end of what takes them."""

import pytest

from scoreinv.system.errors import Cancelled
from scoreinv.system.part_progress import part, report, reporting


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
