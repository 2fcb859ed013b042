"""Pictures drawn, or estimated, from a linear observation of all of them, y = A x + noise.

The network sees the picture through windows of about the size that it was trained at, and the observation is imposed
on the whole (`Tiled` inside a method).

Noise alone needs no approximation: alpha times a picture with white noise of standard deviation sigma / alpha *is* a
state of the forward process, so one evaluation there is the posterior mean (Tweedie's formula), and the reverse process
from there on draws from the posterior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scoreinv.boxes import Box
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.guidance import DDNM, DPS, MMPS, Averaged, ConstrainedPC, DiffPIR, PiGDM
from scoreinv.guidance.orientations import ALL
from scoreinv.imaging.picture import Picture
from scoreinv.machine import PIXELS_AT_ONCE
from scoreinv.operators import LinearOperator
from scoreinv.options import DENOISING_STEPS, GRAY_LEVELS, RestorationMethod
from scoreinv.prior import Prior, PriorWrapper, ScorePrior
from scoreinv.samplers import DDRM, DPIR, DPMpp2M, NoiseStream, Sampler, State
from scoreinv.sdes import as_time, broadcast, time_at
from scoreinv.tasks.censored import cut_off, drawn, expected, expected_around, nearby
from scoreinv.tasks.common import RunningSpread, finite, noise_range, start_time, tile_side, to_arrays, wide_tile
from scoreinv.tasks.drawing import pc_sampler
from scoreinv.tasks.results import AnyMethod, Restored, Share, TaskCallback, for_sampler, tell
from scoreinv.tasks.settings import LinearSettings
from scoreinv.tiling import Tiled, crop

_GUESS_LEVEL = 0.1
"""Least noise level at which samples begin at a guess of the picture, for pictures in [0, 1]."""
_HIDING = 2.8
"""How many times the components that the guess lacks that level is: less tells samples that there are none."""
_MEAN_LEVEL = 0.25
"""First level of the denoiser where the mean is estimated from a guess."""
_MOMENTUM = 0.7
"""Of that estimate where the observation has no noise; with noise photographs err by up to 0.45 dB more."""
_BLIND_LEVEL = 0.5
"""The same without a guess."""
_LAST_LEVEL = 0.02
"""Its last level, unless half of the observation's noise is more: below it the estimate gains nothing."""
_MEAN_STRENGTH = 0.15
"""The denoiser's strength there: with the paper's 0.23 pictures blurred and noisy err by 0.2 dB more."""
_PICTURE_STD = 0.25
"""Standard deviation of the values of photographs in [0, 1]."""
_MUCH_CUT_OFF = 0.15
"""Share of the values at black and white from which on a picture is estimated twice: below it gains 0.02 dB at most."""
_MIXED = 3
"""Pixels to each side over which a denoiser about takes the mean of what is put in later."""
_BEYOND = 10.0
"""Root mean square of a picture in [0, 1] that has left all measure: 0.8 in runs that went well, 2 in poor ones."""
_LEAST_DPS_NOISE = 0.02
"""Noise that DPS assumes in an exact observation: it needs some."""


@dataclass(frozen=True, eq=False)
class Problem:
    """An observation of one picture.

    Attributes:
        operator: A.
        y: (1, 3, h, w), of pictures in [0, 1].
        noise_std: standard deviation of the noise in y, at least 0.
        gray: whether the channels of y, and their noise, are the same: the picture is grey.
        guess: (1, 3, H, W) in [0, 1], smooth; some of its detail and noise is wrong. None: nothing is known.
        rough: whether samples begin at the estimate of the mean that is made from the guess, or without one from
            nothing, and not at the guess.
        part: the part of the picture that is asked for; None: all of it.
        missing: standard deviation of the components that the guess lacks most, of pictures in [0, 1]: samples begin
            at a noise level that hides them.
        stored: whether y was cut off at black and white, as files are; of a guess.
    """

    operator: LinearOperator
    y: Tensor
    noise_std: float
    gray: bool
    guess: Tensor | None = None
    rough: bool = False
    part: Box | None = None
    missing: float = 0.0
    stored: bool = False


@dataclass(frozen=True)
class RestorationJob:
    """How one picture is restored.

    Attributes:
        finish: makes the result of colours HxWx3 in [0, 1].
        callback: called with the share of the work that is done; stops the work by returning False.
    """

    prior: ScorePrior
    settings: LinearSettings
    finish: Callable[[np.ndarray], Picture]
    callback: TaskCallback | None = None


