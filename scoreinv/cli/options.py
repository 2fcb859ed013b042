"""Options that commands share: an option is an alias beside the command, a group of them a data class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import typer

from scoreinv.system.options import GRAY_LEVELS, SEED, Device, Precision

PREFIX = "SCOREINV"  # what the names of environment variables that give options begin with
OUTPUT, COMMON, ADVANCED = "Output", "Common options", "For scripts and researchers"
"""Panels of the help. Those of scripts and researchers are shown by `--help-all` alone."""
STREAM_HELP = "- is stdin."

option = partial(typer.Option, show_envvar=False)
"""An option; every one can be given by an environment variable too, which its help need not say."""
common_option = partial(option, rich_help_panel=COMMON)
advanced = partial(option, rich_help_panel=ADVANCED)
output_option = partial(option, rich_help_panel=OUTPUT)

MODEL_HELP = "A bundled model, or the path of a model file (with / or a suffix)."
ModelOption = Annotated[str, option(metavar="NAME|FILE", help=MODEL_HELP)]
RestorerOption = Annotated[str, advanced(metavar="NAME|FILE", help=MODEL_HELP)]
"""The model of a command that has the right one by itself."""
QualityOption = Annotated[
    int | None,
    output_option(
        min=1, max=100, help="Quality of jpg, webp, heic and avif. (default: 95 for jpg, webp lossless, else 90)"
    ),
]
FrameOption = Annotated[int | None, advanced(min=0, help="Which of several frames to take; the first is 0.")]
NoiseOption = Annotated[
    float | None,
    option(
        metavar="LEVEL", min=0, max=GRAY_LEVELS, help="Standard deviation, in grey levels of 255. (default: estimated)"
    ),
]
UncertaintyOption = Annotated[
    str | None,
    output_option(
        metavar="FILE|FOLDER",
        help="Also write a map of where samples differ; of several photos, into a folder. Needs --samples 2 or more.",
    ),
]
PhotosArgument = Annotated[
    list[str], typer.Argument(metavar="PHOTO...", help=f"Photos or folders; {STREAM_HELP}", show_default=False)
]


@dataclass(frozen=True)
class Output:
    """Where results go.

    Attributes:
        recursive: whether the pictures in folders within folders are taken too.
        format: kind of file of results that `output` does not name; None: tif for a TIFF, else png.
        shard: the part that is done, as `K/N`; None for all.
        workers: how many processes do the pictures, or `ray`; None: as many as pay.
    """

    output: Annotated[
        str | None,
        output_option(
            "-o",
            "--output",
            metavar="FILE|FOLDER",
            help="Result (.png, .tif, .webp, .jpg, .heic, .avif) or folder; - is stdout. (default: beside the input)",
        ),
    ] = None
    recursive: Annotated[bool, option(help="Take the folders within folders too; results keep their places.")] = False
    format: Annotated[
        Literal["png", "tif", "webp", "jpg", "heic", "avif"] | None,
        advanced(help="Format of results whose names -o does not give. (default: tif for a TIFF, else png)"),
    ] = None
    quality: QualityOption = None
    shard: Annotated[
        str | None,
        advanced(
            metavar="K/N", help="Do every N-th picture from the K-th: N such runs, on as many machines, do them all."
        ),
    ] = None
    workers: Annotated[
        str | None,
        advanced(
            metavar="N|ray",
            help="How many processes do the pictures of a folder, --threads of them each; ray: those of a Ray cluster, "
            "of RAY_ADDRESS (its machines share the files) or else of this machine. (default: as many as pay)",
        ),
    ] = None
    frame: FrameOption = None


@dataclass(frozen=True)
class Common:
    """The options that every command has.

    Attributes:
        seed: None when it was not given, which is 0 but for `train`.
        overwrite: existing outputs may be replaced.
        dry_run: the inputs are checked, and what would be done is told; nothing is computed or written.
        quiet: no progress, no notices; warnings and errors stay.
        verbose: what is chosen, and why.
        device, precision: as asked for; `loading.Model` resolves `auto`.
        threads: CPU threads; None for all, or fewer where the model is measured to be faster by them.
        json: machine-readable lines on stdout.
        debug: tracebacks.
    """

    seed: Annotated[
        int | None,
        common_option(min=SEED.least, max=SEED.most, help="The same seed gives the same result. (default: 0)"),
    ] = None
    overwrite: Annotated[bool, common_option(help="Replace files that exist.")] = False
    dry_run: Annotated[bool, common_option(help="Check the inputs and say what would be written.")] = False
    quiet: Annotated[bool, common_option("--quiet/--no-quiet", "-q", help="Show warnings and errors only.")] = False
    verbose: Annotated[bool, common_option("--verbose/--no-verbose", "-v", help="Say what is chosen, and why.")] = False
    device: Annotated[Device, advanced(help="Where to compute.")] = "auto"
    precision: Annotated[Precision, advanced(help="Number format; auto takes bfloat16 where it is faster.")] = "auto"
    threads: Annotated[
        int | None, advanced(min=1, max=1024, help="CPU threads. (default: all, or fewer where that is faster)")
    ] = None
    json: Annotated[bool, advanced(help="Print a JSON object for each input, one a line, on stdout.")] = False
    debug: Annotated[bool, advanced(help="Show tracebacks.")] = False
