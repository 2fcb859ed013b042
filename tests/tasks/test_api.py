"""What a user of Python meets first: models by name, types of results, an operator of one's own, errors of guidance."""

import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.analytic import gaussian_colour_prior
from support.gaussian import GaussianPrior
from support.small_chroma import chroma_prior
from support.small_conditional import conditional_prior
from torch import Tensor

import scoreinv
from scoreinv.guidance import DPS, MMPS, Observation
from scoreinv.models.config import ModelConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.operators import Blur, LinearOperator, kernels, mask
from scoreinv.preconditioning import EDM
from scoreinv.prior import ScorePrior
from scoreinv.sdes import SDE, VE, VP
from scoreinv.system.errors import CheckpointError
from scoreinv.tasks.notes import Note, info, warning

PICTURE = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
HOLE = np.pad(np.ones((4, 4), bool), 6)


class EveryOther(LinearOperator):
    """Every other column."""

    def __call__(self, x: Tensor) -> Tensor:
        return x[..., ::2]

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.stack([y, torch.zeros_like(y)], -1).flatten(-2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = NCSNppConfig(width=8, multipliers=(1,), blocks=1, attention_levels=(), fir_kernel=None, dropout=0.0)
    config = ModelConfig(network, VE(0.01, 10.0), EDM(), (-1.0, 1.0), 16)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        scoreinv.save(config.build(), path)
    return path


def test_results_operators_and_conditions_are_shown_on_a_line(model: Path) -> None:
    for picture, shown in ((PICTURE, "float32 16x16x3"), (Image.new("RGB", (16, 16)), "RGB 16x16")):
        result = scoreinv.inpaint(picture, HOLE, prior=model, samples=2, steps=1)
        start = f"InpaintOutcome(image={shown}, samples=[{shown}, ... 2 in all], std=float32 16x16, nfe="
        assert repr(result).startswith(start)
    blur, seen = Blur(kernels.gaussian(1), 16, 16), mask(torch.ones(1, 1, 16, 16))
    assert re.fullmatch(r"Blur\(kernel=float64 \d+x\d+, height=16, width=16\)", repr(blur))
    assert repr(seen @ blur).startswith("Composed(outer=ObservedComponents(observed=float32 1x1x16x16, ")
    assert repr(EveryOther()) == "EveryOther()"
    prior = scoreinv.load(model)
    assert repr(DPS(prior, Observation(seen, torch.zeros(1, 3, 16, 16), 0.1))) == f"DPS({prior!r})"


@pytest.mark.parametrize(
    "name", ["inpaint", "colorize", "restore", "denoise", "upscale", "deblur", "solve", "generate", "interpolate"]
)
def test_a_front_door_explains_its_arguments_itself(name: str) -> None:
    function = getattr(scoreinv, name)
    words = inspect.getdoc(function) or ""
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"^ {{4}}(\w+, )*{argument}(, \w+)*:", words, re.MULTILINE), argument
    assert [word for word in re.findall(r"`([A-Z]\w+)`", words) if not hasattr(scoreinv, word)] == []
    assert set(re.findall(r"scoreinv\.(\w+)", words)) <= set(dir(scoreinv))  # without an import of their own


@pytest.mark.slow
def test_a_name_or_a_file_stands_for_a_model(model: Path) -> None:
    at_hand = scoreinv.load(model)
    y = torch.rand(1, 3, 16, 8)
    calls = {
        "inpaint": lambda prior: scoreinv.inpaint(PICTURE, HOLE, prior=prior, steps=2).image,
        "colorize": lambda prior: scoreinv.colorize(PICTURE[..., 0], prior=prior, steps=2).image,
        "solve": lambda prior: scoreinv.solve(EveryOther(), y, prior=prior, steps=2).image,
        "generate": lambda prior: scoreinv.generate(prior, 1, sampler="multistep", steps=2).images,
        "interpolate": lambda prior: scoreinv.interpolate(PICTURE, PICTURE, 2, prior=prior, steps=1).images,
    }
    for name, call in calls.items():
        for prior in (model, str(model)):
            np.testing.assert_array_equal(call(prior), call(at_hand), err_msg=name)
        with pytest.raises(CheckpointError, match="no_such_model"):
            call("no_such_model")


def test_a_model_or_a_picture_that_does_not_fit_the_task_is_noted() -> None:
    photo, scene = conditional_prior(), chroma_prior()
    gray, mean = PICTURE[..., 0], {"steps": 1, "estimate": "mean"}
    coloured = np.random.default_rng(0).random((16, 16, 3))
    any_model = gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3) * 0.01)

    def fill_notes(prior: ScorePrior) -> list[Note]:
        return scoreinv.inpaint(gray, HOLE, prior=prior, **mean).notes

    def color_notes(image: np.ndarray, prior: ScorePrior, **settings: object) -> list[Note]:
        return scoreinv.colorize(image, prior=prior, **settings).notes

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fill_notes(photo) == []
        assert warning("model_other_task", task="colour") in fill_notes(scene)
        assert warning("model_other_task", task="fill") in color_notes(gray, photo, **mean)
        assert color_notes(gray, any_model, steps=1) == []
        assert color_notes(coloured, any_model, steps=1, keep_color=True) == [info("colors_kept")]
        assert color_notes(coloured, any_model, steps=1) == [warning("colors_replaced")]


@pytest.mark.parametrize("method", ["dpir", "diffpir", "pigdm", "dps", "mmps"])
def test_an_operator_of_two_methods_serves(model: Path, method: str) -> None:
    y = EveryOther()(torch.rand(1, 3, 16, 16))
    estimate = "mean" if method == "dpir" else "sample"
    result = scoreinv.solve(
        EveryOther(), y, prior=model, noise_std=0.1, method=method, steps=2, samples=1, estimate=estimate
    )
    assert result.image.shape == (1, 3, 16, 16)


@pytest.mark.parametrize("sde", [VP(0.1, 40.0), VE(0.01, 5000.0)])
def test_an_error_of_the_network_at_the_strongest_noise_is_no_divergence(sde: SDE) -> None:
    """It counts sigma / alpha times in the denoised mean."""

    class Erring(GaussianPrior):
        def noise(self, x: torch.Tensor, t: float | torch.Tensor) -> torch.Tensor:
            return super().noise(x, t) + 0.5

    x = sde.prior_std * torch.randn(1, 3, 4, 4)
    guided = MMPS(Erring(sde, 0.0, 1.0), Observation(EveryOther(), torch.full((1, 3, 4, 2), 0.5), noise_std=0.5))
    assert guided.noise(x, 1.0).isfinite().all()