def restore(problem: Problem, job: RestorationJob) -> Restored:
    """Samples, or an estimate of the mean, of the picture given the observation.

    Raises InputError where method, operator and noise do not go together, Cancelled when the callback stopped the work,
    and ScoreinvError when the model gives values that are not finite, or the method diverges.
    """
    prior, exact = job.prior, problem.noise_std == 0
    guessed = problem.guess is not None
    found_first = problem.rough and not job.settings.mean
    resolved = _Decided(*job.settings.decided(estimated=guessed or found_first, exact=exact), job.settings.orientations)
    shape = tuple(problem.operator.adjoint(problem.y).shape[1:])
    complete = _completion(problem, prior)
    problem = _in_model_range(problem, prior)
    _method(problem, prior, resolved, complete)  # what it cannot do is told before the work
    before = 0
    if resolved.method != "dpir" and (complete is not None or problem.rough):
        at_first = _Decided(*LinearSettings().decided(estimated=guessed, exact=exact), job.settings.orientations)
        first, rest = at_first.steps * at_first.orientations, resolved.steps * job.settings.samples
        share = Share(job.callback, first + rest)
        share.begin(first)
        x0, before = _drawn(problem, prior, at_first, complete, NoiseStream(0, 1), share)
        share.begin(rest)
        job = replace(job, callback=share)
        if problem.rough:
            problem = replace(problem, guess=prior.to_image(x0))
        if complete is not None:
            problem = replace(problem, y=complete(problem.operator(x0)))

    def draw(noise: NoiseStream, share: TaskCallback) -> tuple[Tensor, int]:
        x0, nfe = _drawn(problem, prior, resolved, complete, noise, share)
        _check_measure(prior.to_image(x0), resolved.method)
        return x0 if problem.part is None else crop(x0, problem.part), before + nfe

    return _gathered(draw, shape, problem.gray, job, resolved.method)


@dataclass(frozen=True)
class _Decided:
    """How a picture is drawn: the method, its steps, and the orientations of a mean."""

    method: RestorationMethod
    steps: int
    orientations: int


def _check_measure(pictures: Tensor, method: RestorationMethod) -> None:
    """Raise ScoreinvError where a picture in [0, 1] is none: clipped to it, that would not show."""
    size = float(pictures.square().mean((1, 2, 3)).max().sqrt())
    if size > _BEYOND:
        raise ScoreinvError(
            f"{method} diverges (it gave a picture of root mean square {size:.3g}, and white has 1): take more steps, "
            "a larger noise_std, or another method"
        )


def _drawn(
    problem: Problem,
    prior: ScorePrior,
    sampling: _Decided,
    complete: Callable[[Tensor], Tensor] | None,
    noise: NoiseStream,
    share: TaskCallback,
) -> tuple[Tensor, int]:
    """A picture for each stream of the noise, in the model's range as the problem is, and the evaluations of each."""
    condition, sampler = _method(problem, prior, sampling, complete)
    shape = (len(noise), *problem.operator.adjoint(problem.y).shape[1:])
    start = _start(problem, prior, sampling, noise, shape)
    result = sampler.sample(condition, shape, rng=noise, callback=for_sampler(share), start=start)
    return result.x0, int(result.nfe[0])


def _completion(problem: Problem, prior: ScorePrior) -> Callable[[Tensor], Tensor] | None:
    """What makes y, in the model's range, of A x, with what black and white cut off; None where nothing was."""
    y, noise = problem.y.to(prior.device), problem.noise_std
    if not problem.stored:
        return None
    low, high = prior.data_range
    white, black = (problem.operator(torch.full_like(problem.operator.adjoint(y), end)) for end in (high, low))
    # Where white and black are alike nothing is observed, as in the margin of zeros around a blurred photograph.
    if not (cut_off(y) & (white != black)).any():
        return None
    return lambda seen: black + (high - low) * expected(y, (seen - black) / (high - low), noise)


