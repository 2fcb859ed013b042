"""Pictures from linear observations, with priors whose posteriors are known: independent pixels, Gaussian colours."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from support.analytic import gaussian_colour_prior
from support.independent_pixels import HEIGHT, KERNEL, MEAN, STD, WIDTH, apply, noisy, operator_of, prior, shrunk, truth

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.operators import (
    InLight,
    LinearOperator,
    Weighting,
    downsampling,
    kernels,
    mask,
)
from scoreinv.operators.tones import srgb
from scoreinv.prior import ScorePrior
from scoreinv.sdes import VP
from scoreinv.system.errors import Cancelled, InputError, ScoreinvError, SettingError
from scoreinv.tasks.requests import SolveRequest
from scoreinv.tasks.solve import Problem, solve_problem


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 90)])
def test_pictures_of_any_size(size):
    y = truth(*size)
    assert scoreinv.denoise(y, noise_std=0.1, prior=prior()).image.shape == y.shape
    larger = scoreinv.upscale(y, 2, downsampling="bicubic", prior=prior()).image
    assert larger.shape == (2 * size[0], 2 * size[1], 3)
    if min(size) >= KERNEL.shape[0]:
        assert scoreinv.deblur(y, kernel=KERNEL, noise_std=0.1, prior=prior()).image.shape == y.shape
    else:
        with pytest.raises(InputError, match="the kernel is 5x5 and the photo"):
            scoreinv.deblur(y, kernel=KERNEL, noise_std=0.1, prior=prior())


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        ("mmps", 0.005),
        ("pigdm", 0.025),
        ("ddrm", 0.035),
        ("dps", 0.04),
        ("dpir", 0.05),
        ("diffpir", 0.08),
    ],
)
def test_every_method_weighs_the_noise_of_the_observation(method, tolerance):
    """All pixels seen as 0.7 with the noise that the pictures vary by: N(0.6, 0.1^2 / 2), in any range of the model.

    As if there were no noise it would be 0.7 without deviation, and of half of the noise 0.66. The tolerances are what
    the methods' approximations and few steps cost; those of both ranges are the same result, so its unit counts.
    """
    operator, y = mask(torch.ones(1, 1, HEIGHT, WIDTH)), np.full((HEIGHT, WIDTH, 3), 0.7, np.float32)
    found = []
    for data_range in ((0.0, 1.0), (-1.0, 1.0)):
        model = prior(data_range=data_range)
        estimate = "mean" if method == "dpir" else "sample"
        result = scoreinv.solve(operator, y, prior=model, noise_std=STD, method=method, estimate=estimate)
        assert result.image.mean() == pytest.approx(0.6, abs=tolerance)
        if estimate == "sample":
            assert 0.4 < result.image.std() / (STD / math.sqrt(2)) < 1.15
        found.append(result.image.mean())
    assert found[0] == pytest.approx(found[1], abs=0.02)


class Noted:
    """A preconditioning that notes the times at which it is asked, and the first state's mean."""

    def __init__(self, inner):
        self.inner, self.times, self.mean = inner, [], None

    def noise(self, network, x, t, *rest):
        self.times.append(float(t.flatten()[0]))
        self.mean = float(x.detach().mean()) if self.mean is None else self.mean
        return self.inner.noise(network, x, t, *rest)


