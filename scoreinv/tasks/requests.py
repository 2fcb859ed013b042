"""Requests: the settings of each task, as a frozen data class that checks them when it is made. Also a task's inputs.

Choices, ranges, defaults and help texts are declared here once, for the command line, the page, GIMP, Python and
worker processes. The page and GIMP show the settings with a label. The task decides whatever depends on the picture.
Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.memory import shortage
from scoreinv.system.options import (
    FOUND_GROW,
    GRAY_LEVELS,
    MOST_GROW,
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
    checked_numbers,
)
from scoreinv.system.text import shown

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.imaging.picture import Picture
    from scoreinv.inputs.hints import KnownColours
    from scoreinv.models.kinds import HelperName
    from scoreinv.models.loading import Role

Method = Literal["conditioned", "pc"]
Estimate = Literal["sample", "mean"]
FillEstimate = Literal["detail", Estimate]
ClassicalMethod = Literal["telea", "navier-stokes", "biharmonic"]
Given = Literal["mask", "avoid", "hints", "references"]
"""Names of the inputs that a user can add to a picture."""


@dataclass(frozen=True)
class Inputs:
    """A picture and the user's other inputs.

    Attributes:
        picture: the photo.
        hole: HxW bool, pixels to fill; None: detected damage, in tasks that fill holes.
        avoid: HxW bool, pixels that fills do not copy.
        hints: colour hints.
        references: photos with example colours.
    """

    picture: Picture
    hole: np.ndarray | None = None
    avoid: np.ndarray | None = None
    hints: KnownColours | None = None
    references: Sequence[Picture] = ()

    @property
    def given(self) -> set[Given]:
        """Return the names of the present inputs, without the picture."""
        present: dict[Given, Any] = {"mask": self.hole, "avoid": self.avoid, "hints": self.hints}
        names = {name for name, value in present.items() if value is not None}
        return names | {"references"} if self.references else names


START_LEVEL = 0.5
"""Noise level, for pictures in [0, 1], from which `pc` starts if it has few steps. It is twice the standard deviation
of pictures, and hides the initial estimate."""


def _number(text: str | float) -> float:
    """Return the number that a text stands for, NaN if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _level_from_text(text: str | None) -> float | None:
    """Convert the starting noise level from a command line; `prior` is infinite."""
    if text is None:
        return None
    if text == "prior":
        return math.inf
    if not math.isfinite(level := _number(text)):
        raise SettingError("start", f"must be a noise level such as 1, or prior, not {shown(text)}")
    return level


def noise_from_levels(text: str | float | None) -> float | None:
    """Convert a noise level from grey levels, 0 to 255, to [0, 1]; raise SettingError for anything else."""
    if text is None:
        return None
    if not 0 <= (level := _number(text)) <= GRAY_LEVELS:
        raise SettingError("noise_std", f"must be a number from 0 to {GRAY_LEVELS}, not {shown(text)}")
    return level / GRAY_LEVELS


NOISE = Setting(
    "Noise level, 0 to 255. (default: estimated)",
    option="noise",
    metavar="LEVEL",
    read=noise_from_levels,
    label="Noise level",
    form=(0, GRAY_LEVELS, 0),
    none="estimated",
)
KEEP_GRAIN = Setting(
    "Share of the noise to keep, 0 (none) to 1.",
    Number(0.0, 1.0),
    advanced=True,
    label="Grain to keep",
    form=(0, 1, 0.05),
    unit="%",
)
DETECTION = Setting(
    "Sensitivity of damage detection, 0 to 1.", SENSITIVITY, label="Sensitivity", form=(0.05, 0.95, 0.05), unit="%"
)
GROW = Setting("Enlarge detected damage by this many pixels.", Whole(0, MOST_GROW))
METHOD_HELP = "conditioned: a network that takes the observation; pc: predictor-corrector, with any model."


@dataclass(frozen=True)
class Sampling:
    """Settings with which a model draws fills or colours, after all defaults have been decided.

    Attributes:
        method: `conditioned`: DPM-Solver++(2M) of the reverse SDE, for narrow holes the flow from the posterior mean;
            `pc`: constrained predictor-corrector sampling (Song et al. 2021, appendix I.2 and I.3).
        steps: number of times in the grid.
        start: noise level at which `pc` begins, for pictures in [0, 1]; infinite: the SDE's prior. None: a level that
            hides the initial estimate, or the prior if there are as many steps as on the SDE's own grid.
        samples: number of samples.
        seed: seed of the noise; each sample and place has its own stream.
        estimate: `mean`: one prediction averaged over orientations instead of samples; `detail`: see `tasks.detail`.
        first: number of the first sample.
    """

    method: Method
    steps: int
    start: float | None
    samples: int
    seed: int
    estimate: FillEstimate
    first: int = 0

    @property
    def mean(self) -> bool:
        """Whether the result is the posterior mean, without samples."""
        return self.estimate == "mean"


