"""How a picture is drawn given what is known of it. Imports no torch, so that settings are checked before it loads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from scoreinv.errors import InputError

Method = Literal["conditioned", "pc"]
Estimate = Literal["sample", "mean"]

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
            holes of `conditioned` are continued out of the picture itself and take none (`tasks.scales`).
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
        if self.method not in (None, "conditioned", "pc"):
            raise InputError(f"unknown method {self.method!r}: choose conditioned or pc")
        if self.estimate not in ("sample", "mean"):
            raise InputError(f"unknown estimate {self.estimate!r}: choose sample or mean")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"at least one step is needed, not {self.steps}")
        if self.start is not None and not self.start > 0:
            raise InputError(f"the starting noise level must be positive, not {self.start}")
        if self.start is not None and self.method == "conditioned":
            raise InputError("conditioned sampling starts from noise: a starting level belongs to the method pc")
        if self.seed < 0:
            raise InputError(f"a seed must not be negative: {self.seed}")
        if self.samples < 1:
            raise InputError(f"at least one sample is needed, not {self.samples}")
        if self.estimate == "mean" and self.samples == 1 and self.method == "pc":
            raise InputError("the mean is that of several samples: ask for 4 or more of them")

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
