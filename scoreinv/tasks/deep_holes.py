"""The task `inpaint` in deep holes, from coarse to fine.

For the texture of a deep hole, its surroundings are a better source than a small network; for its colours, the network
is. Scale k is the picture reduced by 2^k. A fill has three stages:

1. At the first scale, where one window of the network spans the hole, one evaluation predicts the posterior mean.
2. From this mean, with noise of the strength of its error, ancestral sampling by the score of the picture's own patches
   (`PatchPrior`) draws a fill. The likeliest patch of each pixel is its source.
3. On each finer scale the sources are sampled again, starting from those of the scale before (`NearestNeighbourField`).

Averages over patches remove the starting noise, so all samples would have the mean's colours and the same pieces. The
first sample is this most likely fill. Each of the others prefers patches from elsewhere, at a distance of about the
size of the hole (`drawn_elsewhere`).

At half the size, a wide hole is large compared with the patches, and fills lose windows and horizons. At a quarter of
the size, patches span the hole, but fine detail is lost. So if the first scale is half the size, and many patches in
the hole contain no known pixel even at a quarter (`PatchPrior.touch_known`), both scales are tried, and the fill with
the lower energy at half the size is kept. An eighth is not tried, because there the energy is no guide: shores and
roofs are lost, and flat fills have little energy.

If there are too few known patches at the first scale, the next finer one comes first. If there are too few there, too,
as when only a corner is known, the network draws the whole fill: first at a scale where its window spans the hole, then
on each finer scale given the known pixels and the coarser fill as block means. Then only one octave of detail is
unknown, so sampling starts at a noise level just above it and needs few steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scoreinv.conditional.initial_estimate import block_means
from scoreinv.guidance import Observation, given
from scoreinv.operators import mask
from scoreinv.prior import ScorePrior
from scoreinv.samplers import PC, Ancestral, DPMpp2M, NoiseStream, State
from scoreinv.sdes import VE, as_time
from scoreinv.system.progress import Part, parts, report
from scoreinv.system.threads import limit_threads
from scoreinv.tasks.common import finite, start_time
from scoreinv.tasks.posterior import MEAN_WINDOW, Windows, sampled
from scoreinv.tasks.requests import Sampling
from scoreinv.texture import NearestNeighbourField, PatchPrior
from scoreinv.texture.nearest_neighbour_field import of_channels
from scoreinv.texture.patch_prior import REACH, most_patches

_NETWORK_START = 0.75
"""Noise level at which the network starts on a finer scale, for pictures in [0, 1]: five times the strongest octave of
detail."""
_NETWORK_STEPS = 8

_FIRST = (0.02, 0.5)
"""Last and first noise level of sampling by patches at the first scale, for colours on [-1, 1]. The first level is the
error of the network's mean. More noise would hide the mean, and objects would grow into their neighbours."""
_FIRST_STEPS = (4, 4, 12)
"""Steps of sampling by patches at the full size, at half, and at smaller sizes; with more steps, fills of large holes
are 1 % closer to the truth."""
_START_ROUNDING = 0.25
"""Unit to which the starting state is rounded, on [-1, 1]; its noise of 0.5 is larger. The choice of patches must not
depend on the last bits of the network's mean, which differ between threads and processors."""
_ELSEWHERE = (0.3, 1.0)
"""Standard deviation of the offset of a sample's patches, down and across, in sides of the hole. Patches from far above
or below seldom fit."""
_SWEEPS = (2, 4, 8)
"""Sweeps over the displacements at the finest scale, at half the size, and at all coarser ones."""
_PATCHES_PER_SWEEP = 100
"""Number of patches that are compared with a place in the time in which a sweep handles a pixel; for the progress."""