class Request:
    """Base of all requests, which are data classes. The values here are for tasks without such settings."""

    samples: int = 1
    estimate: FillEstimate | None = "sample"
    noise_std: float | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if self.noise_std is not None:
            check_noise_share(self.noise_std)

    @property
    def mean(self) -> bool:
        """Whether the result is one estimate of the posterior mean, without samples."""
        return self.estimate == "mean" and self.samples == 1

    @property
    def enlargement(self) -> int:
        """Factor of the result's size."""
        return 1

    @property
    def results(self) -> int:
        """Number of resulting pictures: all samples, or the one mean."""
        return self.samples if self.estimate == "sample" else 1

    def roles(self, given: Collection[Given]) -> list[Role]:
        """Return the roles of the models that make the result from these inputs, the task's main model first.

        The detector is among them only if it finds the damage to fill, not if it only helps to classify a photograph in
        colour (`tasks.damage.kind_of`).
        """
        return []

    def helpers(self, given: Collection[Given]) -> list[HelperName]:
        """Return the names of the bundled models without a role that help to make the result from these inputs."""
        return ["encoder"] if "damage" in self.roles(given) else []

    def check_given(self, given: Collection[Given]) -> None:
        """Raise SettingError if these inputs do not fit the request."""

    def check(self, inputs: Inputs) -> None:
        """Raise InputError if these inputs do not fit the request, or the memory does not suffice for the results."""
        from scoreinv.imaging.picture import check_megapixels

        picture, factor = inputs.picture, self.enlargement
        self.check_given(inputs.given)
        if inputs.hints is not None:
            inputs.hints.check_size(picture.size, "the hints")
        if factor == 1:
            self.result_of(picture)
        else:  # without making it: an enlarged alpha channel takes long
            check_megapixels(factor * picture.width, factor * picture.height, f"the picture, enlarged {factor} times")
        planes = 3 if picture.is_gray_mode and "colorize" in self.roles(inputs.given) else 1
        lacking = shortage(self.samples * planes * factor**2 * picture.pixels.nbytes)
        if lacking and self.samples > 1:
            raise SettingError(
                "samples", f"{self.samples}: drawing {self.samples} pictures of this size {lacking}: ask for fewer"
            )
        if lacking:
            raise InputError(f"a result of this size {lacking}: reduce the picture")

    def check_libraries(self) -> None:
        """Raise ScoreinvError if an optional library that the request needs is absent."""

    def result_of(self, picture: Picture) -> Picture:
        """Return a picture of the result's size and mode, to check outputs early.

        Raises InputError if the request cannot be done on this picture.
        """
        return picture if self.enlargement == 1 else picture.blank_enlarged(self.enlargement)


@dataclass(frozen=True)
class DrawRequest(Request):
    """Settings that fills and colours share.

    Attributes:
        start: noise level for pictures in [0, 1]; infinite is the SDE's prior.
        seed: seed of the noise. For colours, each picture has its own stream, and samples 2k and 2k + 1 have opposite
            noise.
        estimate: for one sample of `conditioned`, `mean` is the posterior's, from one evaluation in each orientation
            (for colours: for each of `MEAN_DRAWS` noises).
    """

    default_steps: ClassVar[dict[Method, int]] = {}

    method: str | None = None
    steps: int | None = None
    start: Annotated[
        float | None,
        Setting(
            "With the method pc: noise level to begin at; prior: pure noise, as in the paper. "
            f"(default: {START_LEVEL:g}; prior from 1000 steps)",
            metavar="LEVEL",
            read=_level_from_text,
            advanced=True,
        ),
    ] = None
    samples: SampleCount = 1
    seed: int = 0
    estimate: FillEstimate | None = "sample"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None:
            if self.start != math.inf:
                check("start", self.start, Number(None))
            if self.method not in (None, "pc"):
                raise SettingError("start", f"needs the method pc, not {self.method}")
        if self.method in get_args(ClassicalMethod):
            for name, default in (("steps", None), ("samples", 1), ("estimate", "sample")):
                if getattr(self, name) != default:
                    raise SettingError(name, f"does not go with {self.method}, which draws no samples")
        self.sampling(conditional=True)  # raises for what no model can do

    def sampling(self, *, conditional: bool) -> Sampling:
        """Decide the defaults for a model that takes observations (`conditional`) or does not.

        Raises SettingError for a setting that does not fit the method.
        """
        default: Method = "conditioned" if conditional and self.start is None else "pc"
        method = next((method for method in get_args(Method) if method == self.method), default)
        if self.mean and method == "pc":
            raise SettingError("estimate", "mean with the method pc needs 2 samples or more")
        steps = self.default_steps[method] if self.steps is None else self.steps
        # `pc` draws only samples. The mean of several pictures is computed from samples.
        estimate: FillEstimate = "sample"
        if method == "conditioned" and self.samples == 1:
            estimate = self.estimate or "mean"
        return Sampling(method, steps, self.start, self.samples, self.seed, estimate)


