"""The tasks `solve` and `upscale`: pictures drawn, or estimated, from a linear observation of all, y = A x + noise.

Any linear inverse problem by `solve`; photographs by `upscale_picture` and `deblur_picture`, and by `tasks.denoise`.
The network sees the picture through windows of about the size that it was trained at, and the observation is imposed on
the whole (`Tiled` inside a method).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoreinv.guidance import DDRM, DPIR, DPS, MMPS, ConstrainedPC, DiffPIR, PiGDM
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import (
    Form,
    is_tensor,
    layout_remedy,
    pictures_from_api,
    plain_values,
    refuse_masked,
    refuse_nested,
)
from scoreinv.networks.ffdnet import FFDNet
from scoreinv.operators import (
    LinearOperator,
    check_adjoint,
)
from scoreinv.prior import Prior, ScorePrior
from scoreinv.samplers import DPMpp2M, NoiseStream, Sampler, State
from scoreinv.sdes import as_time, broadcast, time_at
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.memory import PIXELS_AT_ONCE
from scoreinv.system.options import Number, check
from scoreinv.system.text import shown
from scoreinv.tasks.callbacks import Callback, for_sampler, running, split
from scoreinv.tasks.common import Model, gathered, model_of, pc_sampler, start_time, wide_tile
from scoreinv.tasks.denoise import cut_off, denoise_values, expected, white_level, written
from scoreinv.tasks.outcome import ImageLike, Outcome, in_form
from scoreinv.tasks.requests import DenoiseRequest, Estimate, RestorationMethod, SolveRequest
from scoreinv.windows.boxes import Box
from scoreinv.windows.ensemble import ALL, SelfEnsemble
from scoreinv.windows.tiled import Tiled, crop

_UNKNOWN = 0.055
"""Deviation of what the estimate of the mean lacks for any observation, of pixels in [0, 1]."""
_INITIAL_LEVEL = 0.1
"""Least noise level at which samples begin at an initial estimate, for pictures in [0, 1]."""
_HIDING = 2.8
"""How many times the components that the estimate lacks that level is: less tells samples that there are none."""
_MEAN_LEVEL = 0.25
"""First level of the denoiser where the mean is estimated from an initial estimate."""
_MOMENTUM = 0.7
"""Of that estimate where the observation has no noise; with noise photographs err by up to 0.45 dB more."""
_BLIND_LEVEL = 0.5
"""The same without one."""
_LAST_LEVEL = 0.02
"""Its last level, unless half of the observation's noise is more: below it the estimate gains nothing."""
_MEAN_STRENGTH = 0.15
"""The denoiser's strength there: with the paper's 0.23 pictures blurred and noisy err by 0.2 dB more."""
_PICTURE_STD = 0.25
"""Standard deviation of the values of photographs in [0, 1]."""
_BEYOND = 10.0
"""Root mean square of a picture in [0, 1] that has left all measure: 0.8 in runs that went well, 2 in poor ones."""
_LEAST_DPS_NOISE = 0.02
"""Noise that DPS assumes in an exact observation: it needs some."""


