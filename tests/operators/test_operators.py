"""Linear operators: adjoint, pseudo-inverse, composition against their definitions."""

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.Image import Resampling

from scoreinv.operators import (
    Blur,
    LinearOperator,
    ObservedComponents,
    Separable,
    Weighting,
    check_adjoint,
    downsampling,
    gray,
    kernels,
    mask,
    pad_observation,
    photographed,
    valid_blur,
)
from scoreinv.system.errors import InputError

HEIGHT, WIDTH = 12, 18
GENERATOR = torch.Generator().manual_seed(0)
OBSERVED = (torch.rand(1, 1, HEIGHT, WIDTH, generator=GENERATOR) > 0.4).double()
PER_SAMPLE = (torch.rand(4, 3, HEIGHT, WIDTH, generator=GENERATOR) > 0.4).double()
BASIS = torch.linalg.qr(torch.randn(3, 3, generator=GENERATOR, dtype=torch.float64))[0]
LOPSIDED = torch.tensor([[0.1, 0.6, 0.0, 0.1], [0.0, 0.15, 0.05, 0.0]])
GAUSSIAN = torch.from_numpy(kernels.gaussian(0.7))
WEIGHTS = torch.rand(1, 3, HEIGHT, WIDTH, generator=GENERATOR).double()
TURNED = ObservedComponents(torch.ones(1, 1, HEIGHT, WIDTH), BASIS)

OPERATORS: dict[str, LinearOperator] = {
    "mask": mask(OBSERVED),
    "mask per sample": mask(PER_SAMPLE),
    "gray": gray("rec601", HEIGHT, WIDTH),
    "components": ObservedComponents(PER_SAMPLE[:1], BASIS),
    "composed": mask(PER_SAMPLE[:1]) @ TURNED,
    "rotation": TURNED,
    "blur": Blur(LOPSIDED, HEIGHT, WIDTH),
    "blur of some use": Blur(torch.from_numpy(kernels.motion(2, 30)), HEIGHT, WIDTH),
    "blur without some frequencies": Blur(torch.full((2, 3), 1 / 6), HEIGHT, WIDTH),
    "blur as large as the picture": Blur(torch.rand(HEIGHT, WIDTH, generator=GENERATOR), HEIGHT, WIDTH),
    "valid blur": valid_blur(LOPSIDED, HEIGHT - 1, WIDTH - 3),
    "area": downsampling(3, HEIGHT, WIDTH),
    "bicubic": downsampling(2, HEIGHT, WIDTH, "bicubic"),
    "blurred, then reduced": downsampling(2, HEIGHT, WIDTH) @ Blur(GAUSSIAN, HEIGHT, WIDTH),
    "blurred components": ObservedComponents(PER_SAMPLE[:1], BASIS) @ Blur(LOPSIDED, HEIGHT, WIDTH),
    "reduced components": downsampling(3, HEIGHT, WIDTH) @ ObservedComponents(PER_SAMPLE[:1], BASIS),
    "some of a reduced picture": mask(OBSERVED[..., :6, :9]) @ downsampling(2, HEIGHT, WIDTH),
    "turned after blur": TURNED @ Blur(LOPSIDED, HEIGHT, WIDTH),
    "weights": Weighting(WEIGHTS * OBSERVED),
    "weighted blur": Weighting(0.2 + WEIGHTS) @ Blur(LOPSIDED, HEIGHT, WIDTH),
}
EVERY = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
WITHOUT_SVD = ["composed", "valid blur", "blurred, then reduced", "blurred components", "reduced components"]
WITHOUT_SVD += ["some of a reduced picture", "turned after blur", "weighted blur"]
SPECTRAL = [name for name in OPERATORS if name not in WITHOUT_SVD]


def picture(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, HEIGHT, WIDTH, generator=GENERATOR, dtype=torch.float64)


def observation(operator: LinearOperator) -> torch.Tensor:
    """Of the shape of observations, and not in the operator's range."""
    return torch.randn(operator(picture()).shape, generator=GENERATOR, dtype=torch.float64)


def matrix(operator: LinearOperator) -> torch.Tensor:
    """A of the first sample, dense."""
    size = 3 * HEIGHT * WIDTH
    units = torch.eye(size, dtype=torch.float64).reshape(size, 1, 3, HEIGHT, WIDTH)
    return torch.stack([operator(unit)[0].flatten() for unit in units], 1)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_adjoint(operator, dtype):
    x, y = picture().to(dtype), observation(operator).to(dtype)
    forward, backward = (operator(x) * y).double().sum(), (x * operator.adjoint(y)).double().sum()
    assert abs(forward - backward) < (1e-12 if dtype == torch.float64 else 1e-5) * x.norm() * y.norm()
    assert operator(x).dtype == operator.adjoint(y).dtype == operator.pinv(y).dtype == dtype


