"""Each SDE against its closed form (Song et al. 2021, table of section 3.4 and appendix B) and against its own path."""

import math
from itertools import product

import pytest
import torch
from support.mixture import SHAPE, gaussian

from scoreinv.samplers import AnnealedLangevin, Langevin, NoiseStream
from scoreinv.samplers.pc import one_minus_beta
from scoreinv.sdes import DDPM, VE, VP, SubVP, as_time, time_at
from scoreinv.system.errors import InputError

T = torch.tensor([1e-5, 1e-3, 0.05, 0.3, 0.77, 1.0], dtype=torch.float64)
VE_SDE, VP_SDE, SUBVP_SDE, DDPM_SDE = VE(0.01, 50.0), VP(0.1, 20.0), SubVP(0.1, 20.0), DDPM(0.1, 20.0)
BETA = 0.1 + T * 19.9
INTEGRAL = 0.1 * T + 9.95 * T**2
SMALL = INTEGRAL - INTEGRAL**2 / 2 + INTEGRAL**3 / 6  # 1 - exp(-B) without cancellation, for small B


def close(a: torch.Tensor, b: torch.Tensor, rtol: float = 1e-9) -> bool:
    return bool(torch.allclose(a, b, rtol=rtol, atol=0))


def test_ve_marginal_drift_and_diffusion():
    sigma = 0.01 * 5000.0**T
    assert close(VE_SDE.alpha(T), torch.ones_like(T))
    assert close(VE_SDE.sigma(T), sigma)
    assert VE_SDE.drift_rate(T).abs().max() == 0
    assert close(VE_SDE.diffusion_squared(T), sigma**2 * 2 * math.log(5000.0))
    assert VE_SDE.prior_std == 50.0
    assert VE_SDE.sampling_end == 1e-5


@pytest.mark.parametrize(("sde", "power"), [(VP_SDE, 0.5), (SUBVP_SDE, 1.0)], ids=["vp", "subvp"])
def test_vp_and_subvp_marginals_and_drift(sde, power):
    assert close(sde.alpha(T), torch.exp(-(T**2) * 19.9 / 4 - T * 0.1 / 2))
    assert close(sde.sigma(T)[2:], (1 - torch.exp(-INTEGRAL[2:])) ** power)
    assert close(sde.sigma(T)[:2], SMALL[:2] ** power)
    assert close(sde.drift_rate(T), -BETA / 2)
    assert sde.prior_std == 1.0
    assert sde.sampling_end == 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: VE(0.0, 50.0),
        lambda: VE(1.0, 1.0),
        lambda: VE(0.01, math.inf),
        lambda: VP(beta_min=0.0),
        lambda: SubVP(beta_min=2.0, beta_max=1.0),
        lambda: VP(beta_max=161.0),  # alpha(1) would be below e^-80
    ],
)
def test_ranges_that_are_not_such(make):
    with pytest.raises(InputError, match=r"sigma_m|beta_m"):
        make()


def test_a_chain_whose_steps_keep_nothing():
    with pytest.raises(InputError, match="beta_max below its number of steps"):
        DDPM(steps=20)
    a = [one_minus_beta(DDPM(20.0, 20.0, 30), torch.tensor(t).double()) for t in (0.2, 0.9)]
    assert [float(value) for value in a] == pytest.approx([1 - 20 / 30] * 2)
    for corrector, sde in product((Langevin(), AnnealedLangevin()), (VP(steps=10), SubVP(steps=10))):
        with pytest.raises(InputError, match="keeps nothing of the picture"):
            corrector.step(gaussian(sde), torch.zeros(1, *SHAPE), torch.tensor(1.0).double(), 0.1, NoiseStream(0, 1))


def test_vp_and_subvp_diffusion():
    assert close(VP_SDE.diffusion_squared(T), BETA)
    # g^2 = beta (1 - exp(-2 B)), the difference of two numbers near 0: relative to beta
    expected = BETA * -torch.expm1(-2 * INTEGRAL)
    assert ((SUBVP_SDE.diffusion_squared(T) - expected).abs() < 1e-12 * BETA).all()


