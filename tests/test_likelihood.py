"""Likelihood against a mixture's closed form."""

import math

import pytest
import torch
from support.mixture import SDES, correlated, gaussian

from scoreinv.guidance import ClassifierGuidance, ConstrainedPC, Observation
from scoreinv.likelihood import bits_per_dim, flow_likelihood
from scoreinv.operators import mask
from scoreinv.samplers.base import CountedPrior
from scoreinv.samplers.ode import decode, encode
from scoreinv.sdes import VE
from scoreinv.system.errors import InputError, SettingError
from scoreinv.windows import Tiled
from scoreinv.windows.transforms import ALL

pytestmark = pytest.mark.portable

EACH = {name: SDES[name] for name in ("vp", "subvp", "ddpm")} | {"ve": VE(0.01, 100.0)}


def exact_probes(x):
    """The D probes sqrt(D) e_k, (D, B, C, H, W), over which the mean is the divergence itself."""
    dimensions = x[0].numel()
    axes = math.sqrt(dimensions) * torch.eye(dimensions, dtype=x.dtype)
    return axes.reshape(dimensions, 1, *x.shape[1:]).expand(-1, len(x), *x.shape[1:])


def centred(prior, centre):
    """The mixture moved so that `centre` is at 0: the marginal at t = 1 is then the SDE's prior to second order."""
    prior.means = prior.means - centre
    return prior


def closed_form_bits(prior, x):
    """8-bit data on [-1, 1]: -log2 p(x)/D + log2(256/2)."""
    return -prior.log_prob(x) / (math.log(2) * x[0].numel()) + 7


@pytest.mark.parametrize(
    "name", ["subvp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ve", "vp", "ddpm"))]
)
def test_bits_per_dim_of_a_mixture(name):
    """With the exact divergence, within 1e-3 bits/dim of the closed form of the data's own density.

    At the default tolerance 60 to 110 evaluations of a mixture, of discrete-time chains too; the adaptive ODE took 500
    to 7,000 of a chain whose table was piecewise linear. How many exactly is the processor's to say.
    """
    prior = correlated(EACH[name], spread=1.5)
    prior = centred(prior, prior.moments()[0].reshape(3, 2, 2))
    x = prior.sample(4, torch.Generator().manual_seed(2))
    result = bits_per_dim(prior, x, probe=exact_probes(x))
    assert (result.bits_per_dim - closed_form_bits(prior, x)).abs().max() < 1e-3
    assert torch.allclose(result.log_likelihood, prior.log_prob(x), atol=1e-3 * 12 * math.log(2))
    assert (result.vjps == 12 * result.nfe).all()
    assert result.nfe.max() <= 150


def test_offset_follows_the_data_range():
    """The same 8-bit picture has the same bits/dim in a model over [0, 1] as over [-1, 1]."""
    wide = gaussian(VE(0.002, 1000.0), std=0.5, mean=0.0)
    narrow = gaussian(VE(0.001, 1000.0), std=0.25, mean=0.5)
    narrow.data_range = (0.0, 1.0)
    x = wide.sample(3, torch.Generator().manual_seed(4))
    expected = bits_per_dim(wide, x).bits_per_dim
    assert torch.allclose(bits_per_dim(narrow, (x + 1) / 2).bits_per_dim, expected, atol=1e-3)


@pytest.mark.slow
def test_hutchinson_probes_are_unbiased():
    """The mean over 400 probes within 5 standard errors of the exact value; both kinds of draw."""
    prior = correlated(SDES["vp"])
    x = prior.sample(1, torch.Generator().manual_seed(2)).expand(400, 3, 2, 2)
    exact = bits_per_dim(prior, x[:1], probe=exact_probes(x[:1])).log_likelihood
    generator = torch.Generator().manual_seed(7)
    for probe in (None, torch.randn(x.shape, generator=generator, dtype=torch.float64)):
        estimates = bits_per_dim(prior, x, probe=probe, rtol=1e-4, atol=1e-4).log_likelihood
        error = estimates.std() / math.sqrt(400)
        assert error > 0.01
        assert (estimates.mean() - exact).abs() < 5 * error


def test_pictures_must_be_states():
    for x in (
        torch.zeros(3, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 3, 8, 8).numpy(),
        torch.zeros(0, 3, 8, 8),
        torch.zeros(1, 3, 0, 8),
    ):
        for run in (bits_per_dim, encode, decode):
            with pytest.raises(InputError, match="float tensor"):
                run(gaussian(VE()), x)


