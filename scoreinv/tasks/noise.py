"""The noise of a photograph, estimated from its pixels: a level for each component at every place, and its words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.networks.noise_levels import level_of_values, of_gray
from scoreinv.system.progress import Part
from scoreinv.tasks.common import to_tensor

LEAST = 2.5 / 255
"""Noise that is left, in [0, 1]. Of 28 healthy photographs a tenth has more, reduced to half their size."""
_SEEN = 1.5
"""Ratio of two levels from which the larger one is named in words."""


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a photograph.

    Attributes:
        levels: standard deviations of its components (`networks.noise_levels`), (1, COMPONENTS, H/2, W/2) in [0, 1].
            Those of grey photographs are `of_gray`.
        gray: the photograph is grey.
        words: description, such as "colour noise, strongest in the shadows".
    """

    levels: Tensor
    gray: bool
    words: str

    @cached_property
    def std(self) -> float:
        """Return the standard deviation of one value's noise, in [0, 1]: rms over the photograph."""
        level = float(level_of_values(self.levels).square().mean().sqrt())
        return level / math.sqrt(3) if self.gray else level


def estimate_noise(picture: Picture, models: Models) -> Noise:
    """Estimate the noise of a photograph by the models' estimator."""
    estimator, gray = models.noise_estimator(), picture.is_gray()
    with Part(0, 0):  # its time does not count: it is short
        levels = estimator.levels(to_tensor([picture.rgb()], torch.device("cpu")))
    if gray:
        levels = of_gray(levels)
    return Noise(levels, gray, _described(levels, gray, picture))


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
