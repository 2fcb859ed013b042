"""The noise of a photograph, estimated from its pixels: a level for each component at every place, and its words.

A network estimates the levels. White noise is recognized in closed form, and its level is more exact: the covariance of
its patches is s^2 I, and natural patches lie near a subspace, so the smallest eigenvalues of the covariance of noisy
patches are equal, and s^2 is the mean of as many as have their median for a mean (Chen, Zhu and Heng 2015, "An
efficient statistical method for image noise level estimation").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.networks.noise_levels import level_of_values, of_gray
from scoreinv.system.progress import Part
from scoreinv.tasks.common import to_tensor

LEAST = 2.5 / 255
"""Noise that is left, in [0, 1]. Of 100 photographs reduced to half their size 10 have more. By the mean of the levels,
instead of the rms, 5 would, but 0.2 dB less of the faint noise of cameras would be removed."""
_SEEN = 1.5
"""Ratio of two levels from which the larger one is named in words."""
_SIDES, _FEWEST, _MOST = {1: 8, 3: 6}, 4_000, 40_000
"""Side of grey and of colour patches in pixels, and the range of their number."""
_FLAT = 1.25
"""Largest ratio of the deviations of the first quarter of the components; 1.05 to 1.22 for white noise of 3 to 50 grey
levels, 1.3 and more for noise of cameras."""
_AGREEMENT = 0.38
"""Largest rms of the logarithms of the network's levels over that of white noise. White noise of 15 to 50 grey levels
has 0.1 to 0.2, with coarse noise beside it 0.4."""


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a photograph.

    Attributes:
        levels: standard deviations of its components (`networks.noise_levels`), (1, COMPONENTS, H/2, W/2) in [0, 1].
            Those of grey photographs are `of_gray`.
        gray: the photograph is grey.
        words: description, such as "colour noise, strongest in the shadows".
        white: the noise is white, and its level the same everywhere.
    """

    levels: Tensor
    gray: bool
    words: str
    white: bool = False

    @cached_property
    def std(self) -> float:
        """Return the standard deviation of one value's noise, in [0, 1]: rms over the photograph."""
        return float(level_of_values(self.levels).square().mean().sqrt()) / white_level(1.0, gray=self.gray)


def estimate_noise(picture: Picture, models: Models) -> Noise:
    """Estimate the noise of a photograph by the models' estimator, or in closed form if it is white."""
    estimator, gray = models.noise_estimator(), picture.is_gray()
    with Part(0, 0):  # its time does not count: it is short
        levels = estimator.levels(to_tensor([picture.rgb()], torch.device("cpu")))
    if gray:
        levels = of_gray(levels)
    noise = Noise(levels, gray, _described(levels, gray, picture))
    white = std_of_white(picture.luma()[..., None] if gray else picture.rgb(), noise.std)
    if white is None:
        return noise
    level = white_level(white, gray=gray)
    if float((levels / level).log().square().mean().sqrt()) > _AGREEMENT:
        return noise
    return Noise(torch.full_like(levels, level), gray, "grain" if gray else "noise", white=True)


def std_of_white(values: np.ndarray, guess: float) -> float | None:
    """Return the standard deviation of the white noise of a picture, or None if its noise is not white.

    Args:
        values: HxWxC in [0, 1].
        guess: of the standard deviation. Patches within twice of it of black or white are left out, since their noise
            is clipped, unless too few would be left.
    """
    height, width, channels = values.shape
    side = _SIDES[channels]
    if min(height, width) < 2 * side:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side), (0, 1))
    step = max(1, math.isqrt(height * width // _MOST))
    patches = windows[::step, ::step].reshape(-1, channels, side**2)
    distances = np.abs(patches.mean(2) - 0.5).max(1)
    nearest = np.sort(distances)[:_FEWEST][-1]
    patches = patches[distances <= max(0.5 - 2 * guess, nearest)].reshape(-1, channels * side**2)
    if len(patches) < 4 * patches.shape[1]:
        return None
    variances = np.linalg.eigvalsh(np.cov(patches.T))
    count = len(variances)
    if not 0 < variances[count // 4] < _FLAT**2 * variances[0]:
        return None
    means = variances.cumsum() / np.arange(1, count + 1)
    symmetric = [mean for number, mean in enumerate(means, 1) if np.median(variances[:number]) >= mean]
    return math.sqrt(symmetric[-1] if symmetric else variances[0])


def white_level(noise_std: float, *, gray: bool) -> float:
    """Return the standard deviation of white colour noise with the same effect on the picture as this noise.

    In a grey picture the three channels share their noise. Along the grey axis it has sqrt(3) times the standard
    deviation of noise that is independent between channels.
    """
    return noise_std * math.sqrt(3) if gray else noise_std


def given_or_estimated(noise_std: float | None, picture: Picture, models: Models) -> Noise | float:
    """Return the given standard deviation of white noise, or the estimate if there is none."""
    return estimate_noise(picture, models) if noise_std is None else noise_std


def std_of(noise: Noise | float) -> float:
    """Return the standard deviation of one value's noise, in [0, 1]."""
    return noise.std if isinstance(noise, Noise) else noise


def _described(levels: Tensor, gray: bool, picture: Picture) -> str:
    """Describe the kind of noise, and where it is strongest."""
    luma, chroma, _, _, coarse_luma, coarse_chroma = levels.square().mean((0, 2, 3)).sqrt().tolist()
    if gray:
        kind, ratio = "grain", coarse_luma / luma
    elif chroma > _SEEN * luma or coarse_chroma > _SEEN * coarse_luma:
        kind, ratio = "colour noise", coarse_chroma / chroma
    else:
        kind, ratio = "noise", coarse_luma / luma
    if ratio > _SEEN:
        kind = f"coarse {kind}"
    light = F.adaptive_avg_pool2d(torch.from_numpy(picture.luma())[None], (levels.shape[-2], levels.shape[-1]))[0]
    variance, middle = level_of_values(levels)[0, 0].square().cpu(), light.median()
    dark, bright = (float(variance[part].mean().sqrt()) for part in (light <= middle, light >= middle))
    if dark > _SEEN * bright:
        return f"{kind}, strongest in the shadows"
    return f"{kind}, strongest in the highlights" if bright > _SEEN * dark else kind