def solve(
    operator: LinearOperator,
    y: ImageLike,
    *,
    prior: Model | None = None,
    noise_std: float = 0.0,
    method: RestorationMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    orientations: int = 1,
    callback: Callback | None = None,
    progress: bool = False,
) -> Outcome[ImageLike]:
    """Restore pictures from an observation y = A x + noise, for any linear A.

        blur = scoreinv.operators.Blur(scoreinv.operators.kernels.gaussian(2), 256, 256)
        result = scoreinv.solve(blur, y, prior=scoreinv.load("denoiser"), noise_std=0.02)

    Args:
        operator: A, on pictures with values in [0, 1].
        y: the observation, of the shape of A(x): array HxW or HxWx3, PIL image, or tensor (B)xCxHxW, of floats, or of
            uint8 or uint16 that stand for [0, 1]. If A gives three channels and y has one, it stands for three equal
            ones with the same noise: the picture is grey.
        prior: the model, its name or its file; None: `denoiser`.
        noise_std: standard deviation of the white noise in y, in [0, 1].
        method: None: `dpir` for the mean of one picture. Samples are drawn by `mmps` from pure noise, or by `diffpir`
            from `dpir`'s mean for a model that knows little noise, as `denoiser`: the best by measurement
            (tests/benchmarks/README.md). If A is orthogonal, the posterior is sampled exactly. `ddrm`, `pigdm`, `dps`
            and `pc` draw samples, too; those of `ddrm` take a seventh of the time of `mmps` and vary too little.
        steps: of the method. None: as many as measurements showed to be enough: 36 for `mmps`, 24 for `diffpir`, 30 for
            `dpir`, 300 for `dps`; 8 for `diffpir` from a mean. `ddrm` takes 36, which suit a mask; 12 are better for a
            blur.
        samples: number of samples.
        seed: the same seed gives the same pictures; each sample has its own noise.
        estimate: `sample`: one possible picture; `mean`: the average of the samples, or for one a direct estimate of
            the posterior mean. None: `mean` for `dpir`, otherwise `sample`.
        orientations: flips and turns that a direct estimate is averaged over: 1, 2, 4 or 8.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong observation or setting, or settings that do not fit together.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model returned values that are not finite, or the method diverges, as `dps` and `pigdm` may.
    """
    if estimate is None:
        estimate = "mean" if method == "dpir" else "sample"
    request = SolveRequest(
        method=method, steps=steps, samples=samples, seed=seed, estimate=estimate, orientations=orientations
    )
    model = model_of("denoiser" if prior is None else prior)
    check("noise_std", noise_std, Number(0))
    if not isinstance(operator, LinearOperator):
        raise SettingError(
            "operator",
            f"must be a scoreinv.operators.LinearOperator, from which one of your own derives, not {shown(operator)}",
        )
    observations, dtype, form = _observations(y)
    observations = [observation.to(model.device) for observation in observations]
    _check_observed(operator, observations, noise_std)
    noise_alone = operator.orthogonal and noise_std > 0 and method is None
    if noise_alone:
        request = DenoiseRequest(steps=steps, samples=samples, seed=seed, estimate=estimate, orientations=orientations)

    def solved(number: int, part: Callback) -> Outcome[Any]:
        values, gray = _as_seen(operator, observations[number])
        finish = partial(_as_picture, dtype=dtype, gray=gray)
        if noise_alone:
            seen = operator.adjoint(values)
            return denoise_values(seen, noise_std, model, request, finish, part, gray=gray, stored=False)
        problem = Problem(operator, values, noise_std, gray, finish)
        if isinstance(model.network, FFDNet):  # which knows no noise that hides the picture, to draw from
            problem = replace(problem, rough=True, missing=_UNKNOWN)
        return solve_problem(problem, model, request, part)

    with running("solving", callback, progress=progress) as forward:
        parts = split(forward, [1] * len(observations))
        return in_form([solved(number, part) for number, part in enumerate(parts)], form)


@dataclass(frozen=True, eq=False)
class Problem:
    """An observation of one picture.

    Attributes:
        operator: A.
        y: (1, C, h, w), of pictures in [0, 1].
        noise_std: standard deviation of the noise in y, at least 0.
        gray: whether the channels of y, and their noise, are the same: the picture is grey.
        finish: makes the result of colours HxWx3 in [0, 1].
        initial: an estimate of the picture, (1, 3, H, W) in [0, 1], smooth; some of its detail and noise is wrong.
            None: nothing is known.
        rough: whether samples begin at the estimate of the mean that is made from the initial one, or without one from
            nothing, and not at the initial one.
        part: the part of the picture that is asked for; None: all of it.
        missing: standard deviation of the components that the initial estimate lacks most, of pictures in [0, 1]:
            samples begin at a noise level that hides them.
        stored: whether y was cut off at black and white, as files are, of a problem with an initial estimate.
    """

    operator: LinearOperator
    y: Tensor
    noise_std: float
    gray: bool
    finish: Callable[[np.ndarray], Picture]
    initial: Tensor | None = None
    rough: bool = False
    part: Box | None = None
    missing: float = 0.0
    stored: bool = False


def solve_problem(
    problem: Problem, prior: ScorePrior, request: SolveRequest, callback: Callback | None = None
) -> Outcome[Picture]:
    """Return samples, or an estimate of the mean, of the picture given the observation.

    Raises:
        InputError: method, operator and noise do not fit together.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model returned values that are not finite, or the method diverges.
    """
    exact, has_initial = problem.noise_std == 0, problem.initial is not None
    mean_first = problem.rough and not request.mean
    method, steps = request.decided(estimated=has_initial or mean_first, exact=exact)
    height, width = problem.operator.adjoint(problem.y).shape[-2:]
    complete = _completion(problem, prior)
    # In the model's range, low + (high - low) x; the initial estimate stays in [0, 1].
    low, high = prior.data_range
    y = problem.y.to(prior.device)
    black = problem.operator(torch.full_like(problem.operator.adjoint(y), low))
    noise_std = white_level(problem.noise_std, gray=problem.gray) * (high - low)
    problem = replace(problem, y=black + (high - low) * y, noise_std=noise_std)

    how = _Method(method, steps, request.orientations, complete)
    how.of(problem, prior)  # what it cannot do is told before the work
    before = 0
    if method != "dpir" and (complete is not None or problem.rough):
        _, mean_steps = SolveRequest().decided(estimated=has_initial, exact=exact)
        part, callback = split(callback, [mean_steps, steps * request.samples])
        x0, before = _Method("dpir", mean_steps, 1, complete).drawn(problem, prior, NoiseStream(0, 1), part)
        if problem.rough:
            problem = replace(problem, initial=prior.to_image(x0))
        if complete is not None:
            problem = replace(problem, y=complete(problem.operator(x0)))

    def draw(noise: NoiseStream, part: Callback) -> tuple[Tensor, int]:
        x0, nfe = how.drawn(problem, prior, noise, part)
        # What is no picture would not show once it is clipped to [0, 1].
        size = float(prior.to_image(x0).square().mean((1, 2, 3)).max().sqrt())
        if size > _BEYOND:
            raise ScoreinvError(
                f"{method} diverges (it gave a picture of root mean square {size:.3g}, and white has 1): take more "
                "steps, a larger noise_std, or another method"
            )
        return x0 if problem.part is None else crop(x0, problem.part), before + nfe

    size = (height, width)
    return gathered(draw, size, prior, request, problem.finish, callback, gray=problem.gray, method=method)


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


