"""Options that every command takes, and what they are gathered in."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated, get_args, get_type_hints

import typer

from scoreinv.errors import InputError
from scoreinv.tasks.settings import (
    COLOUR_STEPS,
    FILL_STEPS,
    GUESS_START,
    MAX_SAMPLES,
    MAX_SEED,
    MAX_STEPS,
    ConditionalSampling,
)
from scoreinv.version import __version__

COMMON = "Common options"
OUTPUT = "Output"


class DeviceChoice(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class PrecisionChoice(StrEnum):
    """Number format of the network."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Estimate(StrEnum):
    """What is returned of the possible pictures."""

    SAMPLE = "sample"
    MEAN = "mean"


class Format(StrEnum):
    """Kind of file of a result."""

    PNG = "png"
    TIF = "tif"
    WEBP = "webp"
    JPG = "jpg"


class GrayWeights(StrEnum):
    """How grey was made of colours."""

    REC601 = "rec601"
    AVERAGE = "average"
    REC709 = "rec709"


class Method(StrEnum):
    """How a picture is drawn given what is known of it."""

    CONDITIONED = "conditioned"
    PC = "pc"


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"scoreinv {__version__}")
        raise typer.Exit


@dataclass(frozen=True)
class Settings:
    """The options that every command has; `common_options` declares them on the command line from these fields.

    Attributes:
        given_seed: of all randomness, None when it was not given.
        device, precision: as asked for; `runtime.Session` resolves `auto`.
        threads: CPU threads, None for torch's choice.
        quiet: no progress, no notices.
        overwrite: existing outputs may be replaced.
        json: machine-readable lines on stdout.
        debug: tracebacks.
    """

    given_seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            max=MAX_SEED,
            help="The same seed gives the same result. (default: 0)",
            rich_help_panel=COMMON,
        ),
    ] = None
    device: Annotated[DeviceChoice, typer.Option("--device", help="Where to compute.", rich_help_panel=COMMON)] = (
        DeviceChoice.AUTO
    )
    precision: Annotated[
        PrecisionChoice,
        typer.Option(
            "--precision",
            help="Number format; auto takes bfloat16 where the processor has it.",
            rich_help_panel=COMMON,
        ),
    ] = PrecisionChoice.AUTO
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, max=1024, help="CPU threads. (default: all)", rich_help_panel=COMMON),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Neither progress nor notices.", rich_help_panel=COMMON)] = (
        False
    )
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=COMMON)
    ] = False
    json: Annotated[
        bool, typer.Option("--json", help="On stdout a JSON object a line for each input.", rich_help_panel=COMMON)
    ] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=COMMON)] = False

    @property
    def seed(self) -> int:
        """Of all randomness."""
        return self.given_seed or 0


VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, help="Show the version and exit.", rich_help_panel=COMMON
    ),
]


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: with the fields of its parameter `settings: Settings` as options of their own."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "settings"]
    hints = get_type_hints(Settings, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = [inspect.Parameter(f.name, keyword, default=f.default, annotation=hints[f.name]) for f in fields(Settings)]
    version = inspect.Parameter("version", keyword, default=False, annotation=VersionOption)

    parameters = [p.replace(kind=keyword) for p in own] + common + [version]

    def run(**options: object) -> None:
        for parameter in parameters:
            _check_value(parameter, options[parameter.name])
        del options["version"]
        settings = Settings(**{f.name: options.pop(f.name) for f in fields(Settings)})
        return command(**options, settings=settings)

    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__signature__ = signature.replace(parameters=parameters)
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _check_value(parameter: inspect.Parameter, value: object) -> None:
    """Raise InputError for an empty text, mostly an unset variable of the shell, and for a number that is none."""
    if value == "" or (isinstance(value, list) and "" in value):
        raise InputError(f"{_name(parameter)}: is empty (is a variable of the shell unset?)")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{_name(parameter)} {value}: give a number")


def _name(parameter: inspect.Parameter) -> str:
    """How the command line calls a parameter: its longest option, or what stands for it in the help."""
    (declared,) = (entry for entry in get_args(parameter.annotation)[1:] if hasattr(entry, "param_decls"))
    first = [declared.default] if isinstance(declared.default, str) else []  # where typer finds it in an annotation
    options = [*first, *(declared.param_decls or ())]
    return max(options, key=len) if options else declared.metavar.rstrip(".")


ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME|FILE", help="A bundled model, or with / or a suffix a model file.")
]
MethodOption = Annotated[
    Method | None,
    typer.Option(
        "--method",
        help="conditioned: a network given what is known; pc: constrained predictor-corrector, with any model. "
        "(default: what the model was trained for)",
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        max=MAX_STEPS,
        help="Sampler steps; 1000 is the paper's of pc. "
        f"(default: {FILL_STEPS['conditioned']} for holes, {COLOUR_STEPS['conditioned']} for colours; "
        f"pc {FILL_STEPS['pc']})",
    ),
]
FixedStepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        max=MAX_STEPS,
        help="Solve the ODE in so many equal steps of four evaluations; 16 are good. (default: adaptive)",
    ),
]
StartOption = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="LEVEL",
        help="Takes pc: noise level to begin at, from a smooth guess; prior: from pure noise, as in the paper. "
        f"(default: {GUESS_START:g}, and prior from 1000 steps)",
    ),
]
SamplesOption = Annotated[
    int, typer.Option("--samples", min=1, max=MAX_SAMPLES, help="Draw this many: NAME.1.png, NAME.2.png, ...")
]
EstimateOption = Annotated[
    Estimate,
    typer.Option(
        "--estimate",
        help="sample: each a possible picture; mean: the average of the samples, or for one sample of conditioned the "
        "posterior mean at once.",
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE|FOLDER",
        help="Result; its suffix picks png, tif, webp or jpg; - is stdout. (default: beside the input; of - stdout)",
        rich_help_panel=OUTPUT,
    ),
]
QualityOption = Annotated[
    int | None,
    typer.Option("--quality", min=1, max=100, help="Of jpg (95) and webp (lossless).", rich_help_panel=OUTPUT),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Of results whose names -o does not give. (default: png)", rich_help_panel=OUTPUT),
]
FrameOption = Annotated[
    int | None, typer.Option("--frame", min=0, help="Which of several frames to take, the first being 0.")
]


def conditional_sampling(
    method: Method | None, steps: int | None, start: str | None, samples: int, estimate: Estimate, settings: Settings
) -> ConditionalSampling:
    """The settings of a conditional sampler; InputError when they do not go together."""
    return ConditionalSampling(
        method=None if method is None else method.value,
        steps=steps,
        start=None if start is None else _noise_level(start),
        samples=samples,
        seed=settings.seed,
        estimate=estimate.value,
    )


def _noise_level(text: str) -> float:
    if text == "prior":
        return math.inf
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise InputError(f"--start {text}: give a noise level such as 1, or prior")
    return level
