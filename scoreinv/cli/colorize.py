"""`scoreinv colorize GRAY...`: add colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.command import Settings
from scoreinv.cli.options import FrameOption, RestorerOption, ResultOptions
from scoreinv.cli.outputs import STREAM, Job, check_file
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import Session, check_samples
from scoreinv.cli.streams import warn
from scoreinv.cli.uncertainty import UncertaintyOption, check_uncertainty, map_beside, write_uncertainty
from scoreinv.errors import InputError
from scoreinv.tasks.settings import ColourSettings

if TYPE_CHECKING:
    from scoreinv.imaging.hints import KnownColours
    from scoreinv.imaging.picture import Picture

EXAMPLES = """
  scoreinv colorize gray.jpg                     # writes gray_colorized.png
  scoreinv colorize gray.jpg --hints hints.png   # with strokes of your colours
"""
Tint = Literal["luma", "white"]
"""What becomes of a picture of one tint, such as a sepia print."""


@dataclass(frozen=True)
class Hints:
    """The colours that are wanted at some places."""

    hints: Annotated[
        str | None,
        typer.Option(
            "--hints",
            metavar="FILE",
            help="Strokes of the colours wanted, on a transparent picture of its size.",
        ),
    ] = None

    def check_hints(self) -> None:
        """Raise InputError for hints that are no file."""
        if self.hints == STREAM:
            raise InputError("--hints -: name a file; stdin is for the photo")
        if self.hints is not None:
            check_file(self.hints, "--hints")

    def read(self, size: tuple[int, int]) -> KnownColours | None:
        """The hints for a photo of a size (height, width)."""
        if self.hints is None:
            return None
        from scoreinv.imaging.hints import read_hints

        return read_hints(self.hints, size)


TintOption = Annotated[
    Tint,
    typer.Option(
        "--tint",
        help="A print of one tint (sepia) loses it. luma: its luma stays; white: its lightest tone becomes white.",
    ),
]


@dataclass(frozen=True)
class _Item:
    """A photo at hand, its path, and the colours wanted in it."""

    source: str
    picture: Picture
    hints: KnownColours | None


def colorize(
    photos: Annotated[
        list[str], typer.Argument(metavar="GRAY...", help="Grey photos or folders; - is stdin.", show_default=False)
    ],
    *,
    results: ResultOptions,
    model: RestorerOption = "scene",
    how: ColourSettings,
    wanted: Hints,
    tint: TintOption = "luma",
    uncertainty: UncertaintyOption = None,
    frame: FrameOption = None,
    settings: Settings,
) -> None:
    """Colour grey photos; their luma, and so all detail, is kept to the grey level."""
    how = replace(how, whiten=tint == "white")
    wanted.check_hints()
    inputs = {"the hints": wanted.hints, "the model": model}
    everything = results.plan(photos, "_colorized", how.results, inputs)
    if uncertainty is not None:
        given = {name: path for name, path in inputs.items() if path is not None}
        check_uncertainty(uncertainty, everything, how, settings, given)
    session = Session(model, settings)

    def read(job: Job) -> _Item:
        from scoreinv.imaging.read import read_picture
        from scoreinv.imaging.write import check_format

        picture = read_picture(job.source, frame)
        check_format(job.output, picture)
        return _Item(job.source, picture, wanted.read(picture.size))

    def compute(item: _Item, bar: ProgressBar) -> Report:
        from scoreinv.machine import keep_freed
        from scoreinv.tasks.colorize import colorize_picture

        keep_freed()
        check_samples(how.samples, [item.picture], coloured=True)
        result = colorize_picture(item.picture, session.prior, how, item.hints, bar.fraction)
        if result.found == "coloured" and not how.keep_color:
            warn(f"{item.source}: has colours already, which are replaced (--keep-color keeps them)")
        if result.found == "tinted" and not how.whiten:
            remedy = "--tint white makes its lightest tone white too"
            warn(f"{item.source}: is a print of one tint, which is taken out ({remedy})")
        more = {}
        if uncertainty is not None:
            write_uncertainty(uncertainty, result.std, settings)
            more["uncertainty"] = uncertainty
        return Report.of(result, how.results, more)

    work = Work(read, compute, how.results, results.quality, beside=map_beside(uncertainty))
    raise typer.Exit(run(everything, work, session))
