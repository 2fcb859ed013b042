"""Settings of `denoise`, `upscale`, `deblur` and `solve`: how a picture is restored from y = A x + noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from scoreinv.errors import SettingError
from scoreinv.options import STEPS, SampleCount, Setting, Whole, check, check_settings
from scoreinv.tasks.drawn_settings import Estimate, Estimated

RestorationMethod = Literal["diffpir", "ddrm", "pigdm", "dps", "mmps", "pc", "dpir"]
Downsampling = Literal["area", "bicubic"]
ORIENTATIONS = (1, 2, 4, 8)
"""How many of the eight flips and turns of a picture an estimate can be averaged over."""

RESTORATION_STEPS: dict[RestorationMethod, int] = {
    "diffpir": 8,
    "ddrm": 12,
    "pigdm": 12,
    "dps": 300,
    "mmps": 12,
    "pc": 30,
    "dpir": 10,
}
"""Times of the grid of each method where sampling begins at an initial estimate of the picture."""
EXACT_STEPS = 5
"""Times of `dpir` there where the observation is exact: by its momentum they come further than ten without."""
FULL_STEPS = 3
"""Times as many where it begins at the prior; `dps` takes as many there."""
DENOISING_STEPS = 10
"""Times of the grid for samples of a picture with noise alone."""


@dataclass(frozen=True)
class LinearSettings(Estimated):
    """How a picture is restored from an observation y = A x + noise of all of it.

    Samples are drawn by `diffpir` (splitting; without noise it is DDNM), `ddrm` (component by component, for operators
    with a singular value decomposition), `pigdm`, `dps` or `mmps` (gradients of a likelihood), or `pc` (the
    paper's constrained predictor-corrector sampling, for y without noise). `dpir` draws nothing: it is the estimate by
    half-quadratic splitting.

    Attributes:
        estimate: the mean of several samples is their average, that of one an estimate of the posterior mean at once.
        orientations: of the picture, over which an estimate of the posterior mean at once is averaged, an evaluation of
            the network each: 1, 2 (mirrored), 4 or 8 (turned by quarters too).
    """

    method: Annotated[
        RestorationMethod | None,
        Setting(
            "dpir estimates the mean. These draw samples: diffpir (splitting), ddrm (spectral), "
            "pigdm, dps and mmps (gradients), pc (constrained predictor-corrector, the paper's). (default: dpir for "
            "one mean, diffpir for samples)",
            advanced=True,
        ),
    ] = None
    steps: Annotated[
        int | None,
        Setting(
            f"Steps of the method. (default: dpir {RESTORATION_STEPS['dpir']}, {EXACT_STEPS} without noise, "
            f"diffpir {RESTORATION_STEPS['diffpir']})",
            STEPS,
            advanced=True,
        ),
    ] = None
    samples: SampleCount = 1
    seed: int = 0
    estimate: Annotated[
        Estimate | None,
        Setting(
            "mean: the average of what is possible, smooth where that is uncertain; sample: a possible picture, sharp. "
            "(default: mean; sample for several samples, or by a method that draws them)"
        ),
    ] = None
    orientations: int = 1

    def __post_init__(self) -> None:
        check_settings(self)
        if self.estimate is None:
            usual = "mean" if self.samples == 1 and self.method in (None, "dpir") else "sample"
            object.__setattr__(self, "estimate", usual)
        check("orientations", self.orientations, Whole(ORIENTATIONS[0], ORIENTATIONS[-1]))
        if self.orientations not in ORIENTATIONS:
            raise SettingError("orientations", f"must be 1, 2, 4 or 8, not {self.orientations}")
        if self.orientations > 1 and not self.mean:
            raise SettingError("orientations", "belong to the estimate mean of one sample")
        if self.method == "dpir" and not self.mean:
            raise SettingError("method", "dpir draws no samples: it is for the estimate mean of one sample")
        if self.method not in (None, "dpir") and self.mean:
            raise SettingError(
                "estimate", f"mean of {self.method} is that of several samples: ask for 2 or more of them"
            )

    def decided(self, *, estimated: bool, exact: bool) -> tuple[RestorationMethod, int]:
        """Method and steps, for work that begins at an estimate of the picture (`estimated`) or at the prior.

        exact: whether the observation has no noise.
        """
        sampler: RestorationMethod = "diffpir" if estimated else "mmps"
        method = self.method or ("dpir" if self.mean else sampler)
        if self.steps is not None:
            return method, self.steps
        if method == "dpir" and estimated and exact:
            return method, EXACT_STEPS
        return method, RESTORATION_STEPS[method] * (1 if estimated or method == "dps" else FULL_STEPS)


@dataclass(frozen=True)
class DenoiseSettings(LinearSettings):
    """How noise alone is removed: in one way, which has steps for samples alone."""

    method: None = None
    steps: Annotated[
        int | None, Setting(f"Sampler steps for a sample. (default: {DENOISING_STEPS})", STEPS, advanced=True)
    ] = None
    orientations: Annotated[
        int,
        Setting(
            "Flips and turns of the photo that the mean is averaged over: 1, 2, 4 or 8. More is a little closer to the "
            "truth, and takes as many times as long.",
            Whole(ORIENTATIONS[0], ORIENTATIONS[-1]),
            advanced=True,
        ),
    ] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method is not None:
            raise SettingError("method", "does not go with noise alone, which is removed in one way")
        if self.steps is not None and self.mean:
            raise SettingError("steps", "are for samples: the mean takes one evaluation")
