"""DPM-Solver++(2M): order of convergence, noise, and its history."""

import pytest
import torch
from support.mixture import SDES, BatchStream, correlated, gaussian

from scoreinv.samplers import DPMpp2M, State
from scoreinv.system.errors import InputError

pytestmark = pytest.mark.portable


@pytest.mark.parametrize("sde", [SDES["ve"], SDES["ddpm"]], ids=["ve", "ddpm"])
def test_s_noise_is_of_the_noise_that_is_added(sde):
    """Data at one point, one step: what is left of the first noise has its own size, and all together
    sigma_s^2 (e^(-2 h) + s_noise^2 (1 - e^(-2 h))) for eta = 1, h the step in log(alpha / sigma)."""
    prior, states = gaussian(sde, std=1e-9), []
    x = prior.sample(20000, torch.Generator().manual_seed(0), 0.8)
    DPMpp2M(1.0, times=(0.8, 0.75), s_noise=1.5).sample(
        prior, x.shape, rng=BatchStream(0, len(x)), start=State(x, 0.8), callback=states.append
    )
    t, s = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.75, dtype=torch.float64)
    kept = (sde.noise_to_signal(s) / sde.noise_to_signal(t)) ** 2
    variance = sde.sigma(s) ** 2 * (kept + 1.5**2 * (1 - kept))
    assert float(states[0].x.std()) == pytest.approx(float(variance.sqrt()), rel=0.01)
    with pytest.raises(InputError, match="s_noise must be positive, not 0"):
        DPMpp2M(s_noise=0)
    with pytest.raises(InputError, match="eta must"):
        DPMpp2M(eta=2)


@pytest.mark.parametrize("sde", [SDES["ve"], SDES["ddpm"]], ids=["ve", "ddpm"])
def test_multistep_history_restarts_after_a_jump(sde):
    """The steps after a jump up are those of a solver that begins there."""
    prior, states = correlated(sde), []
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.8)
    noise = BatchStream(0, 4)
    whole = DPMpp2M(times=(0.8, 0.6, 0.4, 0.7, 0.5, 0.3))
    result = whole.sample(prior, x.shape, rng=noise, start=State(x, 0.8), callback=states.append)
    jumped = State(states[2].x, 0.7)
    again = DPMpp2M(times=(0.7, 0.5, 0.3)).sample(prior, x.shape, rng=noise, start=jumped)
    assert torch.allclose(again.x0, result.x0, atol=1e-12)
