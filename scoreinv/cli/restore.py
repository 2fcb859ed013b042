"""`scoreinv restore PHOTO...`: damage, tint, noise and colours of old photographs, in one go."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.colorize import Hints
from scoreinv.cli.command import Settings
from scoreinv.cli.damage import FINDER, damaged_share
from scoreinv.cli.inpaint import AUTO, MaskReading, masks_of, without_mask
from scoreinv.cli.messages import notice
from scoreinv.cli.options import MODEL_HELP, OUTPUT, FrameOption, PhotosArgument, ResultOptions
from scoreinv.cli.outputs import STREAM, Job, Plan, check_writable, output_folders, refuse_inputs
from scoreinv.cli.pages import ADVANCED
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.restoring import NoiseOption
from scoreinv.cli.runtime import FinderSession, Maker, NoModel, Session, check_samples
from scoreinv.cli.streams import warn
from scoreinv.errors import InputError
from scoreinv.options import GRAY_LEVELS
from scoreinv.tasks.settings import OLD_PHOTO_STEPS, OldPhotoSettings, StepName

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.imaging.hints import KnownColours
    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.old_photos import OldPhotoModels, Step

EXAMPLES = """
  scoreinv restore old.jpg   # writes old_restored.png
  scoreinv restore scans/ --no-colorize --steps-to steps/