@pytest.mark.parametrize(
    ("method", "noise_std", "missing", "levels"),
    [
        ("mmps", 0.3, 0.0, [0.3]),
        ("mmps", 0.01, 0.0, [0.1]),
        ("mmps", 0.01, 0.2, [0.56]),
        ("mmps", 0.01, 1e9, None),
        ("dpir", 0.01, 0.0, np.geomspace(0.12, 0.02, 3)),
        ("dpir", 0.2, 0.0, np.geomspace(0.2, 0.1, 3)),
    ],
)
@pytest.mark.parametrize("options", [{}, {"data_range": (-1.0, 1.0)}, {"sde": VP()}], ids=["VE", "range", "VP"])
def test_the_noise_levels_of_a_method(options, method, noise_std, missing, levels):
    """Samples start where noise hides that of the initial estimate and what it lacks; dpir ends at half the noise."""
    y, model = torch.full((1, 3, HEIGHT, WIDTH), 0.7), prior(**options)
    model.preconditioning = noted = Noted(model.preconditioning)
    operator = mask(torch.ones(1, 1, HEIGHT, WIDTH))
    problem = Problem(operator, y, noise_std, False, Picture, initial=y, missing=missing)
    estimate, steps = ("mean", 3) if method == "dpir" else ("sample", 1)
    solve_problem(problem, model, SolveRequest(method=method, steps=steps, estimate=estimate))
    if levels is None:
        assert noted.times[0] == 1
        return
    low, high = model.data_range
    times = torch.tensor(noted.times[: len(levels)], dtype=torch.float64)
    np.testing.assert_allclose(model.sde.noise_to_signal(times) / (high - low), levels, rtol=1e-5)
    mean = noted.mean / float(model.sde.alpha(times[0]))
    assert mean == pytest.approx(low + 0.7 * (high - low), abs=levels[0] * (high - low) / 5)


def test_an_estimate_is_averaged_over_orientations():
    y = apply(operator_of(), truth())
    known = {"prior": prior(), "noise_std": 0.05, "estimate": "mean", "steps": 2}
    assert scoreinv.solve(operator_of(), y, **known).nfe == 2
    assert scoreinv.solve(operator_of(), y, orientations=4, **known).nfe == 8


@pytest.mark.parametrize(("std", "steps"), [(0.1, 10), (0.3, 50)])
def test_a_method_that_diverges_stops_with_its_remedy(std, steps):
    """At the end where the picture is none, and before where nothing could bring it back."""
    model = gaussian_colour_prior(torch.full((3,), MEAN), torch.eye(3) * std**2)
    y = np.full((HEIGHT, WIDTH, 3), 0.7, np.float32)
    with pytest.raises(ScoreinvError, match=r"(?i)dps.* diverges .*(larger noise_std|more steps).*another method"):
        scoreinv.solve(mask(torch.ones(1, 1, HEIGHT, WIDTH)), y, prior=model, method="dps", steps=steps)


@pytest.mark.parametrize("method", [None, "diffpir", "ddrm", "pigdm", "mmps", "pc"])
def test_an_exact_observation_is_kept_by_every_method(method):
    operator = downsampling(2, HEIGHT, WIDTH)
    y = apply(operator, truth())
    result = scoreinv.solve(operator, y, prior=prior(), method=method, steps=6)
    np.testing.assert_allclose(apply(operator, result.image), y, atol=5e-3)


