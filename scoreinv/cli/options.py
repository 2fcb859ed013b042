"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import typer

from scoreinv.cli.outputs import Plan, Shard, Workers, check_quality, plan, refuse_inputs, tell_of_folders_within
from scoreinv.cli.pages import ADVANCED
from scoreinv.errors import InputError
from scoreinv.options import STEPS

OUTPUT = "Output"

Format = Literal["png", "tif", "webp", "jpg"]
"""Kind of file of a result."""

MODEL_HELP = "A bundled model, or the path of a model file (with / or a suffix)."
ModelOption = Annotated[str, typer.Option("--model", metavar="NAME|FILE", help=MODEL_HELP)]
RestorerOption = Annotated[str, typer.Option("--model", metavar="NAME|FILE", help=MODEL_HELP, rich_help_panel=ADVANCED)]
"""The model of a command that has the right one by itself."""
QualityOption = Annotated[
    int | None,
    typer.Option(
        "--quality",
        min=1,
        max=100,
        help="Quality of jpg and webp. (default: jpg 95, webp lossless)",
        rich_help_panel=OUTPUT,
    ),
]
FrameOption = Annotated[
    int | None,
    typer.Option("--frame", min=0, help="Which of several frames to take; the first is 0.", rich_help_panel=ADVANCED),
]
FixedStepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=STEPS.least,
        max=STEPS.most,
        help="Solve the ODE in so many equal steps of four evaluations; 16 are good. (default: adaptive)",
    ),
]
PhotosArgument = Annotated[
    list[str], typer.Argument(metavar="PHOTO...", help="Photos or folders; - is stdin.", show_default=False)
]


@dataclass(frozen=True)
class ResultOptions:
    """Where results go.

    Attributes:
        recursive: whether the pictures in folders within folders are taken too.
        kind: kind of file of results that `output` does not name; None for png.
        shard: the part that is done, as `K/N`; None for all.
        workers: whose processes do the pictures; None: this one.
    """

    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|FOLDER",
            help="Result (.png, .tif, .webp, .jpg), or a folder; - is stdout. (default: beside the input)",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Take the folders within folders too; results keep their places.")
    ] = False
    kind: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Format of results whose names -o does not give. (default: png)", rich_help_panel=ADVANCED
        ),
    ] = None
    quality: QualityOption = None
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="K/N",
            help="Do every N-th picture from the K-th: N such runs, on as many machines, do them all.",
            rich_help_panel=ADVANCED,
        ),
    ] = None
    workers: Annotated[
        Workers | None,
        typer.Option(
            "--workers",
            help="ray: a Ray cluster does the pictures, that of RAY_ADDRESS (its machines share the files) or else "
            "one of this machine's processors, --threads of them for each. (default: one picture after the other)",
            rich_help_panel=ADVANCED,
        ),
    ] = None

    def plan(self, photos: list[str], suffix: str, count: int, inputs: Mapping[str, str | None]) -> Plan:
        """The jobs of photos; InputError where a result cannot have its name or format, or replaces an input.

        Arguments:
            suffix: suffix of the results' names.
            count: results of each photo.
            inputs: what is read or written beside the photos and results, by what it is.
        """
        shard = None if self.shard is None else Shard.read(self.shard)
        if self.workers is not None:
            from scoreinv.cli.ray_workers import check_ray

            check_ray()
        if not self.recursive:
            tell_of_folders_within(photos, [self.output, *inputs.values()])
        everything = plan(photos, self.output, suffix, self.kind, recursive=self.recursive)
        for option, value in {"--shard": self.shard, "--workers": self.workers}.items():
            if value is not None and not everything.batch:
                raise InputError(f"{option} {value}: is for a folder or several photos")
        everything = replace(everything, shard=shard, workers=self.workers)
        check_quality([job.output for job in everything.jobs], self.quality, "-o or --format")
        for job in everything.jobs:
            refuse_inputs("-o", job.outputs(count), inputs)
        return everything
