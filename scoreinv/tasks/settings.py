"""Settings of tasks: a data class each, for command line, page and Python alike, checked when it is made.

Choices, ranges, defaults and words of each option stand here once; the words are also its help on the command line.
Imports no torch, so that settings are checked before it loads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from scoreinv.system.errors import SettingError
from scoreinv.system.options import (
    FOUND_GROW,
    ODE_RTOL,
    RTOL,
    SENSITIVITY,
    STEPS,
    USUAL_SENSITIVITY,
    Number,
    SampleCount,
    Setting,
    Whole,
    check,
    check_noise_share,
    check_settings,
)
from scoreinv.system.text import shown

Method = Literal["conditioned", "pc"]
Estimate = Literal["sample", "mean"]
ClassicalMethod = Literal["telea", "navier-stokes", "biharmonic"]
START_LEVEL = 0.5
"""Noise level at which a short run of `pc` begins: twice the spread of a picture's values, which drowns the initial
estimate."""
_METHODS_HELP = "conditioned: a network given what is known; pc: constrained predictor-corrector, with any model. "
_METHOD_DEFAULT_HELP = "(default: what the model was trained for)"


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

    Attributes:
        smooth: holes that are not deep get their posterior mean, for old prints: a sample's grain is like specks.
    """

    usual_steps = FILL_STEPS

    method: Annotated[
        FillMethod | None,
        Setting(
            _METHODS_HELP + "Without a model, smooth, for small holes: biharmonic, the closest to the truth; telea and "
            "navier-stokes, the fastest. " + _METHOD_DEFAULT_HELP,
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
    smooth: bool = False

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


GrayWeights = Literal["rec601", "average", "rec709"]

COLOUR_STEPS: dict[Method, int] = {"conditioned": 15, "pc": 30}
"""Times of the grid of each method for colours."""
MEAN_DRAWS = 4
"""Noises that the posterior mean of colours is averaged over: a single one would leave a tint."""
COLOUR_TEMPERATURE = 0.2
"""Factor of the deviation of drawn colours from the posterior mean. At larger ones, samples of `scene` have patches of
odd colours: between 0.5 and 0.7, a sample's error is that of the grey picture (Kodak), at 1 it is larger."""
COLOUR_SATURATION = 1.45
"""Factor of the chroma of such samples, which are as pale as the mean: it raises their colourfulness from 0.56 to 0.81
of the truth's, at a cost of 0.6 dB (256 pixels, held-out photographs)."""


@dataclass(frozen=True)
class ColourSettings(DrawnSettings):
    """How a grey picture is coloured.

    Attributes:
        saturation: factor of the chroma. None: `saturation_of`.
        whiten: of a print or scan of one tint, which always loses the tint: make the lightest tone white; else the
            print's luma is kept.
    """

    usual_steps = COLOUR_STEPS

    method: Annotated[Method | None, Setting(_METHODS_HELP + _METHOD_DEFAULT_HELP, advanced=True)] = None
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
    keep_color: Annotated[
        bool, Setting("Leave colours as they are; of a mostly grey photo, let them guide the rest.")
    ] = False
    saturation: Annotated[
        float | None,
        Setting(
            "How colourful: 0 is grey, 1 as drawn. "
            f"(default: {COLOUR_SATURATION:g}; 1 for the mean, by the method pc, or if colours are given)",
            Number(0.0, 10.0),
        ),
    ] = None
    whiten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check("whiten", self.whiten, bool)

    def saturation_of(self, sampling: Sampling, *, hinted: bool) -> float:
        """Return the factor of the drawn chroma; hinted: the user gives some colours, which it would contradict."""
        if self.saturation is not None:
            return self.saturation
        is_pale = sampling.method == "conditioned" and self.estimate == "sample"  # see `COLOUR_TEMPERATURE`
        return COLOUR_SATURATION if is_pale and not hinted else 1.0


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


StepName = Literal["damage", "border", "tint", "tone", "inpaint", "denoise", "colorize"]
OLD_PHOTO_STEPS: tuple[StepName, ...] = get_args(StepName)
"""In their order, see `tasks.old_photos`."""

SURE_SENSITIVITY = 0.05
"""Sensitivity where damage is seldom, as in colours: of 24 healthy photographs it changes 0.3 % of the pixels of one
and nothing of the others, where 0.2 changes three and the usual one four, two of them in more than 0.5 %."""


@dataclass(frozen=True)
class OldPhotoSettings(Estimated):
    """Which steps an old photograph takes, and what decides them.

    Attributes:
        sensitivity: how readily damage is marked, see `tasks.find_damage.find_damage`. None: the usual one, but
            `SURE_SENSITIVITY` in photographs in colours, and 0 where little is marked that does not stand out.
        grow: pixels by which damage that is found is enlarged, as its soft edges need.
        noise_std: standard deviation of the noise in [0, 1] units, which is then removed however low it is; None: it is
            estimated, and removed where it is more than grain.
        samples, seed: of what is drawn, fill and colours.
        estimate: of colours, by a model that knows the mean; fills of one sample are smooth by either.
    """

    inpaint: Annotated[bool, Setting("Fill the damage, or leave it.")] = True
    tone: Annotated[
        float | None,
        Setting(
            "Take it for faded, and bring its contrast, black, white and cast back so far, 0 to 1. "
            "(default: 1 where it surely is)",
            Number(0.0, 1.0),
            advanced=True,
        ),
    ] = None
    denoise: Annotated[bool, Setting("Remove noise, or leave it.")] = True
    colorize: Annotated[bool, Setting("Colour what is grey or of one tint, or leave it grey.")] = True
    keep_tint: Annotated[bool, Setting("Leave a print of one tint (sepia) as it is.")] = False
    crop_border: Annotated[bool, Setting("Cut off a plain border, and edges that are torn away.")] = False
    sensitivity: Annotated[
        float | None,
        Setting(
            "How readily damage is marked, 0 to 1. "
            f"(default: {USUAL_SENSITIVITY:g}; {SURE_SENSITIVITY:g} in colours; a few marks must stand out)",
            SENSITIVITY,
        ),
    ] = None
    grow: int = FOUND_GROW
    samples: SampleCount = 1
    seed: int = 0
    estimate: Annotated[
        Estimate | None,
        Setting("Colours: the mean of what is possible, or a sample. (default: mean; sample for several samples)"),
    ] = None
    noise_std: float | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        check("grow", self.grow, Whole())
        if self.estimate is None:
            object.__setattr__(self, "estimate", "mean" if self.samples == 1 else "sample")
        if self.estimate == "mean" and self.samples > 1:
            raise SettingError("samples", "are drawn, and the estimate mean is one: leave either out")
        if self.noise_std is not None:
            check_noise_share(self.noise_std)
            if not self.denoise:
                raise SettingError("noise_std", "is for removing noise, which is left out")
        if self.keep_tint and not self.wanted:
            raise SettingError("keep_tint", "is all that is left: with every step left out nothing is done")

    @property
    def wanted(self) -> list[StepName]:
        """The steps that are not left out, in their order."""
        left_out: dict[StepName, bool] = {
            "damage": not self.inpaint,
            "border": not self.crop_border,
            "tint": self.keep_tint,
            "tone": self.tone == 0,
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


Sampler = Literal["pc", "ode", "multistep", "heun", "ddim"]
Predictor = Literal[
    "reverse_diffusion", "euler_maruyama", "ancestral", "ancestral_posterior", "probability_flow", "none"
]
Corrector = Literal["langevin", "annealed_langevin", "none"]

SAMPLER_STEPS: dict[Sampler, int] = {"multistep": 25, "heun": 18, "ddim": 50}
"""Times of the grid for new pictures; of `heun` as in its paper for CIFAR-10."""


@dataclass(frozen=True)
class SamplerSettings:
    """How new pictures are drawn; None takes what is recommended with the model, else the paper's for its SDE.

    The sampler is then `pc` where a setting of it is given, `ode`, `heun` or `ddim` where its own is, else the model's;
    the corrector is `langevin` where its steps or its snr are given, or no predictor. Predictors and correctors are
    those of Song et al. 2021, appendix D to G. Steps of `langevin` follow the norms of score and noise, those of
    `annealed_langevin` the noise level.
    """

    sampler: Annotated[
        Sampler | None,
        Setting(
            "pc: predictor-corrector, the paper's; ode: adaptive probability flow; multistep: DPM-Solver++, fast; "
            "heun: EDM's; ddim. "
            "(default: pc where settings were published with the model, else multistep)",
            advanced=True,
        ),
    ] = None
    steps: Annotated[
        int | None,
        Setting(
            "Steps of pc (default: as recommended with the model, else 1000), "
            + ", ".join(f"{name} (default: {steps})" for name, steps in SAMPLER_STEPS.items())
            + ".",
            STEPS,
            advanced=True,
        ),
    ] = None
    predictor: Annotated[
        Predictor | None,
        Setting(
            "Predictor step of pc; none leaves all to the corrector. "
            "(default: as recommended with the model, else the paper's for its SDE)",
            advanced=True,
        ),
    ] = None
    corrector: Annotated[
        Corrector | None,
        Setting(
            "How pc corrects: by steps that follow the norms of score and noise, or (annealed) the noise level. "
            "(default: as recommended with the model, else langevin for VE and none for others)",
            advanced=True,
        ),
    ] = None
    corrector_steps: Annotated[
        int | None, Setting("Steps of the corrector at each time. (default: 1)", Whole(0, 1000), advanced=True)
    ] = None
    snr: Annotated[
        float | None,
        Setting(
            "Signal-to-noise ratio of the corrector's steps. (default: as recommended with the model, else 0.16)",
            Number(None, 10.0),
            advanced=True,
        ),
    ] = None
    rtol: Annotated[
        float | None,
        Setting(f"Tolerance of ode, relative and absolute. (default: {ODE_RTOL:g})", RTOL, advanced=True),
    ] = None

    churn: Annotated[
        float | None,
        Setting(
            "Noise that heun adds in all, to forget its errors; about as much as it has steps. (default: 0)",
            Number(0.0, 1e6),
            advanced=True,
        ),
    ] = None
    eta: Annotated[
        float | None,
        Setting("Noise that ddim adds: 1 is ancestral sampling. (default: 0)", Number(0.0, 1.0), advanced=True),
    ] = None

    def __post_init__(self) -> None:
        check_settings(self)
        for setting in ("predictor", "corrector", "corrector_steps", "snr"):
            if getattr(self, setting) is not None and self.asked not in (None, "pc"):
                raise SettingError(setting, f"belongs to the sampler pc, not to {self.asked}")
        for setting, sampler in _OWNERS.items():
            if getattr(self, setting) is not None and self.asked != sampler:
                raise SettingError(setting, f"belongs to the sampler {sampler}, not to {self.asked}")
        if self.steps is not None and self.asked == "ode":
            raise SettingError("steps", "do not go with the sampler ode, which chooses its steps by itself")
        if self.corrector == "none":
            for setting in ("corrector_steps", "snr"):
                if getattr(self, setting):
                    raise SettingError(setting, "belongs to a corrector, and no corrector is asked for")
        if self.predictor == "none" and (self.corrector == "none" or self.corrector_steps == 0):
            raise SettingError("predictor", "none leaves the work to a corrector, and no corrector is asked for")

    @property
    def asked(self) -> Sampler | None:
        """The sampler that is asked for, by its name or by a setting that only one has; None for the model's."""
        if self.sampler is not None:
            return self.sampler
        if any(value is not None for value in (self.predictor, self.corrector, self.corrector_steps, self.snr)):
            return "pc"
        return next((sampler for setting, sampler in _OWNERS.items() if getattr(self, setting) is not None), None)


_OWNERS: dict[str, Sampler] = {"rtol": "ode", "churn": "heun", "eta": "ddim"}
"""Settings that one sampler has."""


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
