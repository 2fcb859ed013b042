"""Helpers of tasks: loading of models, conversion of pictures, and sampling of priors given an observation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scoreinv.conditional import Observation
from scoreinv.guidance import ConstrainedPC, PosteriorFlow
from scoreinv.guidance.solvers.posterior_flow import FlowSamples
from scoreinv.imaging.picture import Picture
from scoreinv.models.catalogue import load
from scoreinv.models.loading import LIBRARY, Models
from scoreinv.operators import mask
from scoreinv.prior import Prior, ScorePrior
from scoreinv.samplers import PC, Ancestral, AnnealedLangevin, DPMpp2M, NoiseStream, ReverseDiffusion, Sampler, State
from scoreinv.sdes import VE, VP, as_time, time_at
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.memory import PIXELS_AT_ONCE, pixels_at_once, shortage
from scoreinv.system.reporting import reporting
from scoreinv.system.text import shown
from scoreinv.tasks.callbacks import Callback, for_sampler, notify, split
from scoreinv.tasks.detail import with_detail
from scoreinv.tasks.outcome import AnyMethod, Outcome
from scoreinv.tasks.requests import NARROW_FILL_STEPS, START_LEVEL, Sampling, SolveRequest
from scoreinv.windows.ensemble import UPRIGHT, Orientation, SelfEnsemble
from scoreinv.windows.placement import covering_tile
from scoreinv.windows.tiled import Tiled

Model = ScorePrior | str | Path
"""A model, or its name or path for `scoreinv.load`."""


MEAN_WINDOW = 2
"""Side of the windows of posterior means, in training sizes. Few evaluations allow large windows. They gain 0.7 dB in
boxes of 48 pixels and nothing in small holes."""
_ERROR_SHARE = (1.0, 0.4, 0.4)
"""Ratio of the error variances of posterior mean and initial estimate in narrow holes, of luma and chroma. A larger
ratio of chroma would draw its long-range errors as coloured grain."""
_ERROR_REACH = (0.0, 2.0, 2.0)
"""Correlation length of these errors in pixels. Samples of 24 held-out photographs have 0.92 of their detail in
scratches, 0.94 in text, and 0.9 dB more in luma than with a length of 0.7."""


def model_of(prior: object) -> ScorePrior:
    """Return a model, or load it from its name or file.

    Raises SettingError for anything else, and CheckpointError if there is no such model.
    """
    if isinstance(prior, str | Path):
        return load(prior)
    if not isinstance(prior, ScorePrior):
        raise SettingError("prior", f"must be a model from scoreinv.load, or its name, not {shown(prior)}")
    return prior


def models_of(**given: Model | None) -> Models:
    """Return the models of a call from Python by role: given ones are loaded now, bundled ones when they are needed.

    Raises as `model_of`.
    """
    loaded: dict[str, Any] = {role: model_of(model) for role, model in given.items() if model is not None}
    return Models(**loaded, machine=LIBRARY)


def colours_for(picture: Picture, channels: int) -> np.ndarray:
    """Return colours HxWx3 in [0, 1] for 3 channels, luma HxWx1 for 1; raise InputError for other numbers."""
    if channels not in (1, 3):
        raise InputError(f"this task needs a model of grey or colour pictures, not of {channels} channels")
    return picture.rgb() if channels == 3 else picture.luma()[..., None]


class Sided(Protocol):
    """A model or its configuration, with its constraints on picture sizes."""

    @property
    def stride(self) -> int: ...

    @property
    def image_size(self) -> int: ...


def check_sides(picture: Picture, model: Sided) -> None:
    """Raise InputError unless the picture's sides are multiples of the model's stride."""
    if picture.height % model.stride or picture.width % model.stride:
        raise InputError(
            f"the picture is {picture.width}x{picture.height}, and this model needs sides that are multiples of "
            f"{model.stride} (it was trained at {model.image_size}): crop the picture first"
        )


def check_samples(count: int, picture_bytes: int) -> None:
    """Raise InputError if `count` results of a picture do not fit in memory."""
    if lacking := shortage(count * picture_bytes):
        raise SettingError("samples", f"{count}: drawing {count} pictures of this size {lacking}: ask for fewer")


def wide_tile(prior: ScorePrior, height: int, width: int) -> tuple[int, int]:
    """Return side and overlap of windows, up to 3 training sizes, that cover a picture with the fewest pixels."""
    tile, overlap = prior.image_size, prior.image_size // 4
    return covering_tile(height, width, overlap, prior.stride, tile, 3 * tile), overlap


def start_time(prior: ScorePrior, level: float) -> float | None:
    """Return the time at which a picture in [0, 1] has noise of standard deviation `level`; None from t = 1 on.

    Raises SettingError for a level below the end of sampling.
    """
    low, high = prior.data_range
    ratio = torch.tensor(min(level, 1e9) * (high - low), dtype=torch.float64)
    if ratio >= prior.sde.noise_to_signal(torch.tensor(1.0, dtype=torch.float64)):
        return None
    time = float(time_at(prior.sde, ratio))
    if time <= prior.sde.sampling_end:
        raise SettingError("start", f"{level:g} is less than the model's smallest level of noise: give more")
    return time


def noise_range(prior: ScorePrior) -> tuple[float, float]:
    """Return the prior's range of noise standard deviations, for pictures in [0, 1]."""
    low, high = prior.data_range
    ends = prior.sde.noise_to_signal(torch.tensor([prior.sde.sampling_end, 1.0], dtype=torch.float64)) / (high - low)
    return float(ends[0]), float(ends[1])


