"""Callbacks of parts of the work: shares of the whole, and stops."""

import numpy as np
import pytest

from scoreinv.system.errors import Cancelled
from scoreinv.system.part_progress import report
from scoreinv.tasks.callbacks import notify, running, split


def test_parts_report_their_share_of_the_whole() -> None:
    shares: list[float] = []
    first, second, third = split(shares.append, [1, 3, 4])
    for part, fraction in ((first, 0.0), (first, 1.0), (second, 0.5), (third, 0.25), (third, 1.0)):
        part(fraction)
    assert shares == [0, 0.125, 0.3125, 0.625, 1]
    third(1.1)  # rounding
    assert shares[-1] == 1
    assert [part(0.5) for part in split(None, [2, 3])] == [None, None]
    assert split(shares.append, [1])[0](0.25) is None
    assert split(lambda _: False, [1])[0](0.25) is False


@pytest.mark.parametrize("answer", [False, np.False_])
def test_false_alone_stops_the_work(answer: object) -> None:
    for others in (None, True, 0, "", np.True_):
        notify(lambda _, other=others: other, 0.5)  # type: ignore[misc, return-value]
    notify(None, 0.5)
    with pytest.raises(Cancelled):
        notify(lambda _: answer, 0.5)  # type: ignore[return-value, arg-type]


def test_work_without_a_callback_of_its_own_repeats_the_last_share() -> None:
    shares: list[float] = []
    with running("testing", shares.append, progress=False) as forward:
        report(0.5)
        forward(0.25)
        report(0.75)
    assert shares == [0, 0.25, 0.25]
    with pytest.raises(Cancelled), running("testing", lambda _: False, progress=False):
        report(0.5)
