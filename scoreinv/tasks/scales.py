"""Deep holes from coarse to fine.

What is around a hole says more of it than a small network knows of all pictures: where there are patches enough, the
hole is filled out of them. Where there are not (all is hole but a corner) it is drawn by the network, first at a scale
where that sees across it. On each finer scale the network is given what is known there and, as block means,
what was drawn below. All that is left open is then one octave of detail, so sampling begins at a noise level just above
it and takes few steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scoreinv.conditional.guess import block_means
from scoreinv.guidance import Conditioned, Exemplars, Tiled
from scoreinv.operators import mask
from scoreinv.prior import ScorePrior
from scoreinv.samplers import Multistep, NoiseStream, State
from scoreinv.sdes import as_time
from scoreinv.tasks.common import PIXELS_AT_ONCE, Share, TaskCallback, Told, draw, finite, start_time, tile_side
from scoreinv.tasks.continuation import continue_surroundings
from scoreinv.tasks.settings import ConditionalSampling

_START = 0.75
"""Noise level at which a finer scale begins, for pictures in [0, 1]: five times the strongest octave of detail."""
_STEPS = 8


def draw_in_scales(
    sampling: ConditionalSampling,
    prior: ScorePrior,
    values: Tensor,
    observed: Tensor,
    halvings: int,
    noise: Callable[[int], NoiseStream],
    callback: TaskCallback | None,
) -> tuple[Tensor, int]:
    """Samples of the picture given its known pixels, and the evaluations at each place, over all scales.

    Arguments:
        sampling: of the method `conditioned`.
        values: (B, 3, H, W) in [0, 1]; not looked at where not observed.
        observed: (B, 1, H, W), 0 or 1.
        halvings: how often the picture is halved for the first scale.
        noise: the noise of each scale, 0 the finest.

    Raises ScoreinvError when the model gives values that are not finite.
    """
    scales = [(values, observed)]
    for _ in range(halvings):
        values, observed = block_means(torch.where(observed > 0, values, 0.0)), (block_means(observed) == 1).to(values)
        scales.append((values, observed))
    if Exemplars.enough(scales[-1][1]):
        return continue_surroundings(scales, noise, callback), 0
    share = Share(callback, sum(known.numel() for _, known in scales))
    drawn, nfe = None, 0
    for scale in reversed(range(halvings + 1)):
        values, observed = scales[scale]
        share.begin(observed.numel())
        operator = mask(observed)
        y = operator(prior.to_model(values))
        given = Conditioned(prior, operator, y, None if drawn is None else prior.to_model(drawn))
        tile = tile_side(prior)
        condition = Tiled(given, tile, tile // 8, PIXELS_AT_ONCE, (observed == 0).any(0)[0])
        if drawn is None:
            drawn, steps = draw(sampling, condition, prior, values, noise(scale), share)
        else:
            time, stream = start_time(prior, _START), noise(scale)
            z = stream.normal(values.shape)
            start = None if time is None else State(prior.sde.perturb(given.smooth(), as_time(time), z), time)
            sampler = Multistep(stochasticity=1.0, steps=_STEPS)
            result = sampler.sample(condition, tuple(z.shape), noise=stream, callback=Told(share), start=start)
            drawn, steps = prior.to_image(finite(result.x0)), int(result.nfe[0])
        nfe += steps
    return drawn, nfe
