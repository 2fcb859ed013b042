"""What windows of a picture see of a condition is cut out once, not at every step."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from gaussian import GaussianPrior
from torch import Tensor

from scoreinv.boxes import Box
from scoreinv.guidance import Tiled, tiled
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers import DPMpp2M, NoiseStream
from scoreinv.sdes import VE


class Cut(PriorWrapper):
    """Notes each time that windows are cut out of it."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.cut: list[tuple[tuple[Box, ...], int]] = []

    def windows(self, boxes: Sequence[Box], samples: int) -> Prior:
        self.cut.append((tuple(boxes), samples))
        return self.prior.windows(boxes, samples)


def draw(prior: Prior, count: int = 1, steps: int = 10) -> Tensor:
    return DPMpp2M(1.0, steps=steps).sample(prior, (count, 1, 16, 16), rng=NoiseStream(0, count)).x0


def test_each_group_of_windows_is_cut_out_once_for_all_steps() -> None:
    for at_once, groups in ((1 << 17, 1), (2 * 64, 5)):  # nine windows of 8 pixels
        cut = Cut(GaussianPrior(VE(0.01, 20.0), 0.3, 0.1))
        draw(Tiled(cut, 8, 4, at_once))
        assert len(cut.cut) == groups
        assert len({box for boxes, _ in cut.cut for box in boxes}) == 9


def test_another_number_of_samples_has_windows_of_its_own() -> None:
    cut = Cut(GaussianPrior(VE(0.01, 20.0), 0.3, 0.1))
    windows = Tiled(cut, 8, 4)
    for count in (1, 2, 1):
        draw(windows, count, steps=2)
    assert [samples for _, samples in cut.cut] == [1, 2]


def test_windows_beyond_the_bound_of_memory_are_cut_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = GaussianPrior(VE(0.01, 20.0), 0.3, 0.1)
    expected = draw(Tiled(prior, 8, 4, 64))
    monkeypatch.setattr(tiled, "_KEPT", 2 * 64)
    cut = Cut(prior)
    assert torch.equal(draw(Tiled(cut, 8, 4, 64)), expected)
    assert len(cut.cut) == 2 + 7 * 10  # of nine windows two are kept through ten steps
