"""The task `inpaint` in deep holes, from coarse to fine.

What surrounds a deep hole says more about its texture than a small network knows about all pictures, and the network
more about its colours. Where there are patches enough, the network is asked once, at a scale where it sees across the
hole, for its posterior mean. Around it, at noise as strong as its error, ancestral sampling by the score of the
picture's own patches begins (`PatchPrior`). On finer scales it is drawn where each pixel is taken from, beginning from
what it was at half the size (`NearestNeighbourField`).

Patches average white noise away, so that all samples would keep the mean's colours and the same pieces. The first
does, as whoever asks for one wants the most likely; the others look for their patches elsewhere, about as far away as
the hole is large (`drawn_elsewhere`).

At half the size a hole may be wide for the patches there, which then lose windows and horizons; at a quarter they see
across it, and lose what is fine. A hole whose first scale is of half the size is therefore filled from a quarter too,
if it is as wide as a patch even there, and keeps the fill of the lower energy at half the size. The energy no longer
tells for an eighth: shores and roofs are gone there, and what is flat has little.

Where a hole leaves too few patches at that scale, the first is of twice the size. Where there are too few of them there
too (all is hole but a corner), the network draws the picture first at a scale where it sees across the hole. On each
finer scale the network is given what is known there and, as block means, what was drawn below. Only one octave of
detail is then left open, so sampling begins at a noise level just above it and takes few steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scoreinv.conditional.initial_estimate import block_means
from scoreinv.conditional.observation import Observation
from scoreinv.operators import mask
from scoreinv.prior import ScorePrior
from scoreinv.samplers import PC, Ancestral, DPMpp2M, NoiseStream, State
from scoreinv.sdes import VE, as_time
from scoreinv.system.threads import limit_threads
from scoreinv.tasks.callbacks import Callback, for_sampler, notify, split
from scoreinv.tasks.common import MEAN_WINDOW, Windows, finite, start_time
from scoreinv.tasks.requests import Sampling
from scoreinv.texture import NearestNeighbourField, PatchPrior
from scoreinv.texture.nearest_neighbour_field import of_channels
from scoreinv.texture.patch_prior import REACH, most_patches

_NETWORK_START = 0.75
"""Noise level at which the network begins a finer scale, for pictures in [0, 1]: five times the strongest
octave of detail."""
_NETWORK_STEPS = 8

_FIRST = (0.02, 0.5)
"""Noise from which to which the patches' process goes at the first scale, of colours on [-1, 1]: it begins as strong as
the errors of the network's mean. From noise that drowns that mean, objects are continued into what is beside them."""
_FIRST_STEPS = (4, 4, 12)
"""From the full size, half of it, and smaller ones: larger holes are a hundredth nearer to the truth by as many."""
_BEGUN_IN = 0.25
"""Steps, on [-1, 1], that the state is rounded to at the beginning, which its noise of 0.5 evens out: the last bits of
the network's mean, that differ by threads and processor, must not decide what is copied."""
_ELSEWHERE = (0.3, 1.0)
"""Deviation of how far from a place samples look for its patches, down and across, in sides of the hole. What is far
above or below seldom fits."""
_SWEEPS = (2, 4, 8)
"""Over the displacements: at the finest scale, at half the size, and so on; the last number for all coarser ones."""
_PATCHES_IN_THE_TIME = 100
"""Patches that a place is compared with, in a step at the first scale, in the time of a sweep for a pixel."""


class Scale(NamedTuple):
    """Pictures at one size.

    Attributes:
        values: (B, C, H, W) in [0, 1], of 3 channels, or of 1 where they are grey.
        observed: (B, 1, H, W), 0 or 1.
        sources: (B, 1, H, W), 0 or 1, what of the observed may be copied.
    """

    values: Tensor
    observed: Tensor
    sources: Tensor


def draw_in_scales(
    sampling: Sampling,
    prior: ScorePrior,
    finest: Scale,
    halvings: int,
    typical: Tensor,
    noise: Callable[[int], NoiseStream],
    callback: Callback | None,
) -> tuple[Tensor, int]:
    """Samples of the picture given its known pixels, and the evaluations at each place, over all scales.

    Args:
        sampling: of the method `conditioned`.
        finest: the pictures, whose values are not looked at where not observed.
        halvings: how often they are halved for the first scale.
        typical: (B,) bool, which samples look for their patches around each place, as is likeliest.
        noise: the noise of each scale, 0 the finest.

    Raises ScoreinvError when the model gives values that are not finite.
    """
    scales = [finest]
    for _ in range(halvings):
        scales.append(_halved(scales[-1]))
    # A hole that takes most of the picture: at twice the size more patches are wholly known.
    if not any(PatchPrior.enough(scale.observed) for scale in scales[_few(halvings) :]):
        return _drawn_by_network(sampling, prior, scales, noise, callback)
    while len(scales) > 2 and not PatchPrior.enough(scales[-1].sources):
        scales.pop()
    drawn, nfe = _drawn_by_patches(prior, scales, typical, noise, callback)
    return _coloured(drawn), nfe


