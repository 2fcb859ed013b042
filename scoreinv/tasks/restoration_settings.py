"""How a picture is restored from an observation of all of it. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, get_args

from scoreinv.checks import check_choice
from scoreinv.errors import SettingError
from scoreinv.options import (
    EXACT_STEPS,
    FULL_STEPS,
    ORIENTATIONS,
    RESTORATION_STEPS,
    SEED,
    STEPS,
    Estimate,
    RestorationMethod,
    SampleCount,
    Setting,
    Whole,
    check_settings,
)

MethodOrNone = Annotated[
    RestorationMethod | None,
    Setting(
        "dpir estimates the mean. These draw samples: diffpir (splitting), ddnm (projection), ddrm (spectral), pigdm, "
        "dps and mmps (gradients), pc (constrained predictor-corrector, the paper's). (default: dpir for one mean, "
        "else diffpir)",
        advanced=True,
    ),
]
StepsOrNone = Annotated[
    int | None,
    Setting(
        f"Steps of the method. (default: dpir {RESTORATION_STEPS['dpir']}, {EXACT_STEPS} without noise, "
        f"diffpir {RESTORATION_STEPS['diffpir']})",
        STEPS,
        advanced=True,
    ),
]
Orientations = Annotated[
    int,
    Setting(
        "Flips and turns of the photo that the mean is averaged over: 1, 2, 4 or 8. More is a little closer to the "
        "truth, and takes as many times as long.",
        Whole(ORIENTATIONS[0], ORIENTATIONS[-1]),
        advanced=True,
    ),
]


@dataclass(frozen=True)
class RestorationSampling:
    """How a picture is restored from an observation y = A x + noise of all of it.

    Samples are drawn by `diffpir` (splitting), `ddnm` (null-space projection), `ddrm` (component by component, for
    operators with a singular value decomposition), `pigdm`, `dps` or `mmps` (gradients of a likelihood), or `pc` (the
    paper's constrained predictor-corrector sampling, for y without noise). `dpir` draws nothing: it is the estimate by
    half-quadratic splitting.

    Attributes:
        method: None: `dpir` for the mean of one, else `diffpir`.
        steps: times of the grid; None: as measured to be enough (`RESTORATION_STEPS`).
        samples: pictures to draw.
        seed: seed of the noise; each sample has its own stream.
        estimate: `sample`, or `mean`: the average of the samples, or for one an estimate of the posterior mean at once.
        orientations: of the picture, over which an estimate of the posterior mean at once is averaged, an evaluation of
            the network each: 1, 2 (mirrored), 4 or 8 (turned by quarters too).
    """

    method: MethodOrNone = None
    steps: StepsOrNone = None
    samples: SampleCount = 1
    seed: int = 0
    estimate: Estimate = "sample"
    orientations: Orientations = 1

    def __post_init__(self) -> None:
        check_settings(self)
        check_choice("estimate", self.estimate, get_args(Estimate))
        SEED.check("seed", self.seed)
        if self.orientations not in ORIENTATIONS:
            raise SettingError("orientations", f"must be 1, 2, 4 or 8, not {self.orientations}")
        if self.orientations > 1 and not self.is_direct_mean:
            raise SettingError("orientations", "belong to the estimate mean of one sample")
        if self.method == "dpir" and not self.is_direct_mean:
            raise SettingError("method", "dpir draws no samples: it is for the estimate mean of one sample")
        if self.method not in (None, "dpir") and self.is_direct_mean:
            raise SettingError(
                "estimate", f"mean of {self.method} is that of several samples: ask for 2 or more of them"
            )

    @staticmethod
    def usual_estimate(samples: int, method: RestorationMethod | None) -> Estimate:
        """What is asked for by so many samples of a method: the mean at once, where there is one."""
        return "mean" if samples == 1 and method in (None, "dpir") else "sample"

    @property
    def is_direct_mean(self) -> bool:
        """Whether an estimate of the posterior mean is asked for, and no samples."""
        return self.estimate == "mean" and self.samples == 1

    @property
    def results(self) -> int:
        """How many pictures are asked for: all samples, or the one mean."""
        return self.samples if self.estimate == "sample" else 1

    def resolved(self, *, guessed: bool, exact: bool) -> ResolvedRestoration:
        """The same with method and steps decided, for work that begins at a guess of the picture or at the prior.

        exact: whether the observation has no noise.
        """
        method: RestorationMethod = self.method or ("dpir" if self.is_direct_mean else "diffpir")
        steps = RESTORATION_STEPS[method]
        if method == "dpir" and guessed and exact:
            steps = EXACT_STEPS
        elif not guessed and method != "dps":
            steps *= FULL_STEPS
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return ResolvedRestoration(**(given | {"method": method, "steps": self.steps or steps}))


@dataclass(frozen=True)
class ResolvedRestoration(RestorationSampling):
    """How a picture is restored, with method and steps decided."""

    method: RestorationMethod = "diffpir"
    steps: int = RESTORATION_STEPS["diffpir"]
