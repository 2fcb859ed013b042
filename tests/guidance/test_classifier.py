"""Classifier gradients, and clipped estimates, against closed forms."""

import pytest
import torch
from support.mixture import SDES, SHAPE, BatchStream, correlated, energy_distance, energy_threshold, gaussian

from scoreinv.guidance import ClassifierGuidance
from scoreinv.prior import Clipped, Prior
from scoreinv.samplers import DPMpp2M

CONTINUOUS = pytest.mark.parametrize("name", ["ve", "vp", "subvp"])


@CONTINUOUS
def test_an_exact_classifier_turns_the_mixture_into_its_component(name):
    """grad log p(x) + grad log p(k|x) = grad log p(x|k), a label for each sample; a scale multiplies the gradient."""
    prior = correlated(SDES[name])
    labels = torch.tensor([0, 1, 2, 1])
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.4)

    def classifier(x, t):
        assert t.shape == (len(x),)
        return prior.responsibilities(x, t).log()

    expected = torch.cat([prior.component(int(k)).noise(x[i : i + 1], 0.4) for i, k in enumerate(labels)])
    guided = ClassifierGuidance(prior, classifier, labels)
    assert torch.allclose(guided.noise(x, 0.4), expected)
    twice = ClassifierGuidance(prior, classifier, labels, scale=2)
    assert torch.allclose(twice.noise(x, 0.4), 2 * expected - prior.noise(x, 0.4))


def test_class_conditional_samples():
    prior = correlated(SDES["vp"])
    guided = ClassifierGuidance(prior, lambda x, t: prior.responsibilities(x, t).log(), 2)
    x = DPMpp2M(steps=30).sample(guided, (800, *SHAPE), rng=BatchStream(0, 800)).x0
    exact = prior.component(2).sample(800, torch.Generator().manual_seed(1))
    assert energy_distance(x, exact) < energy_threshold(prior.component(2), 800)


def test_guided_noise_is_differentiable():
    """The Jacobian of the guided noise is the component's: the classifier's own Hessian is in it."""
    prior = correlated(SDES["vp"])
    guided = ClassifierGuidance(prior, lambda x, t: prior.responsibilities(x, t).log(), 1)
    x = prior.sample(1, torch.Generator().manual_seed(0), 0.4)

    def jacobian(p: Prior) -> torch.Tensor:
        return torch.autograd.functional.jacobian(lambda v: p.noise(v, 0.4), x)

    assert torch.allclose(jacobian(guided), jacobian(prior.component(1)))
    assert not torch.allclose(jacobian(guided), jacobian(prior))
    with torch.no_grad():
        assert not guided.noise(x, 0.4).requires_grad


@CONTINUOUS
@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0), (-3.0, 0.5)])
def test_estimates_are_clipped_to_the_range_of_pictures(name, data_range):
    """Black and white are the prior's own, wherever they lie; within them nothing is changed."""
    prior = gaussian(SDES[name], (3, 8, 8), std=2.0)
    prior.data_range = data_range
    x = prior.sample(3, torch.Generator().manual_seed(0), 0.4)
    estimate, clipped = prior.denoise(x, 0.4), Clipped(prior).denoise(x, 0.4)
    torch.testing.assert_close(clipped, estimate.clamp(*data_range))
    inside = (estimate > data_range[0]) & (estimate < data_range[1])
    assert 0.1 < inside.double().mean() < 0.9
    assert torch.equal(Clipped(prior).noise(x, 0.4)[inside], prior.noise(x, 0.4)[inside])
