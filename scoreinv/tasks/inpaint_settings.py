"""Settings of `inpaint`: how holes are filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from scoreinv.errors import SettingError
from scoreinv.options import STEPS, Setting
from scoreinv.tasks.drawn_settings import METHOD_DEFAULT_HELP, METHODS_HELP, ClassicalMethod, DrawnSettings, Method

FillMethod = Literal[Method, ClassicalMethod]

FILL_STEPS: dict[Method, int] = {"conditioned": 10, "pc": 30}
"""Times of the grid of each method for holes. With 10 the detail of fills by `photo` is nearest to the photographs':
1.0 to 1.1 of it, with 25 1.2; and 30 of `pc` differ little from more."""
NARROW_FILL_STEPS = 3
"""Evaluations of `PosteriorFlow` for scratches, specks and writing: more change little."""


@dataclass(frozen=True)
class FillSettings(DrawnSettings):
    """How holes are filled: by samples of a model, or by a classical method.

    Deep holes of `conditioned` are continued out of the picture itself, take one evaluation or two and no steps
    (`tasks.deep_holes`). A classical method (`tasks.classical`) needs no model and draws nothing, so no other setting
    goes with it.
    """

    usual_steps = FILL_STEPS
    smooth: ClassVar[bool] = False

    method: Annotated[
        FillMethod | None,
        Setting(
            METHODS_HELP + "Without a model, smooth, for small holes: biharmonic, the closest to the truth; telea and "
            "navier-stokes, the fastest. " + METHOD_DEFAULT_HELP,
            advanced=True,
        ),
    ] = None
    steps: Annotated[
        int | None,
        Setting(
            f"Sampler steps. (default: {FILL_STEPS['conditioned']}, of which narrow holes take {NARROW_FILL_STEPS} at "
            f"most; pc {FILL_STEPS['pc']}, the paper's 1000)",
            STEPS,
            advanced=True,
        ),
    ] = None
    exact: Annotated[
        bool, Setting("Keep every known pixel bit for bit, also where a JPEG smeared the colours of what is removed.")
    ] = False

    @property
    def classical(self) -> ClassicalMethod | None:
        """The classical method that is asked for, if it is one."""
        return next((method for method in get_args(ClassicalMethod) if method == self.method), None)

    def check_given(self, *, avoiding: bool) -> None:
        """Raise SettingError where something is marked that is not to be copied (`avoiding`) and nothing is copied."""
        if avoiding and (self.method not in (None, "conditioned") or self.start is not None):
            raise SettingError("avoid", f"does not go with the method {self.method or 'pc'}, which copies nothing")
        if avoiding and self.mean:
            raise SettingError("avoid", "does not go with the mean of one sample, which copies nothing")


@dataclass(frozen=True)
class SmoothFillSettings(FillSettings):
    """Those of old prints: holes that are not deep get their posterior mean, as a sample's grain is like specks."""

    smooth: ClassVar[bool] = True
