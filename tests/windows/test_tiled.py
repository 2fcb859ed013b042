"""Tiles around a model: blending, memory, gradients, what goes inside and outside of them."""

import numpy as np
import pytest
import torch
from support.gaussian import GaussianPrior
from support.mixture import SDES
from torch import Tensor

from scoreinv.guidance import MMPS, ClassifierGuidance, DiffPIR, Observation, PiGDM
from scoreinv.operators import Blur, LinearOperator, kernels, mask, valid_blur
from scoreinv.prior import Clipped, Prior, PriorWrapper
from scoreinv.sdes import VE, as_time, broadcast
from scoreinv.system.errors import InputError
from scoreinv.windows.tiled import Tiled
from scoreinv.windows.transforms import crops

pytestmark = pytest.mark.portable


def random(*shape: int, seed: int = 4) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Scene(Prior):
    """Pixels apart, each Gaussian with its own mean, which is a map: position and sample matter, not the neighbours."""

    data_range = (-1.0, 1.0)

    def __init__(self, stride: int = 1) -> None:
        self.sde, self.stride = SDES["vp"], stride
        self.seen: list[tuple[int, ...]] = []

    def noise(self, x, t, means):
        height, width = x.shape[-2:]
        assert height % self.stride == 0
        assert width % self.stride == 0
        self.seen.append(tuple(x.shape))
        t = as_time(t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        return sigma * (x - alpha * means) / (alpha**2 * 0.04 + sigma**2)


SIZES = pytest.mark.parametrize(("height", "width"), [(24, 40), (37, 21), (8, 8), (7, 30), (5, 6), (9, 8)])
MEANS = {"anywhere": (1, 1, 1, 1), "per sample": (2, 1, 1, 1), "per pixel": (1, 3, -1, -1), "both": (2, 3, -1, -1)}


@SIZES
@pytest.mark.parametrize("overlap", [0, 3, 4])
@pytest.mark.parametrize("kind", MEANS)
def test_tiled_prior_of_separate_pixels_is_the_prior(kind, overlap, height, width):
    """Windows see their own place and sample, the blend adds up to 1, and sides respect the stride."""
    shape = [height if n == -1 and i == 2 else width if n == -1 else n for i, n in enumerate(MEANS[kind])]
    scene, means = Scene(stride=4), random(*shape)
    x, t = random(2, 3, height, width), torch.tensor([0.3, 0.8], dtype=torch.float64)
    found = Tiled(scene, 8, overlap).noise(x, t, means)
    assert torch.allclose(found, Scene().noise(x, t, means), atol=1e-12)
    assert max(h for _, _, h, _ in scene.seen) <= 8
    assert max(w for _, _, _, w in scene.seen) <= 8


def test_maps_of_other_resolutions_are_cropped_like_the_picture():
    """A finer one exactly, a coarser one by interpolation: a ramp stays a ramp."""
    finer, coarser = (torch.arange(0.5, n).double().expand(1, 1, n, n) / n for n in (48, 12))
    for values, atol in ((finer, 0.0), (coarser, 1e-7)):
        n = values.shape[-1]
        first, second = crops(values, [(0, 4, 16, 16), (8, 6, 16, 16)], 1, (24, 24))
        for window, left in ((first, 4), (second, 6)):
            expected = left / 24 + torch.arange(0.5, window.shape[-1]).double() / n
            torch.testing.assert_close(window[0], expected.expand_as(window[0]), rtol=0, atol=max(atol, 1e-12))


def test_drawn_tiles_estimate_what_is_needed():
    """Of pixels apart, in groups of drawn sizes; a constant is blended to itself, and is 0 beyond the windows."""
    rng = np.random.default_rng(1)
    for number in range(30):
        stride, tile = 4, 4 * int(rng.integers(2, 6))
        height, width, samples = (*rng.integers(2, 50, 2).tolist(), int(rng.integers(1, 4)))
        overlap = int(rng.integers(tile // 2))
        needed = torch.from_numpy(rng.random((height, width)) < rng.choice((0.01, 0.1))) if number % 3 else None
        settings = {"pixels_at_once": int(rng.integers(1, 20 * samples * tile**2)), "needed": needed}
        means = random(samples, 3, height, width, seed=number)
        x, t = random(samples, 3, height, width), torch.linspace(0.2, 0.9, samples, dtype=torch.float64)
        where = slice(None) if needed is None else needed
        found = Tiled(Scene(stride), tile, overlap, **settings).noise(x, t, means)
        torch.testing.assert_close(found[:, :, where], Scene().noise(x, t, means)[:, :, where])
        flat = Tiled(Constant(Scene(stride)), tile, overlap, **settings).noise(x, t)
        torch.testing.assert_close(flat, (found != 0).to(x))
        assert bool((flat[:, :, where] != 0).all())


class Constant(PriorWrapper):
    """Estimates 1 everywhere."""

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        return torch.ones_like(x)


def test_blend_is_continuous_across_windows():
    """Windows that disagree (each subtracts its own mean): no jump over the overlap larger than the ramp's step."""

    class OwnMean(Scene):
        def noise(self, x, t):
            return x - x + x.mean((1, 2, 3), keepdim=True)

    x = torch.arange(64, dtype=torch.float64).expand(1, 1, 16, 64)
    blended = Tiled(OwnMean(), 16, 8).noise(x, 0.4)
    assert float(blended[0, 0].diff(dim=1).abs().max()) <= 8 / 8 * 1.01
    assert float(blended[0, 0, 0, -1] - blended[0, 0, 0, 0]) == pytest.approx(48)


@pytest.mark.parametrize("overlap", [2, 4])
def test_weights_fall_linearly_over_the_overlap(overlap: int) -> None:
    """From the middle of its first pixel to that of its last, in both directions."""

    class Numbered(Scene):
        """The estimate of a window is the number of its box."""

        def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
            return torch.arange(len(x), dtype=x.dtype)[:, None, None, None].expand_as(x)

    side = 16 - overlap
    blended = Tiled(Numbered(), 8, overlap).noise(torch.zeros(1, 1, side, side), 0.4)
    line = ((torch.arange(side) - 8 + overlap + 0.5) / overlap).clamp(0, 1)  # share of the second of two windows
    torch.testing.assert_close(blended[0, 0], 2 * line[:, None] + line)


WIDE = torch.rand(16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
BLURS: dict[str, LinearOperator] = {
    "periodic": Blur(kernels.gaussian(2), 40, 40),
    "periodic, as wide as a window": Blur(WIDE / WIDE.sum(), 40, 40),
    "valid": valid_blur(kernels.gaussian(1), 32, 32),
    "valid, as wide as a window": valid_blur(WIDE / WIDE.sum(), 25, 25),
}


@pytest.mark.parametrize(("name", "method"), [*zip(BLURS, (PiGDM, MMPS, MMPS, PiGDM), strict=True)])
def test_no_observation_is_lost_at_the_windows(method: type[PiGDM] | type[MMPS], name: str) -> None:
    """White Gaussian pictures, whose posterior mean given x_t and y is known: at the border and inside."""
    operator, noise_std, variance, t = BLURS[name], 0.1, 0.25, 0.5
    prior = GaussianPrior(VE(0.01, 20.0), 0.3, variance)
    x0 = 0.3 + 0.5 * random(1, 1, 40, 40)
    x = prior.sde.perturb(x0, as_time(t), random(1, 1, 40, 40, seed=5))
    y = operator(x0)
    y = y + noise_std * (y != 0) * random(*y.shape, seed=6)
    tiled = Tiled(prior, 16, 4)
    option = {"variance": variance} if method is PiGDM else {"iterations": 100}
    found = method(tiled, Observation(operator, y, noise_std), **option).denoise(x, t)
    mean, level = prior.denoise(x, t), float(prior.sde.noise_to_signal(as_time(t))) ** 2
    spread = level * variance / (level + variance)
    exact = mean + operator.ridge(y - operator(mean), noise_std**2 / spread)
    assert (exact - mean).abs().max() > 0.05
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)


def test_gradients_through_groups_of_windows_are_those_of_all_at_once() -> None:
    """What is evaluated again in the backward pass: first and second derivatives, and how often."""
    calls: list[int] = []

    class Counted(PriorWrapper):
        def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
            calls.append(len(x))
            return self.prior.noise(x.sin() + x.mean((2, 3), keepdim=True), t)

    prior = Counted(GaussianPrior(SDES["vp"], 0.3, 0.1))
    x, v = random(1, 1, 16, 16).requires_grad_(), random(1, 1, 16, 16, seed=7)

    def derivatives(pixels: int) -> list[Tensor]:
        calls.clear()
        noise = Tiled(prior, 8, 4, pixels).noise(x, 0.5)
        (first,) = torch.autograd.grad(noise, x, v, create_graph=True)
        (second,) = torch.autograd.grad(first, x, v, retain_graph=True)
        (again,) = torch.autograd.grad(noise, x, v)
        return [noise, first, second, again]

    whole = derivatives(1 << 18)
    assert calls == [9]
    for found, expected in zip(derivatives(4 * 64), whole, strict=True):
        torch.testing.assert_close(found, expected)
    assert calls[:3] == [3, 3, 3]
    assert len(calls) > 3
    with torch.no_grad():
        calls.clear()
        Tiled(prior, 8, 4, 4 * 64).noise(x, 0.5)
    assert calls == [3, 3, 3]


def test_conditions_of_the_whole_picture_are_refused() -> None:
    """An observation, or a class, is not that of a window; also if another wrapper is between."""
    prior, y = GaussianPrior(SDES["vp"], 0.3, 0.1), torch.zeros(1, 1, 16, 16)
    observation = Observation(mask(torch.ones(1, 1, 16, 16)), y)
    for inside in (DiffPIR(prior, observation), ClassifierGuidance(prior, lambda x, t: x.flatten(1), 0)):
        for wrapped in (inside, Clipped(inside)):
            with pytest.raises(InputError, match=f"put the tiles inside, {type(inside).__name__}"):
                Tiled(wrapped, 8, 0)


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (6, 0), (8, 8), (8, -1)])
def test_wrong_tiles_are_named(tile, overlap):
    with pytest.raises(InputError, match="tile"):
        Tiled(Scene(stride=4), tile, overlap)


def test_no_needed_pixels_are_no_work_and_those_of_another_size_are_refused():
    nothing = Tiled(Scene(), 16, 4, needed=torch.zeros(24, 30, dtype=torch.bool))
    assert not nothing.noise(random(1, 3, 24, 30), 0.5).any()
    tiled = Tiled(Scene(), 16, 4, needed=torch.ones(24, 24, dtype=torch.bool))
    with pytest.raises(InputError, match="24x24 and the picture 24x30"):
        tiled.noise(random(1, 3, 24, 30), 0.5)
