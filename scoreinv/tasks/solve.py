"""The task `solve`: sample or estimate pictures given a linear observation, y = A x + noise.

`upscale` and `deblur` pose such problems for photographs. The network evaluates windows of about its training size,
while the method imposes the observation on the whole picture (`Tiled` inside a method).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoreinv.guidance import (
    DDRM,
    DPIR,
    DPS,
    MMPS,
    ConstrainedPC,
    DiffPIR,
    GivenObservation,
    Observation,
    PiGDM,
)
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
from scoreinv.operators import LinearOperator, ObservedComponents, Operator, check_adjoint
from scoreinv.prior import Prior, ScorePrior
from scoreinv.samplers import DPMpp2M, NoiseStream, Sampler, State
from scoreinv.sdes import as_time, broadcast, time_at
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.limits import limits
from scoreinv.system.options import Number, check
from scoreinv.system.progress import Callback, part, parts, running
from scoreinv.system.text import shown
from scoreinv.tasks.common import Model, draw_outcome, model_of, start_time, wide_tile
from scoreinv.tasks.denoise import denoise_values, expected, is_clipped, white_level, written
from scoreinv.tasks.once import in_form
from scoreinv.tasks.outcome import ImageLike, Outcome
from scoreinv.tasks.posterior import pc_sampler
from scoreinv.tasks.requests import LEAST_STEPS, DenoiseRequest, Estimate, RestorationMethod, SolveRequest
from scoreinv.windows.boxes import Box
from scoreinv.windows.tiled import Tiled
from scoreinv.windows.transforms import ALL, crop

_log = logging.getLogger(__name__)

_USUAL_MISSING = 0.055
"""`Problem.missing` of DPIR's mean for an arbitrary observation, for pictures in [0, 1]."""
_INITIAL_LEVEL = 0.1
"""Smallest noise level at which sampling starts from an initial estimate, for pictures in [0, 1]."""
_HIDING = 2.8
"""Ratio of the starting noise level to `Problem.missing`. With less noise samples would stay as smooth as the
estimate."""
_MEAN_LEVEL = 0.12
"""First noise level of DPIR from an initial estimate, for pictures in [0, 1]."""
_BLIND_LEVEL = 0.5
"""First noise level of DPIR without an initial estimate, for pictures in [0, 1]."""
_LAST_LEVEL = 0.02
"""Last noise level of DPIR, or half the observation's noise if that is larger; lower levels gain nothing."""
_MEAN_STRENGTH = 0.1
"""Strength of the denoiser in DPIR from an initial estimate, in three steps; 0.15 costs 0.07 dB on twelve blurred JPEGs
of quality 92 and makes one of them worse."""
_BLIND_STRENGTH = 0.2
"""Strength of the denoiser in DPIR without an initial estimate, in thirty steps. On six photographs moved by 15 pixels,
with noise of 0.01, 0.15 loses 1.6 dB and 0.1 loses 11; on blurred, noisy ones 0.1 gains 0.2 dB."""
_PICTURE_STD = 0.25
"""Standard deviation of the values of photographs in [0, 1]."""
_DIVERGED = 10.0
"""Root mean square above which a picture in [0, 1] has diverged; good runs have 0.8, poor ones 2."""
_LEAST_DPS_NOISE = 0.02
"""Noise that DPS assumes in an exact observation, since it divides by the noise; for pictures in [0, 1]."""