def enough_to_copy(known: np.ndarray, sources: np.ndarray, halvings: int) -> bool | None:
    """Whether what may be copied of a picture is enough for `draw_in_scales` to continue it; None where it does not.

    Args:
        known, sources: HxW bool, what is known, and what of it may be copied.
    """
    scales = [torch.from_numpy(np.stack([known, sources]))[:, None].float()]
    for _ in range(halvings):
        scales.append((block_means(scales[-1]) == 1).float())
    if not any(PatchPrior.enough(scale[:1]) for scale in scales[_few(halvings) :]):
        return None
    return any(PatchPrior.enough(scale[1:]) for scale in scales[1:])


def _few(halvings: int) -> int:
    """The first of the scales of which one must have patches enough: the last, and of several the one before it."""
    return max(1, halvings - 1)


def _drawn_by_patches(
    prior: ScorePrior,
    scales: list[Scale],
    typical: Tensor,
    noise: Callable[[int], NoiseStream],
    callback: Callback | None,
) -> tuple[Tensor, int]:
    """As `draw_in_scales`: around the network's posterior mean at the last scale, and where it may help one beyond."""
    first = len(scales) - 1
    observed, coarser = scales[0].observed, _halved(scales[first])
    if first == 1 and PatchPrior.enough(coarser.sources) and not PatchPrior.reached(coarser.observed):
        scales = [*scales, coarser]
    estimates, nfe = {}, 0
    for number in range(first, len(scales)):
        tiled = _windows(scales[number], MEAN_WINDOW * prior.image_size).around(
            prior.given(_observation(prior, scales[number])), prior.device
        )
        z = noise(len(scales) + number - first).normal(_coloured(scales[number].values).shape)
        with torch.no_grad(), limit_threads(1):  # the last bits of sums decide which patch is copied
            mean = tiled.finish(tiled.denoise(z * prior.sde.prior_std, 1.0))
        estimates[number] = prior.to_image(finite(mean))
        nfe += tiled.evaluations_per_noise
    elsewhere = drawn_elsewhere(observed, noise(len(scales) + len(estimates)))
    elsewhere[typical] = 0
    return continue_surroundings(scales, estimates, elsewhere, noise, callback), nfe


def _drawn_by_network(
    sampling: Sampling,
    prior: ScorePrior,
    scales: list[Scale],
    noise: Callable[[int], NoiseStream],
    callback: Callback | None,
) -> tuple[Tensor, int]:
    """As `draw_in_scales`: the last scale by the method of `sampling`, and each finer one given the one below."""
    # Where no pixel of a scale is known as a whole, those that are known in part count. Else what is narrower than such
    # a pixel, as a band along the border, would not tell which colours the picture has.
    found = scales[:1]
    for _ in scales[1:]:
        coarser = _halved(found[-1])
        if not coarser.observed.flatten(1).any(1).all():
            share_known = block_means(found[-1].observed)
            values = coarser.values / share_known.clamp_min(0.25)
            coarser = coarser._replace(values=values, observed=(share_known > 0).to(values))
        found.append(coarser)
    drawn, nfe = None, 0
    told = split(callback, [scale.observed.numel() for scale in reversed(found)])
    for (number, scale), part in zip(reversed(list(enumerate(found))), told, strict=True):
        given = prior.given(_observation(prior, scale, drawn))
        tiled = _windows(scale, prior.image_size).around(given, prior.device)
        stream, start, steps, shape = noise(number), None, sampling.steps, _coloured(scale.values).shape
        if drawn is not None:
            time, steps = start_time(prior, _NETWORK_START), _NETWORK_STEPS
            z = stream.normal(shape)
            start = None if time is None else State(prior.sde.perturb(given.initial_picture(), as_time(time), z), time)
        sampler = DPMpp2M(eta=1.0, steps=steps)
        result = sampler.sample(tiled, tuple(shape), rng=stream, callback=for_sampler(part), start=start)
        drawn = prior.to_image(finite(result.x0))
        nfe += int(result.nfe[0])
    assert drawn is not None
    return drawn, nfe


def _observation(prior: ScorePrior, scale: Scale, coarse: Tensor | None = None) -> Observation:
    """Return the known pixels as an observation; coarse: the pictures at half the size, in [0, 1]."""
    operator = mask(scale.observed)
    y = operator(prior.to_model(_coloured(scale.values)))
    return Observation(operator, y, coarse=None if coarse is None else prior.to_model(coarse))


