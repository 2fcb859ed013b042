"""Exact likelihood of 8-bit pictures, in bits per dimension (Song et al. 2021, section 4.3 and appendix D.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from scoreinv.errors import InputError, ScoreinvError
from scoreinv.imaging.picture import Picture
from scoreinv.likelihood import bits_per_dim
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.tasks.common import Share, TaskCallback, Told, to_tensor

Probe = Literal["rademacher", "gaussian"]

_DEQUANTISATION, _PROBE = 0, 1


@dataclass(frozen=True)
class PictureDensity:
    """Likelihood of one picture.

    Attributes:
        bits_per_dim: mean over the repeats.
        nfe: evaluations of the network, in all repeats.
    """

    bits_per_dim: float
    nfe: int


def picture_bits_per_dim(
    picture: Picture,
    prior: ScorePrior,
    *,
    repeats: int = 1,
    rtol: float = 1e-5,
    probe: Probe = "rademacher",
    seed: int = 0,
    callback: TaskCallback | None = None,
) -> PictureDensity:
    """Bits per dimension of a picture of levels k, uniformly dequantised to (k + u) / 256, without its alpha.

    Arguments:
        repeats: draws of u and of the probe that are averaged; each is unbiased.
        rtol: tolerance of the solver, relative and absolute.
        probe: of the trace estimate.

    Raises InputError for a picture that is not of 8 bits, or whose sides are no multiples of the model's stride.
    """
    if picture.pixels.dtype != np.uint8:
        raise InputError("likelihood in bits per dimension is defined for 8-bit pictures: convert the picture first")
    if picture.height % prior.stride or picture.width % prior.stride:
        raise InputError(
            f"the picture is {picture.width}x{picture.height}, and this model needs sides that are multiples of "
            f"{prior.stride} (it was trained at {prior.image_size}): crop the picture first"
        )
    levels = to_tensor([np.rint(picture.rgb() * 255)], prior.device)[:, : prior.channels]
    share = Share(callback, repeats)
    bits, nfe = [], 0
    for repeat in range(repeats):
        share.begin(1)
        u = torch.from_numpy(np.random.default_rng([seed, repeat, _DEQUANTISATION]).random(levels.shape, np.float32))
        x = prior.to_model((levels + u.to(levels)) / 256)
        result = bits_per_dim(
            prior,
            x,
            probe=_draw_probe(probe, x, NoiseStream.keyed([(seed, repeat, _PROBE)], prior.device)),
            rtol=rtol,
            atol=rtol,
            callback=Told(share),
        )
        bits.append(float(result.bits_per_dim[0]))
        nfe += int(result.nfe[0])
    mean = float(np.mean(bits))
    if not np.isfinite(mean):
        raise ScoreinvError("the likelihood is not finite: the model's weights are damaged")
    return PictureDensity(mean, nfe)


def _draw_probe(kind: Probe, x: Tensor, noise: NoiseStream) -> Tensor:
    if kind == "rademacher":
        return noise.rademacher(x.shape)
    if kind == "gaussian":
        return noise.normal(x.shape)
    raise InputError(f"unknown probe {kind!r}: choose rademacher or gaussian")
