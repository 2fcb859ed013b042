"""What fills and colours have in common: how a model draws what is not known, checked when it is asked for.

Settings of tasks are data classes, one a task, for command line, page and Python alike: `inpaint_settings`,
`colorize_settings`, `linear_settings`, `old_photo_settings`, `generate_settings`, `likelihood_settings`. Choices,
ranges, defaults and words of each option stand there once; the words are also its help on the command line. They import
no torch, so that settings are checked before it loads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from scoreinv.errors import SettingError
from scoreinv.options import Number, SampleCount, Setting, check, check_settings
from scoreinv.text import shown

Method = Literal["conditioned", "pc"]
Estimate = Literal["sample", "mean"]
ClassicalMethod = Literal["telea", "navier-stokes", "biharmonic"]
START_LEVEL = 0.5
"""Noise level at which a short run of `pc` begins: twice the spread of a picture's values, which drowns the initial
estimate."""
METHODS_HELP = "conditioned: a network given what is known; pc: constrained predictor-corrector, with any model. "
METHOD_DEFAULT_HELP = "(default: what the model was trained for)"


def _read_level(text: str | None) -> float | None:
    """A noise level from the command line."""
    if text is None:
        return None
    if text == "prior":
        return math.inf
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise SettingError("start", f"must be a noise level such as 1, or prior, not {shown(text)}")
    return level


@dataclass(frozen=True)
class Sampling:
    """How a model draws what is not known: settings of fills or colours, with what they leave open decided.

    Attributes:
        method: `conditioned` is DPM-Solver++(2M) of the reverse SDE, and for narrow holes the flow from the posterior
            mean; `pc` is constrained predictor-corrector sampling (Song et al. 2021, appendix I.2 and I.3).
        steps: times of the grid.
        start: noise level at which `pc` begins, for pictures in [0, 1]; `math.inf`: the SDE's prior. None: a level that
            drowns the initial estimate, and from as many steps on as the SDE's own grid has the prior.
        samples: pictures to draw.
        seed: seed of the noise; each sample and place has its own stream.
        mean: whether one prediction, averaged over orientations, is the answer, and no sample.
        first: number of the first sample.
    """

    method: Method
    steps: int
    start: float | None
    samples: int
    seed: int
    mean: bool
    first: int = 0


class Estimated:
    """What samples and estimate ask for together."""

    samples: int
    estimate: Estimate | None

    @property
    def mean(self) -> bool:
        """Whether an estimate of the posterior mean at once is asked for, and no samples."""
        return self.estimate == "mean" and self.samples == 1

    @property
    def results(self) -> int:
        """How many pictures are asked for: all samples, or the one mean."""
        return self.samples if self.estimate == "sample" else 1


@dataclass(frozen=True)
class DrawnSettings(Estimated):
    """Settings that fills and colours share; which methods there are, each says.

    Attributes:
        start: a standard deviation, for pictures in [0, 1]; `math.inf` is the SDE's prior.
        seed: seed of the noise; each sample and place has its own stream. In colours each picture has its own, and
            samples 2 k and 2 k + 1 are a pair of opposite noise.
        estimate: for one sample of `conditioned` the mean is that of the posterior, by one evaluation of the network in
            each orientation (of colours, for each of `MEAN_DRAWS` noises).
    """

    usual_steps: ClassVar[dict[Method, int]] = {}

    method: str | None = None
    steps: int | None = None
    start: Annotated[
        float | None,
        Setting(
            "Only for pc: the noise level to begin at, from a smooth initial estimate; prior: from pure noise, as in "
            f"the paper. (default: {START_LEVEL:g}, and prior from 1000 steps)",
            metavar="LEVEL",
            read=_read_level,
            advanced=True,
        ),
    ] = None
    samples: SampleCount = 1
    seed: int = 0
    estimate: Annotated[
        Estimate,
        Setting(
            "sample: a possible picture, sharp; mean: the average of what is possible, smooth where that is uncertain."
        ),
    ] = "sample"

    def __post_init__(self) -> None:
        check_settings(self)
        if self.start is not None:
            if self.start != math.inf:
                check("start", self.start, Number(None))
            if self.method not in (None, "pc"):
                raise SettingError(
                    "start", f"does not go with {self.method}: a starting level belongs to the method pc"
                )
        if self.method in get_args(ClassicalMethod):
            for name, usual in (("steps", None), ("samples", 1), ("estimate", "sample")):
                if getattr(self, name) != usual:
                    raise SettingError(name, f"does not go with {self.method}, which draws nothing")
        self.sampling(conditional=True)  # what no model can do is told at once

    def sampling(self, *, conditional: bool) -> Sampling:
        """How a model draws that takes observations (`conditional`) or not; of no classical method.

        Raises SettingError for a setting that does not go with the method which is then taken.
        """
        usual: Method = "conditioned" if conditional and self.start is None else "pc"
        method = next((method for method in get_args(Method) if method == self.method), usual)
        if self.mean and method == "pc":
            raise SettingError("estimate", "mean of pc is that of several samples: ask for 2 or more of them")
        steps = self.usual_steps[method] if self.steps is None else self.steps
        return Sampling(method, steps, self.start, self.samples, self.seed, self.mean)
