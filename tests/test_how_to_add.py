"""The page "How to add" of scoreinv/README.md: its examples run, and are what they say."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.gaussian import GaussianPrior
from torch import Tensor

import scoreinv
from scoreinv.operators import LinearOperator
from scoreinv.samplers import NoiseStream
from scoreinv.sdes import VP

PACKAGE = Path(scoreinv.__file__).parent
README = PACKAGE / "README.md"


def test_the_map_names_modules_that_exist() -> None:
    rows = README.read_text().split("## A map of the code", 1)[1].split("\n**", 1)[0].splitlines()
    places = [name for row in rows for name in re.findall(r"`([^`]+)`", row.rstrip("| ").rpartition("|")[2])]
    assert len(places) > 20
    assert [name for name in places if not (PACKAGE / name).is_dir() and not (PACKAGE / f"{name}.py").is_file()] == []


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """All names of the page's script."""
    section = README.read_text().split("## How to add", 1)[1].split("\n## ", 1)[0]
    names: dict[str, Any] = {"__name__": "how_to_add"}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
            exec(compile(block, str(README), "exec", dont_inherit=True), names)
    return names


def test_samples_are_pictures(page: dict[str, Any]) -> None:
    for name, evaluations in {"jumped": 5, "drawn": 9, "posterior": 5}.items():
        assert page[name].x0.shape == (2, 3, 16, 16)
        assert page[name].x0.isfinite().all()
        assert page[name].nfe.tolist() == [evaluations] * 2


def test_the_sde_follows_from_its_marginal(page: dict[str, Any]) -> None:
    sde, t = page["Cosine"](), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    angle = sde.angle
    torch.testing.assert_close(sde.drift_rate(t), -angle * (angle * t).tan())
    torch.testing.assert_close(sde.diffusion_squared(t), 2 * angle * (angle * t).tan())


def test_the_sampler_is_of_second_order(page: dict[str, Any]) -> None:
    prior, noise = GaussianPrior(VP(), 0.3, 0.04), NoiseStream(0, 64, dtype=torch.float64)
    start = prior.sde.prior_std * noise.normal((64, 1, 1, 1))

    def end(steps: int) -> Tensor:
        return page["Midpoint"](steps=steps).sample(prior, (64, 1, 1, 1), rng=Same(start)).x0

    exact = end(320)
    coarse, fine = ((end(steps) - exact).abs().max() for steps in (20, 40))
    assert coarse / fine > 3


class Same(NoiseStream):
    """One draw again and again."""

    def __init__(self, draw: Tensor) -> None:
        super().__init__(0, len(draw), dtype=draw.dtype)
        self.draw = draw

    def normal(self, shape: Any, device: Any = None, dtype: Any = None) -> Tensor:
        return self.draw


@pytest.mark.slow
def test_the_predictor_draws_from_the_prior(page: dict[str, Any]) -> None:
    prior, count = GaussianPrior(VP(), 0.3, 0.04), 4000
    sampler = page["PC"](page["Jump"](), corrector_steps=0, steps=100, spacing=page["karras_times"])
    x0 = sampler.sample(prior, (count, 1, 1, 1), rng=NoiseStream(0, count)).x0
    assert abs(float(x0.mean()) - 0.3) < 4 * 0.2 / count**0.5


def test_the_operator_has_its_transpose_and_pseudo_inverse(page: dict[str, Any]) -> None:
    operator: LinearOperator = page["operator"]
    x, y = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 1, 4, 4, dtype=torch.float64)
    torch.testing.assert_close((operator(x) * y).sum(), (x * operator.adjoint(y)).sum())
    torch.testing.assert_close(operator.pinv(y), y.expand(-1, 3, -1, -1))


def test_guidance_is_drawn_to_the_observation(page: dict[str, Any]) -> None:
    prior, operator = GaussianPrior(VP(), 0.0, 1.0), page["operator"]
    y = torch.full((2, 1, 4, 4), 0.8)
    guided = page["DataAssimilation"](prior, page["Observation"](operator, y, noise_std=0.05))
    found = page["DPMpp2M"](steps=60).sample(guided, (2, 3, 4, 4), rng=NoiseStream(0, 2)).x0
    assert (operator(found) - y).abs().mean() < 0.15