"""
SUFFIX = "_restored"


def _model_option(name: str, does: str) -> typer.models.OptionInfo:
    return typer.Option(
        f"--{name}-model", metavar="NAME|FILE", help=f"What {does}. {MODEL_HELP}", rich_help_panel=ADVANCED
    )


@dataclass(frozen=True)
class StepModels:
    """The models of the steps."""

    damage_model: Annotated[str, _model_option("damage", "finds damage")] = FINDER
    inpaint_model: Annotated[str, _model_option("inpaint", "fills it")] = "photo"
    denoise_model: Annotated[str, _model_option("denoise", "removes noise")] = "denoiser"
    color_model: Annotated[str, _model_option("color", "draws colours")] = "scene"


def restore(
    photos: PhotosArgument,
    *,
    results: ResultOptions,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            metavar="MASK",
            help="White is damage; a picture, or a folder of them. (default: found)",
        ),
    ] = None,
    steps: OldPhotoSettings,
    noise: NoiseOption = None,
    wanted: Hints,
    reading: Annotated[MaskReading, ADVANCED],
    steps_to: Annotated[
        str | None,
        typer.Option(
            "--steps-to",
            metavar="FOLDER",
            help="Also write the mask of the damage, and the picture after each step.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    models: StepModels,
    frame: FrameOption = None,
    settings: Settings,
) -> None:
    """Restore old photos: fill damage, take out tint and noise, draw colours; all where it is needed."""
    mask = None if mask == AUTO else mask
    if mask is None and reading != MaskReading(grow=reading.grow):
        raise InputError("--mask-threshold and --invert-mask belong to --mask")
    if reading.grow is not None and not steps.inpaint:
        raise InputError("--grow does not go with --no-inpaint, which leaves damage as it is")
    if mask is None and reading.grow is not None:
        steps = replace(steps, grow=reading.grow)
    steps.check_given(masked=mask is not None, hinted=wanted.hints is not None)
    if noise is not None:
        steps = replace(steps, noise_std=noise / GRAY_LEVELS)
    wanted.check_hints()
    sessions = _Sessions.of(models, steps, settings, masked=mask is not None)
    beside = {"the hints": wanted.hints, "the mask": mask, "--steps-to": steps_to}
    read = {**beside, **{name.replace("_", " "): path for name, path in vars(models).items()}}
    everything = results.plan(photos, SUFFIX, steps.samples, read)
    masks = {} if mask is None else masks_of(everything, mask, recursive=results.recursive)
    for job in everything.jobs:
        refuse_inputs("-o", job.outputs(steps.samples), {"the mask": masks.get(job.source)})
    # In a batch those that are there are of a photo that an earlier run did not finish.
    replaced = settings.overwrite or everything.batch
    pictures = None if steps_to is None else _StepPictures(Path(steps_to), replaced)
    if pictures is not None:
        pictures.check(
            everything, steps.samples, [path for path in (*masks.values(), wanted.hints) if path is not None]
        )
        pictures.refuse_folders(photos, recursive=results.recursive)
    restoring = _Restoring(steps, sessions, settings, mask, masks, reading, wanted, frame, pictures)
    work = Work(restoring.read, restoring.compute, steps.samples, results.quality, restoring.left_out, restoring.beside)
    makers = sessions.all_of_them or [NoModel(settings)]
    folders = [] if pictures is None or settings.dry_run else pictures.folders(everything)
    with output_folders(folders, shared=everything.shard is not None):
        raise typer.Exit(run(everything, work, *makers))


@dataclass(frozen=True)
class _Sessions:
    """The models of the steps that are not left out."""

    fill: Session | None
    denoise: Session | None
    color: Session | None
    damage: FinderSession | None

    @classmethod
    def of(cls, models: StepModels, steps: OldPhotoSettings, settings: Settings, *, masked: bool) -> _Sessions:
        """masked: the damage is given by masks."""
        return cls(
            Session(models.inpaint_model, settings) if steps.inpaint else None,
            Session(models.denoise_model, settings) if steps.denoise else None,
            Session(models.color_model, settings) if steps.colorize else None,
            FinderSession(models.damage_model, settings) if steps.inpaint and not masked else None,
        )

    @property
    def all_of_them(self) -> list[Maker]:
        """Those that there are."""
        return [session for session in vars(self).values() if session is not None]

    def models(self) -> OldPhotoModels:
        """The models themselves."""
        from scoreinv.tasks.old_photos import OldPhotoModels

        return OldPhotoModels(
            finder=None if self.damage is None else self.damage.finder,
            filler=None if self.fill is None else self.fill.prior,
            denoiser=None if self.denoise is None else self.denoise.prior,
            colorizer=None if self.color is None else self.color.prior,
        )


@dataclass(frozen=True)
class _StepPictures:
    """Where the pictures between the steps go: FOLDER/STEM_NUMBER_STEP.png.

    Attributes:
        folder: of all of them; those of photos in folders go into folders within it.
        overwrite: whether those that are there already are replaced.
    """

    folder: Path
    overwrite: bool

    def paths(self, job: Job) -> dict[StepName, str]:
        """Of a photo, after each step."""
        stem = Path(job.source if job.output == STREAM else job.output).stem.removesuffix(SUFFIX)
        within = self.folder / job.inside
        return {step: str(within / f"{stem}_{number}_{step}.png") for number, step in enumerate(OLD_PHOTO_STEPS, 1)}

    def folders(self, everything: Plan) -> list[Path]:
        """All that are written into."""
        return sorted({self.folder / job.inside for job in everything.own})

    def check(self, everything: Plan, samples: int, given: list[str]) -> None:
        """Raise InputError where they could not be written, or have the name of another, or of what is read.

        given: masks and strokes of colour.
        """
        check_writable(str(self.folder / "name.png"), create=True)
        named = Counter(
            str(Path(path).resolve())
            for job in everything.jobs
            for path in (*self.paths(job).values(), *job.outputs(samples))
        )
        twice = [path for path, count in named.items() if count > 1]
        if twice:
            raise InputError(f"--steps-to {self.folder}: {twice[0]} would be written twice: do the photos apart")
        read = {str(Path(path).resolve()) for path in (*(job.source for job in everything.jobs), *given)}
        for path in (path for job in everything.jobs for path in self.paths(job).values()):
            if str(Path(path).resolve()) in read:
                raise InputError(f"--steps-to {self.folder}: {path} is read by this run: name another folder")

    def refuse_folders(self, photos: list[str], *, recursive: bool) -> None:
        """Raise InputError where the next run would take them for photos."""
        own = self.folder.resolve()
        for folder in (Path(photo).resolve() for photo in photos if Path(photo).is_dir()):
            if own == folder or (recursive and folder in own.parents):
                raise InputError(f"--steps-to {self.folder}: is a folder of the photos: name another")

    def refuse_existing(self, job: Job) -> None:
        """Raise InputError for one that is there already, unless it may be replaced."""
        there = [path for path in self.paths(job).values() if Path(path).exists()]
        if there and not self.overwrite:
            raise InputError(f"{there[0]}: exists already; --overwrite replaces it, --steps-to names another folder")

    def write(self, job: Job, step: StepName, picture: Picture) -> None:
        """Write the picture after a step."""
        from scoreinv.imaging.write import write_picture

        write_picture(self.paths(job)[step], picture, overwrite=self.overwrite)


@dataclass(frozen=True)
class _Item:
    """A photo at hand, with the damage and the colours that are given."""

    job: Job
    picture: Picture
    hole: np.ndarray | None
    hints: KnownColours | None


@dataclass(frozen=True)
class _Restoring:
    """The work on each photo.

    Attributes:
        mask: the mask or folder of masks, as given; None: damage is found.
        masks: the mask of each photo that has one.
        pictures: where those between the steps go.
    """

    steps: OldPhotoSettings
    sessions: _Sessions
    settings: Settings
    mask: str | None
    masks: dict[str, str]
    reading: MaskReading
    wanted: Hints
    frame: int | None
    pictures: _StepPictures | None

    def left_out(self, job: Job) -> str | None:
        return without_mask(job, self.mask, self.masks) if self.mask is not None else None

    def beside(self, job: Job) -> list[str]:
        if self.pictures is None:
            return []
        paths = self.pictures.paths(job)
        return [paths[step] for step in self.steps.wanted]

    def read(self, job: Job) -> _Item:
        from scoreinv.imaging.read import read_picture
        from scoreinv.imaging.write import check_format

        picture = read_picture(job.source, self.frame)
        check_format(job.output, picture)
        if self.pictures is not None:
            self.pictures.refuse_existing(job)
        hole = None if self.mask is None else self.reading.read(self.masks[job.source], job.source, picture.size)
        return _Item(job, picture, hole, self.wanted.read(picture.size))

    def compute(self, item: _Item, bar: ProgressBar) -> Report:
        from scoreinv.machine import keep_freed
        from scoreinv.tasks.old_photos import GivenByHand, restore_picture

        def told(step: Step, shown: Picture | None) -> None:
            notice(self.settings, f"{source}: {step.name}: {step.words}")
            if self.pictures is not None and shown is not None:
                self.pictures.write(item.job, step.name, shown)

        keep_freed()
        source = item.job.source
        check_samples(self.steps.samples, [item.picture], coloured=self.steps.colorize)
        given = GivenByHand(item.hole, item.hints)
        result = restore_picture(item.picture, self.sessions.models(), self.steps, given, bar.fraction, told)
        done = [step.name for step in result.steps if step.changed]
        if item.hints is not None and "colorize" not in done:
            warn(f"{source}: the hints are not used, as it is not grey (scoreinv colorize --hints replaces colours)")
        more: dict[str, Any] = {"found": result.found, "steps": done}
        if result.damage is not None:
            more["damaged"] = damaged_share(result.damage)
        if result.noise_std is not None:
            more["noise"] = round(result.noise_std * GRAY_LEVELS, 2)
        if self.sessions.color is not None:
            more["color_model"] = self.sessions.color.model_name
        return Report.of(result, self.steps.samples, more)