FillMethod = Literal[Method, ClassicalMethod]

FILL_STEPS: dict[Method, int] = {"conditioned": 10, "pc": 30}
"""Number of times in the grid for holes. With 10, fills by `photo` have 1.0 to 1.1 times the photographs' detail, with
25, 1.2 times. More than 30 steps of `pc` change little."""
NARROW_FILL_STEPS = 3
"""Evaluations of `PosteriorFlow` for scratches, specks and writing; more change little. `detail` makes two if all holes
are less than 7 pixels wide."""


@dataclass(frozen=True)
class InpaintRequest(DrawRequest):
    """How holes are filled: by samples of a model or by a classical method.

    `conditioned` copies deep holes from the rest of the picture, with one or two evaluations and no steps
    (`tasks.deep_holes`). A classical method draws no samples: `steps`, `start`, `samples` and `estimate` do not go with
    it.

    Attributes:
        estimate: None: `detail` for one sample of `conditioned`, else `sample`. For deep holes both are a sample.
        sensitivity, grow: settings of damage detection, if no mask is given.
    """

    default_steps = FILL_STEPS

    method: Annotated[
        FillMethod | None,
        Setting(
            f"{METHOD_HELP} Without a model, for small holes: biharmonic (closest to the truth), telea, navier-stokes "
            "(fastest). (default: the model's)",
            advanced=True,
        ),
    ] = None
    steps: Annotated[
        int | None,
        Setting(
            f"Sampler steps; narrow holes take at most {NARROW_FILL_STEPS}, copied ones none. (default: "
            f"{FILL_STEPS['conditioned']}; pc {FILL_STEPS['pc']}, the paper's 1000)",
            STEPS,
            advanced=True,
        ),
    ] = None
    exact: Annotated[
        bool,
        Setting(
            "Change nothing outside the mask, even where a rim of the object or its traces in a JPEG are visible.",
            label="Leave traces beside the mask",
        ),
    ] = False
    sensitivity: Annotated[
        float | None,
        Setting(
            f"Sensitivity of damage detection in place of a mask, 0 to 1. (default: {USUAL_SENSITIVITY:g})",
            SENSITIVITY,
        ),
    ] = None
    grow: int = FOUND_GROW
    estimate: Annotated[
        FillEstimate | None,
        Setting(
            "sample: one possible picture; mean: the average of all, smooth where uncertain; detail: that average with "
            "the fine texture of one sample. (default: detail; sample with several samples or the method pc)"
        ),
    ] = None

    def __post_init__(self) -> None:
        one = self.samples == 1 and self.method in (None, "conditioned") and self.start is None
        if self.estimate is None:
            object.__setattr__(self, "estimate", "detail" if one else "sample")
        elif self.estimate == "detail" and not one:
            raise SettingError("estimate", "detail needs one sample of the method conditioned")
        super().__post_init__()
        check("grow", self.grow, Whole())

    @property
    def classical(self) -> ClassicalMethod | None:
        """The classical method, if the request names one."""
        return next((method for method in get_args(ClassicalMethod) if method == self.method), None)

    def roles(self, given: Collection[Given]) -> list[Role]:
        roles: list[Role] = ["inpaint"] if self.classical is None else []
        return roles if "mask" in given else [*roles, "damage"]

    def check_libraries(self) -> None:
        if self.classical not in (None, "biharmonic"):
            from scoreinv.imaging import load_opencv

            load_opencv()

    def check_given(self, given: Collection[Given]) -> None:
        if "mask" in given and self.sensitivity is not None:
            raise SettingError("sensitivity", "controls damage detection: it has no effect on a mask")
        if "avoid" not in given:
            return
        if self.method not in (None, "conditioned") or self.start is not None:
            raise SettingError("avoid", f"does not go with the method {self.method or 'pc'}, which copies nothing")
        if self.mean:
            raise SettingError("avoid", "does not go with the mean of one sample, which copies nothing")