@pytest.mark.parametrize("sde", [VE_SDE, VP_SDE, SUBVP_SDE], ids=["ve", "vp", "subvp"])
def test_marginal_solves_the_moment_equations(sde):
    """d alpha/dt = f alpha and d sigma^2/dt = 2 f sigma^2 + g^2, by central differences of alpha and sigma alone."""
    t, h = torch.linspace(0.01, 0.99, 50, dtype=torch.float64), 1e-5
    slope = (sde.alpha(t + h) - sde.alpha(t - h)) / (2 * h)
    assert torch.allclose(slope, sde.drift_rate(t) * sde.alpha(t), rtol=1e-6, atol=1e-9)
    growth = (sde.sigma(t + h) ** 2 - sde.sigma(t - h) ** 2) / (2 * h)
    expected = 2 * sde.drift_rate(t) * sde.sigma(t) ** 2 + sde.diffusion_squared(t)
    assert torch.allclose(growth, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("sde", [VE_SDE, VP_SDE, SUBVP_SDE, DDPM_SDE], ids=["ve", "vp", "subvp", "ddpm"])
def test_forward_kernels_compose_to_the_marginal(sde):
    """p(x_t | x0) is p(x_t | x_s) over p(x_s | x0), at any s < t."""
    s, t = torch.tensor(0.2, dtype=torch.float64), torch.tensor(0.9, dtype=torch.float64)
    ratio, variance = sde.transition(s, t)
    assert close(ratio * sde.alpha(s), sde.alpha(t))
    assert close(ratio**2 * sde.sigma(s) ** 2 + variance, sde.sigma(t) ** 2)
    assert float(variance) > 0


CHAINS = pytest.mark.parametrize("sde", [DDPM_SDE, DDPM(0.1, 10.0, 20), DDPM(0.1, 1.9, 2)], ids=["1000", "20", "2"])


def chain(sde: DDPM) -> tuple[torch.Tensor, torch.Tensor]:
    """alpha_i^2 and sigma_i^2 of the chain as Ho et al. 2020 define it; sigma_i^2 = sigma_{i-1}^2 (1 - b_i) + b_i."""
    beta = torch.linspace(sde.beta_min / sde.steps, sde.beta_max / sde.steps, sde.steps, dtype=torch.float64)
    variance = [torch.tensor(0.0, dtype=torch.float64)]
    for b in beta:
        variance.append(variance[-1] * (1 - b) + b)
    return torch.cumprod(1 - beta, 0), torch.stack(variance[1:])


@CHAINS
def test_ddpm_is_its_chain_at_the_grid_points(sde):
    signal, variance = chain(sde)
    grid = torch.arange(sde.steps, dtype=torch.float64) / (sde.steps - 1)
    assert close(sde.alpha(grid), signal.sqrt(), 1e-12)
    assert close(sde.sigma(grid), variance.sqrt(), 1e-12)
    assert close(sde.noise_to_signal(grid), (variance / signal).sqrt(), 1e-12)


def test_ddpm_is_smooth_between_them():
    """Rates do not jump at grid points, and alpha falls as sigma rises; a piecewise linear table jumps by a sixth."""
    for sde in (DDPM_SDE, DDPM(0.1, 10.0, 20)):
        grid = torch.arange(1, sde.steps - 1, dtype=torch.float64) / (sde.steps - 1)
        for rate in (sde.drift_rate, sde.diffusion_squared):
            before, after = rate(grid - 1e-9), rate(grid + 1e-9)
            assert ((after - before).abs() < 1e-5 * before.abs()).all()
        fine = torch.linspace(0, 1, 7 * sde.steps, dtype=torch.float64)
        assert (sde.alpha(fine).diff() < 0).all()
        assert (sde.sigma(fine).diff() > 0).all()
        # Each step of the chain is one beta: the cubic takes no detour.
        assert (sde.drift_rate(fine) > -0.5 * 1.6 * sde.beta_max).all()
        assert (sde.drift_rate(fine) < -0.5 * 0.9 * sde.beta_min).all()


@pytest.mark.parametrize("sde", [VE_SDE, VP_SDE, SUBVP_SDE, DDPM_SDE], ids=["ve", "vp", "subvp", "ddpm"])
def test_times_of_noise_levels(sde):
    t = torch.cat([T[:-1], torch.tensor([0.123456, 0.5, 0.99], dtype=torch.float64)]).reshape(2, 4)
    assert close(time_at(sde, sde.noise_to_signal(t)), t, 1e-12)
    assert close(sde.noise_to_signal(t), sde.sigma(t) / sde.alpha(t))
    beyond = time_at(sde, torch.tensor([0.0, 1e12], dtype=torch.float64))
    assert torch.allclose(beyond, torch.tensor([0.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("sde", [VE_SDE, VP_SDE, SUBVP_SDE], ids=["ve", "vp", "subvp"])
def test_prior_log_prob_and_marginal_at_the_end(sde):
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * sde.prior_std
    expected = torch.distributions.Normal(0.0, sde.prior_std).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(sde.prior_log_prob(x), expected)
    one = torch.tensor(1.0, dtype=torch.float64)
    assert float(sde.sigma(one)) == pytest.approx(sde.prior_std, rel=1e-4)
    single = sde.prior_log_prob(x.float())
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, expected, rtol=1e-6, atol=0)


def test_times_are_of_float64() -> None:
    for t in (0.3, torch.tensor(0.3), torch.tensor([0.3, 0.7])):
        assert as_time(t).dtype == torch.float64
    assert float(as_time(0.3)) == 0.3


@pytest.mark.parametrize("sde", [VE_SDE, VP_SDE, SUBVP_SDE, DDPM_SDE], ids=["ve", "vp", "subvp", "ddpm"])
def test_rates_are_the_same_in_inference_mode(sde) -> None:
    drift, diffusion = sde.drift_rate(T), sde.diffusion_squared(T)
    with torch.inference_mode():
        t = T.clone()  # made in that mode, which records no gradients
        assert torch.equal(sde.drift_rate(t), drift)
        assert torch.equal(sde.diffusion_squared(t), diffusion)
    assert not diffusion.requires_grad


def test_a_state_diffused_further_has_the_marginal():
    s, t = (torch.tensor([time], dtype=torch.float64) for time in (0.2, 0.8))
    generator = torch.Generator().manual_seed(1)
    x, z = (torch.randn(20000, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    up = VP_SDE.diffuse(VP_SDE.perturb(torch.full_like(x, 0.3), s, x), s, t, z)
    assert float(up.std()) == pytest.approx(float(VP_SDE.sigma(t)), rel=0.02)
    assert float(up.mean()) == pytest.approx(float(VP_SDE.alpha(t) * 0.3), abs=0.03)