@EVERY
def test_pseudo_inverse_is_moore_penrose(operator):
    x, y = picture(), observation(operator)
    other, again = picture(), observation(operator)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(operator(operator.pinv(operator(x))), operator(x), **close)
    torch.testing.assert_close(operator.pinv(operator(operator.pinv(y))), operator.pinv(y), **close)
    # A A^+ and A^+ A are symmetric
    torch.testing.assert_close((operator(operator.pinv(y)) * again).sum(), (y * operator(operator.pinv(again))).sum())
    torch.testing.assert_close((operator.pinv(operator(x)) * other).sum(), (x * operator.pinv(operator(other))).sum())


@pytest.mark.parametrize("name", ["turned after blur", "blur", "bicubic", "valid blur", "weights", "weighted blur"])
def test_ridge_is_the_damped_inverse(name):
    operator = OPERATORS[name]
    a, y = matrix(operator), observation(operator)
    for level in (1e-3, torch.tensor([0.01, 0.1, 1.0, 10.0])):
        damping = torch.as_tensor(level).double().expand(4)
        expected = [
            a.T @ torch.linalg.solve(a @ a.T + damping[i] * torch.eye(len(a)).double(), y[i].flatten())
            for i in range(4)
        ]
        found = operator.ridge(y, level)
        torch.testing.assert_close(found, torch.stack(expected).reshape(found.shape), rtol=1e-6, atol=1e-8)


def test_the_rank_is_that_of_each_batch_element():
    """An element of tiny values has the pseudo-inverse that it has alone."""
    reduce = downsampling(3, HEIGHT, WIDTH, "bicubic")
    scale = torch.tensor([1.0, 1e-7]).double()[:, None, None]
    both, tiny = Separable(scale * reduce.vertical, reduce.horizontal), 1e-7 * reduce.vertical
    y = observation(reduce)[:2]
    exact = torch.linalg.pinv(matrix(reduce)) @ y[1].flatten() / 1e-7
    torch.testing.assert_close(both.pinv(y)[1], Separable(tiny, reduce.horizontal).pinv(y[1:])[0])
    torch.testing.assert_close(both.pinv(y)[1].flatten(), exact)


@pytest.mark.parametrize("name", SPECTRAL)
def test_singular_values(name):
    operator = OPERATORS[name].spectral()
    x, y = picture(), observation(OPERATORS[name])
    spectrum = operator.analyse(x)
    torch.testing.assert_close(operator.analyse_observation(operator(x)), operator.singular.to(x) * spectrum)
    back = operator.synthesise(operator.singular.to(x) * operator.analyse_observation(y))
    torch.testing.assert_close(back, OPERATORS[name].adjoint(y))
    # V is an isometry of what is observed
    seen = (operator.singular > 0).to(x) * spectrum
    torch.testing.assert_close(operator.analyse(operator.synthesise(seen)), seen)


@pytest.mark.parametrize("name", ["components", "bicubic", "area"])
def test_singular_values_are_those_of_the_matrix(name):
    operator = OPERATORS[name].spectral()
    a = matrix(OPERATORS[name])
    shape = operator.analyse(picture(1)).shape
    values = operator.singular.double().expand(shape).flatten().sort(descending=True).values
    found = torch.linalg.svdvals(a)
    torch.testing.assert_close(found[: len(values)], values[: len(found)])


@pytest.mark.parametrize("name", WITHOUT_SVD)
def test_no_singular_values(name):
    with pytest.raises(InputError, match="no singular value decomposition"):
        OPERATORS[name].spectral()


class Mean3x3(LinearOperator):
    """Over what lies around, which is 0 beyond the border, or the opposite side; and an adjoint."""

    def __init__(self, goes_round, adjoint_goes_round):
        self.goes_round, self.adjoint_goes_round = goes_round, adjoint_goes_round

    def __call__(self, x):
        return self.mean(x, self.goes_round)

    def adjoint(self, y):
        return self.mean(y, self.adjoint_goes_round)

    def mean(self, x, goes_round):
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1), "circular" if goes_round else "constant")
        return torch.nn.functional.avg_pool2d(padded, 3, 1)


@pytest.mark.parametrize("goes_round", [False, True])
def test_an_adjoint_of_another_boundary_is_found_in_a_large_picture(goes_round):
    large = torch.zeros(1, 1, 512, 512)
    check_adjoint(Mean3x3(goes_round, goes_round), large)
    with pytest.raises(InputError, match=r"Mean3x3\.adjoint is not the adjoint"):
        check_adjoint(Mean3x3(goes_round, not goes_round), large)


@pytest.mark.parametrize(
    "adjoint",
    [lambda y: y, lambda y: torch.full_like(y, torch.nan), lambda y: 2 * PER_SAMPLE[:1] * y],
    ids=["of unobserved pixels", "of no number", "of twice the scale"],
)
def test_wrong_adjoints_of_a_mask_are_found(adjoint):
    """The first one differs only for observations that no picture has."""

    class Masked(LinearOperator):
        def __call__(self, x):
            return PER_SAMPLE[:1] * x

        def adjoint(self, y):
            return adjoint(y)

    check_adjoint(mask(PER_SAMPLE[:1]), picture(1))
    with pytest.raises(InputError, match=r"Masked\.adjoint is not the adjoint"):
        check_adjoint(Masked(), picture(1))


# --- blur -------------------------------------------------------------------------------------------------------------


