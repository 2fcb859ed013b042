"""How tasks draw: a sample, or the posterior mean, of a prior that is given an observation; and all samples of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from scoreinv.colour_space import colour_basis
from scoreinv.ensemble import UPRIGHT, Orientation
from scoreinv.guidance import Conditioned, ConstrainedPC, Tiled
from scoreinv.guidance.conditioned import check_conditional
from scoreinv.imaging.picture import Picture
from scoreinv.machine import PIXELS_AT_ONCE, pixels_at_once
from scoreinv.operators import ObservedComponents
from scoreinv.options import NARROW_FILL_STEPS, START_LEVEL
from scoreinv.prior import Prior, ScorePrior
from scoreinv.samplers import (
    PC,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    MeanFlow,
    NoiseStream,
    ReverseDiffusion,
    Sampler,
    State,
)
from scoreinv.sdes import DDPM, VE, VP, as_time
from scoreinv.tasks.common import RunningSpread, finite, start_time, tile_side, to_arrays
from scoreinv.tasks.results import AnyMethod, Restored, Share, TaskCallback, for_sampler, tell
from scoreinv.tasks.settings import LinearSettings, Sampling

_ERROR_SHARE = (1.0, 0.4, 0.4)
"""Variance of the posterior mean's error over that of the initial estimate, in narrow holes: of luma and of chroma,
which errs more, but over more pixels than a few steps draw: what is beyond this would be coloured grain."""
_ERROR_REACH = (0.7, 2.0, 2.0)
"""Pixels over which these errors hang together. Both are fitted on held-out photographs: samples have the detail that
ten steps of DPM-Solver++(2M) draw, and in lines of 8 to 11 pixels most of their spread (over the error 0.72 in luma
and 0.77 in chroma, with ten steps 0.82 and 0.89)."""


def given_observation(
    sampling: Sampling,
    prior: ScorePrior,
    operator: ObservedComponents,
    y: Tensor,
    *,
    overlap: int,
    orientations: tuple[Orientation, ...],
    tile: int | None = None,
    needed: Tensor | None = None,
    fine: Tensor | None = None,
    features: tuple[Tensor, ...] | None = None,
) -> Prior:
    """The prior given the observation y, seen through windows.

    Args:
        overlap: of the windows, in pixels.
        tile: side of the windows; None: `window_side`.
        orientations: in which the pictures are as likely; a posterior mean is averaged over them.
        needed: (H, W) bool, where the picture is wanted; None: everywhere. See `Tiled`.
        fine: the picture at a multiple of the size, of which `conditioned` may know the luma; see `Conditioned`.
        features: what the picture shows, for `conditioned`; see there.

    Raises InputError when the method does not go with the prior or the operator.
    """
    tile, at_once = tile or window_side(sampling, prior), pixels_at_once(prior.device)
    if sampling.method == "conditioned":
        turned = orientations if sampling.mean else UPRIGHT
        given = Conditioned(check_conditional(prior), operator, y, fine=fine, features=features, orientations=turned)
        return Tiled(given, tile, overlap, at_once, needed)
    return ConstrainedPC(Tiled(prior, tile, overlap, at_once, needed), operator, y)


def window_side(sampling: Sampling, prior: ScorePrior) -> int:
    """Side of the windows that a picture is drawn through: the training size, twice that for the posterior mean.

    A mean takes few evaluations, and gains by seeing more: 0.7 dB in boxes of 48 pixels, none in small holes.
    """
    return tile_side(prior) * (2 if sampling.mean else 1)


def draw(
    sampling: Sampling,
    condition: Prior,
    prior: ScorePrior,
    initial: Tensor,
    noise: NoiseStream,
    callback: TaskCallback | None,
    sampler: Sampler | None = None,
) -> tuple[Tensor, int]:
    """A sample of `condition` for each row, (B, C, H, W) of 0 black, 1 white and beyond, and the evaluations of each.

    Args:
        condition: what is sampled, as `given_observation` gives it: a wrapper of `prior`.
        initial: where `pc` starts unless it starts from the SDE's prior, (B, C, H, W) in [0, 1].
        sampler: of `conditioned`; None: DPM-Solver++(2M) of the reverse SDE.

    Raises ScoreinvError when the model gives values that are not finite.
    """
    if sampling.mean:
        if isinstance(condition, Tiled):
            condition = condition.telling(partial(tell, callback))
        with torch.no_grad():
            x0 = condition.finish(condition.denoise(noise.normal(initial.shape) * prior.sde.prior_std, 1.0))
        tell(callback, 1.0)
        return prior.to_image(finite(x0)), condition.evaluations_per_noise
    state = None
    if sampling.method == "conditioned":
        sampler = sampler or DPMpp2M(eta=1.0, steps=sampling.steps)
    else:
        sampler = pc_sampler(prior, sampling.steps)
        state = _start(sampling, prior, initial, noise)
    result = sampler.sample(condition, tuple(initial.shape), rng=noise, callback=for_sampler(callback), start=state)
    return prior.to_image(finite(result.x0)), int(result.nfe[0])


def narrow_sampler(sampling: Sampling, condition: Prior) -> MeanFlow | None:
    """The sampler of `conditioned` for narrow holes, whose errors hardly hang together; None for other methods.

    condition: as `given_observation` gives it.
    """
    if sampling.method != "conditioned" or not isinstance(condition, Tiled):
        return None
    given = condition.prior
    assert isinstance(given, Conditioned)
    low, high = given.data_range
    share = torch.tensor(_ERROR_SHARE, device=given.initial.variance.device)[:, None, None]
    variance = share * given.initial.variance * ((high - low) / 2) ** 2
    basis = torch.from_numpy(colour_basis(given.prior.gray_weights))
    return MeanFlow(variance, basis, min(sampling.steps, NARROW_FILL_STEPS), _ERROR_REACH)


def pc_sampler(prior: ScorePrior, steps: int) -> PC:
    """The sampler of the constrained predictor-corrector method."""
    # In few steps reverse diffusion leaves noise behind, since it takes each step for a short one; ancestral sampling,
    # which VE, VP and DDPM have, does not. The corrector's step follows the noise level: norms over a region that is
    # mostly known would tie it to how the region was cut.
    predictor = Ancestral() if isinstance(prior.sde, VE | VP | DDPM) else ReverseDiffusion()
    return PC(predictor, AnnealedLangevin(), steps=steps)


def _start(sampling: Sampling, prior: ScorePrior, initial: Tensor, noise: NoiseStream) -> State | None:
    """Where `pc` begins: the paper's number of steps at the SDE's prior (None), few at the initial estimate."""
    level = sampling.start
    if level is None:
        level = math.inf if sampling.steps >= prior.sde.steps else START_LEVEL
    time = start_time(prior, level)
    if time is None:
        return None
    z = noise.normal(initial.shape)
    return State(prior.sde.perturb(prior.to_model(initial), as_time(time), z), time)


def gathered(
    draw: Callable[[NoiseStream, TaskCallback], tuple[Tensor, int]],
    size: tuple[int, int],
    prior: ScorePrior,
    settings: LinearSettings,
    finish: Callable[[np.ndarray], Picture],
    callback: TaskCallback | None,
    *,
    gray: bool,
    method: AnyMethod,
) -> Restored[Picture]:
    """All samples of a picture, as many drawn at once as memory allows, with their mean and standard deviation.

    Args:
        draw: gives (B, 3, H, W) in the model's range for a stream of B, and the evaluations of each.
        size: (height, width) of what is drawn.
        finish: makes a picture of colours HxWx3 in [0, 1].
        gray: whether the pictures are grey.
    """
    at_once = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
    share = Share(callback, settings.samples)
    pictures, running, nfe = [], RunningSpread(), 0
    for done in range(0, settings.samples, at_once):
        count = min(at_once, settings.samples - done)
        share.begin(count)
        x0, nfe = draw(NoiseStream(settings.seed, count, done, prior.device), share)
        x0 = prior.to_image(finite(x0))
        for rgb in to_arrays(x0.mean(1, keepdim=True).expand_as(x0) if gray else x0):
            pictures.append(finish(rgb))
            if settings.samples > 1:
                running.add(rgb)
    several = settings.samples > 1
    image = finish(running.mean) if several and settings.estimate == "mean" else pictures[0]
    return Restored(image, pictures, running.std if several else None, nfe, method)