def _windows(scale: Scale, tile: int) -> Windows:
    """Return windows of side `tile` around the holes."""
    return Windows(tile, tile // 8, (scale.observed == 0).any(0)[0])


def continue_surroundings(
    scales: list[Scale],
    estimates: Mapping[int, Tensor],
    elsewhere: Tensor,
    noise: Callable[[int], NoiseStream],
    callback: Callback | None,
) -> Tensor:
    """Samples (B, C, H, W) in [0, 1] of pictures that go on in their holes as they are around them.

    Args:
        scales: each at half the size of the one before; those that are begun from with patches enough
            (`PatchPrior.enough`).
        estimates: of the pictures of those scales that are begun from, in colours, by their numbers; at least one. Each
            hole keeps the fill of the lowest energy.
        elsewhere: (B, 2), how far from a place its patches are looked for, in pixels of the finest scale.
        noise: the noise of each scale, 0 the finest.
    """
    coarsest = max(estimates)
    told = iter(split(callback, _work(scales, estimates)))
    fields: list[NearestNeighbourField] = []
    for number in reversed(range(coarsest + 1)):
        pictures, observed, sources = scales[number]
        below = elsewhere / 2**number
        starts = []
        if fields:
            coarse = torch.stack([field.displacements for field in fields])
            doubled = 2 * coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
            starts.append(doubled[..., : observed.shape[2], : observed.shape[3]])
        if number in estimates:
            steps = _at(_FIRST_STEPS, number)
            starts.append(_laid_out(scales[number], estimates[number], below, steps, noise(number), next(told)))
        fields = []
        for displacements in starts:
            rows = zip(2 * pictures - 1, observed, displacements, sources, below[:, 0].tolist(), strict=True)
            drawn = [NearestNeighbourField(*row, reach=REACH[0] * 2 ** (coarsest - number)) for row in rows]
            generators, part, sweeps = noise(number).generators(), next(told), _at(_SWEEPS, number)
            for sweep in range(sweeps):
                for field, generator in zip(drawn, generators, strict=True):
                    field.sweep(generator)
                notify(part, (sweep + 1) / sweeps)
            for likelier, field in zip(fields, drawn, strict=False):
                likelier.take_likelier(field)
            fields = fields or drawn
    return (torch.stack([field.fill() for field in fields]) + 1) / 2


def _laid_out(
    scale: Scale, initial: Tensor, elsewhere: Tensor, steps: int, noise: NoiseStream, callback: Callback
) -> Tensor:
    """Displacements (B, 2, H, W) of the likeliest patches of samples that are drawn around an initial estimate."""
    pictures, observed, sources = scale
    least, most = (of_channels(sigma, pictures.shape[1]) for sigma in _FIRST)
    sde = VE(least, most)
    patches = PatchPrior(sde, 2 * pictures - 1, observed, elsewhere, sources)
    if pictures.shape[1] == 1:
        initial = initial.mean(1, keepdim=True)
    begun = 2 * initial.double() - 1 + sde.prior_std * noise.normal(initial.shape, dtype=torch.float64)
    start = State(_BEGUN_IN * (begun / _BEGUN_IN).round(), 1.0)
    sampler = PC(Ancestral(), corrector_steps=0, steps=steps)
    result = sampler.sample(patches, tuple(initial.shape), rng=noise, callback=for_sampler(callback), start=start)
    return patches.displacements(result.x0)


def drawn_elsewhere(observed: Tensor, noise: NoiseStream) -> Tensor:
    """How far from a place samples look for its patches, (B, 2) in pixels down and across, given (B, 1, H, W).

    Normal, of deviations that grow with the side of a square as large as all that is hidden (`_ELSEWHERE`).
    """
    sides = (1 - observed).flatten(1).sum(1, keepdim=True).sqrt()
    return noise.normal((len(observed), 2)) * sides * torch.tensor(_ELSEWHERE).to(sides)


def _work(scales: list[Scale], begun: Collection[int]) -> list[float]:
    """How long a fill takes from scale to scale: where it is begun the first draw, and for each start its sweeps."""
    work: list[float] = []
    for number in reversed(range(max(begun) + 1)):
        hidden, copied = (float(pixels.sum()) for pixels in (1 - scales[number].observed, scales[number].sources))
        starts = int(number < max(begun)) + int(number in begun)
        if number in begun:
            count = len(scales[number].sources)
            compared = min(most_patches(math.ceil(hidden / count)), copied / count)
            work.append(_at(_FIRST_STEPS, number) * hidden * compared / _PATCHES_IN_THE_TIME)
        work += starts * [_at(_SWEEPS, number) * hidden]
    return work


def _coloured(values: Tensor) -> Tensor:
    """Pictures of three channels, as the network takes them."""
    return values.expand(-1, 3, -1, -1)


def _at(numbers: tuple[int, ...], scale: int) -> int:
    """The number of a scale, 0 the finest; the last is that of all coarser ones."""
    return numbers[min(scale, len(numbers) - 1)]


def _halved(scale: Scale) -> Scale:
    """Pictures at half the size."""
    values = block_means(torch.where(scale.observed > 0, scale.values, 0.0))
    observed, sources = ((block_means(known) == 1).to(values) for known in (scale.observed, scale.sources))
    return Scale(values, observed, sources)