def solve(
    operator: Operator,
    y: ImageLike,
    *,
    prior: Model | None = None,
    noise_std: float | np.ndarray | Tensor = 0.0,
    method: RestorationMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    orientations: int = 1,
    callback: Callback | None = None,
    progress: bool = False,
) -> Outcome[ImageLike]:
    """Restore pictures from an observation y = A(x) + noise, for any linear or differentiable A.

        blur = scoreinv.operators.Blur(scoreinv.operators.kernels.gaussian(2), 256, 256)
        result = scoreinv.solve(blur, y, prior=scoreinv.load("denoiser"), noise_std=0.02)

    Args:
        operator: A, on pictures with values in [0, 1]. If it is not linear, such as `operators.InLight`, the methods
            use its derivative at each estimate; `ddrm` needs a singular value decomposition, which it lacks.
        y: the observation, of the shape of A(x): array HxW or HxWx3, PIL image, or tensor (B)xCxHxW, of floats, or of
            uint8 or uint16 scaled to [0, 1]. If A returns three channels, one channel of y stands for three equal ones
            with the same noise: the picture is grey.
        prior: the model, its name or its file; None: `denoiser`.
        noise_std: standard deviation of the noise in y, in [0, 1]; one number for white noise, or an array or a tensor
            with a number above 0 for each component of y, infinite for an unknown one.
        method: None: `dpir` for the mean. Samples are drawn by `mmps` from pure noise, or by `diffpir` from `dpir`'s
            mean if the model's noise range is small, as `denoiser`'s. These measured best
            (tests/benchmarks/README.md). If A is orthogonal, the posterior is sampled exactly. `ddrm`, `pigdm`, `dps`
            and `pc` draw samples, too. `ddrm` needs a seventh of the time of `mmps`, but its samples vary too little.
        steps: steps of the method. None: by measurement, 36 for `mmps`, 24 for `diffpir` (8 from a mean), 30 for
            `dpir`, 300 for `dps`. For `ddrm` 36, which suits masks; 12 are better for a blur.
        samples: number of samples.
        seed: the same seed gives the same pictures; each sample has its own noise.
        estimate: `sample`: a posterior sample. `mean`: the average of several samples, or for one a direct estimate of
            the posterior mean. None: `mean` for `dpir`, otherwise `sample`.
        orientations: flips and rotations over which a direct estimate is averaged: 1, 2, 4 or 8.
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
    model = model_of(prior, "denoiser")
    if not isinstance(operator, Operator):
        raise SettingError("operator", f"must be a scoreinv.operators.Operator, not {shown(operator)}")
    observations, dtype, form = _observations(y)
    if isinstance(noise_std, np.ndarray | Tensor):
        operator, observations, noise_std = _whitened(operator, observations, noise_std)
    check("noise_std", noise_std, Number(0))
    observations = [observation.to(model.device) for observation in observations]
    _check_observed(operator, observations, noise_std)
    orthogonal = isinstance(operator, ObservedComponents) and bool((operator.observed == 1).all())
    noise_alone = orthogonal and noise_std > 0 and method is None
    if noise_alone:
        request = DenoiseRequest(steps=steps, samples=samples, seed=seed, estimate=estimate, orientations=orientations)

    def solved(y: Tensor) -> Outcome[Any]:
        values, gray = _with_channels_of(operator, y)

        def finish(rgb: np.ndarray) -> Picture:
            return written(Picture(np.zeros(rgb.shape[:2] if gray else rgb.shape, dtype)), rgb)

        if noise_alone:
            noisy = operator.picture_like(values)
            return denoise_values(noisy, noise_std, model, request, finish, gray=gray, stored=False)
        problem = Problem(operator, values, noise_std, gray, finish)
        if isinstance(model.network, FFDNet):  # its noise range is too small to start from pure noise
            problem = replace(problem, starts_from_mean=True, missing=_USUAL_MISSING)
        return solve_problem(problem, model, request)

    outcomes = []
    with running("solving", callback, progress=progress):
        for number, observation in enumerate(observations):
            with part(number, len(observations)):
                outcomes.append(solved(observation))
    return in_form(outcomes, form)


@dataclass(frozen=True, eq=False)
class Problem:
    """An observation of one picture.

    Attributes:
        operator: A.
        y: (1, C, h, w), of pictures in [0, 1].
        noise_std: standard deviation of the noise in y, at least 0.
        gray: the picture is grey: the channels of y, and their noise, are equal.
        finish: converts colours HxWx3 in [0, 1] to the result.
        initial: smooth estimate of the picture, (1, 3, H, W) in [0, 1]; None if there is none.
        starts_from_mean: samples start from DPIR's mean. DPIR in turn starts from `initial`, if that is given.
        part: the part of the picture to return; None: all of it.
        missing: largest standard deviation of a component that the starting point of samples lacks, for pictures in
            [0, 1]; sampling starts at a noise level above it.
        stored: y was clipped at black and white, as in files; needs an initial estimate.
    """

    operator: Operator
    y: Tensor
    noise_std: float
    gray: bool
    finish: Callable[[np.ndarray], Picture]
    initial: Tensor | None = None
    starts_from_mean: bool = False
    part: Box | None = None
    missing: float = 0.0
    stored: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (C, H, W) of the picture."""
        picture = self.operator.picture_like(self.y) if self.initial is None else self.initial
        return tuple(picture.shape[1:])