def denoise(y: Tensor, noise_std: float, job: RestorationJob, *, gray: bool = False, stored: bool = False) -> Restored:
    """The posterior mean of a picture with white noise, by one evaluation, or samples, by the reverse process.

    Args:
        y: (1, 3, H, W), of pictures in [0, 1].
        noise_std: standard deviation of its noise, in `noise_range`.
        job: the method of its settings does not count. The mean takes an evaluation in each of its orientations.
        gray: whether the channels of y, and their noise, are the same.
        stored: whether y was cut off at black and white, as files are (`tasks.censored`). Where much of it was, the
            mean takes twice the evaluations.
    """
    prior, settings = job.prior, job.settings
    time = denoising_time(prior, white_level(noise_std, gray=gray))
    y = y.to(prior.device)
    alpha, sigma = (broadcast(f(as_time(time)), y) for f in (prior.sde.alpha, prior.sde.sigma))
    share_cut_off = float(cut_off(y).float().mean()) if stored else 0.0
    passes = 2 if share_cut_off > _MUCH_CUT_OFF else 1
    steps = DENOISING_STEPS if settings.steps is None else settings.steps

    def estimate(orientations: int, share: TaskCallback) -> tuple[Tensor, int]:
        work = passes * orientations * y[0, 0].numel() * (8 / 7) ** 2
        averaged = Averaged(_Watched(prior, share, work), ALL[:orientations])
        tiled = Tiled(averaged, *wide_tile(prior, *y.shape[-2:]), PIXELS_AT_ONCE)

        def mean(y: Tensor) -> Tensor:
            return prior.to_image(tiled.denoise(alpha * prior.to_model(y), time))

        with torch.no_grad():
            if not share_cut_off:
                return mean(y), orientations
            filled = expected_around(y, noise_std)
            x = mean(filled)
            better = expected(y, x, noise_std)
            x = mean(better) if passes > 1 else x + nearby(better - filled, _MIXED)
        return x, passes * orientations

    first = None
    if share_cut_off and not settings.mean:
        share = Share(job.callback, passes + steps * settings.samples)
        share.begin(passes)
        first = estimate(1, share)
        share.begin(steps * settings.samples)
        job = replace(job, callback=share)

    def draw(noise: NoiseStream, share: TaskCallback) -> tuple[Tensor, int]:
        if settings.mean:
            x0, nfe = estimate(settings.orientations, share)
            return prior.to_model(x0), nfe
        seen, before = (y, 0) if first is None else (_completed(y, first[0], noise_std, noise, gray), first[1])
        x = (alpha * prior.to_model(seen)).expand(len(noise), -1, -1, -1)
        if gray:  # what white noise has besides, so that the state is one of the process
            z = noise.normal(x.shape)
            x = x + sigma * (z - z.mean(1, keepdim=True))
        tile = tile_side(prior)
        tiled = Tiled(prior, tile, tile // 8, PIXELS_AT_ONCE)
        sampler = DPMpp2M(eta=1.0, steps=steps, s_noise=prior.s_noise)
        result = sampler.sample(tiled, tuple(x.shape), rng=noise, callback=for_sampler(share), start=State(x, time))
        return result.x0, before + int(result.nfe[0])

    return _gathered(draw, tuple(y.shape[1:]), gray, job, "exact")


def _completed(y: Tensor, x: Tensor, noise_std: float, noise: NoiseStream, gray: bool) -> Tensor:
    """y for each sample, with draws where it was cut off; the same in all channels of a grey picture."""
    channels = slice(0, 1 if gray else None)
    x = x.mean(1, keepdim=True) if gray else x
    return drawn(y[:, channels], x.expand(len(noise), -1, -1, -1), noise_std, noise).expand(-1, y.shape[1], -1, -1)


def white_level(noise_std: float, *, gray: bool) -> float:
    """The level of white noise in colours that hides as much as this noise, which for grey is the same in all channels.

    Noise that is the same in the channels has sqrt(3) times the standard deviation along the grey axis of colours, and
    none across.
    """
    return noise_std * math.sqrt(3) if gray else noise_std


def denoising_time(prior: ScorePrior, noise_std: float) -> float:
    """The time at which states have this noise; InputError if the model has no such time."""
    least, largest = noise_range(prior)
    if not least < noise_std < largest:
        raise InputError(
            f"noise of {noise_std * GRAY_LEVELS:.3g} grey levels of 255 is out of the model's range, from "
            f"{least * GRAY_LEVELS:.2g} to {largest * GRAY_LEVELS:.4g}"
        )
    time = start_time(prior, noise_std)
    return 1.0 if time is None else time


def _gathered(
    draw: Callable[[NoiseStream, TaskCallback], tuple[Tensor, int]],
    shape: tuple[int, ...],
    gray: bool,
    job: RestorationJob,
    method: AnyMethod,
) -> Restored:
    """All samples, (C, H, W) each, as pictures, as many drawn at once as memory allows, with their mean and spread."""
    settings = job.settings
    at_once = max(1, PIXELS_AT_ONCE // (shape[1] * shape[2]))
    share = Share(job.callback, settings.samples)
    pictures, running, nfe = [], RunningSpread(), 0
    for done in range(0, settings.samples, at_once):
        count = min(at_once, settings.samples - done)
        share.begin(count)
        noise = NoiseStream(settings.seed, count, done, job.prior.device)
        x0, nfe = draw(noise, share)
        for rgb in _colours(x0, gray, job.prior):
            pictures.append(job.finish(rgb))
            if settings.samples > 1:
                running.add(rgb)
    several = settings.samples > 1
    image = job.finish(running.mean) if several and settings.estimate == "mean" else pictures[0]
    return Restored(image, pictures, running.std if several else None, nfe, method)


def _colours(x0: Tensor, gray: bool, prior: ScorePrior) -> Iterator[np.ndarray]:
    x0 = prior.to_image(finite(x0))
    yield from to_arrays(x0.mean(1, keepdim=True).expand_as(x0) if gray else x0)


def _in_model_range(problem: Problem, prior: ScorePrior) -> Problem:
    """The problem of pictures in the model's range, low + (high - low) x; the guess stays in [0, 1]."""
    low, high = prior.data_range
    y = problem.y.to(prior.device)
    black = problem.operator(torch.full_like(problem.operator.adjoint(y), low))
    noise = white_level(problem.noise_std, gray=problem.gray) * (high - low)
    return replace(problem, y=black + (high - low) * y, noise_std=noise)


def _method(
    problem: Problem,
    prior: ScorePrior,
    sampling: _Decided,
    complete: Callable[[Tensor], Tensor] | None,
) -> tuple[Prior, Sampler]:
    """What is sampled, and by which sampler; the observation is in the model's range."""
    operator, y, noise = problem.operator, problem.y, problem.noise_std
    method, scale = sampling.method, prior.data_range[1] - prior.data_range[0]
    tile = tile_side(prior)
    tiled = Tiled(prior, tile, tile // 8, PIXELS_AT_ONCE)
    multistep = DPMpp2M(eta=1.0, steps=sampling.steps, s_noise=prior.s_noise)
    if method == "dpir":
        averaged = Averaged(prior, ALL[: sampling.orientations])
        size = operator.adjoint(y).shape[-2:]
        tiled = Tiled(averaged, *wide_tile(prior, *size), PIXELS_AT_ONCE)
        times = _falling(problem, prior, sampling.steps)
        momentum = _MOMENTUM if noise == 0 and problem.guess is not None else 0.0
        return tiled, DPIR(operator, y, noise, _MEAN_STRENGTH, times=times, complete=complete, momentum=momentum)
    if method == "ddrm":
        return tiled, DDRM(operator, y, noise, steps=sampling.steps)
    if method == "pc":
        if noise:
            raise InputError("pc takes the observation for exact, and there is noise in it: choose another method")
        return ConstrainedPC(tiled, operator, y), pc_sampler(prior, sampling.steps)
    if method == "diffpir":
        return DiffPIR(tiled, operator, y, noise), multistep
    if method == "ddnm":
        return DDNM(tiled, operator, y, noise), multistep
    if method == "pigdm":
        return PiGDM(tiled, operator, y, noise, (_PICTURE_STD * scale) ** 2), multistep
    if method == "dps":
        return DPS(tiled, operator, y, max(noise, _LEAST_DPS_NOISE * scale)), multistep
    return MMPS(tiled, operator, y, noise), multistep


def _start(
    problem: Problem,
    prior: ScorePrior,
    sampling: _Decided,
    noise: NoiseStream,
    shape: tuple[int, ...],
) -> State | None:
    """Where the sampler begins; None at the prior."""
    guess = problem.guess
    if sampling.method == "dpir":
        guess = torch.full((1, *shape[1:]), 0.5) if guess is None else guess
        time = float(_falling(problem, prior, sampling.steps)[0])
        picture = prior.to_model(guess.to(prior.device)).expand(shape)
        return State(broadcast(prior.sde.alpha(as_time(time)), picture) * picture, time)
    if guess is None:
        return None
    noise_std = problem.noise_std / (prior.data_range[1] - prior.data_range[0])
    level = max(_GUESS_LEVEL, noise_std, _HIDING * problem.missing)
    begin = start_time(prior, level)
    if begin is None:
        return None
    picture = prior.to_model(guess.to(prior.device)).expand(shape)
    return State(prior.sde.perturb(picture, as_time(begin), noise.normal(shape)), begin)


def _falling(problem: Problem, prior: ScorePrior, steps: int) -> tuple[float, ...]:
    """Times of half-quadratic splitting, evenly spaced in the logarithm of the noise level."""
    scale = prior.data_range[1] - prior.data_range[0]
    ends = prior.sde.noise_to_signal(torch.tensor([prior.sde.sampling_end, 1.0], dtype=torch.float64))
    last = max(float(ends[0]), scale * _LAST_LEVEL, problem.noise_std / 2)
    first = scale * (_BLIND_LEVEL if problem.guess is None else _MEAN_LEVEL)
    first = min(max(first, 2 * last), float(ends[1]))
    levels = torch.linspace(math.log(first), math.log(min(last, first)), steps, dtype=torch.float64).exp()
    return tuple(time_at(prior.sde, levels).tolist())


class _Watched(PriorWrapper):
    """A prior that reports how many pixels it has seen; for unconditional ones, which are the same in every window."""

    def __init__(self, prior: Prior, callback: TaskCallback, pixels: float) -> None:
        super().__init__(prior)
        self.callback = callback
        self.pixels = pixels
        self.seen = 0

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        noise = self.prior.noise(x, t)
        self.seen += x[:, 0].numel()
        tell(self.callback, min(1.0, self.seen / self.pixels))
        return noise
