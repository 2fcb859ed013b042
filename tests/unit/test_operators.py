"""Linear operators: adjoint, pseudo-inverse, composition and crops against their definitions."""

from __future__ import annotations

import pytest
import torch

from scoreinv.errors import InputError
from scoreinv.operators import Composed, LinearOperator, ObservedComponents, gray, mask

HEIGHT, WIDTH = 5, 6
GENERATOR = torch.Generator().manual_seed(0)
OBSERVED = (torch.rand(1, 1, HEIGHT, WIDTH, generator=GENERATOR) > 0.4).double()
PER_SAMPLE = (torch.rand(4, 3, HEIGHT, WIDTH, generator=GENERATOR) > 0.4).double()
BASIS = torch.linalg.qr(torch.randn(3, 3, generator=GENERATOR, dtype=torch.float64))[0]

OPERATORS: dict[str, LinearOperator] = {
    "mask": mask(OBSERVED),
    "mask per sample": mask(PER_SAMPLE),
    "gray": gray("rec601", HEIGHT, WIDTH),
    "components": ObservedComponents(PER_SAMPLE[:1], BASIS),
    "composed": mask(PER_SAMPLE[:1]) @ ObservedComponents(torch.ones(1, 1, HEIGHT, WIDTH), BASIS),
}
EVERY = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())


def picture(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, HEIGHT, WIDTH, generator=GENERATOR, dtype=torch.float64)


@EVERY
def test_adjoint(operator):
    x, y = picture(), picture()
    assert torch.allclose((operator(x) * y).sum(), (x * operator.adjoint(y)).sum())


@EVERY
def test_pseudo_inverse_is_moore_penrose(operator):
    x, y = picture(), picture()
    assert torch.allclose(operator(operator.pinv(operator(x))), operator(x))
    assert torch.allclose(operator.pinv(operator(operator.pinv(y))), operator.pinv(y))
    # A A^+ and A^+ A are symmetric
    assert torch.allclose((operator(operator.pinv(x)) * y).sum(), (x * operator(operator.pinv(y))).sum())
    assert torch.allclose((operator.pinv(operator(x)) * y).sum(), (x * operator.pinv(operator(y))).sum())


@EVERY
def test_window_of_the_operator_is_the_operator_of_the_window(operator):
    x = picture()
    boxes = [(1, 2, 3, 4), (0, 0, 3, 4)]
    cuts = torch.cat([x[..., 1:4, 2:6], x[..., :3, :4]])
    seen = operator.windows(boxes, len(x))(cuts)
    assert torch.equal(seen, torch.cat([operator(x)[..., 1:4, 2:6], operator(x)[..., :3, :4]]))


@EVERY
def test_rows_select_and_repeat_samples(operator):
    x, index = picture(), torch.tensor([2, 0, 2])
    assert torch.equal(operator.rows(index)(x[index]), operator(x)[index])


def test_composition_is_one_operator():
    composed = OPERATORS["composed"]
    assert isinstance(composed, Composed)
    x = picture()
    assert torch.allclose(composed(x), OPERATORS["components"](x))
    assert torch.allclose(composed.pinv(x), OPERATORS["components"].pinv(x))


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
