"""The noise prediction in bfloat16 is close to that in float32 where noise is not too weak."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import scoreinv
from scoreinv.models.foreign.published import published
from scoreinv.prior import ScorePrior
from scoreinv.sdes import time_at

ROOT = Path(__file__).parents[1]
SIGMAS = (0.05, 0.3, 2.0, 10.0)


def _relative_errors(prior: ScorePrior, x: Tensor, t: Tensor) -> list[float]:
    with torch.no_grad():
        exact = prior.noise(x, t)
        rough = prior.to(torch.bfloat16).noise(x, t)
    norms = torch.linalg.vector_norm(rough - exact, dim=(1, 2, 3)) / torch.linalg.vector_norm(exact, dim=(1, 2, 3))
    return norms.tolist()


def _picture(prior: ScorePrior) -> Tensor:
    with Image.open(ROOT / "examples" / "damaged" / "astronaut.png") as file:
        side = prior.image_size
        picture = np.array(file.convert("RGB").resize((2 * side, 2 * side)))[:side, :side]
    return prior.to_model(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)


@pytest.mark.parametrize("model", ["cifar10", pytest.param("photo", marks=pytest.mark.slow), "scene"])
def test_a_bundled_model(model: str) -> None:
    prior = scoreinv.load(model)
    x0 = _picture(prior).expand(len(SIGMAS), -1, -1, -1)
    t = time_at(prior.sde, torch.tensor(SIGMAS, dtype=torch.float64))
    x = prior.sde.perturb(x0, t, torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)))
    assert max(_relative_errors(prior, x, t)) < 0.035  # of noise of 0.05: a quarter of a grey level in the picture


@pytest.mark.parametrize(
    "name",
    [
        "ve/cifar10_ncsnpp_continuous",
        pytest.param("ve/church_ncsnpp_continuous", marks=pytest.mark.slow),
        pytest.param("vp/cifar10_ddpmpp", marks=pytest.mark.slow),
        "vp/cifar10_ddpm",
    ],
)
def test_a_random_network_of_a_published_kind(name: str) -> None:
    torch.manual_seed(0)
    config = published(name)
    network = replace(config.network, width=32, blocks=2, multipliers=config.network.multipliers[:3], init_scale=1.0)
    prior = replace(config, network=network).build().eval()
    x0 = _picture(prior)[..., :32, :32].expand(4, -1, -1, -1)
    t = torch.tensor([0.35, 0.5, 0.7, 0.9])
    alpha, sigma = (value.float().view(-1, 1, 1, 1) for value in (prior.sde.alpha(t), prior.sde.sigma(t)))
    assert sigma.min() >= 0.05
    x = alpha * x0 + sigma * torch.randn(x0.shape)
    assert max(_relative_errors(prior, x, t)) < 0.03  # more than a trained one, whose noise passes nearly straight