def solve_problem(problem: Problem, prior: ScorePrior, request: SolveRequest) -> Outcome[Picture]:
    """Return samples, or an estimate of the mean, of the picture given the observation.

    Raises:
        InputError: method, operator and noise do not fit together.
        ScoreinvError: the model returned values that are not finite, or the method diverges.
    """
    has_initial = problem.initial is not None
    mean_first = problem.starts_from_mean and not request.mean
    method, steps = request.method_and_steps(from_estimate=has_initial or mean_first)
    if not (has_initial or mean_first) and steps < (least := LEAST_STEPS.get(method, 0)):
        _log.warning("solve: %d steps are too few for %s from pure noise: take at least %d", steps, method, least)
    problem, complete = _in_model_range(problem, prior)
    solver = _Method(method, steps, request.orientations, complete)
    solver.guided(problem, prior)  # raises for an unsuitable problem before any work
    mean_nfe = mean_steps = 0
    if method != "dpir" and (complete is not None or problem.starts_from_mean):
        _, mean_steps = SolveRequest().method_and_steps(from_estimate=has_initial)
    averaging, drawing = parts([mean_steps, steps * request.samples])
    if mean_steps:
        with averaging:
            problem, mean_nfe = _with_mean(problem, prior, _Method("dpir", mean_steps, 1, complete))

    def draw(noise: NoiseStream) -> tuple[Tensor, int]:
        x0, nfe = solver.drawn(problem, prior, noise)
        # Clipping to [0, 1] would hide divergence.
        rms = float(prior.to_image(x0).square().mean((1, 2, 3)).max().sqrt())
        if rms > _DIVERGED:
            raise ScoreinvError(
                f"{method} diverges (the root mean square of its picture is {rms:.3g}; white has 1): take more steps, "
                "a larger noise_std, or another method"
            )
        return x0 if problem.part is None else crop(x0, problem.part), mean_nfe + nfe

    height, width = problem.shape[1:]
    finish, gray = problem.finish, problem.gray
    with drawing:
        return draw_outcome(draw, (height, width), prior, request, finish, gray=gray, method=method)


Completion = Callable[[Tensor], Tensor]
"""Returns y with its clipped values replaced by their expectation, given A x; see `DPIR.complete`."""


def _in_model_range(problem: Problem, prior: ScorePrior) -> tuple[Problem, Completion | None]:
    """Return the problem in the model's range, low + (high - low) x, and the completion of y if values are clipped.

    The initial estimate stays in [0, 1].
    """
    low, high = prior.data_range
    operator = problem.operator.in_range(low, high)
    y, stored_noise = problem.y.to(prior.device), problem.noise_std
    black, white = (operator(torch.full((1, *problem.shape), end, device=prior.device)) for end in (low, high))

    def completed(predicted: Tensor) -> Tensor:
        return black + (high - low) * expected(y, (predicted - black) / (high - low), stored_noise)

    # Equal values for white and black mean that nothing is observed there, as in zero padding around a blurred photo.
    clipped = problem.stored and bool((is_clipped(y) & (white != black)).any())
    noise_std = white_level(problem.noise_std, gray=problem.gray) * (high - low)
    problem = replace(problem, operator=operator, y=black + (high - low) * y, noise_std=noise_std)
    return problem, completed if clipped else None


def _with_mean(problem: Problem, prior: ScorePrior, dpir: _Method) -> tuple[Problem, int]:
    """Return the problem with DPIR's mean put to use, and the evaluations for it.

    The mean completes clipped values of y. If samples start from it, it replaces the initial estimate.
    """
    x0, nfe = dpir.drawn(problem, prior, NoiseStream(0, 1))
    if problem.starts_from_mean:
        problem = replace(problem, initial=prior.to_image(x0))
    if dpir.complete is not None:
        problem = replace(problem, y=dpir.complete(problem.operator(x0)))
    return problem, nfe


