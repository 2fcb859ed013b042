"""Correction of faded tones in `restore`: black and white points, contrast and cast, by one curve per channel.

A network (`models.tone_estimator`) compares a reduced picture with its expected colours, predicted by `scene` from the
luma. It estimates the curves that invert the fading, and the odds that they bring the picture closer to its original
state. If the odds are low, the picture stays unchanged, unless the user sets a strength.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.analysis.borders import within_border
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.tone_curves import ToneCurves, mean_difference, tone_changes, with_tones
from scoreinv.models.catalogue import bundled_network
from scoreinv.models.tone_estimator import PARTS, QUANTILES, SIDE, ToneNetwork
from scoreinv.models.weights import read_network
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.operators.luma import colour_basis, luma_weights
from scoreinv.system.files import MODEL_FILE, PRETRAINED
from scoreinv.tasks.notes import Note, info

REDUCED_SIDE = 224
"""Side of the square to which pictures are resized for predicting colours, in pixels."""
LEAST_SIDE = 144
"""Smallest side of a picture whose tones can be estimated, in pixels."""
_LEAST_ODDS, _LEAST_OF_GRAY, _LEAST_OF_WORN = 0.0, -0.5, -1.5
"""Minimum log odds of a gain for a correction: of a colour picture, a grey picture, and a damaged print."""
_LEAST_CHANGE = 3.5
"""Smallest correction, as mean CIEDE2000; smaller estimates are unreliable."""
_BLACK, _DARKER = 0.01, 0.5
"""Limits below which a channel is dark: of its minimum, and of its maximum relative to that of the lightest channel. A
faded print has no dark channel, because fading raises black; a picture under water has, red."""


def tone_network() -> ToneNetwork:
    """Return the network that estimates the curves."""
    return bundled_network("tone")  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def chroma_network() -> ChromaNetwork:
    """Read the network of the mean chroma from the file of `scene`, without the rest of it, once per process."""
    return read_network(PRETRAINED / "scene" / MODEL_FILE, ChromaNetwork, "chroma.")


def tone_picture(
    picture: Picture, strength: float | None = None, tones: Picture | None = None, worn: bool = False
) -> tuple[Picture, Note]:
    """Correct the faded tones of a picture; return it, unchanged if nothing is corrected, with the note about it.

    Args:
        strength: of the correction, 0 to 1. None: 1 if the picture is clearly faded, else 0.
        tones: the picture without damage, for the estimate. None: the picture.
        worn: the picture is a damaged print; its extreme tones are measured without grain and rims of cracks.
    """
    if strength is None and min(picture.size) < LEAST_SIDE:
        return picture, info("tone_too_small")
    curves, small, faded = curves_of(tones or picture, worn)
    if strength is None and not (faded and mean_difference(small, curves.toned(small)) >= _LEAST_CHANGE):
        return picture, info("tone_not_faded")
    curves = curves.weakened(1.0 if strength is None else strength)
    return with_tones(picture, curves), info("tone_corrected", **tone_changes(small, curves.toned(small)))


@torch.no_grad()
def curves_of(picture: Picture, worn: bool) -> tuple[ToneCurves, np.ndarray, bool]:
    """Return the correcting curves, the picture's colours (N, 3) at a small size, and whether it is clearly faded."""
    box = within_border(picture)
    inside = picture if box is None else picture.part(box)
    reduced = torch.from_numpy(inside.resized_rgb(REDUCED_SIDE, REDUCED_SIDE)).permute(2, 0, 1)[None]
    rgb, expected, quantiles, ends = network_inputs(reduced, expected_chroma(reduced, chroma_network()), worn)
    raw, odds = tone_network()(rgb, expected, quantiles, ends)
    small, least, largest = rgb[0].numpy(), quantiles[0, 0], quantiles[0, -1]
    dark = (least < _BLACK) & (largest < _DARKER * largest.max())
    enough = _LEAST_OF_WORN if worn else _LEAST_OF_GRAY if inside.is_gray() else _LEAST_ODDS
    faded = float(odds[0]) >= enough and not bool(dark.any())
    black, white, log_exponent = raw[0].double().numpy()
    low, high = quantiles[0, 1].numpy(), quantiles[0, -2].numpy()
    curves = ToneCurves(black, white, np.exp(log_exponent), low, high)
    if inside.is_gray():
        mean = {name: np.full(3, values.mean()) for name, values in vars(curves).items()}
        curves = ToneCurves(**mean)
    return curves, small, faded


def expected_chroma(pictures: Tensor, network: ChromaNetwork) -> Tensor:
    """Return the mean chroma predicted from the luma of pictures (B, 3, H, W) in [0, 1], and the network's features.

    The result is (B, 3 + DECODER_FEATURES, H / 16, W / 16): chroma, then features.
    """
    gray = pictures.movedim(1, -1) @ torch.tensor(luma_weights("rec601"), dtype=torch.float32)
    low, high = torch.quantile(gray.flatten(1), gray.new_tensor([0.005, 0.995]), dim=1)[..., None, None]
    stretched = ((gray - low) / (high - low).clamp_min(0.1)).clamp(0, 1)
    features, _ = network.decoder_features(stretched[:, None])
    axes = torch.tensor(colour_basis()[1:], dtype=torch.float32)
    chroma = torch.einsum("bkhw,kc->bchw", network.conv_out(features), axes) / 2
    return F.avg_pool2d(torch.cat([chroma, features], dim=1), 2)


def network_inputs(pictures: Tensor, expected: Tensor, worn: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the inputs of `ToneNetwork` for pictures (B, 3, H, W) and the result of `expected_chroma`.

    worn: measure extreme tones in the reduced pictures, which have no grain.
    """
    small = F.adaptive_avg_pool2d(pictures, SIDE)
    expected = F.interpolate(expected, size=(SIDE, SIDE), mode="bilinear")
    source = small if worn else pictures
    ends = torch.stack([sign * F.adaptive_max_pool2d(sign * source, PARTS) for sign in (-1, 1)], dim=1)
    rgb, expected, ends = (one.flatten(-2).transpose(-1, -2) for one in (small, expected, ends))
    return inputs_of_pixels(rgb, expected, ends)


def inputs_of_pixels(rgb: Tensor, expected: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the inputs of `ToneNetwork` for pixels (B, N, 3).

    Args:
        expected: (B, n, 3 + DECODER_FEATURES), for the first n pixels; the others contribute to the quantiles only.
        ends: (B, 2, `PARTS`^2, 3), darkest and lightest values of the parts of the pictures.
    """
    ordered, ends = rgb.sort(1).values, ends.sort(2).values
    quantiles = ordered[:, [round(share * (rgb.shape[1] - 1)) for share in QUANTILES]]
    quantiles = torch.cat([ends[:, 0, :1], quantiles, ends[:, 1, -1:]], dim=1)
    return rgb[:, : expected.shape[1]], expected, quantiles, ends
