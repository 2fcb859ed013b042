"""What settings may be, each stated once: its choices, range and default, and the words that explain it.

Settings are data classes (`tasks.settings`) whose fields are annotated with a `Setting`. By it they check themselves,
and the command line makes options of them. Imports no torch, so that settings are checked before it loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from scoreinv.checks import Number, Whole, check_choice, check_flag

Method = Literal["conditioned", "pc"]
ClassicalMethod = Literal["telea", "navier-stokes", "biharmonic"]
FillMethod = Literal[Method, ClassicalMethod]
Estimate = Literal["sample", "mean"]
GrayWeights = Literal["rec601", "average", "rec709"]
Sampler = Literal["pc", "ode", "multistep", "heun", "ddim"]
Predictor = Literal[
    "reverse_diffusion", "euler_maruyama", "ancestral", "ancestral_posterior", "probability_flow", "none"
]
Corrector = Literal["langevin", "annealed_langevin", "none"]
RestorationMethod = Literal["diffpir", "ddnm", "ddrm", "pigdm", "dps", "mmps", "pc", "dpir"]
Downsampling = Literal["area", "bicubic"]
Probe = Literal["rademacher", "gaussian"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]

START_LEVEL = 0.5
"""Noise level at which a short run of `pc` begins: twice the spread of a picture's values, which drowns the initial
estimate."""
FILL_STEPS: dict[Method, int] = {"conditioned": 10, "pc": 30}
"""Times of the grid of each method for holes. With 10 the detail of fills by `photo` is nearest to the photographs':
1.0 to 1.1 of it, with 25 1.2; and 30 of `pc` differ little from more."""
NARROW_FILL_STEPS = 3
"""Evaluations of `MeanFlow` for scratches, specks and writing: these few have the same detail; more change little."""
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
RESTORATION_STEPS: dict[RestorationMethod, int] = {
    "diffpir": 8,
    "ddnm": 8,
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
SAMPLER_STEPS: dict[Sampler, int] = {"multistep": 25, "heun": 18, "ddim": 50}
"""Times of the grid for new pictures; of `heun` as in its paper for CIFAR-10."""
ODE_RTOL = 1e-5
"""Tolerance of the adaptive solver, relative and absolute."""
GRAY_LEVELS = 255
"""The command line gives levels of noise in these."""


# A thousand times the paper's, and the like: what can be asked for is bounded by memory and patience.
STEPS = Whole(1, 1_000_000)
SAMPLES = Whole(1, 1000)
SEED = Whole(0, 2**63 - 1)
RTOL = Number(1e-12, 0.1)
GUIDANCE = Number(0.0, 1e6)
TRAINING_STEPS = Whole(1, 999_999_999)  # what the nine digits of a state's name count
TRAINING_MINUTES = Number(None, 1e7)  # nineteen years
BATCH_SIZE = Whole(1, 2**20)  # far more than any memory takes of pictures of a useful size
LEARNING_RATE = Number(None, 1000.0)
SENSITIVITY = Number(0.0, 1.0)
USUAL_SENSITIVITY = 0.5
"""Pixels whose probability of damage is above 1 - 0.5 are marked."""
FOUND_GROW = 2
"""Pixels by which damage that is found is enlarged: soft edges would show as outlines of what is filled."""
MOST_GROW = 100_000
"""Pixels by which holes may grow on the command line: more than a picture's side."""
ORIENTATIONS = (1, 2, 4, 8)
"""How many of the eight flips and turns of a picture an estimate can be averaged over."""


@dataclass(frozen=True)
class Setting:
    """What is said of a field of settings, beside its type.

    Attributes:
        words: what it does, in one or two sentences.
        range: of a number.
        metavar: what stands for its value in the help of the command line.
        read: makes the value of the text on the command line, where that is not a plain number or word.
        advanced: it is for scripts and researchers, and told apart from what everybody needs.
    """

    words: str
    range: Whole | Number | None = None
    metavar: str | None = None
    read: Callable[[str], Any] | None = None
    advanced: bool = False


SampleCount = Annotated[int, Setting("Draw this many: NAME.1.png, NAME.2.png, ...", SAMPLES)]


def declared(kind: type[Any]) -> dict[str, tuple[Any, Setting]]:
    """The fields of a class of settings that have a `Setting`: the type and setting of each."""
    hints = get_type_hints(kind, include_extras=True)
    found = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Annotated}
    return {name: (entries[0], entries[1]) for name, entries in found.items() if isinstance(entries[1], Setting)}


def check_settings(settings: Any) -> None:
    """Raise SettingError for a declared field that is not a choice, a flag or in its range, and for a wrong seed."""
    if hasattr(settings, "seed"):
        SEED.check("seed", settings.seed)
    for name, (kind, setting) in declared(type(settings)).items():
        value = getattr(settings, name)
        optional = NoneType in get_args(kind)
        if optional and value is None:
            continue
        plain = next(member for member in get_args(kind) if member is not NoneType) if optional else kind
        if get_origin(plain) is Literal:
            check_choice(name, value, get_args(plain))
        elif plain is bool:
            check_flag(name, value)
        elif setting.range is not None:
            setting.range.check(name, value)
