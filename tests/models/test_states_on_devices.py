"""States on one device, times and noise labels on the CPU: torch refuses to mix them, and `meta` stands for a GPU."""

from contextlib import nullcontext

import pytest
import torch

from scoreinv.models.config import ClassifierConfig, ModelConfig
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVP
from scoreinv.sdes import VE, VP
from scoreinv.system.errors import SettingError

NCSNPP = NCSNppConfig(width=8, multipliers=(1, 1), blocks=1, attention_levels=(1,))


@pytest.fixture(autouse=True)
def autocast_on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows no `meta`."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(FFDNetConfig(width=8, layers=3), VE(0.01, 80.0), DataPrediction(), (-1.0, 1.0), 16),
        ModelConfig(NCSNPP, VP(), PaperVP(), image_size=16),
        ModelConfig(NCSNPP, VE(), EDM(), image_size=16),
    ],
    ids=["ffdnet", "ncsnpp", "edm"],
)
def test_a_prior_takes_states_of_its_device(config: ModelConfig) -> None:
    prior = config.build().to(torch.device("meta"))
    x = torch.zeros(2, 3, 16, 16, device="meta")
    for t in (0.5, torch.tensor([0.2, 0.7], dtype=torch.float64)):
        assert prior.noise(x, t).device.type == "meta"
        assert prior.denoise(x, t).shape == x.shape


@pytest.mark.parametrize(
    "network", [WideResNetConfig(classes=2, depth=10, width=1), ConvNetConfig(classes=2)], ids=["wide", "plain"]
)
def test_a_classifier_takes_states_of_its_device(network) -> None:
    classifier = ClassifierConfig(network, VP(), ("a", "b"), image_size=32).build().to("meta").eval()
    assert classifier(torch.zeros(2, 3, 32, 32, device="meta"), 0.5).shape == (2, 2)


def test_a_device_that_is_not_there_is_an_error_on_one_line() -> None:
    prior = ModelConfig(FFDNetConfig(width=8, layers=3), VE(0.01, 80.0), DataPrediction(), (-1.0, 1.0), 16).build()
    for device in ("nowhere", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(SettingError, match=rf"^device {device}: not available \(.+\)$"):
            prior.to(device)
    assert prior.device.type == "cpu"