@pytest.mark.parametrize("name", ["mask", "blur"])
def test_the_mean_of_anything_in_any_range(name):
    x, std = truth(), 0.02
    seen = (torch.rand(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    operator = mask(seen) if name == "mask" else operator_of()
    y = apply(operator, x)
    observed = abs(y) > 0
    y = y + observed * std * np.random.default_rng(3).standard_normal(y.shape).astype(np.float32)
    exact = operator(torch.full((1, 3, HEIGHT, WIDTH), MEAN))
    exact = MEAN + operator.ridge(torch.from_numpy(y).permute(2, 0, 1)[None] - exact, std**2 / STD**2)
    exact = exact[0].permute(1, 2, 0).numpy()
    result = scoreinv.solve(operator, y, prior=prior(), noise_std=std, estimate="mean")
    assert np.sqrt(np.mean((result.image - exact) ** 2)) < 0.3 * STD
    assert result.method == "dpir"
    other = scoreinv.solve(operator, y, prior=prior(data_range=(-3.0, 1.0)), noise_std=std, estimate="mean")
    np.testing.assert_allclose(other.image, result.image, atol=1e-4)


def test_forms_in_and_out():
    operator = operator_of()
    y = noisy(apply(operator, truth()), 0.01)
    known = {"prior": prior(), "noise_std": 0.05, "estimate": "mean", "steps": 3}
    array = scoreinv.solve(operator, y, **known).image
    assert array.dtype == np.float32
    levels = np.rint(255 * y.clip(0, 1)).astype(np.uint8)
    eight = scoreinv.solve(operator, levels, **known).image
    assert eight.dtype == np.uint8
    np.testing.assert_allclose(eight / 255, array, atol=0.02)
    pil = scoreinv.solve(operator, Image.fromarray(levels), **known).image
    np.testing.assert_array_equal(np.asarray(pil), eight)
    tensor = torch.from_numpy(y).permute(2, 0, 1).double().expand(2, -1, -1, -1)
    batch = scoreinv.solve(operator, tensor, **known | {"samples": 2, "estimate": "sample"})
    assert (batch.image.shape, batch.image.dtype) == ((2, 3, HEIGHT, WIDTH), torch.float64)
    assert batch.std.shape == (2, 1, HEIGHT, WIDTH)
    gray = scoreinv.solve(operator, y[..., 0], **known).image
    assert gray.shape == (HEIGHT, WIDTH)
    small = downsampling(2, HEIGHT, WIDTH)
    larger = scoreinv.solve(small, apply(small, truth()), prior=prior(), estimate="mean")
    assert larger.image.shape == (HEIGHT, WIDTH, 3)


def test_nothing_but_noise_is_taken_off_exactly():
    y = noisy(truth(), 0.05)
    everything = mask(torch.ones(1, 1, HEIGHT, WIDTH))
    result = scoreinv.solve(everything, y, prior=prior(), noise_std=0.05, estimate="mean")
    np.testing.assert_allclose(result.image, shrunk(y, 0.05).clip(0, 1), atol=2e-6)
    assert result.method == "exact"
    with pytest.raises(InputError, match="steps needs samples"):
        scoreinv.solve(everything, y, prior=prior(), noise_std=0.05, estimate="mean", steps=3)


@pytest.mark.parametrize("method", ["dpir", "diffpir", "mmps", "pigdm", "dps", "ddrm", "pc", "denoise"])
def test_every_method_calls_back_at_every_window(method, monkeypatch, limit):
    """At most one window is evaluated between two calls, and a call that says stop is the last."""
    known = prior()
    wide = truth(2 * known.image_size, 3 * known.image_size)
    limit(pixels_at_once=1)
    between, noise = [0], ScorePrior.noise

    def counted(self, x, t):
        between[-1] += 1
        return noise(self, x, t)

    monkeypatch.setattr(ScorePrior, "noise", counted)

    def work(callback):
        if method == "denoise":
            return scoreinv.denoise(wide, noise_std=0.05, prior=known, orientations=4, callback=callback)
        if method == "dpir":
            reduction = downsampling(2, 2 * wide.shape[0], 2 * wide.shape[1])
            return scoreinv.solve(reduction, wide, prior=known, method=method, steps=2, callback=callback)
        noise_std = 0.05 if method in ("dps", "pigdm", "mmps") else 0.0
        return scoreinv.upscale(wide, 2, noise_std=noise_std, prior=known, method=method, steps=2, callback=callback)

    told: list[float] = []

    def call_back(share):
        told.append(share)
        between.append(0)
        return len(told) < stop

    stop = math.inf
    work(call_back)
    assert max(between) == 1
    assert sum(between) >= 4
    assert told == sorted(told)
    for stop in (1, 2, len(told) // 2, len(told) - 1):
        told.clear()
        with pytest.raises(Cancelled):
            work(call_back)
        assert len(told) == stop


@pytest.mark.parametrize("method", ["ddrm", "pc"])
def test_limits_of_methods_are_refused_before_the_network_is_evaluated(method, monkeypatch):
    def asked(*_):
        raise AssertionError("the network was evaluated")

    model = prior()
    monkeypatch.setattr(type(model), "noise", asked)
    with pytest.raises(InputError):
        scoreinv.deblur(truth(), kernel=kernels.gaussian(2), noise_std=0.05, prior=model, method=method)


def test_values_that_are_not_finite_are_an_error():
    model = gaussian_colour_prior(torch.full((3,), math.nan), torch.eye(3))
    with pytest.raises(ScoreinvError, match="not finite"):
        scoreinv.denoise(truth(), noise_std=0.05, prior=model)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dpir", "estimate": "sample"}, "draws no samples"),
        ({"method": "dpir", "samples": 2}, "draws no samples"),
        ({"method": "mmps", "estimate": "mean"}, "2 samples or more"),
        ({"method": "pc", "noise_std": 0.1}, "exact"),
    ],
)
def test_methods_that_do_not_go_with_what_is_asked_for(options, said):
    with pytest.raises(InputError, match=said):
        scoreinv.solve(operator_of(), truth(), prior=prior(), **options)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (truth(10, 10), "the observation is 3x10x10 .*: it must map pictures of three channels to it"),
        (truth(channels=4), "HxW or HxWx3"),
        (np.zeros((4, HEIGHT, WIDTH), np.float32), "put the channels last"),
        (np.full((HEIGHT, WIDTH), np.nan, np.float32), "not finite"),
        (np.zeros((HEIGHT, WIDTH, 4), np.uint8), "alpha"),
        (torch.zeros(2, HEIGHT, WIDTH), "2x24x36 from it: it must map pictures of three channels"),
        (torch.zeros(3, HEIGHT, WIDTH, device="meta"), "without plain values"),
        (torch.zeros(HEIGHT, WIDTH), r"\(B\)xCxHxW"),
        (torch.zeros(0, 3, HEIGHT, WIDTH), r"\(B\)xCxHxW"),
        (np.zeros((0, WIDTH), np.float32), "HxW or HxWx3"),
    ],
)
def test_observations_that_are_none(y, said):
    with pytest.raises(InputError, match=said):
        scoreinv.solve(operator_of(), y, prior=prior())


