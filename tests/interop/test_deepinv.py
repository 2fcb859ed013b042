"""deepinv's samplers with a prior of ours, and its physics as operators."""

import pytest
import torch
from support.analytic import gaussian_colour_prior

import scoreinv
from scoreinv.guidance import DPS, Observation
from scoreinv.operators import Blur, kernels
from scoreinv.samplers import DPMpp2M, NoiseStream
from scoreinv.sdes import VE, VP, as_time
from scoreinv.system.errors import InputError
from scoreinv.windows import Tiled

deepinv = pytest.importorskip("deepinv")
interop = pytest.importorskip("scoreinv.interop.deepinv")

MEAN, STD = 0.4, 0.2
KERNEL = torch.from_numpy(kernels.gaussian(1.0)).float()[None, None]


def gaussian(sde=None, data_range=(-1.0, 1.0)):
    """Independent values of mean .4 and standard deviation .2, in [0, 1]."""
    low, high = data_range
    covariance = (STD * (high - low)) ** 2 * torch.eye(3)
    return gaussian_colour_prior(
        torch.full((3,), low + MEAN * (high - low)), covariance, sde=sde, data_range=data_range, stride=8
    )


def picture(*shape, seed=0):
    return MEAN + STD * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shrunk(x, sigma):
    return MEAN + STD**2 / (STD**2 + sigma**2) * (x - MEAN)


@pytest.mark.parametrize("sde", [VE(0.002, 80.0), VP()], ids=["VE", "VP"])
@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("size", [(16, 16), (13, 21)])
def test_the_denoiser_is_tweedie_s_formula(sde, data_range, size):
    denoiser = interop.Denoiser(gaussian(sde, data_range))
    assert isinstance(denoiser, deepinv.models.Denoiser)
    x = picture(2, 3, *size) + 0.1 * torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    for sigma in (0.1, torch.tensor(0.1), torch.tensor([0.1]), torch.tensor([[[[0.1]]]])):
        torch.testing.assert_close(denoiser(x, sigma), shrunk(x, 0.1), rtol=0, atol=1e-5)
    each = denoiser(x, torch.tensor([0.05, 0.6]))
    torch.testing.assert_close(each, torch.stack([shrunk(x[0], 0.05), shrunk(x[1], 0.6)]), rtol=0, atol=1e-5)
    assert denoiser(x.double(), 0.1).dtype == torch.float64


@pytest.mark.parametrize("sde", [VE(0.004, 4.0), VP()], ids=["VE", "VP"])
def test_less_noise_than_the_prior_knows(sde):
    """It is taken for the noise at which sampling ends."""
    x, least = picture(1, 3, 8, 8), float(sde.noise_to_signal(as_time(sde.sampling_end))) / 2
    torch.testing.assert_close(interop.Denoiser(gaussian(sde))(x, 0), shrunk(x, least), rtol=0, atol=1e-6)


@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_noise_beyond_what_the_prior_knows(data_range):
    denoiser, x = interop.Denoiser(gaussian(VE(0.004, 4.0), data_range)), picture(1, 3, 8, 8)
    largest = 4 / (data_range[1] - data_range[0])
    weaker = 0.5 + (x - 0.5) / 3  # contrast is reduced about the middle of the range
    torch.testing.assert_close(denoiser(x, 3 * largest), shrunk(weaker, largest), rtol=0, atol=1e-4)
    noisy = x + 1000 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    # Noise of 1000 says nothing: all that is left is the mean, and what the shrunk noise is taken for.
    assert (denoiser(noisy, 1000.0) - MEAN).abs().max() < 0.1


def test_the_denoiser_is_differentiable():
    x = picture(1, 3, 8, 8).requires_grad_()
    interop.Denoiser(gaussian())(x, 0.2).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.5), rtol=0, atol=1e-5)


def test_a_tiled_prior():
    x = picture(1, 3, 20, 36)
    torch.testing.assert_close(interop.Denoiser(Tiled(gaussian(), 16, 4))(x, 0.2), shrunk(x, 0.2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), torch.tensor([0.1, 0.1, 0.1])])
def test_the_meaning_of_sigma(sigma):
    with pytest.raises(InputError, match="sigma must be a number of at least 0, or 2 of them"):
        interop.Denoiser(gaussian())(picture(2, 3, 8, 8), sigma)
    with pytest.raises(InputError, match="prior"):
        interop.Denoiser("denoiser")


@pytest.mark.parametrize(
    ("build", "observed"),
    [
        (lambda denoiser: deepinv.sampling.DDRM(denoiser, sigmas=torch.linspace(1, 0, 20).tolist()), 0.06),
        (lambda denoiser: deepinv.sampling.DiffPIR(denoiser, deepinv.optim.L2(), sigma=0.01, max_iter=20), 0.06),
        (lambda denoiser: deepinv.sampling.DPS(denoiser, num_steps=50), 0.4),
    ],
    ids=["DDRM", "DiffPIR", "DPS"],
)
def test_deepinv_s_samplers_run_with_our_priors(build, observed):
    """They keep what is observed (DPS, by default, little of it), and draw the rest from the prior."""
    seen = (torch.arange(16) % 2).float().expand(3, 16, 16)
    physics = deepinv.physics.Inpainting((3, 16, 16), mask=seen, noise_model=deepinv.physics.GaussianNoise(0.01))
    x = picture(1, 3, 16, 16)
    torch.manual_seed(0)
    estimate = build(interop.Denoiser(gaussian()))(physics(x), physics).float()
    error = (estimate - x)[0].square()
    assert float(error[seen > 0].mean().sqrt()) < observed
    assert float(error[seen == 0].mean().sqrt()) < 0.35  # two draws differ by .28, the mean and a draw by .2


