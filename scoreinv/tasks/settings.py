"""How a picture is drawn given what is known of it. Imports no torch, so that settings are checked before it loads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scoreinv.errors import InputError

Method = Literal["pc"]
Estimate = Literal["sample", "mean"]


GUESS_START = 0.5
"""Noise level at which a short run begins: twice the spread of a picture's values, which drowns the smooth guess."""


@dataclass(frozen=True)
class ConditionalSampling:
    """How a picture is drawn given what is known of it: constrained predictor-corrector sampling.

    Attributes:
        method: `pc` (Song et al. 2021, appendix I.2 and I.3).
        steps: times of the grid. 1000 is the paper's; 30 was measured to differ little from many where the start is a
            guess.
        start: noise level at which sampling begins, a standard deviation for pictures in [0, 1]: a smooth guess with
            that much noise; `math.inf` is the SDE's prior, as in the paper. None: `GUESS_START`, or the prior when
            there are as many steps as the SDE has itself (1000).
        samples: pictures to draw.
        seed: of the noise; each sample and place has its own stream.
        estimate: `sample`, or `mean` for the average of the samples.
        corrector_steps, snr: of the Langevin corrector, whose step follows the noise level: norms over a region that is
            mostly known would tie it to how the region was cut.
    """

    method: Method = "pc"
    steps: int = 30
    start: float | None = None
    samples: int = 1
    seed: int = 0
    estimate: Estimate = "sample"
    corrector_steps: int = 1
    snr: float = 0.16

    def __post_init__(self) -> None:
        if self.method != "pc":
            raise InputError(f"unknown method {self.method!r}: there is pc")
        if self.estimate not in ("sample", "mean"):
            raise InputError(f"unknown estimate {self.estimate!r}: choose sample or mean")
        if self.steps < 1:
            raise InputError(f"at least one step is needed, not {self.steps}")
        if self.start is not None and not self.start > 0:
            raise InputError(f"the starting noise level must be positive, not {self.start}")
        if self.samples < 1:
            raise InputError(f"at least one sample is needed, not {self.samples}")
        if self.estimate == "mean" and self.samples == 1:
            raise InputError("the mean is that of several samples: ask for 4 or more of them")

    def level(self, full: int) -> float:
        """The noise level at which sampling begins, where the SDE's own grid has `full` steps."""
        if self.start is not None:
            return self.start
        return GUESS_START if self.steps < full else math.inf
