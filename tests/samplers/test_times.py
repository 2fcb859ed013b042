"""Grids of times."""

import pytest
import torch
from support.mixture import SDES, SHAPE, gaussian
from support.solvers import EVERY_SDE

from scoreinv.samplers import PC, DPMpp2M, Heun, NoiseStream, State, karras_times, log_times, uniform_times
from scoreinv.system.errors import InputError


@EVERY_SDE
@pytest.mark.parametrize("spacing", [uniform_times, log_times, karras_times])
def test_grids(sde, spacing):
    times = spacing(sde, 20, 0.9)
    assert times.dtype == torch.float64
    assert len(times) == 20
    assert (times[1:] < times[:-1]).all()
    assert float(times[0]) == 0.9
    assert float(times[-1]) == pytest.approx(sde.sampling_end, abs=1e-12)
    ratio = sde.noise_to_signal(times)
    even = {uniform_times: times, log_times: ratio.log(), karras_times: ratio ** (1 / 7)}[spacing]
    assert torch.allclose(even.diff(), even.diff().mean().expand(19), rtol=1e-4)
    assert spacing(sde, 1, 1.0).tolist() == [1.0]


@pytest.mark.parametrize(
    ("settings", "start", "message"),
    [
        ({"steps": 0}, None, "step"),
        ({"times": ()}, None, "at least one"),
        ({"times": (1.0, 1.0)}, None, "differ"),
        ({"times": (1.2, 0.5)}, None, "times must"),
        ({"times": (1.0, 0.0)}, None, "without noise"),
        ({"times": (0.5, 0.1)}, None, "start"),
        ({"times": (1.0, 0.1)}, 0.5, "begins"),
        ({"steps": 5}, 1e-4, "later"),
    ],
)
@pytest.mark.parametrize("sampler", [PC, DPMpp2M, Heun])
def test_wrong_grids_are_named(sampler, settings, start, message):
    state = None if start is None else State(torch.zeros(1, *SHAPE), start)
    with pytest.raises(InputError, match=message):
        sampler(**settings).sample(gaussian(SDES["vp"]), (1, *SHAPE), rng=NoiseStream(0, 1), start=state)
