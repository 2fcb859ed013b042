"""Settings of `likelihood`, and of the solver with a fixed grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from scoreinv.errors import SettingError
from scoreinv.options import ODE_RTOL, RTOL, STEPS, Setting, Whole, check_settings

Probe = Literal["rademacher", "gaussian"]

FIXED_STEPS = Setting(
    "Solve the ODE in so many equal steps of four evaluations; 16 are good. (default: adaptive)", STEPS
)


@dataclass(frozen=True)
class LikelihoodSettings:
    """How the likelihood of pictures is estimated; each draw of dequantisation and probe is unbiased."""

    repeats: Annotated[
        int, Setting("Draws of noise that are averaged; from 2 with a standard error.", Whole(1, 10_000))
    ] = 1
    steps: Annotated[int | None, FIXED_STEPS] = None
    rtol: Annotated[
        float | None,
        Setting(f"Tolerance of the adaptive solver. (default: {ODE_RTOL:g})", RTOL, advanced=True),
    ] = None
    probe: Annotated[Probe, Setting("Random vectors of the trace estimate.", advanced=True)] = "rademacher"
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)
        if self.steps is not None and self.rtol is not None:
            raise SettingError("rtol", "does not go with steps: the fixed grid has no tolerance")