class _ChannelMean(LinearOperator):
    def __call__(self, x):
        return x.mean(1, keepdim=True)

    def adjoint(self, y):
        return y.expand(-1, 3, -1, -1) / 3


class _Projections(LinearOperator):
    """40 numbers of a picture of 8x8."""

    rows = torch.randn(40, 192, generator=torch.Generator().manual_seed(0)) / 14

    def __call__(self, x):
        return (x.flatten(1) @ self.rows.T)[..., None, None]

    def adjoint(self, y):
        return (y.flatten(1) @ self.rows).reshape(-1, 3, 8, 8)


def test_an_observation_of_one_channel_by_an_operator_that_gives_one():
    noise, samples = 0.05, 8
    y = noisy(truth().mean(2), noise)
    result = scoreinv.solve(_ChannelMean(), y, prior=prior(), noise_std=noise, samples=samples, estimate="mean")
    assert result.image.shape == (HEIGHT, WIDTH, 3)
    shrinking = STD**2 / 3 / (STD**2 / 3 + noise**2)  # the mean of three has a third of the variance
    error = result.image.mean(2) - (MEAN + shrinking * (y - MEAN))
    assert np.sqrt(np.square(error).mean()) < 1.25 * noise * math.sqrt(shrinking / samples)


def test_an_observation_that_is_no_picture():
    operator, picture = _Projections(), torch.from_numpy(truth(8, 8)).permute(2, 0, 1)[None]
    y = operator(picture)
    result = scoreinv.solve(operator, y, prior=prior(), samples=2)
    assert result.image.shape == picture.shape
    for sample in result.samples:
        torch.testing.assert_close(operator(sample), y, rtol=0, atol=1e-3)
    assert (result.samples[0] - result.samples[1]).abs().mean() > 0.5 * STD


