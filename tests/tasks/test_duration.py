"""The estimated duration of a restoration."""

from __future__ import annotations

import numpy as np
import pytest
from support.independent_pixels import prior

from scoreinv.models.loading import LIBRARY, Models
from scoreinv.tasks.deblur import BLUR_ITERATIONS
from scoreinv.tasks.duration import improvement_seconds, large_fill
from scoreinv.tasks.requests import SolveRequest


def test_only_a_large_fill_has_a_note_with_its_share_and_time():
    hole = np.zeros((300, 400), bool)
    hole[:, :100] = True
    assert large_fill(hole) is None
    hole[:, :200] = True
    note = large_fill(hole)
    assert note is not None
    assert (note.code, note.values["share"]) == ("fill_large", 0.5)
    assert 0 < note.values["seconds"] < 600


def test_the_time_of_an_improvement_is_its_windows_times_that_of_one(monkeypatch):
    monkeypatch.setattr("scoreinv.tasks.duration._seconds", lambda do: 0.25)
    known = prior()
    models = Models(denoise=known, machine=LIBRARY)
    side, steps = known.image_size, SolveRequest().method_and_steps(from_estimate=True)[1]
    assert improvement_seconds("denoise", (side, side), 2, models) == 0.25
    assert improvement_seconds("deblur", (side, side), 2, models) == 0.25 * steps * (1 + 2 * BLUR_ITERATIONS)
    assert improvement_seconds("upscale", (96, 96), 2, models) == pytest.approx(0.25)
    assert 10 * 0.25 < improvement_seconds("upscale", (3 * 96, 4 * 96), 2, models) < 20 * 0.25
