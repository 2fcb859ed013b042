"""Draws from the posterior of pictures given an observation: samples, their mean, or the estimate `detail`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.guidance import Conditioned, ConstrainedPC, Observation, PosteriorFlow, given, refusal
from scoreinv.guidance.solvers.posterior_flow import Correction
from scoreinv.imaging.regions import narrow_tile
from scoreinv.operators import mask
from scoreinv.prior import Prior, ScorePrior
from scoreinv.samplers import PC, Ancestral, AnnealedLangevin, DPMpp2M, NoiseStream, ReverseDiffusion, Sampler, State
from scoreinv.sdes import VE, VP, as_time
from scoreinv.system.memory import pixels_at_once
from scoreinv.system.progress import parts
from scoreinv.tasks.common import finite, start_time
from scoreinv.tasks.detail import with_detail
from scoreinv.tasks.requests import NARROW_FILL_STEPS, START_LEVEL, Sampling
from scoreinv.windows.tiled import Tiled
from scoreinv.windows.transforms import UPRIGHT, Orientation

MEAN_WINDOW = 2
"""Side of the windows of posterior means, in training sizes. Few evaluations allow large windows. They gain 0.7 dB in
boxes of 48 pixels and nothing in small holes."""
_ERROR_SHARE = (1.0, 0.4, 0.4)
"""Error variance of the posterior mean over that of the initial estimate in narrow holes, for luma and chroma axes. A
larger ratio for chroma would draw its long-range errors as coloured grain."""
_ERROR_REACH = (0.7, 2.0, 2.0)
"""Correlation length of these errors in pixels. It was fitted on held-out photographs, to bring the spread of samples
closest to their error: in lines of 8 to 11 pixels their ratio is 0.72 in luma and 0.77 in chroma."""
_DETAIL_REACH = (0.0, 2.0, 2.0)
"""Correlation length for `detail`, whose spread does not matter. Results are 0.1 dB closer to the truth than with
`_ERROR_REACH`, and have 0.04 more of its detail."""
_DETAIL_LEVEL = 0.08
"""Last noise level of `detail` for pictures on [-1, 1]: ten grey levels. With seven, two evaluations leave dots at
edges; a higher level blurs."""
_DRAWING = 20
"""Time of drawing over that of the initial estimate, for the progress: 16 to 60 for the bundled model."""
_WIDE = 7
"""Width in pixels from which a part of a narrow hole gets one more evaluation in `detail`. With it, narrower parts look
the same and are 0.2 dB further from the truth (held-out photographs); without it, wider parts have grain at edges."""


@dataclass(frozen=True)
class Windows:
    """The windows by which a model evaluates a large picture, and the orientations that it averages.

    Args:
        tile, overlap, needed: see `Tiled`.
        orientations: equally likely orientations of the pictures, over which a posterior mean is averaged.
    """

    tile: int
    overlap: int
    needed: Tensor | None = None
    orientations: tuple[Orientation, ...] = UPRIGHT

    def around(self, prior: ScorePrior) -> Tiled:
        """Return the prior evaluated in these windows."""
        pixels = pixels_at_once(prior.device)
        return Tiled(prior, self.tile, self.overlap, pixels, self.needed, self.orientations)

    def reduced_to(self, needed: Tensor, prior: ScorePrior) -> Windows:
        """Return windows around `needed` alone, pixels of narrow holes (H, W) bool, of the side with the least work."""
        tile = narrow_tile(needed.cpu().numpy(), prior.image_size, prior.stride) if needed.any() else self.tile
        return replace(self, tile=tile, needed=needed)


def accepts_holes(prior: ScorePrior) -> bool:
    """Return whether the prior accepts the pixels around holes as an observation."""
    return refusal(prior, Observation(mask(torch.ones(1, 1, 1, 1)), torch.zeros(1, 3, 1, 1))) is None


Sampled = tuple[Tensor, int]
"""Pictures (B, C, H, W), 0 for black and 1 for white, not clipped, and the evaluations of the network for each."""


def draw_given(
    sampling: Sampling,
    prior: ScorePrior,
    observation: Observation,
    windows: Windows,
    noise: NoiseStream,
    *,
    initial: Tensor | None = None,
    known: Tensor | None = None,
    narrow: bool = False,
) -> Sampled:
    """Draw samples, or return their mean or the estimate `detail`, given the observation.

    Samples of a conditional prior are drawn by DPM-Solver++(2M) of the reverse SDE, or in narrow holes, in which errors
    of the mean are hardly correlated, by `PosteriorFlow`. `pc` works with any model.

    Args:
        initial: for `pc`: pictures (B, C, H, W) in [0, 1] to start from, unless it starts from the SDE's prior.
        known: for `detail`: (B, 1, H, W), 1 at known pixels and 0 in holes.
        narrow: all holes are narrow.

    Raises InputError if the prior does not accept the observation, and ScoreinvError for values that are not finite.
    """
    shape, upright = observation.y.shape, replace(windows, orientations=UPRIGHT)
    if sampling.method == "pc":
        assert initial is not None
        start = _pc_start(sampling, prior, initial, noise)
        constrained = ConstrainedPC(upright.around(prior), observation)
        return sampled(pc_sampler(prior, sampling.steps), constrained, prior, shape, noise, start)
    preparing, drawing = parts([1, _DRAWING])
    with preparing:
        conditioned = given(windows.around(prior), observation)
    with drawing:
        if sampling.mean:
            return posterior_mean(prior, conditioned, shape, noise)
        conditioned = Conditioned(upright.around(prior), observation, conditioned.maps)
        sampler = _sampler(sampling, prior, conditioned, narrow)
        if sampling.estimate == "sample":
            return sampled(sampler, conditioned, prior, shape, noise)
        first, rest = parts([1, NARROW_FILL_STEPS if narrow else sampling.steps])
        with first:
            mean, once = posterior_mean(prior, conditioned, shape, noise)
        assert known is not None
        if isinstance(sampler, PosteriorFlow):
            sampler = _detail_sampler(sampler, mean, known, prior, conditioned, upright)
        with rest:
            sample, nfe = sampled(sampler, conditioned, prior, shape, noise)
        return with_detail(mean, sample, known), once + nfe


def posterior_mean(prior: ScorePrior, conditioned: Conditioned, shape: Sequence[int], noise: NoiseStream) -> Sampled:
    """Return the posterior mean: the prediction at the largest noise, by one evaluation in each orientation."""
    z = noise.normal(tuple(shape))
    with torch.no_grad():
        x0 = conditioned.finish(conditioned.denoise(z * prior.sde.prior_std, 1.0))
    return prior.to_image(finite(x0)), conditioned.evaluations_per_noise


def _sampler(sampling: Sampling, prior: ScorePrior, conditioned: Conditioned, narrow: bool) -> Sampler:
    """Return the sampler of a conditional prior."""
    if not narrow:
        return DPMpp2M(eta=1.0, steps=sampling.steps)
    assert isinstance(prior, ConditionalPrior)  # as `given` checked
    (low, high), (_, variance, *_) = prior.data_range, conditioned.maps
    variance = torch.tensor(_ERROR_SHARE).to(variance)[:, None, None] * variance * ((high - low) / 2) ** 2
    return PosteriorFlow(variance, prior.preconditioning.basis, min(sampling.steps, NARROW_FILL_STEPS), _ERROR_REACH)


def _detail_sampler(
    sampler: PosteriorFlow, mean: Tensor, known: Tensor, prior: ScorePrior, conditioned: Conditioned, windows: Windows
) -> PosteriorFlow:
    """Return the sampler of `detail`: it starts from the mean, and corrects errors in the wider holes alone."""
    wide = _dilated(1 - _dilated(known)) > 0
    if windows.needed is not None:
        windows = windows.reduced_to(wide.any(0)[0], prior)
    steps = sampler.steps if wide.any() else min(2, sampler.steps)
    correction = Correction(wide, Conditioned(windows.around(prior), conditioned.observation, conditioned.maps))
    start = prior.to_model(mean)
    return replace(sampler, steps=steps, reach=_DETAIL_REACH, mean=start, last=_DETAIL_LEVEL, correction=correction)


def _dilated(marked: Tensor) -> Tensor:
    """Return maps (B, 1, H, W) dilated by squares of side `_WIDE`, along each axis in turn: twice as fast."""
    rows = F.max_pool2d(marked, (_WIDE, 1), 1, (_WIDE // 2, 0))
    return F.max_pool2d(rows, (1, _WIDE), 1, (0, _WIDE // 2))


def _pc_start(sampling: Sampling, prior: ScorePrior, initial: Tensor, noise: NoiseStream) -> State | None:
    """Return the noisy initial pictures at which `pc` begins; None for the SDE's prior."""
    level = sampling.start
    if level is None:  # the paper's number of steps starts from the SDE's prior, fewer from the initial pictures
        level = math.inf if sampling.steps >= prior.sde.steps else START_LEVEL
    if (time := start_time(prior, level)) is None:
        return None
    return State(prior.sde.perturb(prior.to_model(initial), as_time(time), noise.normal(initial.shape)), time)


def sampled(
    sampler: Sampler,
    given: Prior,
    prior: ScorePrior,
    shape: Sequence[int],
    noise: NoiseStream,
    start: State | None = None,
) -> Sampled:
    """Draw samples of the prior given an observation (`given`); raise ScoreinvError for values that are not finite."""
    result = sampler.sample(given, tuple(shape), rng=noise, start=start)
    return prior.to_image(finite(result.x0)), int(result.nfe[0])


def pc_sampler(prior: ScorePrior, steps: int) -> PC:
    """Return the sampler of the constrained predictor-corrector method."""
    # With few steps reverse diffusion leaves noise, since it is a short-step approximation. Ancestral sampling, for VE,
    # VP and DDPM, does not. The corrector's step follows the noise level, since norms over a mostly known region would
    # depend on the crop.
    predictor = Ancestral() if isinstance(prior.sde, VE | VP) else ReverseDiffusion()
    return PC(predictor, AnnealedLangevin(), steps=steps)