GrayWeights = Literal["rec601", "average", "rec709"]

COLOR_STEPS: dict[Method, int] = {"conditioned": 15, "pc": 30}
"""Number of times in the grid for colours."""
MEAN_DRAWS = 4
"""Number of noises over which the posterior mean of colours is averaged: a single one leaves a tint."""
COLOR_TEMPERATURE = 0.2
"""Factor of the deviation of drawn colours from the posterior mean. With larger ones, samples of `scene` have patches
of odd colours: between 0.5 and 0.7 a sample's error is that of the grey picture (Kodak), at 1 it is larger."""
COLOR_SATURATION = 1.45
"""Largest factor of the chroma of the mean, and of samples pulled towards it: both are paler than photographs. `scene`
uses less where one hue is likely (`Colours.paleness`): the chroma of skin in 30 portraits is then 0.96 times the truth,
with 1.45 everywhere it is 1.17 times."""
SATURATION = Setting(
    f"Saturation: 0 is grey, 1 as the model draws, more is stronger. (default: up to {COLOR_SATURATION:g}, less where "
    "one hue is likely; 1 with the method pc, and with given colours)",
    Number(0.0, 10.0),
    label="Saturation",
    form=(0, 3, 0.1),
    unit="%",
)


@dataclass(frozen=True)
class ColorizeRequest(DrawRequest):
    """How a grey picture is coloured.

    Attributes:
        estimate: None: `mean` for one sample of `conditioned`, else `sample`.
        saturation: factor of the chroma; None: see `saturation_of`.
        whiten: make the lightest tone of a tinted print white; otherwise its luma is kept. The tint is removed anyway.
    """

    default_steps = COLOR_STEPS

    method: Annotated[Method | None, Setting(f"{METHOD_HELP} (default: the model's)", advanced=True)] = None
    steps: Annotated[
        int | None,
        Setting(
            f"Sampler steps of samples; the mean takes none. (default: {COLOR_STEPS['conditioned']}; pc "
            f"{COLOR_STEPS['pc']}, the paper's 1000)",
            STEPS,
            advanced=True,
        ),
    ] = None
    gray_weights: Annotated[
        GrayWeights,
        Setting(
            "Weights of red, green and blue in the grey. Weights that the model does not know need the method pc.",
            advanced=True,
        ),
    ] = "rec601"
    keep_color: Annotated[bool, Setting("Keep colours that are there; in a mostly grey photo they guide the rest.")] = (
        False
    )
    saturation: Annotated[float | None, SATURATION] = None
    estimate: Annotated[
        Estimate | None,
        Setting(
            "mean: the average of all possible colours; sample: one possibility. (default: mean; sample for several "
            "samples or a model without grey input)"
        ),
    ] = None
    whiten: Annotated[
        bool,
        Setting(
            "Tones of a sepia print without its tint. luma: its brightness; white: its lightest tone becomes white.",
            option="tint",
            choices=("luma", "white"),
            read=lambda text: text == "white",
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimate is None and self.samples > 1:
            object.__setattr__(self, "estimate", "sample")

    def roles(self, given: Collection[Given]) -> list[Role]:
        return ["colorize"]

    def helpers(self, given: Collection[Given]) -> list[HelperName]:
        if self.method == "pc" or self.start is not None:
            return []
        return ["places", "encoder"] if "hints" in given or "references" in given else ["places"]

    def saturation_of(self, sampling: Sampling, *, hinted: bool) -> float:
        """Return the largest factor of the chroma, 1 with given colours (`hinted`), which drawn ones should match."""
        if self.saturation is not None:
            return self.saturation
        return COLOR_SATURATION if sampling.method == "conditioned" and not hinted else 1.0


SampleMethod = Literal["diffpir", "ddrm", "pigdm", "dps", "mmps", "pc"]
RestorationMethod = Literal[SampleMethod, "dpir"]
Downsampling = Literal["area", "bicubic"]
ORIENTATIONS = (1, 2, 4, 8)
"""Numbers of flips and turns that an estimate can be averaged over."""

RESTORATION_STEPS: dict[RestorationMethod, int] = {
    "diffpir": 8,
    "ddrm": 12,
    "pigdm": 12,
    "dps": 300,
    "mmps": 12,
    "pc": 30,
    "dpir": 10,
}
"""Number of times in the grid of each method if it starts from an estimate of the picture."""
MEAN_STEPS = 3
"""Number of steps of `dpir` from a blurred photograph; 6 gain 0.1 dB."""
LEAST_STEPS: dict[RestorationMethod, int] = {
    "diffpir": 12,
    "ddrm": 12,
    "pigdm": 36,
    "dps": 100,
    "mmps": 12,
    "dpir": 8,
}
"""Number of steps below which a method is much worse if it starts from the SDE's prior. For `photo` at noise of .05,
the error of `mmps` is 14 % larger with 8 than with 36 steps. The error of `pigdm` for a blur is 0.23 with 24 steps and
0.41 with 12."""
FULL_STEPS = 3
"""Factor of the steps if a method starts from the SDE's prior; not for `dps`."""
DENOISING_STEPS = 10
"""Number of times in the grid for samples of a noisy picture."""


AVERAGED = Setting(
    "Average the mean over this many flips and turns: 1, 2, 4 or 8. More is slightly better and takes as many times as "
    "long.",
    Whole(ORIENTATIONS[0], ORIENTATIONS[-1]),
    advanced=True,
)


@dataclass(frozen=True)
class SolveRequest(Request):
    """How a picture is restored from an observation y = A x + noise.

    Samples are drawn by `diffpir` (splitting; without noise it is DDNM), `ddrm` (spectral, for operators with a
    singular value decomposition), `pigdm`, `dps` or `mmps` (likelihood gradients), or `pc` (the paper's, for y without
    noise). `dpir` draws nothing: it estimates by half-quadratic splitting.

    Attributes:
        estimate: mean: the average of several samples; for one, a direct estimate of the posterior mean.
        orientations: flips and turns that a direct estimate is averaged over, one evaluation each.
    """

    method: Annotated[
        RestorationMethod | None,
        Setting(
            "dpir estimates the mean. These draw samples: diffpir (splitting), ddrm (spectral), pigdm, dps and mmps "
            "(gradients), pc (predictor-corrector, the paper's). (default: dpir for one mean, diffpir for samples)",
            advanced=True,
        ),
    ] = None
    steps: Annotated[
        int | None,
        Setting(
            f"Steps of the method. (default: dpir {MEAN_STEPS}; diffpir {RESTORATION_STEPS['diffpir']})",
            STEPS,
            advanced=True,
        ),
    ] = None
    samples: SampleCount = 1
    seed: int = 0
    estimate: Annotated[
        Estimate | None,
        Setting(
            "mean: the average of all possible pictures, smooth where uncertain; sample: one of them, sharp. "
            "(default: mean; sample with several samples or a method that draws them)"
        ),
    ] = None
    orientations: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimate is None:
            default = "mean" if self.samples == 1 and self.method in (None, "dpir") else "sample"
            object.__setattr__(self, "estimate", default)
        if self.orientations not in ORIENTATIONS:
            raise SettingError("orientations", f"must be 1, 2, 4 or 8, not {self.orientations}")
        if self.orientations > 1 and not self.mean:
            raise SettingError("orientations", "needs the estimate mean of one sample")
        if self.method == "dpir" and not self.mean:
            raise SettingError("method", "dpir draws no samples: it needs the estimate mean of one sample")
        if self.method not in (None, "dpir") and self.mean:
            raise SettingError("estimate", f"mean with the method {self.method} needs 2 samples or more")

    def roles(self, given: Collection[Given]) -> list[Role]:
        return ["denoise"]

    def method_and_steps(self, *, from_estimate: bool) -> tuple[RestorationMethod, int]:
        """Return method and steps for a start from an estimate or from the SDE's prior."""
        sampler: RestorationMethod = "diffpir" if from_estimate else "mmps"
        method = self.method or ("dpir" if self.mean else sampler)
        if self.steps is not None:
            return method, self.steps
        if method == "dpir" and from_estimate:
            return method, MEAN_STEPS
        return method, RESTORATION_STEPS[method] * (1 if from_estimate or method == "dps" else FULL_STEPS)


@dataclass(frozen=True)
class DenoiseRequest(SolveRequest):
    """How noise is removed: by one method. Only samples take steps.

    Attributes:
        noise_std: standard deviation of the noise, in [0, 1]; None: estimated.
        keep_grain: share of the noise to keep.
    """

    method: None = None
    steps: Annotated[
        int | None, Setting(f"Sampler steps for a sample. (default: {DENOISING_STEPS})", STEPS, advanced=True)
    ] = None
    orientations: Annotated[int, AVERAGED] = 1
    noise_std: Annotated[float | None, NOISE] = None
    keep_grain: Annotated[float, KEEP_GRAIN] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method is not None:
            raise SettingError("method", "does not go with denoising, which has one method")
        if self.steps is not None and self.mean:
            raise SettingError("steps", "needs samples: the mean takes one evaluation")

    def roles(self, given: Collection[Given]) -> list[Role]:
        return ["denoise", "noise"] if self.noise_std is None else ["denoise"]


@dataclass(frozen=True)
class UpscaleRequest(SolveRequest):
    """How a picture is enlarged: the mean is a network's estimate, and samples start from it. Noise is removed first.

    Attributes:
        noise_std: standard deviation of the picture's noise, in [0, 1]; 0: block means of the result equal the
            picture, up to its rounding. None: that of its JPEG quantisation, or of noise that exceeds film grain, or 0.
    """

    method: Annotated[
        SampleMethod | None,
        Setting("Method that draws samples around the network's estimate. (default: diffpir)", advanced=True),
    ] = None
    steps: Annotated[
        int | None,
        Setting(f"Steps of the method. (default: diffpir {RESTORATION_STEPS['diffpir']})", STEPS, advanced=True),
    ] = None

    orientations: Annotated[int, AVERAGED] = 1
    factor: Annotated[int, Setting("Enlarge this many times.", Whole(2, 4), label="Enlargement factor")] = 2
    downsampling: Annotated[
        Downsampling,
        Setting(
            "Kernel that would reduce the result to the photo: area (block means, as a sensor's) or bicubic.",
            advanced=True,
        ),
    ] = "area"
    noise_std: Annotated[
        float | None,
        replace(
            NOISE,
            words="Noise level, 0 to 255. With 0 the result, reduced again by block means, is exactly the photo. "
            "(default: estimated)",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean and self.steps is not None:
            raise SettingError("steps", "needs samples: the mean takes one evaluation")

    def roles(self, given: Collection[Given]) -> list[Role]:
        return ["upscale", "denoise", "noise"] if self.noise_std is None else ["upscale", "denoise"]

    @property
    def enlargement(self) -> int:
        return self.factor


def _numbers(name: str, text: str, form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(form.split(",")):
        raise SettingError(name, f"{text}: give {form}, in pixels")
    return numbers


def _points_from_text(name: str, texts: Sequence[str] | None) -> tuple[tuple[float, ...], ...]:
    """Convert the points of a command line."""
    return tuple(_numbers(name, text, "X,Y") for text in texts or ())


def _box(name: str, purpose: str, default: str = "") -> Setting:
    """Return the declaration of a box, for a field of this name."""

    def read(text: str | None) -> tuple[float, ...] | None:
        return None if text is None else _numbers(name, text, "X,Y,W,H")

    return Setting(f"Box {purpose}: upper left corner, width, height.{default}", metavar="X,Y,W,H", read=read)


def _kernel_from_text(text: str | None) -> Any:
    """Convert the kernel from a command line to a `PointSpread`, or to an array, the luma of a picture file."""
    if text is None:
        return None
    if text == "-":
        raise SettingError("kernel", "is a name or a file: stdin is for the photo")
    from scoreinv.inputs.blur import kernel_from_text

    try:
        return kernel_from_text(text)
    except InputError as error:
        raise SettingError("kernel", str(error)) from error


@dataclass(frozen=True, eq=False)
class DeblurRequest(SolveRequest):
    """How blur is removed.

    Attributes:
        kernel: a `PointSpread`, or the image of a point as an array; None: estimated.
        noise_std: standard deviation of the noise, in [0, 1]; None: estimated.
        light: whether the values are light, without a tone curve; None: decided by the fit.
        kernel_from: x, y, width, height of the box from which the kernel is estimated; None: the mask's, or all.
    """

    kernel: Annotated[
        Any,
        Setting(
            "Blur kernel: gaussian:SIGMA, disk:RADIUS (out of focus), motion:LENGTH,ANGLE (pixels, degrees "
            "anticlockwise from the right), or a picture file. (default: estimated)",
            metavar="KERNEL",
            read=_kernel_from_text,
        ),
    ] = None
    noise_std: Annotated[float | None, NOISE] = None
    light: Annotated[
        bool | None,
        Setting(
            "The photo's values are light, without a tone curve. (default: decided, if it has no profile and no EXIF)",
            advanced=True,
        ),
    ] = None
    kernel_from: Annotated[
        Sequence[float] | None,
        _box("kernel_from", "from which the kernel is estimated", " (default: the mask's, or all)"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method in ("ddrm", "pc"):
            raise SettingError("method", f"{self.method} needs a linear blur without noise, and a photo's is of light")
        if self.kernel is not None and self.kernel_from is not None:
            raise SettingError("kernel_from", "does not go with a kernel, which is then not estimated")

    def roles(self, given: Collection[Given]) -> list[Role]:
        return ["denoise", "noise"] if self.noise_std is None else ["denoise"]

    def helpers(self, given: Collection[Given]) -> list[HelperName]:
        return ["blur"] if self.kernel is None else []

    def result_of(self, picture: Picture) -> Picture:
        if self.kernel is not None:
            from scoreinv.inputs.blur import check_kernel_size

            check_kernel_size(self.kernel, picture.size)
        if self.kernel_from is not None:
            x, y, width, height = checked_numbers("kernel_from", self.kernel_from, 4)
            if min(x, y) < 0 or min(width, height) < 1 or x + width > picture.width or y + height > picture.height:
                raise SettingError("kernel_from", f"must be a box within the photo of {picture.width}x{picture.height}")
        return picture


@dataclass(frozen=True)
class DamageRequest(Request):
    """How damage is detected."""

    sensitivity: Annotated[float, DETECTION] = USUAL_SENSITIVITY
    grow: Annotated[int, GROW] = FOUND_GROW

    def roles(self, given: Collection[Given]) -> list[Role]:
        return ["damage"]

    def result_of(self, picture: Picture) -> Picture:
        return _black_mask(picture)


@dataclass(frozen=True)
class SelectRequest(Request):
    """Which object of a picture is selected, by points on it and beside it, or a box around it; see `tasks.select`.

    Attributes:
        at, not_at: points (x, y) in pixels.
        box: x, y, width, height.
    """

    at: Annotated[
        Sequence[Any],
        Setting(
            "Point on the object, in pixels from the upper left corner. Repeatable.",
            metavar="X,Y",
            read=partial(_points_from_text, "at"),
            repeatable=True,
        ),
    ] = ()
    not_at: Annotated[
        Sequence[Any],
        Setting(
            "Point beside the object. Repeatable.",
            metavar="X,Y",
            option="not",
            read=partial(_points_from_text, "not_at"),
            repeatable=True,
        ),
    ] = ()
    box: Annotated[Sequence[float] | None, _box("box", "around the object")] = None
    size: Annotated[
        Literal["small", "middle", "large"] | None,
        Setting("Size of the object at a single point: a part, more of it, or the whole. (default: the likeliest)"),
    ] = None
    grow: Annotated[
        int | None,
        Setting(
            "Enlarge the mask by this many pixels; 0: the object alone. (default: a safe margin for its removal)",
            Whole(0, MOST_GROW),
        ),
    ] = None
    shadow: Annotated[bool, Setting("Include its cast shadow, if it is clear.")] = False
    fragments: Annotated[bool, Setting("Include small gaps and tips that resemble the object.")] = True

    def check_given(self, given: Collection[Given]) -> None:
        if not len(self.at) and self.box is None:
            raise SettingError("at", "is missing: give a point on the object, or a box around it")

    def check_libraries(self) -> None:
        from scoreinv.models import load_onnxruntime

        load_onnxruntime()

    def result_of(self, picture: Picture) -> Picture:
        from scoreinv.tasks.select import Prompt

        Prompt.of(self.at, self.not_at, self.box).check(picture.size)
        return _black_mask(picture)


def _black_mask(picture: Picture) -> Picture:
    import numpy as np

    from scoreinv.imaging.picture import picture_of_hole

    return picture_of_hole(np.zeros(picture.size, dtype=bool))


StepName = Literal["damage", "border", "tint", "tone", "inpaint", "denoise", "colorize", "enlarge"]
RESTORATION: tuple[StepName, ...] = get_args(StepName)
"""Steps of `restore` in order, see `tasks.restore`."""

SURE_SENSITIVITY = 0.05
"""Sensitivity for photographs in colour, where damage is rare. Of 24 healthy ones it changes 0.3 % of one and nothing
in the others; 0.2 changes three, and the default four, two of them by more than 0.5 %."""


OLD_GRAIN = 0.3
"""Share of the noise of old photographs to keep; without any, skin turns to wax. Two blind readers of ten pictures
placed 0.3 before or beside 0 in 18 of 20 judgements, and before the original in all."""


@dataclass(frozen=True)
class RestoreRequest(Request):
    """The steps of a restoration of an old photograph, and their settings.

    Attributes:
        sensitivity: None: 0.5, or `SURE_SENSITIVITY` for photographs in colour unless much of them is surely damaged.
            With None, little damage that does not stand out is left.
        grow: pixels by which detected damage is enlarged, for its soft edges.
        noise_std: standard deviation of white noise in [0, 1]; None: noise of any kind is estimated.
        keep_grain: share of the noise to keep.
        estimate: for colours, see `ColorizeRequest`; the `mean` of several samples averages fills, too.
        keep_steps: keep the picture after each step in the outcome.
    """

    inpaint: Annotated[bool, Setting("Fill damage.", label="Fill damage")] = True
    sensitivity: Annotated[
        float | None,
        replace(
            DETECTION,
            words=f"{DETECTION.words} (default: {USUAL_SENSITIVITY:g}; {SURE_SENSITIVITY:g} for photos in colour)",
            needs="inpaint",
        ),
    ] = None
    tone: Annotated[
        float | None,
        Setting(
            "Strength of the correction of fading, 0 (none) to 1. (default: 1 if the photo is surely faded)",
            Number(0.0, 1.0),
            advanced=True,
            label="Fading correction",
            form=(0, 1, 0.05),
            unit="%",
        ),
    ] = None
    denoise: Annotated[bool, Setting("Remove noise.", label="Remove noise")] = True
    noise_std: Annotated[float | None, replace(NOISE, needs="denoise")] = None
    keep_grain: Annotated[float, replace(KEEP_GRAIN, needs="denoise")] = OLD_GRAIN
    colorize: Annotated[bool, Setting("Add colour to grey and tinted photos.", label="Add colour if it is grey")] = True
    recolor: Annotated[bool, Setting("Replace the colours of photos in colour.", advanced=True, needs="colorize")] = (
        False
    )
    saturation: Annotated[float | None, replace(SATURATION, advanced=True, needs="colorize")] = None
    keep_tint: Annotated[bool, Setting("Keep the tint of a tinted print (sepia).", label="Keep a sepia tint")] = False
    crop_border: Annotated[bool, Setting("Cut off a plain border and torn edges.")] = False
    enlarge: Annotated[
        int | None,
        Setting("Enlarge the result this many times. (default: not enlarged)", Whole(2, 4), label="Enlarge", none="no"),
    ] = None
    grow: int = FOUND_GROW
    samples: SampleCount = 1
    seed: int = 0
    estimate: Annotated[
        Estimate | None,
        Setting(
            "Colours: the mean of all possible ones, or one sample. (default: mean; sample for several samples or a "
            "model without grey input)"
        ),
    ] = None
    keep_steps: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimate is None and self.samples > 1:
            object.__setattr__(self, "estimate", "sample")
        check("grow", self.grow, Whole())
        if self.keep_tint and not self.steps:
            raise SettingError("keep_tint", "leaves nothing to do: every step is off")

    @property
    def steps(self) -> list[StepName]:
        """Steps that are on, in order."""
        off: dict[StepName, bool] = {
            "damage": not self.inpaint,
            "border": not self.crop_border,
            "tint": self.keep_tint,
            "tone": self.tone == 0,
            "inpaint": not self.inpaint,
            "denoise": not self.denoise,
            "colorize": not self.colorize,
            "enlarge": self.enlarge is None,
        }
        return [step for step in RESTORATION if not off[step]]

    def roles(self, given: Collection[Given]) -> list[Role]:
        used: dict[Role, bool] = {
            "inpaint": self.inpaint,
            "denoise": self.denoise or self.enlarge is not None,
            "noise": (self.denoise and self.noise_std is None) or self.enlarge is not None,
            "colorize": self.colorize,
            "damage": self.inpaint and "mask" not in given,
            "upscale": self.enlarge is not None,
        }
        return [role for role, is_used in used.items() if is_used]

    def helpers(self, given: Collection[Given]) -> list[HelperName]:
        used: dict[HelperName, bool] = {
            "encoder": "damage" in self.roles(given) or (self.colorize and "hints" in given),
            "tone": self.tone != 0,
            "scene": self.tone != 0,
            "places": self.colorize,
        }
        return [name for name, is_used in used.items() if is_used]

    @property
    def enlargement(self) -> int:
        return self.enlarge or 1

    def check_given(self, given: Collection[Given]) -> None:
        if "mask" in given and not self.inpaint:
            raise SettingError("mask", "needs the filling of damage, which is off")
        if self.sensitivity is not None and "mask" in given:
            raise SettingError("sensitivity", "controls damage detection: it has no effect on a mask")
        if "hints" in given and not self.colorize:
            raise SettingError("hints", "need the step that adds colour, which is off")