def to_tensor(pictures: list[np.ndarray], device: torch.device) -> Tensor:
    """Convert HxWxC arrays of one size to (B, C, H, W) float32."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device, torch.float32).contiguous()


def to_arrays(batch: Tensor) -> list[np.ndarray]:
    """Convert (B, C, H, W) to HxWxC float32 arrays, clipped to [0, 1]."""
    return list(batch.clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy())


def spread(samples: np.ndarray, ddof: float = 1) -> np.ndarray:
    """Return the standard deviation over the first axis as rms over the last: (S, ..., C) to (...).

    ddof: the divisor is S - ddof (`ddof_of_pairs`).
    """
    return np.sqrt(samples.var(axis=0, ddof=ddof).mean(axis=-1)).astype(np.float32)


def finite(x: Tensor) -> Tensor:
    """Return x. Raise ScoreinvError unless every value is finite."""
    if not x.isfinite().all():
        raise ScoreinvError(
            "the model returned values that are not finite: its weights are damaged, its precision is too low (use "
            "`torch.float32`), or the guidance is too strong"
        )
    return x


class RunningSpread:
    """Running mean and standard deviation of pictures, HxWxC float32 (Welford 1962).

    Sums are float32, which suffices for 8-bit levels and saves memory for large pictures.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = np.zeros((), np.float32)

    def add(self, rgb: np.ndarray) -> None:
        self.count += 1
        if self.count == 1:
            self.mean, self._squares = rgb.copy(), np.zeros_like(rgb)
            return
        gap = rgb - self.mean
        self.mean += gap / self.count
        gap *= rgb - self.mean
        self._squares += gap

    def std(self, ddof: float = 1) -> np.ndarray:
        """Return the `spread` of the pictures so far, HxW."""
        return np.sqrt(self._squares.mean(axis=-1) / (self.count - ddof))


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

    def around(self, prior: Prior, device: torch.device) -> Tiled:
        """Return the prior evaluated in these windows."""
        return Tiled(prior, self.tile, self.overlap, pixels_at_once(device), self.needed)


def accepts_holes(prior: ScorePrior) -> bool:
    """Return whether the prior accepts the pixels around holes as an observation."""
    return prior.accepts(Observation(mask(torch.ones(1, 1, 1, 1)), torch.zeros(1, 3, 1, 1))) is None


Drawn = tuple[Tensor, int]
"""Pictures (B, C, H, W) of 0 black and 1 white, not clipped, and the evaluations of the network for each."""


def posterior_mean(
    prior: ScorePrior, observation: Observation, windows: Windows, noise: NoiseStream, callback: Callback | None
) -> Drawn:
    """Return the posterior mean, by one evaluation of a conditional prior in each orientation.

    Raises InputError if the prior does not accept the observation, and ScoreinvError for values that are not finite.
    """
    averaged = SelfEnsemble(prior.given(observation), windows.orientations)
    given = windows.around(averaged, prior.device)
    with torch.no_grad(), reporting(partial(notify, callback)):
        x0 = given.finish(given.denoise(noise.normal(observation.y.shape) * prior.sde.prior_std, 1.0))
    notify(callback, 1.0)
    return prior.to_image(finite(x0)), given.evaluations_per_noise


def draw_conditioned(
    prior: ScorePrior,
    observation: Observation,
    steps: int,
    windows: Windows,
    noise: NoiseStream,
    callback: Callback | None,
) -> Drawn:
    """Draw samples of a conditional prior by DPM-Solver++(2M) of the reverse SDE. Raise as `posterior_mean`."""
    given = windows.around(prior.given(observation), prior.device)
    return _sampled(DPMpp2M(eta=1.0, steps=steps), given, prior, observation, noise, callback)


def draw_narrow(
    prior: ScorePrior,
    observation: Observation,
    steps: int,
    windows: Windows,
    noise: NoiseStream,
    callback: Callback | None,
) -> Drawn:
    """Draw samples of narrow holes, in which errors of the mean are hardly correlated, by `PosteriorFlow`.

    Raise as `posterior_mean`.
    """
    result = _flow_samples(prior, observation, steps, windows, noise, callback)
    return prior.to_image(finite(result.x0)), int(result.nfe[0])


