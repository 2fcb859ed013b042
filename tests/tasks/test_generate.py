import math

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior
from torch import nn

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.prior import RecommendedSampler
from scoreinv.samplers import DPMpp2M
from scoreinv.sdes import VE, VP
from scoreinv.system.errors import Cancelled, InputError, SettingError
from scoreinv.tasks.common import colours_for
from scoreinv.tasks.generate import class_index, default_sampler, generate

STD = 0.1


def prior(sde):
    return gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3) * STD**2, sde=sde)


@pytest.mark.parametrize("sde", [VE(0.005, 20.0), VP()], ids=["VE", "VP"])
@pytest.mark.parametrize(
    ("sampler", "steps"), [("pc", 100), ("ode", None), ("multistep", 30), ("heun", 40), ("ddim", 100)]
)
def test_pictures_have_the_priors_moments(sde, sampler, steps):
    result = generate(prior(sde), 8, sampler=sampler, steps=steps)
    assert result.images.shape == (8, 16, 16, 3)
    assert abs(result.images.mean() - 0.5) < 5 * STD / math.sqrt(result.images.size)
    assert result.images.std() == pytest.approx(STD, rel=0.06)
    if steps is not None:
        twice = sampler == "pc" and isinstance(sde, VE)
        assert result.nfe == (2 * steps if twice else 2 * steps - 1 if sampler == "heun" else steps)


def test_a_sampler_itself_draws_as_its_name_does():
    named = generate(prior(VE()), 2, sampler="multistep", steps=4)
    given = generate(prior(VE()), 2, sampler=DPMpp2M(steps=4))
    np.testing.assert_array_equal(named.images, given.images)
    assert named.nfe == given.nfe
    with pytest.raises(SettingError, match="sampler is an object with its own settings: give them to DPMpp2M"):
        generate(prior(VE()), 1, sampler=DPMpp2M(), steps=4)
    for wrong in (5, DPMpp2M):
        with pytest.raises(SettingError, match=r"sampler must be a name or a sampler of scoreinv.samplers, not"):
            generate(prior(VE()), 1, sampler=wrong)


def test_a_picture_does_not_depend_on_how_many_are_drawn():
    many, few = generate(prior(VE()), 3, steps=4).images, generate(prior(VE()), 1, steps=4).images
    np.testing.assert_allclose(many[:1], few, atol=1e-5)


def test_the_default_is_what_was_published_else_the_fast_one():
    model = prior(VE())
    assert default_sampler(model) == "multistep"
    np.testing.assert_array_equal(generate(model, 1).images, generate(model, 1, sampler="multistep").images)
    model.sampler = RecommendedSampler("reverse_diffusion", "langevin", steps=3)
    assert default_sampler(model) == "pc"
    assert generate(model, 1).nfe == 6


def test_a_classifier_elsewhere_is_refused():
    classifier = scoreinv.load_classifier("cifar10-classifier").to("meta")
    with pytest.raises(InputError, match=r"the classifier is on meta, and the model on cpu: classifier\.to"):
        generate("cifar10", 1, classifier=classifier, label="horse")


def test_models_of_one_channel_see_the_luma():
    picture = Picture(np.array([[[255, 0, 0], [0, 255, 0], [51, 51, 51]]], np.uint8))
    np.testing.assert_allclose(colours_for(picture, 1)[0, :, 0], [0.299, 0.587, 0.2], atol=1e-6)
    np.testing.assert_allclose(colours_for(picture, 3), picture.rgb())
    np.testing.assert_allclose(colours_for(Picture(picture.pixels[..., 1]), 1)[0, :, 0], [0, 1, 0.2], atol=1e-6)
    with pytest.raises(InputError, match="of 4 channels"):
        colours_for(picture, 4)


def test_a_class_by_its_classifier():
    # Two classes, bright and dark, by the mean of the picture: the tilted Gaussian has a mean in closed form.
    slope = 400.0

    def classifier(x, t):
        score = slope * x.mean(dim=(1, 2, 3))
        return torch.stack([score, torch.zeros_like(score)], 1)

    bright = generate(prior(VE()), 8, sampler="multistep", classifier=classifier, label=0).images
    dark = generate(prior(VE()), 8, sampler="multistep", classifier=classifier, label=1).images
    assert bright.mean() > dark.mean()
    with pytest.raises(InputError, match="classifier with names"):
        generate(prior(VE()), 1, classifier=classifier, label="bright")


class Small(nn.Module):
    """A network of a classifier that is never evaluated."""

    channels, stride, noise_conditional = 3, 8, True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


@pytest.mark.parametrize(("given", "named", "plain"), [(None, 2.5, 1), (4, 4, 4)])
def test_the_strength_of_a_class_is_the_classifiers_unless_one_is_given(monkeypatch, given, named, plain):
    guided = []

    def first(sampler, target, *_, **__):
        guided.append(target)
        raise Cancelled

    monkeypatch.setattr(DPMpp2M, "sample", first)
    classifier = NoiseClassifier(Small(), VP(), (0.0, 1.0), 16, ("day", "night"), guidance=2.5)
    for guide, label in ((classifier, "night"), (lambda x, t: x, 1)):
        with pytest.raises(Cancelled):
            generate(prior(VP()), 1, sampler=DPMpp2M(steps=2), classifier=guide, label=label, guidance=given)
    assert [(target.scale, target.label.tolist()) for target in guided] == [(named, [1]), (plain, [1])]


def test_a_classifier_is_of_the_priors_states():
    model = prior(VP())

    def refused(**change) -> str:
        given = {"sde": VP(), "data_range": (0.0, 1.0)} | change
        network = given.pop("network", Small())
        classifier = NoiseClassifier(network, given["sde"], given["data_range"], 16, ("day", "night"))
        with pytest.raises(InputError) as caught:
            generate(model, 1, classifier=classifier, label="day")
        return str(caught.value)

    for change in ({"sde": VE()}, {"data_range": (-1.0, 1.0)}):
        assert "another SDE, range or number of channels" in refused(**change)
    gray, coarse, clean = Small(), Small(), Small()
    gray.channels, coarse.stride, clean.noise_conditional = 1, 32, False
    assert "another SDE, range or number of channels" in refused(network=gray)
    assert "multiples of 32" in refused(network=coarse)
    assert "clean pictures only" in refused(network=clean)


def test_classes_by_name_and_number():
    named = NoiseClassifier(nn.Identity(), VP(), (-1.0, 1.0), 8, ("day", "7", "night"))
    assert [class_index(named, name) for name in ("night", "7", "0", 2, np.int64(0))] == [2, 1, 0, 2, 0]
    for name in ("dusk", "3", "-1", 3, -1, 1.0):
        with pytest.raises(InputError, match="day, 7, night"):
            class_index(named, name)
