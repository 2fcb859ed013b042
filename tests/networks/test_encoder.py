"""The encoder of what grey pictures show: against the package that its weights are from, by name, and in windows."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from scoreinv.models.weights import load_encoder, read_network
from scoreinv.networks.encoder import Encoder
from scoreinv.system.errors import CheckpointError
from scoreinv.windows.transforms import crop_features

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder()


def names(maps: tuple[Tensor, ...]) -> Tensor:
    """Logits of the classes of ImageNet, (B, 1000): the published network's last layers on what the encoder sees."""
    head = load_file(ROOT / "tests" / "data" / "encoder" / "head.safetensors")
    weights = {name: value.float() for name, value in head.items()}
    seen = F.relu6(F.conv2d(maps[-1], weights["head.weight"], weights["head.bias"])).mean((2, 3))
    return F.linear(seen, weights["classifier.weight"], weights["classifier.bias"])


def photograph(name: str, height: int = 224, width: int = 224, folder: Path = ROOT / "examples" / "photos") -> Tensor:
    """The luma of a bundled photograph's middle, (1, 1, H, W) in [0, 1]."""
    image = Image.open(folder / f"{name}.jpg").convert("L")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return torch.from_numpy(np.asarray(image) / np.float32(255))[None, None]


def test_it_computes_what_the_package_computes_that_its_weights_are_from(encoder: Encoder) -> None:
    expected = load_file(ROOT / "tests" / "data" / "encoder" / "io.safetensors")
    pictures = (expected["pixels"].float() / 255).expand(1, 3, -1, -1)
    with torch.no_grad():
        maps = encoder(pictures)
    found = {f"map{n}": features for n, features in enumerate(maps)} | {"logits": names(maps)}
    for name, value in found.items():
        rms = expected[name].square().mean().sqrt()
        assert (value - expected[name]).square().mean().sqrt() < 1e-4 * rms
        # the published weights themselves are float32
        assert (value - expected[f"published.{name}"]).square().mean().sqrt() < 0.01 * rms


DOGS = range(151, 269)


@pytest.mark.parametrize(("name", "classes"), [("dog", DOGS), ("lake", (970, 975, 979, 980))])
def test_it_names_what_a_grey_photograph_shows(encoder: Encoder, name: str, classes: range | tuple[int, ...]) -> None:
    assert first_choice(encoder, photograph(name)) in classes


def first_choice(encoder: Encoder, luma: Tensor) -> int:
    """The number of the class, in ImageNet's order."""
    with torch.no_grad():
        return int(names(encoder(luma.expand(-1, 3, -1, -1))).argmax())


def test_windows_cover_their_part_of_the_picture_wherever_it_lies() -> None:
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij")
    features = torch.stack([rows, columns])[None]  # 8 pixels of the picture to each
    size = (64, 96)
    torch.testing.assert_close(crop_features(features, (0, 0, 64, 96), size), features)
    torch.testing.assert_close(crop_features(features, (16, 32, 32, 40), size), features[..., 2:6, 4:9])
    between = crop_features(features, (4, 12, 32, 40), size)
    torch.testing.assert_close(between, features[..., :4, 1:6] + 0.5)
    beyond = crop_features(features, (48, 64, 32, 40), size)  # what lies beyond the border continues it
    torch.testing.assert_close(beyond[..., :2, :4], features[..., 6:, 8:])
    assert (beyond[:, 0, 2:] == 7).all()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong").write_bytes(b"no weights")
    for path in (
        tmp_path / "wrong",
        tmp_path / "absent",
        ROOT / "pretrained" / "photo" / "model.safetensors",
    ):
        with pytest.raises(CheckpointError, match=r"lacks the tensor|not a readable"):
            read_network(path, Encoder)