def draw_detail(
    prior: ScorePrior,
    observation: Observation,
    steps: int,
    windows: Windows,
    noise: NoiseStream,
    callback: Callback | None,
    *,
    known: Tensor,
    narrow: bool,
) -> Drawn:
    """Draw the estimate `detail`: the posterior mean with the fine luma of a sample. Raise as `posterior_mean`.

    Args:
        known: (B, 1, H, W), 1 at known pixels and 0 in holes.
        narrow: whether the holes are narrow, see `draw_narrow`.
    """
    if narrow:
        result = _flow_samples(prior, observation, steps, windows, noise, callback)
        mean, sample = (prior.to_image(finite(x0)) for x0 in (result.mean, result.x0))
        nfe = int(result.nfe[0])
    else:
        first, rest = split(callback, [1, steps])
        mean, once = posterior_mean(prior, observation, replace(windows, orientations=UPRIGHT), noise, first)
        sample, others = draw_conditioned(prior, observation, steps, windows, noise, rest)
        nfe = once + others
    return with_detail(mean, sample, known), nfe


def _flow_samples(
    prior: ScorePrior,
    observation: Observation,
    steps: int,
    windows: Windows,
    noise: NoiseStream,
    callback: Callback | None,
) -> FlowSamples:
    given = prior.given(observation)
    low, high = given.data_range
    share = torch.tensor(_ERROR_SHARE).to(given.initial.variance)[:, None, None]
    variance = share * given.initial.variance * ((high - low) / 2) ** 2
    sampler = PosteriorFlow(variance, given.prior.preconditioning.basis, min(steps, NARROW_FILL_STEPS), _ERROR_REACH)
    shape = tuple(observation.y.shape)
    return sampler.sample(windows.around(given, prior.device), shape, rng=noise, callback=for_sampler(callback))


def draw_constrained(
    sampling: Sampling,
    prior: ScorePrior,
    observation: Observation,
    initial: Tensor,
    windows: Windows,
    noise: NoiseStream,
    callback: Callback | None,
) -> Drawn:
    """Draw samples by the constrained predictor-corrector method, which works with any model.

    Args:
        initial: pictures (B, C, H, W) in [0, 1]; sampling starts from them, unless it starts from the SDE's prior.

    Raises ScoreinvError for values that are not finite.
    """
    level, start = sampling.start, None
    if level is None:  # the paper's number of steps starts from the SDE's prior, fewer from the initial pictures
        level = math.inf if sampling.steps >= prior.sde.steps else START_LEVEL
    if (time := start_time(prior, level)) is not None:
        z = noise.normal(initial.shape)
        start = State(prior.sde.perturb(prior.to_model(initial), as_time(time), z), time)
    given = ConstrainedPC(windows.around(prior, prior.device), observation.operator, observation.y)
    return _sampled(pc_sampler(prior, sampling.steps), given, prior, observation, noise, callback, start)


def _sampled(
    sampler: Sampler,
    given: Prior,
    prior: ScorePrior,
    observation: Observation,
    noise: NoiseStream,
    callback: Callback | None,
    start: State | None = None,
) -> Drawn:
    shape = tuple(observation.y.shape)
    result = sampler.sample(given, shape, rng=noise, callback=for_sampler(callback), start=start)
    return prior.to_image(finite(result.x0)), int(result.nfe[0])


def pc_sampler(prior: ScorePrior, steps: int) -> PC:
    """Return the sampler of the constrained predictor-corrector method."""
    # With few steps reverse diffusion leaves noise, since it is a short-step approximation. Ancestral sampling, for VE,
    # VP and DDPM, does not. The corrector's step follows the noise level, since norms over a mostly known region would
    # depend on the crop.
    predictor = Ancestral() if isinstance(prior.sde, VE | VP) else ReverseDiffusion()
    return PC(predictor, AnnealedLangevin(), steps=steps)


def gathered(
    draw: Callable[[NoiseStream, Callback], tuple[Tensor, int]],
    size: tuple[int, int],
    prior: ScorePrior,
    request: SolveRequest,
    finish: Callable[[np.ndarray], Picture],
    callback: Callback | None,
    *,
    gray: bool,
    method: AnyMethod,
) -> Outcome[Picture]:
    """Draw all samples of a picture in batches that fit memory; return them with mean and standard deviation.

    Args:
        draw: returns samples (B, 3, H, W) in the model's range for a stream of B, and the evaluations for each.
        size: (height, width) of the samples.
        finish: converts colours HxWx3 in [0, 1] to a picture.
        gray: whether the pictures are grey.
    """
    at_once = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
    counts = [min(at_once, request.samples - done) for done in range(0, request.samples, at_once)]
    pictures: list[Picture] = []
    running, nfe = RunningSpread(), 0
    for count, part in zip(counts, split(callback, counts), strict=True):
        x0, nfe = draw(NoiseStream(request.seed, count, len(pictures), prior.device), part)
        x0 = prior.to_image(finite(x0))
        for rgb in to_arrays(x0.mean(1, keepdim=True).expand_as(x0) if gray else x0):
            pictures.append(finish(rgb))
            if request.samples > 1:
                running.add(rgb)
    several = request.samples > 1
    image = finish(running.mean) if several and request.estimate == "mean" else pictures[0]
    return Outcome(image, pictures, running.std() if several else None, nfe, method)