def test_blur_is_convolution_that_goes_round():
    x = picture(1)
    rows, columns = LOPSIDED.shape
    expected = sum(
        LOPSIDED[i, j] * x.roll((i - rows // 2, j - columns // 2), (2, 3)) for i in range(rows) for j in range(columns)
    )
    torch.testing.assert_close(OPERATORS["blur"](x), expected, rtol=1e-6, atol=1e-6)


def test_valid_blur_is_what_a_photograph_sees_of_the_scene():
    scene = picture(2)
    height, width = HEIGHT - 1, WIDTH - 3
    photograph = torch.nn.functional.conv2d(
        scene.flatten(0, 1)[:, None], LOPSIDED.flip(0, 1)[None, None].double()
    ).unflatten(0, (2, 3))[:, :, 0]
    assert photograph.shape == (2, 3, height, width)
    torch.testing.assert_close(OPERATORS["valid blur"](scene), pad_observation(photograph, LOPSIDED))
    top, left, tall, wide = photographed(LOPSIDED, height, width)
    cut = pad_observation(photograph, LOPSIDED)[..., top : top + tall, left : left + wide]
    torch.testing.assert_close(cut, photograph)
    assert valid_blur(LOPSIDED, height, width, 7).iterations == 7


def test_kernels_as_the_package_makes_them():
    kernel = kernels.motion(2, 30)
    x = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    for array in (kernel, kernel[::-1, ::-1]):
        tensor = torch.from_numpy(array.copy())
        torch.testing.assert_close(Blur(array, HEIGHT, WIDTH)(x), Blur(tensor, HEIGHT, WIDTH)(x), rtol=0, atol=0)


def test_kernels_that_are_none():
    for kernel, said in (
        (torch.ones(3), "shape"),
        (torch.zeros(3, 3), "not all 0"),
        (torch.full((3, 3), torch.nan), "finite"),
        (torch.ones(3, 19), "larger than the picture"),
        (torch.ones(13, 3), "larger than the picture"),
        (torch.ones(0, 3), "shape"),
        (np.array([["a", "b"]]), "real numbers"),
        ([[1.0]], "an array or a tensor"),
    ):
        with pytest.raises(InputError, match=said):
            Blur(kernel, HEIGHT, WIDTH)


# --- downsampling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "resampling"), [("area", Resampling.BOX), ("bicubic", Resampling.BICUBIC)])
@pytest.mark.parametrize("factor", [2, 3])
def test_downsampling_is_pillows(kind, resampling, factor):
    values = picture(1)[0, 0].float()
    expected = Image.fromarray(values.numpy()).resize((WIDTH // factor, HEIGHT // factor), resampling)
    found = downsampling(factor, HEIGHT, WIDTH, kind)(values[None, None])[0, 0]
    np.testing.assert_allclose(found, np.asarray(expected), atol=2e-6)


def test_factors_that_are_none():
    for wrong in (
        lambda: downsampling(0, HEIGHT, WIDTH),
        lambda: downsampling(4, HEIGHT, WIDTH),
        lambda: downsampling(9, HEIGHT, WIDTH),
        lambda: downsampling(2, HEIGHT, WIDTH, "nearest"),
    ):
        with pytest.raises(InputError):
            wrong()


@pytest.mark.parametrize(
    ("name", "weights"),
    [("rec601", (0.299, 0.587, 0.114)), ("average", (1 / 3, 1 / 3, 1 / 3)), ("rec709", (0.2126, 0.7152, 0.0722))],
)
def test_gray_observes_the_luma_and_nothing_else(name, weights):
    operator, x = gray(name, HEIGHT, WIDTH), picture()
    w = torch.tensor(weights, dtype=torch.float64)
    luma = torch.einsum("c,bchw->bhw", w, x)
    y = operator(x)
    assert torch.allclose(y[:, 0], luma / w.norm())
    assert y[:, 1:].abs().max() == 0
    # the grey picture of that luma is observed alike, and a change of chroma is not seen
    assert torch.allclose(operator(luma[:, None].expand_as(x)), y)
    chroma = torch.einsum("c,bchw->bhw", w, picture())
    unseen = picture()
    unseen = unseen - torch.einsum("c,bchw->bhw", w, unseen)[:, None]
    assert torch.allclose(operator(x + unseen), y)
    assert not torch.allclose(operator(x + chroma[:, None]), y)


def test_wrong_operators_are_named():
    with pytest.raises(InputError, match="shape"):
        mask(torch.ones(3, 3))
    with pytest.raises(InputError, match="0 or 1"):
        mask(torch.full((1, 1, 2, 2), 0.5))
    with pytest.raises(InputError, match="orthonormal"):
        ObservedComponents(OBSERVED, torch.ones(3, 3))
    with pytest.raises(InputError, match="square"):
        ObservedComponents(OBSERVED, torch.eye(3)[:2])


def test_means_of_blocks_need_no_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a side of 3024 pixels took a minute, in which nothing could stop the work."""
    for name in ("svd", "eigh"):
        monkeypatch.delattr(torch.linalg, name)
    operator = downsampling(2, 12, 16)
    y = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(operator.pinv(y), 4 * operator.adjoint(y))
