"""Which pictures are processed, and the names of their results.

Inputs are files and folders; results among them are left out. A result goes beside its photo as `STEM_inpainted.png`,
or where `-o` says; those of a folder go to `FOLDER_inpainted/`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, get_args

from scoreinv import files
from scoreinv.batch.outputs import (
    STREAM,
    check_file,
    check_folder,
    check_quality,
    check_stdout,
    refuse_existing,
    refuse_inputs,
)
from scoreinv.files.urls import check_bucket, is_url, list_files
from scoreinv.inputs.mask_options import DAMAGE_SUFFIX, MaskOptions
from scoreinv.system.errors import InputError
from scoreinv.system.options import Setting, Whole
from scoreinv.tasks.requests import Given

_log = logging.getLogger(__name__)

OTHER_FORMATS = frozenset([".jxl", ".jp2", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"])
"""Suffixes of picture formats that are not supported; a warning counts such files."""


@dataclass(frozen=True)
class OutputOptions:
    """Where results go and how they are written.

    Attributes:
        output: file or folder; None: beside the input.
        recursive: include subfolders.
        format: file suffix of results that `output` does not name; None: tif for a TIFF, else png.
        quality: of lossy formats.
        shard: `K/N`, the K-th of N parts; None: all.
        workers: number of processes, or `ray`; None: chosen.
        frame: number of the frame to read; None: the only one.
        overwrite: replace existing files.
    """

    output: Annotated[
        str | None,
        Setting(
            "Result (.png, .tif, .webp, .jpg, .heic, .avif) or folder; - is stdout. (default: beside the input)",
            metavar="FILE|FOLDER",
            option="-o --output",
        ),
    ] = None
    recursive: Annotated[bool, Setting("Include subfolders; results keep their places.")] = False
    format: Annotated[
        Literal["png", "tif", "webp", "jpg", "heic", "avif"] | None,
        Setting("Format of results that -o does not name. (default: tif for a TIFF, else png)", advanced=True),
    ] = None
    quality: Annotated[
        int | None,
        Setting(
            "Quality of jpg, webp, heic and avif. (default: 95 for jpg, lossless for webp, else 90)", Whole(1, 100)
        ),
    ] = None
    shard: Annotated[
        str | None, Setting("Process the K-th of N parts, for N machines.", metavar="K/N", advanced=True)
    ] = None
    workers: Annotated[
        str | None,
        Setting(
            "Processes for a folder, or ray: a Ray cluster at RAY_ADDRESS, else this machine. (default: chosen)",
            metavar="N|ray",
            advanced=True,
        ),
    ] = None
    frame: Annotated[int | None, Setting("Frame of a file with several; the first is 0.", Whole(0), advanced=True)] = (
        None
    )
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.workers == "ray" and find_spec("ray") is None:
            raise InputError("--workers ray: Ray is not installed: pip install 'scoreinv[ray]'")
        if self.workers not in (None, "ray") and not re.fullmatch("[1-9][0-9]{0,2}", str(self.workers)):
            raise InputError(f"--workers {self.workers}: give a number of processes from 1 to 999, or ray")

    @property
    def names_folder(self) -> bool:
        """Whether `output` ends like a folder, which is then made."""
        return (self.output or "").endswith(("/", os.sep))


@dataclass(frozen=True)
class Beside:
    """What the user gives with the photos, or wants beside the results, as paths.

    Attributes:
        mask: None: the task detects damage, if it fills any.
        masks: how mask files are read.
        references: photos with example colours.
        uncertainty: file or folder for maps of the samples' standard deviation.
        steps_to: folder for the picture after each step.
        endings: what the names of these pictures add to the photo's.
    """

    mask: str | None = None
    avoid: str | None = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    hints: str | None = None
    references: tuple[str, ...] = ()
    uncertainty: str | None = None
    steps_to: str | None = None
    endings: tuple[str, ...] = ()

    @property
    def given(self) -> set[Given]:
        """Names of what is given for the task."""
        names: tuple[Given, ...] = get_args(Given)
        return {name for name in names if getattr(self, name)}

    def check(self) -> None:
        """Raise InputError for files that do not exist or options without a mask file."""
        if self.mask == self.avoid == STREAM:
            raise InputError("--avoid -: stdin can be read once, and --mask has it")
        if self.masks.mask_threshold == 1:
            raise InputError("--mask-threshold 1: no value is above it: give less than 1")
        if self.masks.changes_files and (self.mask is None and (self.avoid is None or self.masks.invert_mask)):
            raise InputError("--mask-threshold and --invert-mask need a mask file")
        if self.hints == STREAM:
            raise InputError("--hints -: name a file; stdin is for the photo")
        if self.hints is not None:
            check_file(self.hints, "--hints")

    def inputs(self) -> dict[str, str]:
        """Return the paths that are read, by their role."""
        own = {"the mask": self.mask, "the mask of --avoid": self.avoid, "the hints": self.hints}
        references = {f"a photo of --like ({path})": path for path in self.references}
        return {role: path for role, path in own.items() if path is not None} | references


@dataclass(frozen=True)
class Job:
    """One picture and its files.

    Attributes:
        source: path, or `-` for stdin.
        output: path of the result, or `-` for stdout.
        inside: folder of the source relative to the given folder.
        outputs: the output itself, or for several results NAME.1.png, NAME.2.png, ...
        mask, avoid: paths of its masks.
        uncertainty: path of the map of the samples' standard deviation.
        steps: paths of the picture after each step of a restoration.
    """

    source: str
    output: str
    inside: Path = Path()
    outputs: tuple[str, ...] = ()
    mask: str | None = None
    avoid: str | None = None
    uncertainty: str | None = None
    steps: tuple[str, ...] = ()

    @property
    def beside(self) -> tuple[str, ...]:
        """Paths of the files written beside the results."""
        return self.steps if self.uncertainty is None else (self.uncertainty, *self.steps)


@dataclass(frozen=True)
class Plan:
    """The jobs of a run.

    Attributes:
        jobs: those of this shard. Inputs alone decide them: neither finished results nor masks do.
        batch: several inputs or a folder: failures are counted and finished files skipped.
        folder: the one folder of a batch's results, which gets the manifest.
        results_skipped: number of inputs left out since they are results of others.
        left_out: reasons of photos that are not processed, by source.
        store: URL of the results' folder, if photos and results are in an object store.
        stored: URLs of files in that folder.
    """

    jobs: list[Job]
    batch: bool = True
    folder: Path | None = None
    results_skipped: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    store: str | None = None
    stored: frozenset[str] = frozenset()

    def has(self, job: Job) -> bool:
        """Return whether all results of a job exist."""
        return self.stored.issuperset(job.outputs) if self.store else all(map(os.path.exists, job.outputs))


def plan(
    photos: list[str],
    suffix: str,
    results: int,
    options: OutputOptions,
    given: Beside,
    models: Mapping[str, str],
    kind: str | None = None,
) -> Plan:
    """Plan the jobs of photos.

    Args:
        suffix: of the results' names, as `_inpainted`.
        results: number of results of each photo.
        given: what is given beside the photos.
        models: names of the models by their role.
        kind: default file suffix of results; None: tif for a TIFF, else png.

    Raises:
        InputError: an empty folder, stdin among other inputs, an output of an unknown format, not writable or equal to
            an input, a quality without use, or two inputs with one output.
    """
    is_local = not any(path is not None and is_url(path) for path in (*photos, options.output))
    found = (_plan_local if is_local else _plan_store)(photos, suffix, options, options.format or kind)
    if results > 1 and found.jobs[0].output == STREAM:
        raise InputError("--samples: stdout takes one picture: name a file with -o")
    jobs = [replace(job, outputs=_numbered(job.output, results)) for job in found.jobs]
    outputs = [path for job in jobs for path in job.outputs]
    if options.quality is not None:
        check_quality(outputs, options.quality, "-o or --format")
    inputs = {**given.inputs(), **models}
    # A single photo's own files may be replaced like any other; a model serves other photos, too.
    refuse_inputs("-o", outputs, inputs if found.batch else models)
    left_out: dict[str, str] = {}
    if given.mask is not None:
        jobs = _with_masks("mask", given.mask, jobs, options, batch=found.batch)
        missing = {job.source: job.inside / Path(job.source).stem for job in jobs if job.mask is None}
        left_out = {source: f"{given.mask} has no mask named {stem}" for source, stem in missing.items()}
    if given.avoid is not None:  # a photo without one is filled from all of it
        jobs = _with_masks("avoid", given.avoid, jobs, options, batch=found.batch)
    if given.uncertainty is not None or given.steps_to is not None:
        jobs = _with_beside(photos, given, jobs, inputs, options, suffix, batch=found.batch)
    return replace(found, jobs=_shard(options.shard, jobs), left_out=left_out)


def _plan_local(photos: list[str], suffix: str, options: OutputOptions, kind: str | None) -> Plan:
    """Plan the jobs of files and folders; see `plan`."""
    given_folders = [item for item in photos if item != STREAM and Path(item).is_dir()]
    if len(photos) == 1 and not given_folders:
        if options.shard is not None:
            raise InputError(f"--shard {options.shard}: needs a folder or several photos")
        output = _single_output(photos[0], options, _ending(photos[0], suffix, kind))
        if options.names_folder:
            check_folder(Path(output).parent)
        return Plan([Job(photos[0], output)], batch=False)
    if STREAM in photos:
        raise InputError("- (stdin) cannot be combined with other inputs")
    found = [(source, item) for item in photos for source in expand(item, recursive=options.recursive)]
    results = _results_among([source for source, _ in found], options, suffix)
    for result in sorted(results):
        _log.info("%s: left out: its name is that of a result", result)
    wanted = [(source, item) for source, item in found if source not in results]
    places = [Path() if source == item else Path(source).parent.relative_to(item) for source, item in wanted]
    folders = [
        Path(source).parent
        if source == item and options.output is None
        else _results_folder(item, options.output, suffix) / place
        for (source, item), place in zip(wanted, places, strict=True)
    ]
    for folder in set(folders):
        check_folder(folder)
    sources = [source for source, _ in wanted]
    jobs = list(map(Job, sources, _outputs(sources, folders, suffix, kind), places))
    has_folder = options.output is not None or len(given_folders) == len(photos) == 1
    folder = _results_folder(photos[0], options.output, suffix) if has_folder else None
    return Plan(jobs, folder=folder, results_skipped=len(results))


def _plan_store(photos: list[str], suffix: str, options: OutputOptions, kind: str | None) -> Plan:
    """Plan the jobs of a folder of an object store and its subfolders; see `plan`."""
    url, target = photos[0].rstrip("/"), (options.output or "").rstrip("/")
    if len(photos) != 1 or not (is_url(url) and is_url(target)):
        raise InputError("in an object store give two folders: URL -o URL")
    if f"{target}/".startswith(f"{url}/"):
        raise InputError(f"-o {target}: is in the folder of the photos: name another")
    check_bucket(target)
    sources = expand(url, recursive=True)
    places = [Path(source).relative_to(url).parent for source in sources]
    names = [f"{target}/{name}" for name in _outputs(sources, places, suffix, kind)]
    stored = frozenset(f"{target}/{name}" for name in list_files(target))
    return Plan(list(map(Job, sources, names, places)), store=target, stored=stored)


def _with_masks(
    role: Literal["mask", "avoid"], path: str, jobs: list[Job], options: OutputOptions, *, batch: bool
) -> list[Job]:
    """Return the jobs with masks: one file for all photos, or the files of a folder by name.

    Raises:
        InputError: no photo has a mask, two masks have one name, a mask is a photo, or an output would replace one.
    """
    option = f"--{role}"
    if is_url(path) or Path(path).is_dir():
        masks = _masks_by_name(path, option, jobs, recursive=options.recursive)
    else:
        check_file(path, option)
        if path == STREAM and (batch or jobs[0].source == STREAM):
            raise InputError(f"{option} -: stdin is one mask of one photo")
        masks = {job.source: path for job in jobs}
    for job in jobs:
        own = masks.get(job.source)
        refuse_inputs(option, filter(None, [own]), {"a photo": job.source})
        refuse_inputs("-o", job.outputs if batch else (), {f"the mask of {option}": own})
    return [replace(job, **{role: masks.get(job.source)}) for job in jobs]  # type: ignore[arg-type]


def _masks_by_name(folder: str, option: str, jobs: list[Job], *, recursive: bool) -> dict[str, str]:
    """Return the masks of a folder, by the source of their photo."""
    by_name: dict[str, str] = {}
    for path in expand(folder, recursive=recursive):
        name = str(Path(path).relative_to(folder).with_suffix(""))
        if name in by_name:
            raise InputError(f"{option}: {by_name[name]} and {path} have one name: remove one of them")
        by_name[name] = path
    # The mask of a.jpg is a.png or, if photos share their stem, a.jpg.png; `damage` names it a_damage.png.
    masks: dict[str, str] = {}
    for job in jobs:
        source = Path(job.source)
        names = (source.name, source.stem, f"{source.name}{DAMAGE_SUFFIX}", f"{source.stem}{DAMAGE_SUFFIX}")
        for place in (str(job.inside / name) for name in reversed(names)):  # the first name counts
            if place in by_name:
                masks[job.source] = by_name[place]
    if not masks:
        if not is_url(jobs[0].source):
            check_file(jobs[0].source)  # a missing photo has no mask either
        raise InputError(f"{option} {folder}: no mask in this folder has the name of a photo")
    return masks


def _with_beside(
    photos: list[str],
    given: Beside,
    jobs: list[Job],
    inputs: Mapping[str, str],
    options: OutputOptions,
    suffix: str,
    *,
    batch: bool,
) -> list[Job]:
    """Return the jobs with the files beside their results.

    Raises:
        InputError: a file that cannot be written, is an input or another output, or lies in a folder of photos.
    """
    option, path = ("--steps-to", given.steps_to) if given.uncertainty is None else ("--uncertainty", given.uncertainty)
    in_folder = batch or given.uncertainty is None
    is_file = Path(str(path)).suffix.lower() in (".png", ".tif", ".tiff")
    if in_folder and is_file:
        raise InputError(f"{option} {path}: there are several pictures: name a folder")
    if not (in_folder or is_file):
        raise InputError(f"{option} {path}: end its name in .png or .tif")
    folder = Path(str(path)) if in_folder else Path(str(path)).parent
    check_folder(folder)
    for number, job in enumerate(jobs):
        stem = Path(job.source if job.output == STREAM else job.output).stem
        steps = (f"{stem.removesuffix(suffix)}{ending}.png" for ending in given.endings)
        if given.uncertainty is None:
            jobs[number] = replace(job, steps=tuple(str(folder / job.inside / name) for name in steps))
        else:
            jobs[number] = replace(job, uncertainty=str(folder / job.inside / f"{stem}.png") if in_folder else path)
    files_beside = [each for job in jobs for each in job.beside]
    others = [each for job in jobs for each in (job.source, job.mask, job.avoid, *job.outputs) if each is not None]
    counts = Counter(map(os.path.realpath, (*files_beside, *others, *inputs.values())))
    if taken := [each for each in files_beside if counts[os.path.realpath(each)] > 1]:
        raise InputError(f"{option} {path}: {taken[0]} is an input, or another output: choose another name")
    for photo in (Path(item).resolve() for item in photos if Path(item).is_dir()):
        # The next run would take these files for photos.
        if folder.resolve() == photo or (options.recursive and photo in folder.resolve().parents):
            raise InputError(f"{option} {path}: is a folder of the photos: name another")
    if not batch:
        refuse_existing(files_beside, overwrite=options.overwrite, option=option)
    return jobs


def expand(item: str, *, recursive: bool) -> list[str]:
    """Return the pictures of an input: itself, or those in a folder.

    Args:
        recursive: include subfolders.

    Raises InputError if a folder has no picture.
    """
    path = Path(item)
    if is_url(item):
        found = sorted(f"{item}/{name}" for name in list_files(item) if files.is_picture(PurePosixPath(name)))
        if not found:
            raise InputError(f"{item}: no pictures in this folder")
        return found
    if item == STREAM or not path.is_dir():
        return [item]
    entries = list(path.rglob("*") if recursive else path.iterdir())  # does not follow links
    entries = [entry for entry in entries if not files.is_hidden(entry.relative_to(path))]
    linked = [str(entry) for entry in entries if recursive and entry.is_symlink() and entry.is_dir()]
    if linked:
        _log.warning("%s: linked folders are left out (%s): name them as inputs", item, ", ".join(linked))
    inside = [entry for entry in entries if entry.is_file()]
    found = sorted(str(file) for file in inside if file.suffix.lower() in files.SUFFIXES)
    foreign = [suffix for file in inside if (suffix := file.suffix.lower()) in OTHER_FORMATS]
    kinds = f"{len(foreign)} in unsupported formats ({', '.join(sorted(set(foreign)))})" if foreign else ""
    if not found:
        remedy = (
            f", but {kinds}: convert them first" if kinds else "" if recursive else "; --recursive includes subfolders"
        )
        raise InputError(f"{item}: no pictures in this folder{remedy}")
    if kinds:
        _log.warning("%s: %s, left out: convert them first", item, kinds)
    return found


def _numbered(output: str, count: int) -> tuple[str, ...]:
    """Return the output itself, or for several results `NAME.1.png`, `NAME.2.png`, ..."""
    stem, _, suffix = output.rpartition(".")
    return tuple(f"{stem}.{number}.{suffix}" for number in range(1, count + 1)) if count > 1 else (output,)


def _shard(text: str | None, jobs: list[Job]) -> list[Job]:
    """Return every N-th job from the K-th of `K/N`, ordered by source: independent of the order of the inputs."""
    if text is None:
        return jobs
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard {text}: give K/N, the K-th of N parts, such as 3/16")
    return sorted(jobs, key=lambda job: job.source)[number - 1 :: count]


def _single_output(source: str, options: OutputOptions, ending: str) -> str:
    """Return the output of a single photo."""
    target = options.output
    stem = "stdin" if source == STREAM else Path(source).stem
    if target is None and source != STREAM:
        return str(Path(source).with_name(f"{stem}{ending}"))
    if target is not None and (options.names_folder or (target != STREAM and Path(target).is_dir())):
        return str(Path(target) / f"{stem}{ending}")
    if options.format is not None:
        raise InputError(f"--format {options.format}: {target or STREAM} has a format (stdout: png): give one of them")
    if target in (None, STREAM):
        check_stdout()
        if target is None and sys.stdout.isatty():
            raise InputError("the result of - goes to stdout, which is a terminal: name a file with -o, or redirect it")
        return STREAM
    if Path(str(target)).suffix.lower() not in files.FORMATS:
        raise InputError(f"{target}: end the output's name in {', '.join(files.FORMATS)}, or in / for a folder")
    return str(target)


def _ending(source: str, suffix: str, kind: str | None) -> str:
    """Return what replaces a photo's suffix in its result's name; see `plan`."""
    return f"{suffix}.{kind or ('tif' if Path(source).suffix.lower() in ('.tif', '.tiff') else 'png')}"


def _outputs(sources: list[str], folders: list[Path], suffix: str, kind: str | None) -> list[str]:
    """Return the output of each picture, in its folder; whole file names are used if two stems are equal."""
    endings = [_ending(source, suffix, kind) for source in sources]
    stems = [Path(source).stem for source in sources]
    counts = Counter(zip(folders, stems, endings, strict=True))
    outputs: dict[str, str] = {}
    for source, folder, stem, ending in zip(sources, folders, stems, endings, strict=True):
        name = Path(source).name if counts[folder, stem, ending] > 1 else stem
        output = str(folder / f"{name}{ending}")
        if output in outputs:
            raise InputError(f"{outputs[output]} and {source} have one output, {output}: process them apart, with -o")
        outputs[output] = source
    return list(outputs)


def _results_folder(given: str, output: str | None, suffix: str) -> Path:
    """Return the folder of a batch's results: that of `-o`, or one beside the given folder."""
    if output is not None:
        if output == STREAM or Path(output).is_file() or Path(output).suffix.lower() in files.FORMATS:
            raise InputError(f"-o {output}: several inputs need a folder")
        return Path(output)
    base = Path(given)
    base = base.resolve() if base.name in ("", "..") else base
    return base.with_name(f"{base.name}{suffix}")


def _results_among(sources: list[str], options: OutputOptions, suffix: str) -> set[str]:
    """Return the inputs that are results of others, by name: a killed run may not have recorded its last result."""
    places = {(Path(source).parent, name) for source in sources for name in (Path(source).name, Path(source).stem)}
    names = {name for _, name in places}
    target = None if options.output is None else Path(options.output).resolve()
    found = set()
    for source in sources:
        of, _, number = Path(source).stem.rpartition(suffix)
        if of and re.fullmatch(r"(\.\d+)?", number):
            parent = Path(source).parent
            where = [parent.resolve(), *(parent.resolve().parents if options.recursive else ())]
            if (parent, of) in places or (target in where and of in names):
                found.add(source)
    return found
