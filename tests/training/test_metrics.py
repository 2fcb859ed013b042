"""Figures of held-out pictures."""

from __future__ import annotations

import pytest
import torch
from gaussian import GaussianPrior, standard_normal

from scoreinv.sdes import VE
from scoreinv.training.config import ObjectiveConfig
from scoreinv.training.data.batches import TIMES, Batch, stream
from scoreinv.training.metrics import evaluate
from scoreinv.training.score_matching import draw_times, per_image_loss


def test_held_out_loss_by_noise_level_is_the_closed_form() -> None:
    prior = GaussianPrior(VE(0.01, 50.0), 0.1, 0.25)
    count, shape = 400, (400, 1, 16, 16)
    times = draw_times(ObjectiveConfig(), prior.sde, (-1.0, 1.0), count, stream(0, TIMES, 0))
    x0 = prior.mean + prior.variance**0.5 * standard_normal(shape, 5)
    data = Batch(x0, times, standard_normal(shape, 6))

    def measures(batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": per_image_loss(ObjectiveConfig(), prior, batch.images, batch.times, batch.noise)}

    result = evaluate(measures, data, batch_size=150)[0]["loss"]
    least = prior.least_loss(times)
    assert result.mean == pytest.approx(least.mean().item(), rel=0.02)
    assert result.times == tuple((number + 0.5) / 8 for number in range(8))
    for number, value in enumerate(result.by_time):
        members = (times * 8).long().clamp(max=7) == number
        assert value == pytest.approx(least[members].mean().item(), rel=0.04)
    again = evaluate(measures, data, batch_size=400)[0]["loss"]
    assert again.mean == pytest.approx(result.mean, rel=1e-6)
