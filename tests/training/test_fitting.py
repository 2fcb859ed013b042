"""AdamW in closed form."""

import math

import pytest
import torch
from torch import nn

from scoreinv.training.fitting import fit


@pytest.mark.parametrize("ema", [0.0, 0.6])
def test_of_a_constant_gradient_each_step_is_as_long_as_its_rate(
    ema: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adam divides by the gradient's size, after it was clipped to one length: rates are all that is left."""
    value, steps = nn.Parameter(torch.zeros(3, dtype=torch.float64)), 6
    sizes = iter([1.0, 100.0, 3.0, 1.0, 50.0, 2.0])
    fit([value], lambda: next(sizes) * value.sum(), steps, 0.1, warmup=3, weight_decay=0.0, ema=ema, clip=0.5)
    place = average = 0.0
    for step in range(steps):
        place -= 0.1 * min(1, (step + 1) / 3) * (1 + math.cos(math.pi * step / steps)) / 2
        decay = min(ema, (2 + step) / (11 + step)) if step else 0.0
        average = decay * average + (1 - decay) * place
    torch.testing.assert_close(value.data, torch.full_like(value, average), rtol=1e-5, atol=0)
    assert capsys.readouterr().out.startswith("step 6: loss -")


def test_weights_decay_by_the_rate_and_losses_are_printed_as_means(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value, losses = nn.Parameter(torch.ones(2)), iter([*range(500), *range(1000, 1003)])
    fit([value], lambda: 0 * value.sum() + next(losses), 503, 0.01, weight_decay=0.5)
    kept = math.prod(1 - 0.005 * (1 + math.cos(math.pi * step / 503)) / 2 for step in range(503))
    torch.testing.assert_close(value.data, torch.full((2,), kept))
    assert capsys.readouterr().out == "step 500: loss 249.500\nstep 503: loss 1001.000\n"
