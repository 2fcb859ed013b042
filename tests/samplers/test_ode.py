"""The probability-flow ODE: solvers against scipy and closed forms, encoding and decoding."""

import math
from itertools import cycle

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from support.mixture import SDES, SHAPE, BatchStream, Mixture, correlated, gaussian

from scoreinv.guidance import ConstrainedPC, Observation
from scoreinv.operators import mask
from scoreinv.samplers.ode import ODE, decode, encode
from scoreinv.samplers.runge_kutta import rk45
from scoreinv.sdes import SDE, TRAINING_START, VE, VP
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.windows import Tiled
from scoreinv.windows.transforms import ALL

pytestmark = pytest.mark.portable

EACH = {"ddpm": SDES["ddpm"], "ve": VE(0.01, 100.0)}
"""A table, and a formula whose ends lie far apart: what else an SDE is, tests/test_sdes.py measures."""
EVERY = pytest.mark.parametrize("sde", EACH.values(), ids=EACH.keys())


def velocity(prior, x, t):
    """dx/dt of the probability flow at times t (B,): f - g^2 score / 2 (Song et al. 2021, eq. 13)."""
    drift, strength = (rate.reshape(-1, 1, 1, 1) for rate in (prior.sde.drift_rate(t), prior.sde.diffusion_squared(t)))
    return drift * x - strength / 2 * prior.score(x, t)


def test_the_steps_are_those_of_scipy_also_after_one_that_is_refused():
    """The force jumps at t = 1: steps across are refused, and the next accepted one does not grow."""

    def function(t, y):
        return -y + 40 * (t[:, None] > 1)

    expected = solve_ivp(lambda t, y: -y + 40 * (t > 1), (0, 3), [2.0, -1.0], rtol=1e-6, atol=1e-6)
    start = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    *times, (last, y, nfe) = rk45(function, start, 0.0, 3.0, 1e-6, 1e-6)
    visited = [0.0]
    for t in (*(each[0] for each in times), last):
        visited += [float(t)] if float(t) > visited[-1] else []
    assert len(times) + 1 > len(visited) + 2  # some were refused
    np.testing.assert_allclose(visited, expected.t, rtol=1e-6)
    np.testing.assert_allclose(y[0], expected.y[:, -1], rtol=1e-9)
    assert int(nfe) == expected.nfev


def test_a_step_that_vanishes_is_an_error():
    """Slopes that change their sign at each evaluation have no limit of small steps."""
    signs = cycle((1.0, -1.0))
    with pytest.raises(ScoreinvError, match="step size"):
        [*rk45(lambda t, y: 0 * y + next(signs), torch.ones(1, 1, dtype=torch.float64), 1.0, 2.0, 1e-20, 1e-20)]


def by_scipy(prior, x, start, end, tolerance):
    """scipy's RK45 of one sample (C, H, W) in t."""

    def alone(t, y):
        time = torch.tensor([t], dtype=torch.float64)
        return velocity(prior, torch.from_numpy(y).reshape(1, *SHAPE), time).flatten().numpy()

    return solve_ivp(alone, (start, end), x.flatten().numpy(), method="RK45", rtol=tolerance, atol=tolerance / 10)


@pytest.mark.slow
@EVERY
def test_the_flow_is_the_paper_s(sde):
    """What `encode` solves in variables of its own is the equation in t."""
    prior = correlated(sde)
    x = prior.sample(1, torch.Generator().manual_seed(1), 1e-5)
    z = encode(prior, x, rtol=1e-7, atol=1e-7).z
    expected = by_scipy(prior, x[0], 1e-5, 1.0, 1e-7).y[:, -1].reshape(SHAPE)
    torch.testing.assert_close(z[0], torch.from_numpy(expected), rtol=0, atol=2e-5 * sde.prior_std)


@pytest.mark.parametrize("settings", [{}, {"steps": 4}])
@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_a_prior_that_is_not_finite_ends_the_ode(settings, begin, monkeypatch):
    """At once, and on the way."""
    prior = gaussian(VE(0.01, 20.0))
    exact = prior.noise

    def broken(x, t):
        return exact(x, t) * torch.where(torch.as_tensor(t) < begin, 1.0, math.nan).reshape(-1, 1, 1, 1)

    monkeypatch.setattr(prior, "noise", broken)
    with pytest.raises(ScoreinvError, match="finite"):
        encode(prior, torch.zeros(1, *SHAPE, dtype=torch.float64), **settings)


@EVERY
def test_latent_code_of_a_gaussian(sde):
    """The flow of a Gaussian keeps (x - alpha m) / std(t); and decoding ends where encoding began."""
    prior = gaussian(sde)
    x = prior.sample(3, torch.Generator().manual_seed(3))
    result = encode(prior, x, rtol=1e-7, atol=1e-7)
    t = torch.tensor([1e-5, 1.0, sde.sampling_end], dtype=torch.float64)
    alpha, std = sde.alpha(t), (0.25 * sde.alpha(t) ** 2 + sde.sigma(t) ** 2).sqrt()
    standard = (x - alpha[0] * 0.3) / std[0]
    assert torch.allclose(result.z, alpha[1] * 0.3 + std[1] * standard, atol=1e-4)
    back = decode(prior, result.z, rtol=1e-7, atol=1e-7)
    assert torch.allclose(back.x0, alpha[2] * 0.3 + std[2] * standard, atol=1e-4)


