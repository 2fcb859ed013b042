"""How a picture is restored from an observation of all of it. Imports no torch, so that settings are checked before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from scoreinv.checks import check_choice, check_whole
from scoreinv.errors import SettingError
from scoreinv.tasks.settings import MAX_SAMPLES, MAX_SEED, MAX_STEPS, Estimate

RestorationMethod = Literal["diffpir", "ddnm", "ddrm", "pigdm", "dps", "mmps", "pc", "dpir"]
Downsampling = Literal["area", "bicubic"]

METHODS: tuple[str, ...] = get_args(RestorationMethod)
STEPS: dict[str, int] = {
    "diffpir": 8,
    "ddnm": 8,
    "ddrm": 12,
    "pigdm": 12,
    "dps": 60,
    "mmps": 12,
    "pc": 30,
    "dpir": 10,
}
"""Times of the grid of each method where sampling begins at a guess of the picture."""
FULL_STEPS = 3
"""Times as many where it begins at the prior."""

ORIENTATIONS = (1, 2, 4, 8)
"""How many of the eight flips and turns of a picture an estimate can be averaged over."""

DENOISING_STEPS = 10
"""The same for samples of a picture with noise alone."""

GREY_LEVELS = 255
"""Noise is told to the command line in these."""


@dataclass(frozen=True)
class RestorationSampling:
    """How a picture is restored from an observation y = A x + noise of all of it.

    Attributes:
        method: how the posterior is sampled: `diffpir`, by splitting; `ddnm`, null-space projection; `ddrm`, component
            by component, for operators with a singular value decomposition; `pigdm`, `dps`, `mmps`, by gradients of a
            likelihood; `pc`, the paper's constrained predictor-corrector sampling, of y without noise. Or `dpir`, which
            draws nothing: the estimate by half-quadratic splitting. None: `dpir` for the mean of one, else `diffpir`.
        steps: times of the grid; None: as measured to be enough (`STEPS`).
        samples: pictures to draw.
        seed: of the noise; each sample has its own stream.
        estimate: `sample`, or `mean`: the average of the samples, or for one an estimate of the posterior mean at once.
        first: number of the first sample: samples 3 and 4 are the first two of `first=3`.
        orientations: of the picture, over which an estimate of the posterior mean at once is averaged, an evaluation of
            the network each: 1, 2 (mirrored), 4 or 8 (turned by quarters too).
    """

    method: RestorationMethod | None = None
    steps: int | None = None
    samples: int = 1
    seed: int = 0
    estimate: Estimate = "sample"
    first: int = 0
    orientations: int = 1

    def __post_init__(self) -> None:
        if self.method is not None:
            check_choice("method", self.method, METHODS)
        check_choice("estimate", self.estimate, get_args(Estimate))
        if self.steps is not None:
            check_whole("steps", self.steps, 1, MAX_STEPS)
        check_whole("samples", self.samples, 1, MAX_SAMPLES)
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_whole("orientations", self.orientations, 1, 8)
        if self.orientations not in ORIENTATIONS:
            raise SettingError("orientations", f"must be 1, 2, 4 or 8, not {self.orientations}")
        if self.orientations > 1 and not self.is_direct_mean:
            raise SettingError("orientations", "are averaged over by the estimate mean of one, not by samples")
        if self.method == "dpir" and not self.is_direct_mean:
            raise SettingError("method", "dpir draws no samples: it is for the estimate mean of one")
        if self.method not in (None, "dpir") and self.is_direct_mean:
            raise SettingError(
                "estimate", f"mean of {self.method} is that of several samples: ask for 4 or more of them"
            )

    @property
    def is_direct_mean(self) -> bool:
        """Whether an estimate of the posterior mean is asked for, and no samples."""
        return self.estimate == "mean" and self.samples == 1

    def resolved(self, *, guessed: bool) -> RestorationSampling:
        """With method and steps decided, for work that begins at a guess of the picture or at the prior."""
        method = self.method or ("dpir" if self.is_direct_mean else "diffpir")
        steps = STEPS[method] * (1 if guessed else FULL_STEPS)
        return replace(self, method=method, steps=steps if self.steps is None else self.steps)
