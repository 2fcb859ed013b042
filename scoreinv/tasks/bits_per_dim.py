"""The task `likelihood`: exact likelihood of 8-bit pictures in bits per dimension (Song et al. 2021, 4.3, D.2)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from scoreinv.imaging.picture import Picture
from scoreinv.likelihood import flow_likelihood
from scoreinv.models.peak_memory import gradient_bytes
from scoreinv.networks.ncsnpp import NCSNpp
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.samplers.rng import generator
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.limits import limits
from scoreinv.system.memory import shortage
from scoreinv.system.options import ODE_RTOL
from scoreinv.tasks.common import SizedModel, check_sides, colours_for, in_batches, to_tensor
from scoreinv.tasks.sampling_settings import LikelihoodSettings

_DEQUANTISATION, _PROBE = 0, 1
_DEFAULT = LikelihoodSettings()


@dataclass(frozen=True)
class PictureDensity:
    """Likelihood of one picture.

    Attributes:
        bits_per_dim: mean over the repeats.
        standard_error: standard error of that mean, from the spread of the repeats; None for one repeat.
        nfe: evaluations of the network, over all repeats.
    """

    bits_per_dim: float
    standard_error: float | None
    nfe: int


def pictures_bits_per_dim(
    pictures: Sequence[Picture],
    prior: ScorePrior,
    settings: LikelihoodSettings = _DEFAULT,
) -> list[PictureDensity]:
    """Return the bits per dimension of pictures, uniformly dequantised from k to (k + u) / 256; alpha is ignored.

    The draws of a picture are keyed by the seed and its pixels. Its result does not depend on the others, and the
    errors of different pictures are independent.

    Args:
        pictures: pictures of one size, which `check_picture` accepts.

    Raises:
        InputError: a size that does not fit in memory.
        ScoreinvError: the likelihood is not finite.
    """
    height, width = pictures[0].size
    large = prior.device.type == "cpu" and height * width > limits().pixels_at_once
    needed = gradient_bytes(prior.network.config, height * width) if isinstance(prior.network, NCSNpp) else 0
    if large and (lacking := shortage(needed)):
        raise InputError(f"a likelihood of {width}x{height} pixels {lacking}: reduce or crop the picture")
    colours = [colours_for(picture, prior.channels) for picture in pictures]
    # Keys by pixels make the draws of different pictures independent.
    hashes = [hashlib.blake2b(values.tobytes(), digest_size=8).digest() for values in colours]
    levels = to_tensor([np.rint(values * 255) for values in colours], prior.device)
    draws = [(item, repeat) for item in range(len(pictures)) for repeat in range(settings.repeats)]
    rtol = ODE_RTOL if settings.rtol is None else settings.rtol
    bits, nfe = [], []
    for some, part in in_batches(draws, height * width):
        keys = [(settings.seed, repeat, int.from_bytes(hashes[item])) for item, repeat in some]
        u = np.stack([generator(*key, _DEQUANTISATION).random(levels.shape[1:], np.float32) for key in keys])
        x = prior.to_model((levels[[item for item, _ in some]] + torch.from_numpy(u).to(levels)) / 256)
        noise = NoiseStream.keyed([(*key, _PROBE) for key in keys], prior.device)
        probe = noise.rademacher(x.shape) if settings.probe == "rademacher" else noise.normal(x.shape)
        with part:
            result = flow_likelihood(prior, x, probe=probe, steps=settings.steps, rtol=rtol, atol=rtol, callback=None)
        bits += result.bits_per_dim.tolist()
        nfe += result.nfe.tolist()
    if not np.isfinite(bits).all():
        raise ScoreinvError("the likelihood is not finite: the model's weights are damaged")
    densities = []
    for first in range(0, len(draws), settings.repeats):
        repeats = bits[first : first + settings.repeats]
        evaluations = sum(nfe[first : first + settings.repeats])
        densities.append(PictureDensity(float(np.mean(repeats)), standard_error(repeats), evaluations))
    return densities


def check_picture(picture: Picture, model: SizedModel) -> None:
    """Raise InputError unless a picture has 8 bits per channel and sides that are multiples of the model's stride."""
    if picture.pixels.dtype != np.uint8:
        raise InputError("likelihood in bits per dimension is defined for 8-bit pictures: convert the picture first")
    check_sides(picture, model)


def pictures_at_once(size: tuple[int, int]) -> int:
    """Return the batch size for pictures of (height, width), at least 1."""
    return max(1, limits().pixels_at_once // (size[0] * size[1]))


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean of the values; None for one value."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
