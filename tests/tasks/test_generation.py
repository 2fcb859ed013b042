from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from analytic import gaussian_colour_prior
from torch import nn

import scoreinv
from scoreinv.errors import InputError, SettingError
from scoreinv.imaging.picture import Picture
from scoreinv.models.peak_memory import gradient_bytes
from scoreinv.networks.classifiers import NoiseClassifier
from scoreinv.preconditioning import PaperVE
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.samplers import PC, Ancestral, DPMpp2M, EulerMaruyama, Langevin, NoiseStream, ReverseDiffusion
from scoreinv.sdes import VE, VP
from scoreinv.tasks.bits import PictureDensity, pictures_bits_per_dim
from scoreinv.tasks.common import colours_for
from scoreinv.tasks.generate import class_index, default_sampler, generate
from scoreinv.tasks.settings import LikelihoodSettings

STD = 0.1


def picture_bits_per_dim(picture: Picture, model: object, **settings: object) -> PictureDensity:
    (density,) = pictures_bits_per_dim([picture], model, LikelihoodSettings(**settings))
    return density


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
    with pytest.raises(SettingError, match="sampler has its settings itself: give them to DPMpp2M"):
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


@pytest.mark.parametrize(
    ("recommended", "sampler"),
    [
        (("reverse_diffusion", "langevin", 0.31, 5), PC(ReverseDiffusion(), Langevin(), 1, 0.31, 5)),
        (("reverse_diffusion", "none", 0.31, 4), PC(ReverseDiffusion(), corrector_steps=0, steps=4)),
        (("euler_maruyama", "none", 0.16, 6), PC(EulerMaruyama(), corrector_steps=0, steps=6)),
        (("ancestral", "none", 0.16, 6), PC(Ancestral(), corrector_steps=0, steps=6)),
        (("ancestral_posterior", "langevin", 0.07, 3), PC(Ancestral("posterior"), Langevin(), 1, 0.07, 3)),
    ],
)
def test_what_was_published_with_a_model_is_what_draws(recommended, sampler):
    model = prior(VP())
    model.sampler = RecommendedSampler(*recommended)
    drawn = generate(model, 2, seed=5).images
    x0 = sampler.sample(model, (2, 3, 16, 16), rng=NoiseStream(5, 2)).x0
    np.testing.assert_allclose(drawn, model.to_image(x0).clamp(0, 1).permute(0, 2, 3, 1), atol=1e-5)


def test_estimates_are_clipped_where_that_was_published():
    for sde in (VP(), VE(0.005, 20.0)):
        model = gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3) * 4, sde=sde)
        model.sampler = RecommendedSampler("ancestral", steps=30, clip=True)
        images = generate(model, 1).images
        model.sampler = RecommendedSampler("ancestral", steps=30)
        assert ((images > 0) & (images < 1)).mean() > ((generate(model, 1).images > 0) & (images < 1)).mean()


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
    with pytest.raises(InputError, match="a class needs a classifier"):
        generate(prior(VE()), 1, label=0)
    with pytest.raises(InputError, match="has names"):
        generate(prior(VE()), 1, classifier=classifier, label="bright")
    with pytest.raises(InputError, match="guidance must be"):
        generate(prior(VE()), 1, classifier=classifier, label=0, guidance=math.nan)


def test_classes_by_name_and_number():
    named = NoiseClassifier(nn.Identity(), VP(), (-1.0, 1.0), 8, ("day", "7", "night"))
    assert [class_index(named, name) for name in ("night", "7", "0", 2, np.int64(0))] == [2, 1, 0, 2, 0]
    for name in ("dusk", "3", "-1", 3, -1, 1.0):
        with pytest.raises(InputError, match="day, 7, night"):
            class_index(named, name)


def test_pc_in_few_steps_is_warned_of(caplog):
    generate(prior(VP()), 1, sampler="pc", steps=99)
    assert "pc leaves noise in the pictures in fewer than 100 steps, and 99 are asked for" in caplog.text
    caplog.clear()
    generate(prior(VP()), 1, sampler="pc", steps=100)
    generate(prior(VP()), 1, steps=5)
    assert not caplog.records


def test_settings_that_are_not_such():
    for options in ({"sampler": "magic"}, {"sampler": "ode", "steps": 3}, {"sampler": "multistep", "steps": 0}):
        with pytest.raises(InputError):
            generate(prior(VE()), 1, **options)
    with pytest.raises(InputError):
        generate(prior(VE()), 0)


@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_bits_per_dim_of_a_gaussian(probe):
    levels = np.random.default_rng(0).integers(60, 200, (4, 4, 3)).astype(np.uint8)
    result = picture_bits_per_dim(Picture(levels), prior(VE(0.001, 20.0)), repeats=20, rtol=1e-5, probe=probe)
    # A Rademacher probe is exact for a Jacobian that is a multiple of the identity; a Gaussian one is not.
    tolerance = 0.01 if probe == "rademacher" else 1.0
    assert result.bits_per_dim == pytest.approx(gaussian_bits(levels), abs=tolerance)


