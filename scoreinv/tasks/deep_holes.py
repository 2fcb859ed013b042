"""Deep holes, from coarse to fine.

What surrounds a deep hole says more about it than a small network knows about all pictures. Where there are patches
enough, the hole is filled with them, by ancestral sampling. Where there are not (all is hole but a corner), the network
draws the picture first at a scale where it sees across the hole. On each finer scale the network is given what is known
there and, as block means, what was drawn below. Only one octave of detail is then left open, so sampling begins at a
noise level just above it and takes few steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scoreinv.conditional.guess import block_means
from scoreinv.guidance import Conditioned, Exemplars, Tiled
from scoreinv.guidance.conditioned import check_conditional
from scoreinv.guidance.exemplars import MOST_PATCHES
from scoreinv.memory import pixels_at_once
from scoreinv.operators import mask
from scoreinv.prior import ScorePrior
from scoreinv.samplers import PC, Ancestral, Multistep, NoCorrector, NoiseStream, State
from scoreinv.sdes import VE, as_time
from scoreinv.tasks.drawing import draw
from scoreinv.tasks.models import start_time, tile_side
from scoreinv.tasks.progress import Share, TaskCallback, for_sampler
from scoreinv.tasks.settings import ResolvedSampling
from scoreinv.tasks.tensors import finite

_NETWORK_START = 0.75
"""Noise level at which the network begins a finer scale, for pictures in [0, 1]: five times the strongest
octave of detail."""
_NETWORK_STEPS = 8

_FIRST = VE(sigma_min=0.02, sigma_max=2.0)
"""The patches' process at the first scale, for pictures in [-1, 1]: it begins at noise that drowns them."""
_FINER = VE(sigma_min=0.02, sigma_max=0.15)
"""The same at finer scales: it begins at noise as strong as the details that are missing."""
_FIRST_STEPS = 16
_FINER_STEPS = 4
_PATCHES_IN_THE_TIME = 200
"""Patches that a place is compared with at the first scale in the time that a finer scale takes for a place."""


def draw_in_scales(
    sampling: ResolvedSampling,
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

    def given(scale: int, coarse: Tensor | None) -> tuple[Conditioned, Tiled]:
        values, observed = scales[scale]
        share.begin(observed.numel())
        operator = mask(observed)
        y = operator(prior.to_model(values))
        condition = Conditioned(
            check_conditional(prior), operator, y, None if coarse is None else prior.to_model(coarse)
        )
        tile = tile_side(prior)
        return condition, Tiled(condition, tile, tile // 8, pixels_at_once(prior.device), (observed == 0).any(0)[0])

    _, tiled = given(halvings, None)
    drawn, nfe = draw(sampling, tiled, prior, scales[halvings][0], noise(halvings), share)
    for scale in reversed(range(halvings)):
        condition, tiled = given(scale, drawn)
        time, stream = start_time(prior, _NETWORK_START), noise(scale)
        z = stream.normal(scales[scale][0].shape)
        start = None if time is None else State(prior.sde.perturb(condition.smooth(), as_time(time), z), time)
        sampler = Multistep(stochasticity=1.0, steps=_NETWORK_STEPS)
        result = sampler.sample(tiled, tuple(z.shape), noise=stream, callback=for_sampler(share), start=start)
        drawn = prior.to_image(finite(result.x0))
        nfe += int(result.nfe[0])
    return drawn, nfe


def continue_surroundings(
    scales: list[tuple[Tensor, Tensor]], noise: Callable[[int], NoiseStream], callback: TaskCallback | None
) -> Tensor:
    """Samples (B, 3, H, W) in [0, 1] of pictures that go on in their holes as they are around them.

    Arguments:
        scales: pictures (B, 3, H, W) in [0, 1] and what of them is observed, (B, 1, H, W), each at half the size of the
            one before; the last with patches to start from (`Exemplars.enough`).
        noise: the noise of each scale, 0 the finest.
    """
    first = len(scales) - 1
    costs = [_FINER_STEPS * float((1 - observed).sum()) for _, observed in scales]
    compared = min(MOST_PATCHES, float(scales[first][1].sum()) / len(scales[first][1]))
    costs[first] *= _FIRST_STEPS / _FINER_STEPS * compared / _PATCHES_IN_THE_TIME
    share = Share(callback, sum(costs))

    def sample(exemplars: Exemplars, number: int, steps: int) -> Tensor:
        share.begin(costs[number])
        base, stream = exemplars.base, noise(number)
        start = State(base + exemplars.sde.prior_std * stream.normal(base.shape), 1.0)
        sampler = PC(Ancestral(), NoCorrector(), corrector_steps=0, steps=steps)
        return sampler.sample(exemplars, tuple(base.shape), noise=stream, callback=for_sampler(share), start=start).x0

    pictures, observed = scales[-1]
    exemplars = Exemplars(_FIRST, 2 * pictures - 1, observed)
    x0 = sample(exemplars, first, _FIRST_STEPS)
    for number in reversed(range(first)):
        pictures, observed = scales[number]
        exemplars = Exemplars(_FINER, 2 * pictures - 1, observed, exemplars.as_coarse(x0))
        x0 = sample(exemplars, number, _FINER_STEPS)
    return (x0 + 1) / 2