PHYSICS = {
    "inpainting": lambda: deepinv.physics.Inpainting((3, 16, 24), mask=(torch.rand(3, 16, 24) > 0.3).float()),
    "blur": lambda: deepinv.physics.Blur(KERNEL, padding="circular"),
    "valid blur": lambda: deepinv.physics.Blur(KERNEL, padding="valid"),
    "downsampling": lambda: deepinv.physics.Downsampling((3, 16, 24), filter="bicubic", factor=2),
    "grey": lambda: deepinv.physics.Decolorize(),
}


@pytest.mark.parametrize("name", PHYSICS)
def test_operators_have_adjoints_and_pseudo_inverses(name):
    torch.manual_seed(0)
    physics = PHYSICS[name]()
    operator = interop.operator_of(physics, (3, 16, 24))
    x = torch.randn(2, 3, 16, 24)
    y = torch.randn_like(operator(x))
    torch.testing.assert_close(operator(x), physics.A(x))
    a, b = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert float(a - b) == pytest.approx(0, abs=1e-5 * float(x.norm() * y.norm()))
    exact = operator(x)
    torch.testing.assert_close(operator(operator.pinv(exact)), exact, rtol=0, atol=1e-2)


def test_a_blur_of_deepinv_s_is_solved_as_one_of_ours():
    ours = Blur(KERNEL[0, 0], 16, 24)
    theirs = interop.operator_of(deepinv.physics.Blur(KERNEL, padding="circular"), (3, 16, 24))
    y = ours(picture(1, 3, 16, 24))
    torch.testing.assert_close(theirs(picture(1, 3, 16, 24)), y, rtol=0, atol=1e-5)
    results = [
        scoreinv.solve(a, y, prior=gaussian(), noise_std=0.05, estimate="mean", steps=4).image for a in (ours, theirs)
    ]
    torch.testing.assert_close(*results, rtol=0, atol=1e-3)
    drawn = DPMpp2M(1.0, steps=4).sample(
        DPS(gaussian(), Observation(theirs, 2 * y - 1, 0.1)), (2, 3, 16, 24), rng=NoiseStream(0, 2)
    )
    assert drawn.x0.isfinite().all()


SPECTRAL = {
    "inpainting": PHYSICS["inpainting"],
    "blur": lambda: deepinv.physics.BlurFFT((3, 16, 24), KERNEL),
    "circular blur": PHYSICS["blur"],
    "super-resolution": lambda: deepinv.physics.Downsampling(
        (3, 16, 24), filter="bicubic", factor=2, padding="circular"
    ),
    "grey": PHYSICS["grey"],
}


@pytest.mark.parametrize("name", SPECTRAL)
def test_ddrm_works_with_physics_that_have_a_singular_value_decomposition(name):
    torch.manual_seed(0)
    operator = interop.operator_of(SPECTRAL[name](), (3, 16, 24))
    svd, x = operator.spectral(), picture(1, 3, 16, 24).clamp(0, 1)
    y = operator(x)
    torch.testing.assert_close(svd(x), y, rtol=0, atol=1e-3)
    torch.testing.assert_close(svd.adjoint(y), operator.adjoint(y), rtol=0, atol=1e-3)
    spectrum = svd.analyse(x)
    torch.testing.assert_close(svd.analyse(svd.synthesise(spectrum)), spectrum, rtol=0, atol=1e-2)  # V^T V = I
    result = scoreinv.solve(operator, y, prior=gaussian(), method="ddrm", steps=6)
    torch.testing.assert_close(operator(result.image), y, rtol=0, atol=3e-2)  # clipped to [0, 1]


def test_physics_without_such_a_decomposition():
    operator = interop.operator_of(PHYSICS["valid blur"](), (3, 16, 24))
    with pytest.raises(InputError, match="no singular value decomposition"):
        operator.spectral()


def test_physics_that_are_no_operators():
    with pytest.raises(InputError, match="linear physics"):
        interop.operator_of(torch.nn.Identity(), (3, 8, 8))
    with pytest.raises(InputError, match="linear physics"):
        interop.operator_of(deepinv.physics.SpatialUnwrapping(), (3, 8, 8))
    with pytest.raises(InputError, match=r"not accept pictures of \(3, 8, 8\)"):
        interop.operator_of(deepinv.physics.Inpainting((3, 16, 16), mask=torch.ones(3, 16, 16)), (3, 8, 8))
    with pytest.raises(InputError, match="one observation of real values"):
        interop.operator_of(deepinv.physics.Inpainting((3, 8, 8), mask=torch.ones(2, 3, 8, 8)), (3, 8, 8))