def test_a_tensor_of_whole_numbers_is_taken_like_an_array():
    levels = np.rint(255 * truth()).astype(np.uint8)
    array = scoreinv.solve(operator_of(), levels, prior=prior(), noise_std=0.1).image
    for tensor in (torch.from_numpy(levels).permute(2, 0, 1), torch.from_numpy(levels).permute(2, 0, 1)[None]):
        given = scoreinv.solve(operator_of(), tensor, prior=prior(), noise_std=0.1).image
        assert (given.dtype, given.shape) == (torch.uint8, tensor.shape)
        np.testing.assert_array_equal(given.reshape(3, HEIGHT, WIDTH).permute(1, 2, 0), array)


def test_an_operator_of_several_pictures():
    seen = torch.ones(2, 1, 24, 36)
    with pytest.raises(InputError, match="acts on 2 pictures: solve each with its own"):
        scoreinv.solve(mask(seen), truth(), prior=prior())


@pytest.mark.parametrize(("noise_std", "gain"), [(25, 1.0), (1.01, 1.0), (60.0, 20.0)])
def test_noise_in_other_units_than_the_observation(noise_std, gain):
    y = torch.full((1, 3, 8, 8), 0.4) * gain
    with pytest.raises(InputError, match=r"noise_std is in \[0, 1\] units, .*: 25 grey levels are 25/255"):
        scoreinv.solve(mask(torch.ones(1, 1, 8, 8)), y, prior=prior(), noise_std=noise_std)


class _Wrong(LinearOperator):
    """A crop, or what is none, with the adjoint of another operator."""

    def __init__(self, kind):
        self.kind = kind

    def __call__(self, x):
        if self.kind == "masked":
            return 2 * x * (torch.arange(8) < 4)
        return x.square() if self.kind == "curved" else 2 * x.flip(-1) if self.kind == "flipped" else 2 * x

    def adjoint(self, y):
        return y if self.kind == "scaled" else 2 * y


@pytest.mark.parametrize("kind", ["scaled", "flipped", "curved", "masked"])
def test_an_operator_whose_adjoint_is_anothers(kind):
    y = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    said = r"_Wrong\.adjoint is not the adjoint of a linear A: <A x, y> is \S+, but <x, A\^T y> is \S+"
    with pytest.raises(InputError, match=said):
        scoreinv.solve(_Wrong(kind), y, prior=prior())
    scoreinv.solve(_Wrong("right"), y, prior=prior(), steps=2)


@pytest.mark.parametrize(("method", "tolerance"), [("mmps", 0.02), ("diffpir", 0.04), ("dpir", 0.08)])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_each_value_is_weighted_by_its_own_noise(method, tolerance, kind):
    """The posterior mean of an independent pixel is m + v / (v + n^2) (y - m), with the noise n of its value.

    DPIR's denoiser has a tenth of the weight.
    """
    noise = np.full((HEIGHT, WIDTH, 1), STD, np.float32)
    noise[:, :12], noise[:, 24:] = 0.1 * STD, np.inf
    y = np.full((HEIGHT, WIDTH, 3), 0.7, np.float32)
    if kind is np.asarray:
        noise, given = noise.repeat(3, axis=2), y
    else:
        noise, given = noise.transpose(2, 0, 1).copy(), torch.from_numpy(y.transpose(2, 0, 1).copy())
    operator = mask(torch.ones(1, 1, HEIGHT, WIDTH))
    estimate = "mean" if method == "dpir" else "sample"
    settings = {"prior": prior(), "method": method, "estimate": estimate, "steps": 30}
    found = scoreinv.solve(operator, given, noise_std=kind(noise), **settings).image
    found = np.asarray(found) if kind is np.asarray else found.numpy().transpose(1, 2, 0)
    thirds = [found[:, left : left + 12].mean() for left in (0, 12, 24)]
    assert thirds == pytest.approx([0.698, 0.6, 0.5], abs=tolerance)


