"""What the tasks share: a constrained sampler and where it begins, checks, ways between arrays and tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoreinv.arguments import shown
from scoreinv.errors import Cancelled, InputError, ScoreinvError, SettingError
from scoreinv.guidance import Conditioned, ConstrainedPC, Tiled
from scoreinv.guidance.orientations import UPRIGHT, Orientation
from scoreinv.imaging.picture import Picture
from scoreinv.operators import ObservedComponents
from scoreinv.prior import Prior, ScorePrior
from scoreinv.samplers import (
    PC,
    Ancestral,
    AnnealedLangevin,
    Multistep,
    NoiseStream,
    Progress,
    ReverseDiffusion,
    State,
)
from scoreinv.sdes import DDPM, VE, VP, as_time, time_at
from scoreinv.tasks.settings import ConditionalSampling

TaskCallback = Callable[[float], bool | None]
"""Told of the share of the work that is done, in (0, 1]; the work stops with `Cancelled` when it returns False."""

PIXELS_AT_ONCE = 1 << 17
"""Bound of memory: windows are evaluated together up to this many pixels."""


def conditioned(
    sampling: ConditionalSampling,
    prior: ScorePrior,
    operator: ObservedComponents,
    y: Tensor,
    *,
    overlap: int,
    orientations: tuple[Orientation, ...],
    needed: Tensor | None = None,
    fine: Tensor | None = None,
    features: tuple[Tensor, ...] | None = None,
) -> Prior:
    """The prior given the observation y, seen through windows of `window_side`.

    Arguments:
        overlap: of the windows, in pixels.
        orientations: in which the pictures are as likely; a posterior mean is averaged over them.
        needed: (H, W) bool, where the picture is not known; see `Tiled`.
        fine: the picture at a multiple of the size, of which `conditioned` may know the luma; see `Conditioned`.
        features: what the picture shows, for `conditioned`; see there.

    Raises InputError when the method does not go with the prior or the operator.
    """
    tile = window_side(sampling, prior)
    if sampling.method == "conditioned":
        turned = orientations if sampling.is_posterior_mean else UPRIGHT
        given = Conditioned(prior, operator, y, fine=fine, features=features, orientations=turned)
        return Tiled(given, tile, overlap, PIXELS_AT_ONCE, needed)
    return ConstrainedPC(Tiled(prior, tile, overlap, PIXELS_AT_ONCE, needed), operator, y)


def draw(
    sampling: ConditionalSampling,
    condition: Prior,
    prior: ScorePrior,
    guess: Tensor,
    noise: NoiseStream,
    callback: TaskCallback | None,
) -> tuple[Tensor, int]:
    """A sample of `condition` for each row, (B, C, H, W) in [0, 1], not clipped, and the evaluations of each.

    Arguments:
        sampling: with its method decided.
        condition: what is sampled, as `conditioned` gives it: a wrapper of `prior`.
        guess: where `pc` starts unless it starts from the SDE's prior, (B, C, H, W) in [0, 1].

    Raises ScoreinvError when the model gives values that are not finite.
    """
    if sampling.is_posterior_mean:
        with torch.no_grad():
            x0 = condition.finish(condition.denoise(noise.normal(guess.shape) * prior.sde.prior_std, 1.0))
        if callback is not None and callback(1.0) is False:
            raise Cancelled("stopped")
        return prior.to_image(finite(x0)), condition.evaluations_per_noise
    if sampling.method == "conditioned":
        sampler, state = Multistep(stochasticity=1.0, steps=sampling.steps), None
    else:
        sampler = constrained_pc(prior, sampling.steps, sampling.corrector_steps, sampling.snr)
        state = _start(sampling, prior, guess, noise)
    result = sampler.sample(condition, tuple(guess.shape), noise=noise, callback=Told(callback), start=state)
    return prior.to_image(finite(result.x0)), int(result.nfe[0])


def constrained_pc(prior: ScorePrior, steps: int, corrector_steps: int = 1, snr: float = 0.16) -> PC:
    """The sampler of the constrained predictor-corrector method."""
    # In few steps reverse diffusion leaves noise behind, since it takes each step for a short one; ancestral sampling,
    # which VE, VP and DDPM have, does not.
    return PC(
        predictor=Ancestral() if isinstance(prior.sde, VE | VP | DDPM) else ReverseDiffusion(),
        corrector=AnnealedLangevin(),
        corrector_steps=corrector_steps,
        snr=snr,
        steps=steps,
    )


def _start(sampling: ConditionalSampling, prior: ScorePrior, guess: Tensor, noise: NoiseStream) -> State | None:
    time = start_time(prior, sampling.level(prior.sde.steps))
    if time is None:
        return None
    z = noise.normal(guess.shape)
    return State(prior.sde.perturb(prior.to_model(guess), as_time(time), z), time)


def start_time(prior: ScorePrior, level: float) -> float | None:
    """The time at which a picture in [0, 1] has noise of standard deviation `level`; None at or beyond t = 1.

    Raises InputError for a level below the one at which sampling ends.
    """
    low, high = prior.data_range
    ratio = torch.tensor(min(level, 1e9) * (high - low), dtype=torch.float64)
    if ratio >= prior.sde.noise_to_signal(torch.tensor(1.0, dtype=torch.float64)):
        return None
    time = float(time_at(prior.sde, ratio))
    if time <= prior.sde.sampling_end:
        raise InputError(f"a starting noise level of {level:g} is less than the model's smallest: give more")
    return time


def finite(x: Tensor) -> Tensor:
    """x itself; ScoreinvError unless every value is finite."""
    if not x.isfinite().all():
        raise ScoreinvError(
            "the model gave values that are not finite: its weights are damaged, its precision is too low (--precision "
            "float32), or the guidance is too strong"
        )
    return x


def check_model(prior: object) -> None:
    """Raise SettingError unless it is a model."""
    if not isinstance(prior, ScorePrior):
        raise SettingError("prior", f"must be a model as scoreinv.load gives it, not {shown(prior)}")


def check_colour(prior: ScorePrior) -> None:
    """Raise InputError unless the model is one of colour pictures."""
    if prior.channels != 3:
        raise InputError(f"this task needs a model of colour pictures, not of {prior.channels} channels")


def check_sides(picture: Picture, prior: ScorePrior) -> None:
    """Raise InputError unless the picture's sides are multiples of the model's stride."""
    if picture.height % prior.stride or picture.width % prior.stride:
        raise InputError(
            f"the picture is {picture.width}x{picture.height}, and this model needs sides that are multiples of "
            f"{prior.stride} (it was trained at {prior.image_size}): crop the picture first"
        )


def tile_side(prior: ScorePrior) -> int:
    """Side of the windows that the model looks through: its training size, as a multiple of its stride."""
    return max(1, prior.image_size // prior.stride) * prior.stride


def window_side(sampling: ConditionalSampling, prior: ScorePrior) -> int:
    """Side of the windows that a picture is drawn through: the training size, twice that for the posterior mean.

    A mean takes few evaluations, and gains by seeing more: 0.7 dB in boxes of 48 pixels, none in small holes.
    """
    return tile_side(prior) * (2 if sampling.is_posterior_mean else 1)


def to_tensor(pictures: list[np.ndarray], device: torch.device) -> Tensor:
    """HxWxC arrays of one size as (B, C, H, W) float32."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device, torch.float32).contiguous()


