"""How a picture is drawn given what is known of it. Imports no torch, so that settings are checked before it loads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from scoreinv.checks import check_choice, check_flag, check_number, check_positive, check_whole
from scoreinv.errors import SettingError

Method = Literal["conditioned", "pc"]
Estimate = Literal["sample", "mean"]
GrayWeights = Literal["rec601", "average", "rec709"]
Sampler = Literal["pc", "ode", "multistep", "heun", "ddim"]
Predictor = Literal[
    "reverse_diffusion", "euler_maruyama", "ancestral", "ancestral_posterior", "probability_flow", "none"
]
Corrector = Literal["langevin", "annealed_langevin", "none"]

MAX_STEPS = 1_000_000
"""A thousand times the paper's. Bounds of what can be asked for are those of memory and of patience."""
MAX_SAMPLES = 1000
MAX_REPEATS = 10_000
MAX_CORRECTOR_STEPS = 1000
MAX_SNR = 10.0
MAX_GUIDANCE = 1e6
MIN_RTOL, MAX_RTOL = 1e-12, 0.1
MAX_CHURN = 1e6
"""Far above the steps there are, and a step adds no more noise than there is."""
MAX_SEED = 2**63 - 1

GUESS_START = 0.5
"""Noise level at which a short run of `pc` begins: twice the spread of a picture's values, which drowns the guess."""

FILL_STEPS: dict[Method, int] = {"conditioned": 10, "pc": 30}
"""Times of the grid of each method for holes. With 10 the detail of fills by `photo` is nearest to the photographs':
1.0 to 1.1 of it, with 25 1.2; and 30 of `pc` differ little from more."""
COLOUR_STEPS: dict[Method, int] = {"conditioned": 15, "pc": 30}
"""The same for colours: with 10 those of `scene` are off by 1.7 dB more."""
MEAN_DRAWS = 4
"""Noises that the posterior mean of colours is averaged over: what is left of it in the input tints a single one."""
COLOUR_TEMPERATURE = 0.5
"""What is left of the deviation of drawn colours from the posterior mean. At 1 those of `scene` have patches of odd
colours and err more than the grey picture, at 0.5 less, with five sixths of the colourfulness that 0.7 has."""


@dataclass(frozen=True)
class ConditionalSampling:
    """How a picture is drawn given what is known of it.

    Attributes:
        method: `conditioned`, by a network that is given what is known, and a multistep solver of the reverse SDE;
            `pc`, constrained predictor-corrector sampling with any prior (Song et al. 2021, appendix I.2 and I.3).
            None: `conditioned` for a model that was trained for it, else `pc`.
        steps: times of the grid; None: as measured to be enough. 1000 is the paper's of `pc`. Deep
            holes of `conditioned` are continued out of the picture itself and take none (`tasks.deep_holes`).
        start: of `pc`, noise level at which sampling begins, a standard deviation for pictures in [0, 1]: a smooth
            guess with that much noise; `math.inf` is the SDE's prior, as in the paper. None: `GUESS_START`, or the
            prior when there are as many steps as the SDE has itself (1000).
        samples: pictures to draw.
        seed: of the noise; each sample and place has its own stream. Of colours each picture has, and samples 2 k and
            2 k + 1 are a pair of opposite noise.
        estimate: `sample`, or `mean`: the average of the samples; for one sample of `conditioned` the posterior mean
            itself, one evaluation of the network in each orientation (of colours, for each of `MEAN_DRAWS` noises).
        corrector_steps, snr: of the Langevin corrector of `pc`, whose step follows the noise level: norms over a region
            that is mostly known would tie it to how the region was cut.
        first: number of the first sample: samples 3 and 4 are the first two of `first=3`.
    """

    method: Method | None = None
    steps: int | None = None
    start: float | None = None
    samples: int = 1
    seed: int = 0
    estimate: Estimate = "sample"
    corrector_steps: int = 1
    snr: float = 0.16
    first: int = 0

    def __post_init__(self) -> None:
        if self.method is not None:
            check_choice("method", self.method, get_args(Method))
        check_choice("estimate", self.estimate, get_args(Estimate))
        if self.steps is not None:
            check_whole("steps", self.steps, 1, MAX_STEPS)
        if self.start is not None:
            if not (isinstance(self.start, float) and self.start == math.inf):
                check_positive("start", self.start)
            if self.method == "conditioned":
                raise SettingError("start", "does not go with conditioned: a starting level belongs to the method pc")
        check_whole("samples", self.samples, 1, MAX_SAMPLES)
        check_whole("seed", self.seed, 0, MAX_SEED)
        if self.estimate == "mean" and self.samples == 1 and self.method == "pc":
            raise SettingError("estimate", "mean of pc is that of several samples: ask for 4 or more of them")

    def resolved(self, steps: dict[Method, int], *, conditional: bool) -> ConditionalSampling:
        """With method and steps decided, for a model that takes observations or not; InputError where they clash.

        steps: of each method, where none are asked for.
        """
        method = self.method or ("conditioned" if conditional and self.start is None else "pc")
        return replace(self, method=method, steps=steps[method] if self.steps is None else self.steps)

    @property
    def is_posterior_mean(self) -> bool:
        """Whether one evaluation of the network, in each orientation of the picture, is the answer."""
        return self.method == "conditioned" and self.estimate == "mean" and self.samples == 1

    def level(self, full: int) -> float:
        """The noise level at which `pc` begins, where the SDE's own grid has `full` steps."""
        if self.start is not None:
            return self.start
        return GUESS_START if self.steps < full else math.inf


