"""The number format that `auto` takes."""

import pytest
import torch

from scoreinv import precision
from scoreinv.precision import uses_bfloat16


@pytest.fixture(autouse=True)
def _forget():
    precision._faster_in_bfloat16.cache_clear()
    yield
    precision._faster_in_bfloat16.cache_clear()


@pytest.mark.parametrize(("half", "full", "expected"), [(0.5, 1.0, True), (0.95, 1.0, False), (1.5, 1.0, False)])
def test_auto_takes_bfloat16_only_where_it_is_faster(monkeypatch, half, full, expected):
    seconds = {torch.bfloat16: half, torch.float32: full}
    monkeypatch.setattr(precision, "_convolution_seconds", seconds.__getitem__)
    assert uses_bfloat16("auto", torch.device("cpu")) is expected


def test_a_choice_is_not_measured(monkeypatch):
    monkeypatch.setattr(precision, "_convolution_seconds", None)
    assert uses_bfloat16("bfloat16", torch.device("cpu"))
    assert not uses_bfloat16("float32", torch.device("cpu"))


def test_measured_without_leaving_a_trace():
    state = torch.get_rng_state()
    assert precision._convolution_seconds(torch.float32) > 0
    assert torch.equal(torch.get_rng_state(), state)