@dataclass(frozen=True)
class _Method:
    """A method with its settings, for observations in the model's range.

    Attributes:
        orientations: number of orientations over which a mean is averaged.
        complete: see `DPIR.complete`; other methods ignore it.
    """

    name: RestorationMethod
    steps: int
    orientations: int
    complete: Completion | None

    def guided(self, problem: Problem, prior: ScorePrior) -> tuple[Prior, Sampler]:
        """Return the guided prior and the sampler; raise InputError if the method does not suit the problem."""
        noise, observation = problem.noise_std, Observation(problem.operator, problem.y, problem.noise_std)
        scale = prior.data_range[1] - prior.data_range[0]
        tiled = Tiled(prior, prior.image_size, prior.image_size // 8, limits().pixels_at_once)
        solver = DPMpp2M(eta=1.0, steps=self.steps, s_noise=prior.s_noise)
        if self.name == "dpir":
            windows, orientations = wide_tile(prior, *problem.shape[1:]), ALL[: self.orientations]
            tiled = Tiled(prior, *windows, limits().pixels_at_once, orientations=orientations)
            times = self._dpir_times(problem, prior)
            strength = _BLIND_STRENGTH if problem.initial is None else _MEAN_STRENGTH
            return GivenObservation(tiled, observation), DPIR(strength, times=times, complete=self.complete)
        if self.name == "ddrm":
            problem.operator.spectral()  # raises if it has no decomposition
            return GivenObservation(tiled, observation), DDRM(steps=self.steps)
        if self.name == "pc":
            if not isinstance(problem.operator, LinearOperator):
                raise InputError("pc needs a linear operator: choose another method")
            if noise:
                raise InputError("pc assumes an exact observation, and this one has noise: choose another method")
            return ConstrainedPC(tiled, observation), pc_sampler(prior, self.steps)
        if self.name == "diffpir":
            return DiffPIR(tiled, observation), solver
        if self.name == "pigdm":
            return PiGDM(tiled, observation, (_PICTURE_STD * scale) ** 2), solver
        if self.name == "dps":
            return DPS(tiled, replace(observation, noise_std=max(noise, _LEAST_DPS_NOISE * scale))), solver
        return MMPS(tiled, observation), solver

    def drawn(self, problem: Problem, prior: ScorePrior, noise: NoiseStream) -> tuple[Tensor, int]:
        """Draw one picture per noise stream, in the model's range; return them with the evaluations for each."""
        condition, sampler = self.guided(problem, prior)
        shape = (len(noise), *problem.shape)
        start = self._start(problem, prior, noise, shape)
        result = sampler.sample(condition, shape, rng=noise, start=start)
        return result.x0, int(result.nfe[0])

    def _start(self, problem: Problem, prior: ScorePrior, noise: NoiseStream, shape: tuple[int, ...]) -> State | None:
        """Return the sampler's initial state; None to start from the SDE's prior."""
        initial = problem.initial
        if self.name == "dpir":
            initial = torch.full((1, *shape[1:]), 0.5) if initial is None else initial
            time = self._dpir_times(problem, prior)[0]
            picture = prior.to_model(initial.to(prior.device)).expand(shape)
            return State(broadcast(prior.sde.alpha(as_time(time)), picture) * picture, time)
        if initial is None:
            return None
        noise_std = problem.noise_std / (prior.data_range[1] - prior.data_range[0])
        level = max(_INITIAL_LEVEL, noise_std, _HIDING * problem.missing)
        start = start_time(prior, level)
        if start is None:
            return None
        picture = prior.to_model(initial.to(prior.device)).expand(shape)
        return State(prior.sde.perturb(picture, as_time(start), noise.normal(shape)), start)

    def _dpir_times(self, problem: Problem, prior: ScorePrior) -> tuple[float, ...]:
        """Return the times of DPIR, evenly spaced in the logarithm of the noise level."""
        scale = prior.data_range[1] - prior.data_range[0]
        ends = prior.sde.noise_to_signal(torch.tensor([prior.sde.sampling_end, 1.0], dtype=torch.float64))
        last = max(float(ends[0]), scale * _LAST_LEVEL, problem.noise_std / 2)
        first = scale * (_BLIND_LEVEL if problem.initial is None else _MEAN_LEVEL)
        first = min(max(first, 2 * last), float(ends[1]))
        levels = torch.linspace(math.log(first), math.log(min(last, first)), self.steps, dtype=torch.float64).exp()
        return tuple(time_at(prior.sde, levels).tolist())


def _observations(y: Any) -> tuple[list[Tensor], np.dtype, Form]:
    """Convert a caller's observations to tensors (1, C, h, w); return them with dtype and form of the results."""
    if is_tensor(y):
        refuse_nested(y, "the observation")
        if y.ndim not in (3, 4) or 0 in y.shape:
            raise InputError(f"an observation is a tensor (B)xCxHxW, not {tuple(y.shape)}")
        values = plain_values(y, "the observation")
        peak = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        dtype = np.dtype(np.float32) if peak == 1 else values.dtype
        batch = torch.from_numpy(values.astype(np.float32) / np.float32(peak))
        batch = batch if batch.ndim == 4 else batch[None]
        return list(batch.split(1)), dtype, Form("tensor", y.ndim, y.dtype, y.device)
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        refuse_masked(y, "the observation")
        if y.ndim not in (2, 3) or 0 in y.shape or (y.ndim == 3 and y.shape[2] != 3):
            shape = "x".join(map(str, y.shape))
            raise InputError(f"an observation is HxW or HxWx3, not {shape}{layout_remedy(y.shape)}")
        values, dtype, form = np.atleast_3d(y).astype(np.float32), y.dtype, Form("array")
    else:
        pictures, form = pictures_from_api(y)
        if pictures[0].has_alpha:
            raise InputError("an observation has 1 or 3 channels, and this one has alpha too: leave it out")
        values, dtype = pictures[0].rgb()[..., : 1 if pictures[0].is_gray_mode else 3], pictures[0].pixels.dtype
    return [torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))[None]], dtype, form