@pytest.mark.slow
@EVERY
def test_encode_decode_round_trip_of_a_mixture(sde):
    """Exact to where `encode` begins; at the default `sampling_end` the flow from there is left, under 0.02."""
    prior = correlated(sde)
    x = prior.sample(4, torch.Generator().manual_seed(3))
    code = encode(prior, x, rtol=1e-6, atol=1e-6).z
    for end, error in ((None, 0.02), (TRAINING_START, 1e-4)):
        back = decode(prior, code, end=end, rtol=1e-6, atol=1e-6)
        assert (back.x0 - x).abs().max() < error
    for end in (1.0, -0.1):
        with pytest.raises(InputError, match="between 0 and 1"):
            decode(prior, code, end=end)
    other = decode(prior, encode(prior, x.flip(0)).z)
    assert (other.x0 - x).abs().max() > 0.5


@pytest.mark.parametrize("settings", [{}, {"steps": 4}])
@pytest.mark.parametrize(("sde", "end"), [(VP(beta_max=160), 0.9), (VE(sigma_max=1e9), 0.95)], ids=["vp", "ve"])
def test_a_flow_within_the_largest_noise_only_scales(sde: SDE, end: float, settings: dict[str, int]) -> None:
    """There the marginal of any picture is Gaussian noise, and no evaluation is needed."""
    prior = gaussian(sde)
    z = sde.prior_std * torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = decode(prior, z, end=end, **settings)
    ratio = float(sde.sigma(torch.tensor(end, dtype=torch.float64))) / sde.prior_std
    torch.testing.assert_close(found.x0, ratio * z, rtol=1e-6, atol=1e-6 * ratio * sde.prior_std)
    assert found.nfe.tolist() == [0, 0]


def test_a_chain_is_decoded_to_its_first_step():
    """DDPM's has noise at t = 0, so the flow ends there unless another end is asked for; VP's has none."""
    prior = gaussian(SDES["ddpm"])
    x = prior.sample(3, torch.Generator().manual_seed(3))
    sde, t = prior.sde, torch.tensor([0.0, 1.0], dtype=torch.float64)
    alpha = sde.alpha(t)
    std = (0.25 * alpha.square() + sde.sigma(t).square()).sqrt()
    back = decode(prior, alpha[1] * 0.3 + std[1] * x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(back.x0, alpha[0] * 0.3 + std[0] * x, atol=1e-3, rtol=0)
    for sde, wrong in ((SDES["vp"], 0.0), (SDES["ve"], -0.1), (SDES["ve"], 1.0)):
        with pytest.raises(InputError, match="between 0 and 1"):
            decode(gaussian(sde), x, end=wrong)


@EVERY
@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_the_fixed_grid_decodes_a_gaussian(sde, data_range):
    """The flow of a Gaussian in closed form, towards the data, whatever the model's range."""
    low, high = data_range
    middle, half = (low + high) / 2, (high - low) / 2
    prior = gaussian(sde, std=0.2 * half, mean=middle + 0.3 * half)
    prior.data_range = data_range
    z = sde.prior_std * torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    t = torch.tensor([1.0, sde.sampling_end], dtype=torch.float64)
    alpha, std = sde.alpha(t), ((0.2 * half * sde.alpha(t)) ** 2 + sde.sigma(t) ** 2).sqrt()
    mean = middle + 0.3 * half
    expected = alpha[1] * mean + std[1] * (z - alpha[0] * mean) / std[0]
    assert torch.allclose(decode(prior, z, steps=40).x0, expected, atol=1e-3 * half)


def test_the_last_state_is_denoised_with_what_is_observed():
    """Of two values that are alike one is observed, and the other comes near it: replacement approximates.

    The flow has carried the first elsewhere, and the last step would draw the other half of the way there: 0.38 off.
    """
    both = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    one, mean = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    prior = Mixture(VE(0.01, 20.0), one, mean, torch.tensor([[0.2, 1e-8]], dtype=torch.float64), both[None])
    y = torch.tensor([0.4, 0.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    given = ConstrainedPC(prior, Observation(mask(torch.tensor([1.0, 0.0]).double().reshape(1, 1, 1, 2)), y))
    x0 = ODE(1e-2, 1e-2).sample(given, (8, 1, 1, 2), rng=BatchStream(0, 8)).x0
    assert (x0 - 0.4).abs()[..., 1].mean() < 0.15


def test_progress_on_the_fixed_grid():
    prior, seen = gaussian(SDES["vp"]), []
    x = prior.sample(2, torch.Generator().manual_seed(3))
    z = encode(prior, x, steps=4, callback=seen.append).z
    torch.testing.assert_close(seen[-1].x, z, rtol=1e-6, atol=1e-6)
    assert [(p.step, p.steps, p.nfe) for p in seen] == [(i, 4, 4 * i) for i in (1, 2, 3, 4)]
    assert [p.fraction for p in seen] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert [p.t for p in seen] == sorted(p.t for p in seen)
    assert seen[-1].t == pytest.approx(1.0, abs=1e-6)
    eight, told = Tiled(prior, 8, 0, orientations=ALL), []
    code = encode(eight, x, steps=2, callback=told.append)
    assert (told[-1].nfe, int(code.nfe[0])) == (64, 64)