@dataclass(frozen=True)
class _Method:
    """How a picture is drawn of an observation in the model's range.

    Attributes:
        orientations: that a mean is averaged over.
        complete: see `DPIR`.
    """

    name: RestorationMethod
    steps: int
    orientations: int
    complete: Callable[[Tensor], Tensor] | None

    def of(self, problem: Problem, prior: ScorePrior) -> tuple[Prior, Sampler]:
        """What is sampled, and by which sampler; InputError where the method cannot do it."""
        operator, y, noise = problem.operator, problem.y, problem.noise_std
        scale = prior.data_range[1] - prior.data_range[0]
        tiled = Tiled(prior, prior.image_size, prior.image_size // 8, PIXELS_AT_ONCE)
        solver = DPMpp2M(eta=1.0, steps=self.steps, s_noise=prior.s_noise)
        if self.name == "dpir":
            averaged = SelfEnsemble(prior, ALL[: self.orientations])
            size = operator.adjoint(y).shape[-2:]
            tiled = Tiled(averaged, *wide_tile(prior, *size), PIXELS_AT_ONCE)
            times = self._falling(problem, prior)
            momentum = _MOMENTUM if noise == 0 and problem.initial is not None else 0.0
            return tiled, DPIR(
                operator, y, noise, _MEAN_STRENGTH, times=times, complete=self.complete, momentum=momentum
            )
        if self.name == "ddrm":
            return tiled, DDRM(operator, y, noise, steps=self.steps)
        if self.name == "pc":
            if noise:
                raise InputError("pc takes the observation for exact, and there is noise in it: choose another method")
            return ConstrainedPC(tiled, operator, y), pc_sampler(prior, self.steps)
        if self.name == "diffpir":
            return DiffPIR(tiled, operator, y, noise), solver
        if self.name == "pigdm":
            return PiGDM(tiled, operator, y, noise, (_PICTURE_STD * scale) ** 2), solver
        if self.name == "dps":
            return DPS(tiled, operator, y, max(noise, _LEAST_DPS_NOISE * scale)), solver
        return MMPS(tiled, operator, y, noise), solver

    def drawn(self, problem: Problem, prior: ScorePrior, noise: NoiseStream, callback: Callback) -> tuple[Tensor, int]:
        """A picture for each stream of the noise, in the model's range, and the evaluations of each."""
        condition, sampler = self.of(problem, prior)
        shape = (len(noise), *problem.operator.adjoint(problem.y).shape[1:])
        start = self._start(problem, prior, noise, shape)
        result = sampler.sample(condition, shape, rng=noise, callback=for_sampler(callback), start=start)
        return result.x0, int(result.nfe[0])

    def _start(self, problem: Problem, prior: ScorePrior, noise: NoiseStream, shape: tuple[int, ...]) -> State | None:
        """Where the sampler begins; None at the prior."""
        initial = problem.initial
        if self.name == "dpir":
            initial = torch.full((1, *shape[1:]), 0.5) if initial is None else initial
            time = self._falling(problem, prior)[0]
            picture = prior.to_model(initial.to(prior.device)).expand(shape)
            return State(broadcast(prior.sde.alpha(as_time(time)), picture) * picture, time)
        if initial is None:
            return None
        noise_std = problem.noise_std / (prior.data_range[1] - prior.data_range[0])
        level = max(_INITIAL_LEVEL, noise_std, _HIDING * problem.missing)
        begin = start_time(prior, level)
        if begin is None:
            return None
        picture = prior.to_model(initial.to(prior.device)).expand(shape)
        return State(prior.sde.perturb(picture, as_time(begin), noise.normal(shape)), begin)

    def _falling(self, problem: Problem, prior: ScorePrior) -> tuple[float, ...]:
        """Times of half-quadratic splitting, evenly spaced in the logarithm of the noise level."""
        scale = prior.data_range[1] - prior.data_range[0]
        ends = prior.sde.noise_to_signal(torch.tensor([prior.sde.sampling_end, 1.0], dtype=torch.float64))
        last = max(float(ends[0]), scale * _LAST_LEVEL, problem.noise_std / 2)
        first = scale * (_BLIND_LEVEL if problem.initial is None else _MEAN_LEVEL)
        first = min(max(first, 2 * last), float(ends[1]))
        levels = torch.linspace(math.log(first), math.log(min(last, first)), self.steps, dtype=torch.float64).exp()
        return tuple(time_at(prior.sde, levels).tolist())


def _observations(y: Any) -> tuple[list[Tensor], np.dtype, Form]:
    """The observations of a caller, (1, C, h, w) each, for pictures in [0, 1]; the results' type, and their form."""
    if is_tensor(y):
        refuse_nested(y, "the observation")
        if y.ndim not in (3, 4) or 0 in y.shape:
            raise InputError(f"an observation is a (B)xCxHxW, not {tuple(y.shape)}")
        values = plain_values(y, "the observation")
        peak = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        dtype = np.dtype(np.float32) if peak == 1 else values.dtype
        batch = torch.from_numpy(values.astype(np.float32) / np.float32(peak))
        batch = batch if batch.ndim == 4 else batch[None]
        return list(batch.split(1)), dtype, Form("tensor", y.ndim, y.dtype, y.device)
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        refuse_masked(y, "the observation")
        if y.ndim not in (2, 3) or 0 in y.shape or (y.ndim == 3 and y.shape[2] != 3):
            remedy = layout_remedy(y.shape)
            if y.ndim == 3 and y.shape[0] == 4:
                remedy = ": leave out the alpha, and put the channels last"
            raise InputError(f"an observation is HxW or HxWx3, not {'x'.join(map(str, y.shape))}{remedy}")
        planes = torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32))
        planes = planes[None] if y.ndim == 2 else planes.permute(2, 0, 1)
        return [planes[None].contiguous()], y.dtype, Form("array")
    pictures, form = pictures_from_api(y)
    if pictures[0].has_alpha:
        raise InputError("an observation has 1 or 3 channels, and this one has alpha too: leave it out")
    rgb = pictures[0].rgb()
    channels = rgb[..., :1] if pictures[0].is_gray_mode else rgb
    return [torch.from_numpy(channels).permute(2, 0, 1)[None].contiguous()], pictures[0].pixels.dtype, form