@pytest.mark.parametrize(("method", "tolerance"), [("mmps", 0.01), ("diffpir", 0.02), ("pigdm", 0.02), ("dpir", 0.06)])
def test_observations_of_light_have_the_posterior_of_their_noise(method, tolerance):
    """Light at 0.4 of its exposure, 0.45 as stored. The posterior of an independent pixel is integrated numerically.

    DPIR's denoiser has a tenth of the weight.
    """
    stds, x, knots = (0.1 * STD, 0.5 * STD, math.inf), np.linspace(0, 1, 4001), np.linspace(0, 1, len(srgb().light))
    seen = np.interp(0.4 * np.interp(x, knots, srgb().light), srgb().light, knots)
    noise = np.repeat(np.float32(stds), WIDTH // 3)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
    operator = InLight(Weighting(torch.full((1, 1, HEIGHT, WIDTH), 0.4)), srgb())
    estimate = "mean" if method == "dpir" else "sample"
    settings = {"method": method, "estimate": estimate, "noise_std": noise}
    y = np.full((HEIGHT, WIDTH, 3), 0.45, np.float32)
    for data_range in ((0.0, 1.0), (-1.0, 1.0)):
        found = scoreinv.solve(operator, y, prior=prior(data_range=data_range), **settings).image
        for number, std in enumerate(stds):
            odds = np.exp(-(((x - MEAN) / STD) ** 2) / 2 - ((0.45 - seen) / std) ** 2 / 2)
            mean = np.average(x, weights=odds)
            part = found[:, number * WIDTH // 3 : (number + 1) * WIDTH // 3]
            assert part.mean() == pytest.approx(mean, abs=tolerance)
            if estimate == "sample":
                assert part.std() == pytest.approx(np.average((x - mean) ** 2, weights=odds) ** 0.5, rel=0.2)


@pytest.mark.parametrize("method", ["ddrm", "pc"])
def test_methods_of_linear_operators_refuse_others(method):
    operator = InLight(mask(torch.ones(1, 1, HEIGHT, WIDTH)), srgb())
    with pytest.raises(InputError, match="choose another method"):
        scoreinv.solve(operator, truth(), prior=prior(), method=method)


@pytest.mark.parametrize(
    "noise",
    [
        np.zeros((HEIGHT, WIDTH, 3), np.float32),
        np.full((HEIGHT, WIDTH, 3), np.inf, np.float32),
        np.full((HEIGHT, WIDTH, 3), np.nan, np.float32),
        np.full((HEIGHT, WIDTH + 1, 3), 0.1, np.float32),
    ],
)
def test_noise_of_no_use_is_refused(noise):
    operator = mask(torch.ones(1, 1, HEIGHT, WIDTH))
    with pytest.raises(SettingError, match="noise_std"):
        scoreinv.solve(operator, truth(), prior=prior(), noise_std=noise)


@pytest.mark.parametrize(
    ("method", "few", "enough"), [("mmps", 8, 12), ("ddrm", 8, 12), ("pigdm", 24, 36), ("dpir", 7, 8)]
)
def test_too_few_steps_from_pure_noise_are_warned_of(method, few, enough, caplog):
    y = apply(operator_of(), truth())
    scoreinv.solve(operator_of(), y, prior=prior(), noise_std=0.05, method=method, steps=enough)
    scoreinv.deblur(y, kernel=KERNEL, noise_std=0.05, prior=prior(), method="diffpir", steps=4, estimate="sample")
    assert not caplog.records  # the second begins at an estimate
    scoreinv.solve(operator_of(), y, prior=prior(), noise_std=0.05, method=method, steps=few)
    assert f"{few} steps are too few for {method} from pure noise: take at least {enough}" in caplog.text