class Scale(NamedTuple):
    """Pictures at one size.

    Attributes:
        values: (B, C, H, W) in [0, 1], with 3 channels, or 1 if they are grey.
        observed: (B, 1, H, W), 0 or 1.
        sources: (B, 1, H, W), 0 or 1, the observed pixels that may be copied.
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
) -> tuple[Tensor, int]:
    """Return samples of pictures given their known pixels, and the evaluations per pixel over all scales.

    Args:
        sampling: of the method `conditioned`.
        finest: the pictures; unobserved values are not read.
        halvings: halvings of the size to the first scale.
        typical: (B,) bool, samples with patches from nearby, the most likely choice.
        noise: returns the noise of each scale, 0 the finest; then that of each estimate, and that of `elsewhere`.

    Raises ScoreinvError for values that are not finite.
    """
    scales = [finest]
    for _ in range(halvings):
        scales.append(_halved(scales[-1]))
    # If the hole covers most of the picture, more patches are entirely known at the next finer scale.
    if not any(PatchPrior.enough(scale.observed) for scale in scales[_first_copying_scale(halvings) :]):
        return _drawn_by_network(sampling, prior, scales, noise)
    while len(scales) > 2 and not PatchPrior.enough(scales[-1].sources):
        scales.pop()
    drawn, nfe = _drawn_by_patches(prior, scales, typical, noise)
    return _three_channels(drawn), nfe


def enough_to_copy(known: np.ndarray, sources: np.ndarray, halvings: int) -> bool | None:
    """Return whether the sources suffice for copies by `draw_in_scales`; None if the network will draw the whole fill.

    Args:
        known, sources: HxW bool, the known pixels, and those that may be copied.
    """
    scales = [torch.from_numpy(np.stack([known, sources]))[:, None].float()]
    for _ in range(halvings):
        scales.append((block_means(scales[-1]) == 1).float())
    if not any(PatchPrior.enough(scale[:1]) for scale in scales[_first_copying_scale(halvings) :]):
        return None
    return any(PatchPrior.enough(scale[1:]) for scale in scales[1:])


def _first_copying_scale(halvings: int) -> int:
    """Return the number of the finest scale at which copying may start: the last but one, but not the full size, 0."""
    return max(1, halvings - 1)


def _drawn_by_patches(
    prior: ScorePrior,
    scales: list[Scale],
    typical: Tensor,
    noise: Callable[[int], NoiseStream],
) -> tuple[Tensor, int]:
    """As `draw_in_scales`, by patches: from the last scale and, if that may help, also from the next coarser one."""
    first = len(scales) - 1
    observed, coarser = scales[0].observed, _halved(scales[first])
    if first == 1 and PatchPrior.enough(coarser.sources) and not PatchPrior.touch_known(coarser.observed):
        scales = [*scales, coarser]
    estimates, nfe = {}, 0
    for number in range(first, len(scales)):
        windows = _windows(scales[number], MEAN_WINDOW * prior.image_size)
        z = noise(len(scales) + number - first).normal(_three_channels(scales[number].values).shape)
        with Part(0, 0):  # its time does not count: most is that of the sweeps
            conditioned = given(windows.around(prior), _observation(prior, scales[number]))
            with torch.no_grad(), limit_threads(1):  # the sum's order, and so the choice of patches, is then fixed
                mean = conditioned.finish(conditioned.denoise(z * prior.sde.prior_std, 1.0))
        estimates[number] = prior.to_image(finite(mean))
        nfe += conditioned.evaluations_per_noise
    elsewhere = drawn_elsewhere(observed, noise(len(scales) + len(estimates)))
    elsewhere[typical] = 0
    return continue_surroundings(scales, estimates, elsewhere, noise), nfe


def _drawn_by_network(
    sampling: Sampling,
    prior: ScorePrior,
    scales: list[Scale],
    noise: Callable[[int], NoiseStream],
) -> tuple[Tensor, int]:
    """As `draw_in_scales`: draw the last scale by the method of `sampling`, then each finer one given it."""
    # If no pixel of a scale is entirely known, partly known ones count. Otherwise a known band narrower than a pixel,
    # such as one along the border, would not contribute its colours.
    found = scales[:1]
    for _ in scales[1:]:
        coarser = _halved(found[-1])
        if not coarser.observed.flatten(1).any(1).all():
            share_known = block_means(found[-1].observed)
            values = coarser.values / share_known.clamp_min(0.25)
            coarser = coarser._replace(values=values, observed=(share_known > 0).to(values))
        found.append(coarser)
    drawn, nfe = None, 0
    shares = parts(scale.observed.numel() for scale in reversed(found))
    for (number, scale), share in zip(reversed(list(enumerate(found))), shares, strict=True):
        conditioned = given(_windows(scale, prior.image_size).around(prior), _observation(prior, scale, drawn))
        stream, start, steps, shape = noise(number), None, sampling.steps, _three_channels(scale.values).shape
        if drawn is not None:
            time, steps = start_time(prior, _NETWORK_START), _NETWORK_STEPS
            z = stream.normal(shape)
            initial = conditioned.initial_picture()
            start = None if time is None else State(prior.sde.perturb(initial, as_time(time), z), time)
        with share:
            drawn, evaluations = sampled(DPMpp2M(eta=1.0, steps=steps), conditioned, prior, shape, stream, start)
        nfe += evaluations
    assert drawn is not None
    return drawn, nfe


def _observation(prior: ScorePrior, scale: Scale, coarse: Tensor | None = None) -> Observation:
    """Return the known pixels as an observation; coarse: the pictures at half the size, in [0, 1]."""
    operator = mask(scale.observed)
    y = operator(prior.to_model(_three_channels(scale.values)))
    return Observation(operator, y, coarse=None if coarse is None else prior.to_model(coarse))


def _windows(scale: Scale, tile: int) -> Windows:
    """Return windows of side `tile` around the holes."""
    return Windows(tile, tile // 8, (scale.observed == 0).any(0)[0])


def continue_surroundings(
    scales: list[Scale],
    estimates: Mapping[int, Tensor],
    elsewhere: Tensor,
    noise: Callable[[int], NoiseStream],
) -> Tensor:
    """Return samples (B, C, H, W) in [0, 1] whose holes continue their surroundings.

    Args:
        scales: each at half the size of the previous one; starting scales have enough patches (`PatchPrior.enough`).
        estimates: colour estimates of the pictures at the starting scales, at least one, by the number of the scale.
            Each hole keeps the fill with the lowest energy.
        elsewhere: (B, 2), expected offset of the patches from a place, in pixels of the finest scale.
        noise: returns the noise of each scale, 0 the finest.
    """
    coarsest = max(estimates)
    shares = iter(parts(_work(scales, estimates)))  # taken in the order of `_work`
    fields: list[NearestNeighbourField] = []
    for number in reversed(range(coarsest + 1)):
        pictures, observed, sources = scales[number]
        offset = elsewhere / 2**number
        starts = []  # initial displacements: from the coarser scale, or from an estimate, or both
        if fields:
            coarse = torch.stack([field.displacements for field in fields])
            doubled = 2 * coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
            starts.append(doubled[..., : observed.shape[2], : observed.shape[3]])
        if number in estimates:
            steps = _at(_FIRST_STEPS, number)
            with next(shares):
                starts.append(_initial_displacements(scales[number], estimates[number], offset, steps, noise(number)))
        fields = []
        for displacements in starts:
            rows = zip(2 * pictures - 1, observed, displacements, sources, offset[:, 0].tolist(), strict=True)
            drawn = [NearestNeighbourField(*row, reach=REACH[0] * 2 ** (coarsest - number)) for row in rows]
            generators, sweeps = noise(number).generators(), _at(_SWEEPS, number)
            with next(shares):
                for sweep in range(1, sweeps + 1):
                    for field, generator in zip(drawn, generators, strict=True):
                        field.sweep(generator)
                    report(sweep / sweeps)
            for kept, field in zip(fields, drawn, strict=False):
                kept.take_lower_energy(field)
            fields = fields or drawn
    return (torch.stack([field.fill() for field in fields]) + 1) / 2


def _initial_displacements(scale: Scale, initial: Tensor, elsewhere: Tensor, steps: int, noise: NoiseStream) -> Tensor:
    """Return displacements (B, 2, H, W) of the most likely patches of samples drawn around an initial estimate."""
    pictures, observed, sources = scale
    last, first = (of_channels(sigma, pictures.shape[1]) for sigma in _FIRST)
    sde = VE(last, first)
    patches = PatchPrior(sde, 2 * pictures - 1, observed, elsewhere, sources)
    if pictures.shape[1] == 1:
        initial = initial.mean(1, keepdim=True)
    noisy = 2 * initial.double() - 1 + sde.prior_std * noise.normal(initial.shape, dtype=torch.float64)
    start = State(_START_ROUNDING * (noisy / _START_ROUNDING).round(), 1.0)
    sampler = PC(Ancestral(), corrector_steps=0, steps=steps)
    result = sampler.sample(patches, tuple(initial.shape), rng=noise, start=start)
    return patches.displacements(result.x0)


def drawn_elsewhere(observed: Tensor, noise: NoiseStream) -> Tensor:
    """Draw the offset of each sample's patches, (B, 2) in pixels down and across, given the observed (B, 1, H, W).

    It is normal, with standard deviations proportional to the side of a square of the hole's area (`_ELSEWHERE`).
    """
    sides = (1 - observed).flatten(1).sum(1, keepdim=True).sqrt()
    return noise.normal((len(observed), 2)) * sides * torch.tensor(_ELSEWHERE).to(sides)


def _work(scales: list[Scale], begun: Collection[int]) -> list[float]:
    """Return the relative time of each part of a fill, from the coarsest scale on.

    A scale in `begun` has one part for the sampling by patches. Then each set of initial displacements has its sweeps.
    """
    work: list[float] = []
    for number in reversed(range(max(begun) + 1)):
        hidden, copied = (float(pixels.sum()) for pixels in (1 - scales[number].observed, scales[number].sources))
        starts = int(number < max(begun)) + int(number in begun)
        if number in begun:
            count = len(scales[number].sources)
            compared = min(most_patches(math.ceil(hidden / count)), copied / count)
            work.append(_at(_FIRST_STEPS, number) * hidden * compared / _PATCHES_PER_SWEEP)
        work += starts * [_at(_SWEEPS, number) * hidden]
    return work


def _three_channels(values: Tensor) -> Tensor:
    """Return pictures with three channels for the network."""
    return values.expand(-1, 3, -1, -1)


def _at(numbers: tuple[int, ...], scale: int) -> int:
    """Return the number for a scale, 0 the finest; the last holds for all coarser ones."""
    return numbers[min(scale, len(numbers) - 1)]


def _halved(scale: Scale) -> Scale:
    """Return the scale at half the size; a pixel is known only if all four pixels that it covers are."""
    values = block_means(torch.where(scale.observed > 0, scale.values, 0.0))
    observed, sources = ((block_means(known) == 1).to(values) for known in (scale.observed, scale.sources))
    return Scale(values, observed, sources)