def _whitened(
    operator: Operator, observations: list[Tensor], noise_std: np.ndarray | Tensor
) -> tuple[Operator, list[Tensor], float]:
    """Return operator and observations with weights that make their noise white, and its standard deviation.

    The weights are at most 1: n / noise_std, with n the smallest standard deviation. Then
    sum (y - A x)^2 / noise_std^2 = |w (y - A x)|^2 / n^2.

    Raises SettingError if noise_std does not have the shape of the observations, or is not above 0.
    """
    noise = _observations(noise_std)[0][0]
    for y in observations:
        if noise.shape[-2:] != y.shape[-2:] or noise.shape[1] not in (1, y.shape[1]):
            raise SettingError(
                "noise_std", f"has the shape {tuple(noise_std.shape)}, which is not that of the observation"
            )
    least = float(noise.min())
    if not 0 < least < math.inf:
        raise SettingError("noise_std", "must be above 0 in each component, and finite in one or more")
    weights = least / noise
    return operator.weighted(weights), [weights * y for y in observations], least


def _check_observed(operator: Operator, observations: list[Tensor], noise_std: float) -> None:
    """Raise InputError if the observations do not fit the operator, or its derivative's adjoint is wrong."""
    if not all(y.isfinite().all() for y in observations):
        raise InputError("the observation has values that are not finite")
    rms = max(float(y.double().square().mean().sqrt()) for y in observations)
    if noise_std > max(1.0, 2 * rms):  # probably in grey levels
        raise SettingError(
            "noise_std", f"is in [0, 1] units, and {noise_std:g} exceeds the observation: 25 grey levels are 25/255"
        )
    y, _ = _with_channels_of(operator, observations[0])
    back = again = None
    with suppress(RuntimeError):
        back = operator.picture_like(y)
        again = operator(back).shape
    if again is not None and again[0] > 1:
        raise InputError(f"{type(operator).__name__} acts on {again[0]} pictures: solve each with its own operator")
    if back is None or back.shape[1] != 3 or again != y.shape:
        result = "does not accept it" if again is None else f"returns {'x'.join(map(str, again[1:]))} from it"
        raise InputError(
            f"the observation is {'x'.join(map(str, y.shape[1:]))} (channels, height, width; one channel may stand for "
            f"three equal ones), and {type(operator).__name__} {result}: it must map pictures of three channels to it"
        )
    check_adjoint(operator.linearised(back)[1], back)


def _with_channels_of(operator: Operator, y: Tensor) -> tuple[Tensor, bool]:
    """Return y with as many channels as A x, and whether the picture is grey: y then had one channel for three."""
    if y.shape[1] != 1:
        return y, False
    with suppress(RuntimeError):  # some operators accept three channels only
        if operator.picture_like(y).shape[1] == 3 and operator(operator.picture_like(y)).shape[1] == 1:
            return y, False
    return y.expand(-1, 3, -1, -1).contiguous(), True
