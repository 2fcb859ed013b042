"""The training algorithm: AdamW and the moving average in closed form."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from pretrained.fitting import fit
from scoreinv.training.fitting import OptimizerConfig, TrainingState, learning_rate, update_average


def test_average_warms_up_and_holds_buffers() -> None:
    network = nn.BatchNorm1d(1, dtype=torch.float64)
    average = copy.deepcopy(network)
    values, expected = [3.0, -1.0, 2.0, 5.0, 7.0], None
    for n, value in enumerate(values, start=1):
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data.fill_(value)
        update_average(average, network, n, 0.4)
        decay = min(0.4, (1 + n) / (10 + n))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        for tensor in (*average.parameters(), average.running_mean, average.running_var):
            assert tensor.item() == pytest.approx(expected, rel=1e-12)
        assert average.num_batches_tracked.item() == value  # a whole number, which has no average


def test_learning_rate_warms_up_and_anneals() -> None:
    options = OptimizerConfig(warmup=4)
    rates = [learning_rate(0.1, options, step, step / 10) for step in range(10)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, *[0.1] * 7])
    cosine = replace(options, warmup=0, anneal="cosine")
    assert [learning_rate(0.1, cosine, 0, f) for f in (0, 0.5, 1)] == pytest.approx([0.1, 0.05, 0], abs=1e-12)


@pytest.mark.parametrize("ema", [0.0, 0.6])
def test_of_a_constant_gradient_each_step_is_as_long_as_its_rate(
    ema: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adam divides by the gradient's size, after it was clipped to one length: the rates of groups are left."""
    values, steps = [nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(2)], 6
    sizes = iter([1.0, 100.0, 3.0, 1.0, 50.0, 2.0])
    groups = [{"params": [values[0]]}, {"params": [values[1]], "lr": 0.02}]
    fit(groups, lambda: next(sizes) * sum(values).sum(), steps, 0.1, warmup=3, weight_decay=0.0, ema=ema, clip=0.5)
    place = average = 0.0
    for step in range(steps):
        place -= 0.1 * min(1, (step + 1) / 3) * (1 + math.cos(math.pi * step / steps)) / 2
        decay = min(ema, (2 + step) / (11 + step)) if step else 0.0
        average = decay * average + (1 - decay) * place
    for value, rate in zip(values, (1, 0.2), strict=True):
        torch.testing.assert_close(value.data, torch.full_like(value, rate * average), rtol=1e-5, atol=0)
    assert capsys.readouterr().out.startswith("step 6: loss -")


def test_weights_decay_by_the_rate_and_losses_are_printed_as_means(capsys: pytest.CaptureFixture[str]) -> None:
    value, losses = nn.Parameter(torch.ones(2)), iter([*range(500), *range(1000, 1003)])
    fit([value], lambda: 0 * value.sum() + next(losses), 503, 0.01, weight_decay=0.5)
    kept = math.prod(1 - 0.005 * (1 + math.cos(math.pi * step / 503)) / 2 for step in range(503))
    torch.testing.assert_close(value.data, torch.full((2,), kept))
    assert capsys.readouterr().out == "step 500: loss 249.500\nstep 503: loss 1001.000\n"


def test_a_parameter_that_missed_a_step_goes_on_by_its_own_count() -> None:
    """A resumed run is the same, bit for bit: Adam's correction of a moment depends on how often it was taken."""

    def state() -> TrainingState:
        network = nn.ModuleDict({name: nn.Linear(2, 1, bias=False) for name in "ab"})
        for layer in network.values():
            nn.init.constant_(layer.weight, 0.5)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
        return TrainingState(network, copy.deepcopy(network), optimizer, nn.ModuleList())

    def step(state: TrainingState, *names: str) -> None:
        state.optimizer.zero_grad()
        sum(state.network[name](torch.tensor([1.0, 3.0])).square() for name in names).sum().backward()
        state.optimizer.step()

    whole, resumed = state(), state()
    step(whole, "a", "b")
    step(whole, "a")
    resumed.restore({name: value.clone() for name, value in whole.tensors().items()}, 2)
    for each in (whole, resumed):
        step(each, "a", "b")
    for name in "ab":
        assert torch.equal(whole.network[name].weight, resumed.network[name].weight)