def to_arrays(batch: Tensor) -> list[np.ndarray]:
    """(B, C, H, W) as HxWxC float32 arrays, clipped to [0, 1]."""
    return list(batch.clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy())


def fingerprint(values: np.ndarray) -> int:
    """A number of 64 bits that a picture's draws are keyed by, so that those of different pictures are independent."""
    return int.from_bytes(hashlib.blake2b(values.tobytes(), digest_size=8).digest())


def spread(samples: np.ndarray, ddof: int = 1) -> np.ndarray:
    """Standard deviation over the first axis, root mean square over the last: (S, ..., C) to (...)."""
    return np.sqrt(samples.var(axis=0, ddof=ddof).mean(axis=-1)).astype(np.float32)


class Share:
    """Turns the progress of parts, of different sizes, into that of the whole."""

    def __init__(self, callback: TaskCallback | None, total: float) -> None:
        self.callback = callback
        self.total = total
        self.done = 0.0
        self.size = 0.0

    def begin(self, size: float) -> None:
        """The next part is of this size."""
        self.done += self.size
        self.size = size

    def __call__(self, fraction: float) -> bool | None:
        """Told of the fraction of the current part that is done."""
        if self.callback is None:
            return None
        return self.callback(min(1.0, (self.done + fraction * self.size) / self.total))


@dataclass(frozen=True)
class Told:
    """A sampler's callback that passes the share that is done on to a task's."""

    callback: TaskCallback | None

    def __call__(self, progress: Progress) -> bool | None:
        return None if self.callback is None else self.callback(progress.fraction)