def test_a_prior_with_replaced_components_has_no_likelihood_and_no_codes() -> None:
    x = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    constrained = ConstrainedPC(gaussian(VE()), Observation(mask(torch.ones(1, 1, 2, 2)), x))
    for run in (bits_per_dim, encode, decode):
        with pytest.raises(InputError, match="density"):
            run(constrained, x)


def test_counts_are_the_calls():
    counted = CountedPrior(correlated(SDES["vp"]))
    x = counted.prior.sample(1, torch.Generator().manual_seed(3))
    for run in (bits_per_dim, encode, decode):
        counted.calls = 0
        result = run(counted, x)
        assert counted.calls == int(result.nfe[0]) > 28
        counted.calls = 0
        result = run(counted, x, steps=7)
        assert counted.calls == int(result.nfe[0]) == 28


def test_counts_are_of_all_that_a_call_takes():
    """Eight orientations of a picture; a classifier's gradient, beside that of the probe."""
    prior = correlated(SDES["vp"])
    x = prior.sample(1, torch.Generator().manual_seed(3))
    for run in (bits_per_dim, encode, decode):
        assert run(Tiled(prior, 8, 0, orientations=ALL), x, steps=2).nfe.tolist() == [64]
    guided = ClassifierGuidance(prior, lambda x, t: prior.responsibilities(x, t).log(), 1)
    assert decode(guided, x, steps=2).vjps.tolist() == [8]


def test_results_have_the_precision_of_the_pictures():
    """Solved in float64; a probe may have another precision."""
    prior = gaussian(SDES["vp"])
    x = prior.sample(2, torch.Generator().manual_seed(3)).float()
    result = bits_per_dim(prior, x, probe=torch.ones(x.shape, dtype=torch.float64), steps=2)
    assert (result.latent.dtype, result.bits_per_dim.dtype) == (torch.float32, torch.float64)
    assert encode(prior, x, steps=2).z.dtype == decode(prior, x, steps=2).x0.dtype == torch.float32
    with pytest.raises(SettingError) as caught:
        bits_per_dim(prior, x, probe="ones")
    assert caught.value.setting == "probe"


@pytest.mark.slow
def test_order_of_the_fixed_grid():
    """Fourth order, towards the change of variables in closed form: state and volume."""
    sde = EACH["subvp"]
    prior = correlated(sde)
    x = prior.sample(2, torch.Generator().manual_seed(2))
    errors = []
    for steps in (16, 32):
        result = bits_per_dim(prior, x, probe=exact_probes(x), steps=steps)
        volume = result.log_likelihood - sde.prior_log_prob(result.latent)
        exact = prior.log_prob(x, 1e-5) - prior.log_prob(result.latent, 1.0)
        errors.append(float((volume - exact).abs().max()))
    assert errors[0] / errors[1] > 11
    assert errors[1] < 1e-3


def test_divergence_of_a_guided_prior():
    """A classifier that is exact makes the mixture its one component: so must its likelihood be."""
    prior = correlated(SDES["vp"], spread=1.5)
    prior = centred(prior, prior.means[1])
    guided = ClassifierGuidance(prior, lambda x, t: prior.responsibilities(x, t).log(), 1)
    component = prior.component(1)
    x = component.sample(3, torch.Generator().manual_seed(3))
    result = bits_per_dim(guided, x, probe=exact_probes(x))
    assert (result.bits_per_dim - closed_form_bits(component, x)).abs().max() < 1e-3
    assert (result.vjps == 13 * result.nfe).all()


def test_wrong_probe_and_tolerance_are_named():
    prior = gaussian(SDES["vp"])
    x = prior.sample(2, torch.Generator().manual_seed(3))
    with pytest.raises(InputError, match="probe"):
        bits_per_dim(prior, x, probe=x[:1])
    with pytest.raises(InputError, match="rtol must be positive"):
        bits_per_dim(prior, x, rtol=0)
    with pytest.raises(InputError, match="steps must be at least 1"):
        bits_per_dim(prior, x, steps=0)


def test_pictures_in_the_unit_range_are_warned_of_under_a_wider_prior(caplog):
    prior = gaussian(SDES["vp"])
    x = prior.sample(2, torch.Generator().manual_seed(3))
    bits_per_dim(prior, x, steps=1)
    assert not caplog.records
    bits_per_dim(prior, x.abs(), steps=1)
    assert "prior.to_model" in caplog.text
    caplog.clear()
    prior.data_range = (0.0, 1.0)
    bits_per_dim(prior, x.abs(), steps=1)
    flow_likelihood(gaussian(SDES["vp"]), x.abs(), probe=None, steps=1, rtol=1e-5, atol=1e-5, callback=None)
    assert not caplog.records
