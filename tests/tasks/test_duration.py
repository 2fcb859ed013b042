"""The estimated duration of a restoration."""

from __future__ import annotations

import pytest
from independent_pixels import prior

from scoreinv.tasks.duration import improvement_seconds
from scoreinv.tasks.requests import EXACT_STEPS


def test_the_time_of_an_improvement_is_its_windows_times_that_of_one(monkeypatch):
    monkeypatch.setattr("scoreinv.tasks.duration._seconds", lambda do: 0.25)
    known = prior()
    side, steps = known.image_size, EXACT_STEPS
    one = improvement_seconds("denoise", (side, side), 2, known)
    assert one == 0.25
    assert improvement_seconds("upscale", (side // 2, side // 2), 2, known) == pytest.approx(0.25 * steps)
    assert improvement_seconds("upscale", (8 * side, 8 * side), 2, known) > 4 * 0.25 * steps
    assert improvement_seconds("deblur", (side, side), 2, known) > 20 * 0.25
