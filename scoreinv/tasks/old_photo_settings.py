"""Settings of `restore`: which steps an old photograph takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from scoreinv.errors import SettingError
from scoreinv.options import (
    FOUND_GROW,
    SENSITIVITY,
    USUAL_SENSITIVITY,
    Number,
    SampleCount,
    Setting,
    Whole,
    check,
    check_noise_share,
    check_settings,
)

StepName = Literal["damage", "border", "tint", "tone", "inpaint", "denoise", "colorize"]
OLD_PHOTO_STEPS: tuple[StepName, ...] = get_args(StepName)
"""In their order, see `tasks.old_photos`."""

SURE_SENSITIVITY = 0.05
"""Sensitivity where damage is seldom, as in colours: of 24 healthy photographs it changes 0.3 % of the pixels of one
and nothing of the others, where 0.2 changes three and the usual one four, two of them in more than 0.5 %."""


@dataclass(frozen=True)
class OldPhotoSettings:
    """Which steps an old photograph takes, and what decides them.

    Attributes:
        sensitivity: how readily damage is marked, see `tasks.find_damage.find_damage`. None: the usual one, but
            `SURE_SENSITIVITY` in photographs in colours and where hardly anything is marked.
        grow: pixels by which damage that is found is enlarged, as its soft edges need.
        noise_std: standard deviation of the noise in [0, 1] units, which is then removed however low it is; None: it is
            estimated, and removed where it is more than grain.
        samples, seed: of what is drawn, fill and colours.
    """

    inpaint: Annotated[bool, Setting("Fill the damage, or leave it.")] = True
    tone: Annotated[
        float,
        Setting(
            "How far faded tones are brought back, 0 to 1: contrast, black, white and cast.",
            Number(0.0, 1.0),
            advanced=True,
        ),
    ] = 1.0
    denoise: Annotated[bool, Setting("Remove noise, or leave it.")] = True
    colorize: Annotated[bool, Setting("Colour what is grey or of one tint, or leave it grey.")] = True
    keep_tint: Annotated[bool, Setting("Leave a print of one tint (sepia) as it is, without colours.")] = False
    crop_border: Annotated[bool, Setting("Cut off a plain border, and edges that are torn away.")] = False
    sensitivity: Annotated[
        float | None,
        Setting(
            f"How readily damage is marked, 0 to 1. (default: {USUAL_SENSITIVITY:g}, in colours {SURE_SENSITIVITY:g})",
            SENSITIVITY,
        ),
    ] = None
    grow: int = FOUND_GROW
    samples: SampleCount = 1
    seed: int = 0
    noise_std: float | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        check("grow", self.grow, Whole())
        if self.noise_std is not None:
            check_noise_share(self.noise_std)
            if not self.denoise:
                raise SettingError("noise_std", "is for removing noise, which is left out")
        if self.keep_tint and not (self.inpaint or self.crop_border or self.tone or self.denoise or self.colorize):
            raise SettingError("keep_tint", "is all that is left: with every step left out nothing is done")

    @property
    def wanted(self) -> list[StepName]:
        """The steps that are not left out, in their order."""
        left_out: dict[StepName, bool] = {
            "damage": not self.inpaint,
            "border": not self.crop_border,
            "tint": self.keep_tint,
            "tone": not self.tone,
            "inpaint": not self.inpaint,
            "denoise": not self.denoise,
            "colorize": not self.colorize,
        }
        return [step for step in OLD_PHOTO_STEPS if not left_out[step]]

    def check_given(self, *, masked: bool, hinted: bool) -> None:
        """Raise SettingError where a mask, hints or a sensitivity belong to what is left out.

        Args:
            masked: the damage is given as a mask.
            hinted: colours are given.
        """
        if masked and not self.inpaint:
            raise SettingError("mask", "marks damage to be filled, which is left out")
        if self.sensitivity is not None and (masked or not self.inpaint):
            problem = "controls damage detection: it has no effect with a mask, or where filling is left out"
            raise SettingError("sensitivity", problem)
        if hinted and not self.colorize:
            raise SettingError("hints", "are for drawing colours, which is left out")