@dataclass(frozen=True)
class Colours:
    """How a grey picture is coloured.

    Attributes:
        gray_weights: how the grey was made of red, green and blue: `rec601`, `average` (the paper's) or `rec709`.
        keep_color: leave what has colour already as it is, and let it guide the rest.
        saturation: the drawn chroma is multiplied by this, at least 0.
        temperature: factor of the deviation of the samples of `conditioned` from the posterior mean, at least 0: at 1
            they are samples of the posterior, at 0 its mean. None: `COLOUR_TEMPERATURE`.
        remove_tint: make the lightest tone of a print or scan of one tint white; else its luma is kept.
    """

    gray_weights: GrayWeights = "rec601"
    keep_color: bool = False
    saturation: float = 1.0
    temperature: float | None = None
    remove_tint: bool = False

    def __post_init__(self) -> None:
        check_choice("gray_weights", self.gray_weights, get_args(GrayWeights))
        check_number("saturation", self.saturation, 0)
        if self.temperature is not None:
            check_number("temperature", self.temperature, 0)
        check_flag("keep_color", self.keep_color)
        check_flag("remove_tint", self.remove_tint)

    def check_with(self, sampling: ConditionalSampling) -> None:
        """Raise SettingError for a temperature where the sampling, with its method decided, has none."""
        if self.temperature is None:
            return
        if sampling.method == "pc":
            raise SettingError("temperature", "belongs to the method conditioned")
        if sampling.is_posterior_mean:
            raise SettingError(
                "temperature",
                "does not go with the posterior mean, which has no temperature: it is what samples have at 0",
            )


@dataclass(frozen=True)
class SamplerSettings:
    """How new pictures are drawn; what is None is as recommended with the model, else the paper's for its SDE.

    Attributes:
        sampler: `pc`, predictor-corrector; `ode`, adaptive probability flow; `multistep`, DPM-Solver++; `heun`, EDM's;
            `ddim`. None: the one that a setting is given of, else the model's.
        steps: times of the grid, of all but `ode`.
        predictor: of `pc` (Song et al. 2021, appendix E to G); `none` leaves the work to the corrector.
        corrector: of `pc`; steps of `langevin` follow the norms of score and noise, those of `annealed_langevin` the
            noise level. None: `langevin` where its steps or its snr are given, or no predictor.
        corrector_steps: of the corrector at each time; None for 1.
        snr: signal-to-noise ratio of the corrector.
        rtol: tolerance of `ode`, relative and absolute; None for 1e-5.
        churn: noise that `heun` adds in all (Karras et al. 2022, S_churn); None for 0, the probability flow.
        eta: share of the noise of ancestral sampling that `ddim` adds, from 0 to 1; None for 0.
    """

    sampler: Sampler | None = None
    steps: int | None = None
    predictor: Predictor | None = None
    corrector: Corrector | None = None
    corrector_steps: int | None = None
    snr: float | None = None
    rtol: float | None = None
    churn: float | None = None
    eta: float | None = None

    def __post_init__(self) -> None:
        if self.sampler is not None:
            check_choice("sampler", self.sampler, get_args(Sampler))
        if self.steps is not None:
            check_whole("steps", self.steps, 1, MAX_STEPS)
        if self.predictor is not None:
            check_choice("predictor", self.predictor, get_args(Predictor))
        if self.corrector is not None:
            check_choice("corrector", self.corrector, get_args(Corrector))
        if self.corrector_steps is not None:
            check_whole("corrector_steps", self.corrector_steps, 0, MAX_CORRECTOR_STEPS)
        if self.snr is not None:
            check_positive("snr", self.snr, MAX_SNR)
        if self.rtol is not None:
            check_number("rtol", self.rtol, MIN_RTOL, MAX_RTOL)
        if self.churn is not None:
            check_number("churn", self.churn, 0, MAX_CHURN)
        if self.eta is not None:
            check_number("eta", self.eta, 0, 1)
        self._check_together()

    def _check_together(self) -> None:
        for setting in ("predictor", "corrector", "corrector_steps", "snr"):
            if getattr(self, setting) is not None and self.asked not in (None, "pc"):
                raise SettingError(setting, f"belongs to the sampler pc, not to {self.asked}")
        for setting, sampler in _OWNERS.items():
            if getattr(self, setting) is not None and self.asked != sampler:
                raise SettingError(setting, f"belongs to the sampler {sampler}, not to {self.asked}")
        if self.steps is not None and self.asked == "ode":
            raise SettingError("steps", "do not go with the sampler ode, which chooses its steps by itself")
        if self.corrector == "none":
            for setting in ("corrector_steps", "snr"):
                if getattr(self, setting):
                    raise SettingError(setting, "belongs to a corrector, and no corrector is asked for")
        if self.predictor == "none" and (self.corrector == "none" or self.corrector_steps == 0):
            raise SettingError("predictor", "none leaves the work to a corrector, and no corrector is asked for")

    @property
    def asked(self) -> Sampler | None:
        """The sampler that is asked for, by its name or by a setting that only one has; None for the model's."""
        if self.sampler is not None:
            return self.sampler
        if any(value is not None for value in (self.predictor, self.corrector, self.corrector_steps, self.snr)):
            return "pc"
        return next((sampler for setting, sampler in _OWNERS.items() if getattr(self, setting) is not None), None)


_OWNERS: dict[str, Sampler] = {"rtol": "ode", "churn": "heun", "eta": "ddim"}
"""Settings that one sampler has."""