def gaussian_bits(levels: np.ndarray) -> float:
    """Of a picture under the Gaussian, in closed form, the mean over its dequantisations (k + u) / 256."""
    square = ((levels + 0.5) / 256 - 0.5) ** 2 + 1 / (12 * 256**2)
    return ((square / (2 * STD**2)).mean() + 0.5 * math.log(2 * math.pi * STD**2)) / math.log(2) + 8


def test_pictures_are_dequantised() -> None:
    """One level of a Gaussian as fine as levels are, in closed form: E (k + u)^2 is not E k^2, nor one u for all."""
    level = np.full((4, 4, 3), 128, np.uint8)
    std = 1 / 256
    narrow = gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3) * std**2, sde=VE(1e-5, 20.0))
    result = picture_bits_per_dim(Picture(level), narrow, repeats=30, steps=40)
    nats = 1 / 3 / 2 + 0.5 * math.log(2 * math.pi * std**2)  # E u^2 = 1/3, in units of a level
    assert result.bits_per_dim == pytest.approx(nats / math.log(2) + 8, abs=4 * result.standard_error + 0.01)
    # The spread of the mean over 48 values of u^2 / 2, which is 0.149: they are independent.
    expected = 0.149 / math.sqrt(48) / math.log(2) / math.sqrt(30)
    assert result.standard_error == pytest.approx(expected, rel=0.4)


def test_errors_of_different_pictures_are_independent():
    levels = np.random.default_rng(0).integers(60, 200, (24, 4, 4, 3)).astype(np.uint8)
    densities = pictures_bits_per_dim(
        list(map(Picture, levels)), prior(VE(0.001, 20.0)), LikelihoodSettings(rtol=1e-3, probe="gaussian")
    )
    errors = np.array([density.bits_per_dim for density in densities]) - [gaussian_bits(item) for item in levels]
    assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(len(errors))  # as no shared draw would leave it


def test_standard_error_is_that_of_the_repeats():
    levels = np.random.default_rng(0).integers(60, 200, (4, 4, 3)).astype(np.uint8)
    options = {"steps": 4, "probe": "gaussian"}
    result = picture_bits_per_dim(Picture(levels), prior(VE(0.001, 20.0)), repeats=30, **options)
    others = [
        picture_bits_per_dim(Picture(levels), prior(VE(0.001, 20.0)), seed=seed, **options) for seed in range(1, 31)
    ]
    spread = np.std([other.bits_per_dim for other in others], ddof=1)
    assert result.standard_error == pytest.approx(spread / math.sqrt(30), rel=0.5)
    assert {other.standard_error for other in others} == {None}
    assert result.nfe == 30 * 16


def test_pictures_together_are_as_alone(monkeypatch):
    monkeypatch.setattr("scoreinv.tasks.bits.PIXELS_AT_ONCE", 48)  # batches across pictures and repeats
    levels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    pictures = [Picture(item) for item in levels]
    together = pictures_bits_per_dim(
        pictures, prior(VE()), LikelihoodSettings(repeats=2, steps=8)
    )  # adaptive steps differ by rounding
    alone = [picture_bits_per_dim(picture, prior(VE()), repeats=2, steps=8) for picture in pictures]
    for one, other in zip(together, alone, strict=True):
        assert one.bits_per_dim == pytest.approx(other.bits_per_dim, abs=1e-4)
        assert one.standard_error == pytest.approx(other.standard_error, abs=1e-4)
    with pytest.raises(InputError, match="one size"):
        pictures_bits_per_dim([pictures[0], Picture(levels[0, :, :2])], prior(VE()))


def test_likelihood_needs_8_bits_and_fitting_sides():
    with pytest.raises(InputError, match="8-bit"):
        picture_bits_per_dim(Picture(np.zeros((4, 4, 3), np.uint16)), prior(VE()))
    with pytest.raises(InputError, match="multiples of 4"):
        picture_bits_per_dim(Picture(np.zeros((4, 5, 3), np.uint8)), prior(VE()))


def test_a_picture_too_big_for_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("scoreinv.tasks.bits.PIXELS_AT_ONCE", 8)
    picture = Picture(np.full((4, 4, 3), 128, np.uint8))
    assert math.isfinite(picture_bits_per_dim(picture, prior(VE()), steps=2).bits_per_dim)
    monkeypatch.setattr("scoreinv.machine.available_bytes", lambda: 10)
    with pytest.raises(InputError, match=r"4x4 pixels takes about .* GB .* reduce or crop"):
        picture_bits_per_dim(picture, prior(VE()), steps=2)


def test_memory_of_a_gradient_counts_the_features_that_it_keeps():
    features = nn.Sequential(nn.Conv2d(3, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 3, 3, padding=1))

    class Network(nn.Module):
        channels, stride = 3, 1

        def forward(self, x, level):
            return features(x)

    taken = gradient_bytes(ScorePrior(Network(), VE(), PaperVE()), (64, 48))
    kept = 4 * 256 * 64 * 48  # what the ReLU returned; at the peak with the gradients on both of its sides
    assert 3 * kept < taken < 3.1 * kept