def _check_observed(operator: LinearOperator, observations: list[Tensor], noise_std: float) -> None:
    """Raise InputError for observations that the operator cannot have given, or one that is not linear."""
    if not all(y.isfinite().all() for y in observations):
        raise InputError("the observation has values that are not finite")
    size = max(float(y.double().square().mean().sqrt()) for y in observations)
    if noise_std > max(1.0, 2 * size):  # then the one is in other units
        raise SettingError(
            "noise_std",
            f"is in [0, 1] units, and {noise_std:g} is more than the observation holds: 25 grey levels are 25/255",
        )
    y, _ = _as_seen(operator, observations[0])
    back = again = None
    with suppress(RuntimeError):
        back = operator.adjoint(y)
        again = operator(back).shape
    if again is not None and again[0] > 1:
        raise InputError(f"{type(operator).__name__} is of {again[0]} pictures: solve each with its own operator")
    if back is None or back.shape[1] != 3 or again != y.shape:
        gives = "does not take that" if again is None else f"gives {'x'.join(map(str, again[1:]))} of it"
        raise InputError(
            f"the observation is {'x'.join(map(str, y.shape[1:]))} (channels, height, width; one channel may stand for "
            f"three alike), and {type(operator).__name__} {gives}: it must give that of pictures of three channels"
        )
    check_adjoint(operator, back)


def _as_seen(operator: LinearOperator, y: Tensor) -> tuple[Tensor, bool]:
    """An observation of the shape A x, and whether the picture is grey: where one channel stands for three alike."""
    if y.shape[1] != 1:
        return y, False
    with suppress(RuntimeError):  # of an operator that takes three channels alone
        if operator.adjoint(y).shape[1] == 3 and operator(operator.adjoint(y)).shape[1] == 1:
            return y, False
    return y.expand(-1, 3, -1, -1).contiguous(), True


def _as_picture(rgb: np.ndarray, *, dtype: np.dtype, gray: bool) -> Picture:
    pixels = np.zeros(rgb.shape[:2] if gray else rgb.shape, dtype=dtype)
    return written(Picture(pixels), rgb)
