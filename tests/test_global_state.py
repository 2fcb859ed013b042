"""Random draws of the program that calls are as they would have been: no global generator is drawn from or seeded."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.models.config import ClassifierConfig, ModelConfig
from scoreinv.models.model_file import save
from scoreinv.networks.classifiers import WideResNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.sdes import VP
from scoreinv.tasks.bits_per_dim import pictures_bits_per_dim
from scoreinv.tasks.sampling_settings import LikelihoodSettings

DIFFUSERS = Path(__file__).parent / "data" / "diffusers" / "ddpm"
PRIOR = gaussian_colour_prior(torch.full((3,), 0.5), torch.eye(3) * 0.01)
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
STATE = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
HOLE = np.zeros((16, 16), dtype=bool)
HOLE[5:9, 5:9] = True


def states() -> tuple[bytes, bytes, object]:
    return pickle.dumps(torch.random.get_rng_state().numpy()), pickle.dumps(np.random.get_state()), random.getstate()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    network = NCSNppConfig(width=8, multipliers=(1,), blocks=1, attention_levels=(), progressive_input="none")
    configs = {
        "prior": ModelConfig(network, VP(), EDM(), image_size=8),
        "classifier": ClassifierConfig(WideResNetConfig(depth=10, width=1, classes=2), VP(), ("a", "b"), image_size=8),
    }
    for name, config in configs.items():
        save(config.build(), folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in configs}


CALLS: dict[str, Callable[[dict[str, Path]], object]] = {
    "load": lambda files: scoreinv.load(files["prior"]),
    "load a folder of diffusers": lambda _: scoreinv.load(DIFFUSERS),
    "load_classifier": lambda files: scoreinv.load_classifier(files["classifier"]),
    "inpaint": lambda _: scoreinv.inpaint(PICTURE, HOLE, prior=PRIOR, steps=2),
    "colorize": lambda _: scoreinv.colorize(PICTURE, prior=PRIOR, steps=2),
    "generate": lambda _: scoreinv.generate(PRIOR, 1, steps=2),
    "bits_per_dim": lambda _: scoreinv.bits_per_dim(PRIOR, STATE, steps=2),
    "of a picture": lambda _: pictures_bits_per_dim([Picture(PICTURE)], PRIOR, LikelihoodSettings(steps=2)),
    "encode": lambda _: scoreinv.encode(PRIOR, STATE, steps=2),
    "decode": lambda _: scoreinv.decode(PRIOR, STATE, steps=2),
    "interpolate": lambda _: scoreinv.interpolate(PICTURE, PICTURE[::-1], 2, prior=PRIOR, steps=2),
}


@pytest.mark.parametrize("call", CALLS)
def test_global_generators_stay_as_they_were(call: str, files: dict[str, Path]) -> None:
    before = states()
    CALLS[call](files)
    assert states() == before
