"""The residual U-Net without normalisation."""

import pytest
import torch

import scoreinv
from scoreinv.checkpoints.config import ModelConfig
from scoreinv.checkpoints.files import save_model
from scoreinv.errors import InputError
from scoreinv.networks.resunet import ResUNetConfig
from scoreinv.preconditioning import EDM
from scoreinv.sdes import VE

SMALL = ResUNetConfig(widths=(8, 12, 16), blocks=(1, 1, 2), embedding=16)


def _filled(config: ResUNetConfig) -> torch.nn.Module:
    """A network whose last layers are not about zero."""
    network = config.build().double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return network


@pytest.mark.parametrize("patch", [1, 2])
def test_what_it_sees_is_near(patch: int) -> None:
    """No statistics over the picture: what is far away changes nothing, so that the size of a picture does not."""
    config = ResUNetConfig(widths=(8, 12), blocks=(1, 1), embedding=16, patch=patch)
    network = _filled(config)
    x = torch.randn(1, 3, 24, 96, dtype=torch.float64)
    changed = x.clone()
    changed[..., 72:] += 1
    with torch.no_grad():
        before, after = (network(value, torch.tensor([0.3])) for value in (x, changed))
    torch.testing.assert_close(before[..., :24], after[..., :24])
    assert not torch.allclose(before[..., 80:], after[..., 80:])


def test_the_noise_level_changes_the_answer() -> None:
    network, x = _filled(SMALL), torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        apart = network(x, torch.tensor([0.1, 5.0]))
        for row, level in enumerate((0.1, 5.0)):
            alone = network(x[row : row + 1], torch.tensor([level]))
            torch.testing.assert_close(apart[row : row + 1], alone)
        assert not torch.allclose(apart[1], network(x, torch.tensor([0.1, 0.1]))[1])


def test_a_fresh_network_answers_about_zero() -> None:
    with torch.no_grad():
        assert SMALL.build()(torch.randn(1, 3, 16, 16), torch.tensor([1.0])).abs().max() < 1e-3


def test_saved_and_loaded(tmp_path) -> None:
    config = ModelConfig(SMALL, VE(0.01, 80.0), EDM(), (-1.0, 1.0), 16)
    prior = config.build()
    save_model(tmp_path / "model.safetensors", prior, config, half=False, notes={})
    again = scoreinv.load(tmp_path / "model.safetensors")
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(again.noise(x, 0.5), prior.noise(x, 0.5))


def test_bfloat16_is_near_float32() -> None:
    prior = ModelConfig(SMALL, VE(0.01, 80.0), EDM(), (-1.0, 1.0), 16).build()
    prior.network.load_state_dict(_filled(SMALL).float().state_dict())
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        exact, rounded = prior.noise(x, 0.4), prior.to(torch.bfloat16).noise(x, 0.4)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).norm() < 0.02 * exact.norm()  # bfloat16 has 8 bits, so 0.4 % a rounding


@pytest.mark.parametrize("wrong", [{"blocks": (1,)}, {"embedding": 15}, {"widths": (8,), "blocks": (1,)}])
def test_options_that_do_not_fit(wrong: dict) -> None:
    with pytest.raises(InputError):
        ResUNetConfig(**wrong)
