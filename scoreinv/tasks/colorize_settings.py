"""Settings of `colorize`: how a grey picture is coloured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from scoreinv.errors import SettingError
from scoreinv.options import STEPS, Number, Setting, check
from scoreinv.tasks.drawn_settings import METHOD_DEFAULT_HELP, METHODS_HELP, DrawnSettings, Method, Sampling

GrayWeights = Literal["rec601", "average", "rec709"]

COLOUR_STEPS: dict[Method, int] = {"conditioned": 15, "pc": 30}
"""Times of the grid of each method for colours."""
MEAN_DRAWS = 4
"""Noises that the posterior mean of colours is averaged over: a single one would leave a tint."""
COLOUR_TEMPERATURE = 0.2
"""What is left of the deviation of drawn colours from the posterior mean. Larger deviations of those of `scene` are
patches of odd colours: between 0.5 and 0.7 a sample errs as much as the grey picture (Kodak), at 1 more."""
COLOUR_SATURATION = 1.45
"""Factor of the chroma of such samples, which are as pale as the mean is: 0.56 as colourful as the truth without it,
0.81 with it, for 0.6 dB (256 pixels, held-out photographs)."""


@dataclass(frozen=True)
class ColourSettings(DrawnSettings):
    """How a grey picture is coloured.

    Attributes:
        saturation, temperature: None: `COLOUR_SATURATION`, where no colours are given, which would stand out, and
            `COLOUR_TEMPERATURE`. At temperature 1 samples are those of the posterior, at 0 its mean.
        whiten: of a print or scan of one tint, which always loses the tint: make the lightest tone white; else the
            print's luma is kept.
    """

    usual_steps = COLOUR_STEPS

    method: Annotated[Method | None, Setting(METHODS_HELP + METHOD_DEFAULT_HELP, advanced=True)] = None
    steps: Annotated[
        int | None,
        Setting(
            f"Sampler steps. (default: {COLOUR_STEPS['conditioned']}; pc {COLOUR_STEPS['pc']}, the paper's 1000)",
            STEPS,
            advanced=True,
        ),
    ] = None
    gray_weights: Annotated[
        GrayWeights,
        Setting(
            "How the grey was made of red, green and blue. The method is pc where the model knows others.",
            advanced=True,
        ),
    ] = "rec601"
    keep_color: Annotated[bool, Setting("Leave what has colour already as it is, and let it guide the rest.")] = False
    saturation: Annotated[
        float | None,
        Setting(
            "How colourful: 0 is grey, 1 as drawn. "
            f"(default: {COLOUR_SATURATION:g}; 1 for the mean, by the method pc, with a temperature, or where colours "
            "are given)",
            Number(0.0, 10.0),
        ),
    ] = None
    temperature: Annotated[
        float | None,
        Setting(
            "Only for conditioned: 1 draws samples of all that is possible; less brings them nearer to the average, "
            f"paler and with fewer odd patches. (default: {COLOUR_TEMPERATURE:g})",
            Number(0.0, 2.0),
            advanced=True,
        ),
    ] = None
    whiten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check("whiten", self.whiten, bool)

    def sampling(self, *, conditional: bool) -> Sampling:
        sampling = super().sampling(conditional=conditional)
        if self.temperature is not None and sampling.method == "pc":
            raise SettingError("temperature", "belongs to the method conditioned")
        if self.temperature is not None and sampling.mean:
            raise SettingError(
                "temperature",
                "does not go with the posterior mean, which has no temperature: it is what samples have at 0",
            )
        return sampling

    def saturation_of(self, sampling: Sampling, *, hinted: bool) -> float:
        """The factor of the chroma that such sampling draws; hinted: some colours are given."""
        if self.saturation is not None:
            return self.saturation
        pulled = sampling.method == "conditioned" and self.estimate == "sample" and self.temperature is None
        return COLOUR_SATURATION if pulled and not hinted else 1.0
