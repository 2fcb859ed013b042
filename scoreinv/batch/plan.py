"""The plan of a run: the photos to process, their masks, the files to write, and the pictures to skip.

Inputs are files and folders. Results of earlier runs among them are left out. By default a result is written beside its
photo as `STEM_inpainted.png`, and the results of a folder to `FOLDER_inpainted/`; `-o` names another file or folder.
Folders of outputs are created with the first result.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from glob import glob
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

from scoreinv import files
from scoreinv.files.urls import check_bucket, exists, is_url, list_files
from scoreinv.inputs.mask_options import DAMAGE_SUFFIX, MaskOptions
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM, check_folder, check_writable
from scoreinv.system.options import QUALITY, Setting, Whole
from scoreinv.tasks.requests import Given

_log = logging.getLogger(__name__)

OTHER_FORMATS = frozenset([".jxl", ".jp2", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"])
"""Suffixes of picture formats that are not supported; a warning counts such files."""


Row = dict[str, Any]
"""The result or failure of a picture, as `--json` prints it and the manifest records it; its keys are in `work`."""
EXISTS = "exists"
"""Value of `skipped` if the results existed before the run."""
BY_ANOTHER = "by another process"
"""Value of `skipped` if another process wrote the results during the run."""

Quality = Annotated[
    int | None,
    Setting(
        "Quality of jpg, webp, heic and avif. (default: 95 for jpg, lossless for webp, else 90)",
        QUALITY,
        label="Quality of the download",
        form=(1, 100, 0),
        none="default",
    ),
]
Frame = Annotated[int | None, Setting("Frame of a file with several; the first is 0.", Whole(0))]


@dataclass(frozen=True)
class OutputOptions:
    """Options of reading pictures and writing results.

    Attributes:
        output: file or folder of the results; None: beside the input.
        recursive: whether to include subfolders.
        format: file suffix of results that `output` does not name; None: tif for a TIFF, else png.
        quality: quality of lossy formats, 1 to 100; None: the format's default.
        shard: `K/N`, the K-th of N parts of the pictures; None: all.
        workers: number of processes, or `ray`; None: see `workers.choose_workers`.
        frame: index of the frame to read; None: the only one.
        changes: file or folder for masks of changes.
        provenance: whether results have a record of the run.
        record_time: whether records have the time.
        overwrite: whether existing files are replaced.
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
    quality: Quality = None
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
    frame: Frame = None
    changes: Annotated[
        str | None,
        Setting(
            "Also write a mask of the changes, .png or .tif: white generated, grey altered, black bit-identical; for "
            "several photos, a folder.",
            metavar="FILE|FOLDER",
        ),
    ] = None
    provenance: Annotated[bool, Setting("Record in the result's XMP how it was made.")] = True
    record_time: Annotated[bool, Setting("Record the time, too.", advanced=True)] = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.workers == "ray" and find_spec("ray") is None:
            raise InputError("--workers ray: Ray is not installed: pip install 'scoreinv[ray]'")
        if self.record_time and not (self.provenance or self.changes):
            raise InputError("--record-time needs a record: leave out --no-provenance")
        if self.workers not in (None, "ray") and not re.fullmatch("[1-9][0-9]{0,2}", str(self.workers)):
            raise InputError(f"--workers {self.workers}: give a number of processes from 1 to 999, or ray")

    @property
    def names_folder(self) -> bool:
        """Whether `output` ends like a folder; a missing folder is then created."""
        return (self.output or "").endswith(("/", os.sep))


@dataclass(frozen=True)
class AuxiliaryFiles:
    """Paths of a run apart from photos and results: inputs of the task, and further outputs.

    Attributes:
        mask: file or folder of masks; None: the task detects damage, if it fills any.
        avoid: file or folder of masks of pixels that a fill must not copy.
        masks: options for reading mask files.
        hints: picture with strokes of colour.
        references: photos with example colours.
        uncertainty: file or folder for maps of the samples' standard deviation.
        steps_to: folder for the picture after each step of a restoration.
        endings: suffixes of the names of these pictures, one for each step.
        kernel_out: file or folder for the kernels of blurs.
    """

    mask: str | None = None
    avoid: str | None = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    hints: str | None = None
    references: tuple[str, ...] = ()
    uncertainty: str | None = None
    steps_to: str | None = None
    endings: tuple[str, ...] = ()
    kernel_out: str | None = None

    @property
    def given(self) -> set[Given]:
        """The names of the inputs that the task gets besides the photo."""
        names: tuple[Given, ...] = get_args(Given)
        return {name for name in names if getattr(self, name)}

    def check(self) -> None:
        """Raise InputError for missing hints, for stdin in a second role, and for mask options without effect."""
        if self.mask == self.avoid == STREAM:
            raise InputError("--avoid -: stdin can be read once, and --mask has it")
        if self.masks.mask_threshold == 1:
            raise InputError("--mask-threshold 1: no value is above it: give less than 1")
        if self.masks.changes_files and (self.mask is None and (self.avoid is None or self.masks.invert_mask)):
            raise InputError("--mask-threshold and --invert-mask need a mask file")
        if self.hints == STREAM:
            raise InputError("--hints -: name a file; stdin is for the photo")
        if self.hints is not None:
            files.check_file(self.hints, "--hints")

    def inputs(self) -> dict[str, str]:
        """Return the role of each input, in words, by its path."""
        roles = {self.mask: "the mask", self.avoid: "the mask of --avoid", self.hints: "the hints"}
        references = dict.fromkeys(self.references, "a photo of --like")
        return {path: role for path, role in roles.items() if path is not None} | references


@dataclass(frozen=True)
class Job:
    """One picture and its files.

    Attributes:
        source: path, or `-` for stdin.
        output: path of the result, or `-` for stdout.
        inside: folder of the source, relative to the folder that the user gave.
        outputs: paths of all results: the output itself, or for several NAME.1.png, NAME.2.png, ...
        mask, avoid: paths of its masks, see `AuxiliaryFiles`.
        uncertainty: path of the map of the samples' standard deviation.
        changes: path of the mask of changes.
        steps: paths of the picture after each step of a restoration.
        kernel_out: path of the kernel of its blur.
    """

    source: str
    output: str
    inside: Path = Path()
    outputs: tuple[str, ...] = ()
    mask: str | None = None
    avoid: str | None = None
    uncertainty: str | None = None
    changes: str | None = None
    steps: tuple[str, ...] = ()
    kernel_out: str | None = None

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """Paths of the files that are written in addition to the results."""
        return (*filter(None, (self.uncertainty, self.changes, self.kernel_out)), *self.steps)

    def outputs_to_write(self, *, keep: bool) -> list[str]:
        """Return the paths of the results to write: all, or with `keep` those that do not exist."""
        return [path for path in self.outputs if not (keep and exists(path))]

    def finished_row(self, reason: str) -> Row:
        """Return the row of a picture that is skipped because its results exist, for a reason such as `EXISTS`."""
        outputs = {"output": self.outputs[0], "outputs": list(self.outputs)}
        return {"input": self.source, **outputs, "skipped": reason, "finished": True}


@dataclass(frozen=True)
class Plan:
    """The jobs of a run.

    Attributes:
        jobs: the jobs of this shard. They depend on the inputs alone, not on finished results or masks.
        batch: whether there are several inputs or a folder. A batch continues after failures and skips finished files.
        folder: local folder that gets the manifest; None for a single photo, an object store, or several inputs without
            `-o`.
        results_skipped: number of inputs that are left out because they are results of other inputs.
        left_out: why photos are not processed, by source.
        store: URL of the results' folder, if photos and results are in an object store.
        stored: URLs of the files in that folder.
    """

    jobs: list[Job]
    batch: bool = True
    folder: Path | None = None
    results_skipped: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    store: str | None = None
    stored: frozenset[str] = frozenset()

    def has_results(self, job: Job) -> bool:
        """Return whether all results of a job exist."""
        return self.stored.issuperset(job.outputs) if self.store else all(map(os.path.exists, job.outputs))

    def row_if_skipped(self, job: Job, *, overwrite: bool) -> Row | None:
        """Return the row of a picture that is finished, or that the plan leaves out; None if it must be processed."""
        if self.batch and not overwrite and self.has_results(job):
            return job.finished_row(EXISTS)
        if job.source not in self.left_out:
            return None
        return {"input": job.source, "skipped": self.left_out[job.source], "finished": self.has_results(job)}


@dataclass(frozen=True)
class Planner:
    """Plans the jobs of photos.

    Args:
        photos: files and folders.
        suffix: suffix of the results' names, such as `_inpainted`.
        results: number of results of each photo.
        options: options of the results' paths.
        auxiliary: other inputs and outputs.
        models: the role of each model, in words, by its name or path.
        kind: default file suffix of results; None: tif for a TIFF, else png.
    """

    photos: list[str]
    suffix: str
    results: int
    options: OutputOptions
    auxiliary: AuxiliaryFiles
    models: Mapping[str, str]
    kind: str | None = None

    def plan(self) -> Plan:
        """Return the plan.

        Raises:
            InputError: an empty folder, stdin among other inputs, an output of an unknown format, not writable or equal
                to an input, a quality without use, or two inputs with one output.
        """
        auxiliary, options = self.auxiliary, self.options
        found = self._in_store() if any(map(is_url, (*self.photos, options.output or ""))) else self._on_disk()
        jobs = [replace(job, outputs=numbered(job.output, self.results)) for job in found.jobs]
        outputs = [path for job in jobs for path in job.outputs]
        if self.results > 1 and found.jobs[0].output == STREAM:
            raise InputError("--samples: stdout takes one picture: name a file with -o")
        if options.quality is not None:
            files.check_quality(outputs, "-o or --format")
        left_out: dict[str, str] = {}
        for name, masks in (("mask", auxiliary.mask), ("avoid", auxiliary.avoid)):
            if masks is not None:
                of = self._masks(f"--{name}", masks, found)
                jobs = [_with(job, name, of.get(job.source)) for job in jobs]
        if auxiliary.mask is not None:  # a photo without a mask to avoid is filled from all its known pixels
            missing = {job.source: job.inside / Path(job.source).stem for job in jobs if job.mask is None}
            left_out = {source: f"{auxiliary.mask} has no mask named {stem}" for source, stem in missing.items()}
        matched = {path: "a mask" for job in jobs for path in (job.mask, job.avoid) if path is not None}
        inputs = {**matched, **auxiliary.inputs(), **self.models}
        # A single photo's own files may be replaced like any other; a model serves other photos, too.
        files.refuse_inputs("-o", outputs, inputs if found.batch else self.models)
        inputs |= {job.source: "a photo" for job in jobs}
        lossy = (path for path in outputs if options.changes is not None and files.is_lossy(path, options.quality))
        if altered := next(lossy, None):
            _log.warning("%s: its compression alters every pixel: --changes shows those altered before", altered)
        for name, option, path, endings in (
            ("uncertainty", "--uncertainty", auxiliary.uncertainty, ()),
            ("changes", "--changes", options.changes, ()),
            ("steps", "--steps-to", auxiliary.steps_to, auxiliary.endings),
            ("kernel_out", "--kernel-out", auxiliary.kernel_out, ()),
        ):
            if path is not None:
                named = self._auxiliary_paths(option, path, jobs, inputs, batch=found.batch, endings=endings)
                pairs = zip(jobs, named, strict=True)
                jobs = [_with(job, name, paths if endings else paths[0]) for job, paths in pairs]
        return replace(found, jobs=_shard(options.shard, jobs), left_out=left_out)

    def _on_disk(self) -> Plan:
        """Plan the jobs of files and folders."""
        photos, options = self.photos, self.options
        folders = [item for item in photos if item != STREAM and Path(item).is_dir()]
        if len(photos) == 1 and not folders:
            if options.shard is not None:
                raise InputError(f"--shard {options.shard}: needs a folder or several photos")
            output = single_output(photos[0], options, ending(photos[0], self.suffix, options, self.kind))
            if options.names_folder:
                check_folder(Path(output).parent)
            return Plan([Job(photos[0], output)], batch=False)
        if STREAM in photos:
            raise InputError("- (stdin) cannot be combined with other inputs")
        if not options.recursive:
            self._warn_of_subfolders(folders)
        found = [(source, item) for item in photos for source in expand(item, recursive=options.recursive)]
        results = self._results_among([source for source, _ in found])
        for result in sorted(results):
            _log.info("%s: left out: its name is that of a result", result)
        jobs, places = [], []
        for source, item in found:
            if source not in results:
                inside = Path() if source == item else Path(source).parent.relative_to(item)
                is_beside = source == item and options.output is None
                places.append(Path(source).parent if is_beside else results_folder(item, self.suffix, options) / inside)
                jobs.append(Job(source, "", inside))
        for place in {place for job, place in zip(jobs, places, strict=True) if os.path.lexists(job.source)}:
            check_folder(place)  # only for existing photos: a missing one has its own error
        has_folder = options.output is not None or len(folders) == len(photos) == 1
        folder = results_folder(photos[0], self.suffix, options) if has_folder else None
        return Plan(self._with_outputs(jobs, places), folder=folder, results_skipped=len(results))

    def _warn_of_subfolders(self, folders: list[str]) -> None:
        """Warn of subfolders with pictures, except those that hold other inputs or the results."""
        options, auxiliary = self.options, self.auxiliary
        others = (*self.photos, options.output, options.changes, auxiliary.uncertainty, auxiliary.steps_to)
        others = (*others, auxiliary.kernel_out, *auxiliary.inputs(), *self.models)
        known = [Path(path).resolve() for path in others if path is not None]
        within = [
            entry for folder in folders for entry in Path(folder).iterdir() if entry.is_dir() and not entry.is_symlink()
        ]
        left_out = [
            folder
            for folder in within
            if not files.is_hidden(Path(folder.name))
            and not any(path.is_relative_to(folder.resolve()) for path in known)
            and any(files.is_picture(file.relative_to(folder)) for file in folder.rglob("*"))
        ]
        if left_out:
            _log.warning(
                "%s: subfolders are left out (%d): --recursive includes them",
                ", ".join(str(Path(folder)) for folder in folders),
                len(left_out),
            )

    def _in_store(self) -> Plan:
        """Plan the jobs of a folder of an object store and its subfolders."""
        url, target = self.photos[0].rstrip("/"), (self.options.output or "").rstrip("/")
        if len(self.photos) != 1 or not (is_url(url) and is_url(target)):
            raise InputError("in an object store give two folders: URL -o URL")
        if f"{target}/".startswith(f"{url}/"):
            raise InputError(f"-o {target}: is in the folder of the photos: name another")
        check_bucket(target)
        jobs = [Job(source, "", Path(source).relative_to(url).parent) for source in expand(url, recursive=True)]
        jobs = self._with_outputs(jobs, [job.inside for job in jobs])
        stored = frozenset(f"{target}/{name}" for name in list_files(target))
        return Plan([replace(job, output=f"{target}/{job.output}") for job in jobs], store=target, stored=stored)

    def _with_outputs(self, jobs: list[Job], folders: list[Path]) -> list[Job]:
        """Return the jobs with the paths of their outputs in the given folders.

        A result is named by the photo's stem, or by its whole file name if two photos in a folder share the stem.
        """
        endings = [ending(job.source, self.suffix, self.options, self.kind) for job in jobs]
        named = [f"{Path(job.source).stem}{end}" for job, end in zip(jobs, endings, strict=True)]
        places = list(zip(folders, named, strict=True))
        counts, outputs = Counter(places), dict[str, Job]()
        for job, end, place in zip(jobs, endings, places, strict=True):
            folder, usual = place
            name = str(folder / (f"{Path(job.source).name}{end}" if counts[place] > 1 else usual))
            real = os.path.realpath(name)  # a folder may be given by two paths
            if real in outputs:
                sources = f"{outputs[real].source} and {job.source}"
                raise InputError(f"{sources} have one output, {name}: process them apart, with -o")
            outputs[real] = replace(job, output=name)
        return list(outputs.values())

    def _results_among(self, sources: list[str]) -> set[str]:
        """Return the inputs whose names are those of results of other inputs.

        The manifest does not decide, since a killed run may not have recorded its last result.
        """
        options = self.options
        places = {(Path(source).parent, name) for source in sources for name in (Path(source).name, Path(source).stem)}
        names = {name for _, name in places}
        target = None if options.output is None else Path(options.output).resolve()
        found = set()
        for source in sources:
            of, _, number = Path(source).stem.rpartition(self.suffix)
            if re.fullmatch(r"(\.\d+)?", number):
                parent = Path(source).parent
                where = [parent.resolve(), *(parent.resolve().parents if options.recursive else ())]
                if (parent, of) in places or (target in where and of in names):
                    found.add(source)
        return found

    def _masks(self, option: str, path: str, found: Plan) -> dict[str, str]:
        """Return the masks of photos by source: one file for all photos, or the files of a folder by name.

        Raises:
            InputError: no photo has a mask, two masks have one name, or a mask is a photo.
        """
        jobs, masks = found.jobs, dict[str, str]()
        if is_url(path) or Path(path).is_dir():
            by_name: dict[str, str] = {}
            for mask in expand(path, recursive=self.options.recursive):
                name = str(Path(mask).relative_to(path).with_suffix(""))
                if name in by_name:
                    raise InputError(f"{option}: {by_name[name]} and {mask} have one name: remove one of them")
                by_name[name] = mask
            # The mask of a.jpg is a.png or, if photos share their stem, a.jpg.png; `damage` names it a_damage.png.
            for job in jobs:
                source = Path(job.source)
                names = (source.name, source.stem, f"{source.name}{DAMAGE_SUFFIX}", f"{source.stem}{DAMAGE_SUFFIX}")
                places = (str(job.inside / name) for name in names)
                if (place := next(filter(by_name.__contains__, places), None)) is not None:
                    masks[job.source] = by_name[place]
            if not masks:
                if found.store is None:
                    files.check_file(jobs[0].source)  # a missing photo has no mask either
                raise InputError(f"{option} {path}: no mask in this folder has the name of a photo")
        else:
            files.check_file(path, option)
            if path == STREAM and (found.batch or jobs[0].source == STREAM):
                raise InputError(f"{option} -: stdin is one mask of one photo")
            masks = {job.source: path for job in jobs}
        files.refuse_inputs(option, masks.values(), {job.source: "a photo" for job in jobs})
        return masks

    def _auxiliary_paths(
        self,
        option: str,
        path: str,
        jobs: list[Job],
        inputs: Mapping[str, str],
        *,
        batch: bool,
        endings: tuple[str, ...] = (),
    ) -> list[tuple[str, ...]]:
        """Name the files that an option adds to the results: one for each photo, or several in a folder.

        Args:
            option: the option that gave the path.
            inputs: the roles of the files that are read.
            endings: ends of the names of several files; none: one file a photo.

        Raises:
            InputError: a file that cannot be written, is an input or another output, or lies in a folder of photos.
        """
        if is_url(path):
            raise InputError(f"{option} {path}: name a local folder")
        in_folder = batch or bool(endings)
        if in_folder == (Path(path).suffix.lower() in (".png", ".tif", ".tiff")):
            remedy = "there are several pictures: name a folder" if in_folder else "end its name in .png or .tif"
            raise InputError(f"{option} {path}: {remedy}")
        folder = Path(path) if in_folder else Path(path).parent
        check_folder(folder, option)
        stems = [Path(job.source if job.output == STREAM else job.output).stem for job in jobs]
        if endings:
            stems = [stem.removesuffix(self.suffix) for stem in stems]
        named = [
            tuple(str(folder / job.inside / f"{stem}{ending}.png") for ending in endings or ("",))
            for job, stem in zip(jobs, stems, strict=True)
        ]
        named = named if in_folder else [(path,)]
        paths = [each for group in named for each in group]
        files.refuse_inputs(option, paths, inputs)
        others = (each for job in jobs for each in (*job.outputs, *job.auxiliary))
        counts = Counter(map(os.path.realpath, (*paths, *others)))
        if taken := [each for each in paths if counts[os.path.realpath(each)] > 1]:
            raise InputError(f"{option} {taken[0]}: is another output: choose another name")
        for photo in (Path(item).resolve() for item in self.photos if Path(item).is_dir()):
            # The next run would process these files as photos.
            if folder.resolve() == photo or (self.options.recursive and photo in folder.resolve().parents):
                raise InputError(f"{option} {path}: is a folder of the photos: name another")
        if not batch:
            for each in paths:
                check_writable(Path(each), overwrite=self.options.overwrite, option=option, makes_folder=True)
        return named


def ending(source: str, suffix: str, options: OutputOptions, kind: str | None) -> str:
    """Return the ending of a result's name after the photo's stem, such as `_inpainted.png`.

    Args:
        kind: the task's default file suffix; None: tif for a TIFF, else png.
    """
    usual = "tif" if Path(source).suffix.lower() in (".tif", ".tiff") else "png"
    return f"{suffix}.{options.format or kind or usual}"


def results_folder(given: str, suffix: str, options: OutputOptions) -> Path:
    """Return the folder of a batch's results: `-o`, or a folder beside the given one."""
    output = options.output
    if output is not None:
        if output == STREAM or Path(output).is_file() or Path(output).suffix.lower() in files.FORMATS:
            raise InputError(f"-o {output}: several inputs need a folder")
        return Path(output)
    base = Path(given)
    base = base.resolve() if base.name in ("", "..") else base
    return base.with_name(f"{base.name}{suffix}")


def single_output(source: str, options: OutputOptions, ending: str) -> str:
    """Return the path of a single photo's result, or `-`; raise InputError if `-o` does not fit."""
    target = options.output
    stem = "stdin" if source == STREAM else Path(source).stem
    if target is None and source != STREAM:
        return str(Path(source).with_name(f"{stem}{ending}"))
    if target is not None and (options.names_folder or (target != STREAM and Path(target).is_dir())):
        return str(Path(target) / f"{stem}{ending}")
    if options.format is not None:
        raise InputError(f"--format {options.format}: {target or STREAM} has a format (stdout: png): give one of them")
    if target in (None, STREAM):
        files.check_stdout()
        if target is None and sys.stdout.isatty():
            raise InputError("the result of - goes to stdout, which is a terminal: name a file with -o, or redirect it")
        return STREAM
    if Path(str(target)).suffix.lower() not in files.FORMATS:
        raise InputError(f"{target}: end the output's name in {', '.join(files.FORMATS)}, or in / for a folder")
    return str(target)


def numbered(output: str, count: int) -> tuple[str, ...]:
    """Return the output itself, or for several results `NAME.1.png`, `NAME.2.png`, ..."""
    stem, _, suffix = output.rpartition(".")
    return tuple(f"{stem}.{number}.{suffix}" for number in range(1, count + 1)) if count > 1 else (output,)


def match_patterns(items: Iterable[str]) -> list[str]:
    """Return paths with the matches in place of quoted patterns, such as `*.jpg`; one without a match is kept."""
    # Path.glob refuses absolute patterns.
    return [path for item in items for path in (not os.path.lexists(item) and sorted(glob(item))) or [item]]  # noqa: PTH207


def expand(item: str, *, recursive: bool) -> list[str]:
    """Return the paths of the pictures of an input: the input itself, or the pictures in a folder or at a URL.

    Args:
        item: path of a file or folder, a URL, or `-`.
        recursive: include subfolders; a URL always includes them.

    Raises InputError if a folder has no picture.
    """
    path = Path(item)
    if is_url(item):
        item = item.rstrip("/")
        found = sorted(f"{item}/{name}" for name in list_files(item) if files.is_picture(PurePosixPath(name)))
        if not found:
            raise InputError(f"{item}: no pictures in this folder")
        return found
    if item == STREAM or not path.is_dir():
        return [item]
    entries, linked = [] if recursive else list(path.iterdir()), []
    for where, folders, names in os.walk(path) if recursive else ():  # does not follow links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        entries += [Path(where, name) for name in names]
        linked += [str(folder) for name in folders if (folder := Path(where, name)).is_symlink()]
    entries = [entry for entry in entries if not files.is_hidden(entry.relative_to(path))]
    if linked:
        _log.warning("%s: linked folders are left out (%s): name them as inputs", item, ", ".join(linked))
    if dangling := sorted(str(entry) for entry in entries if files.is_picture(Path(entry.name)) and not entry.exists()):
        _log.warning("%s: links to missing files are left out (%s)", item, ", ".join(dangling))
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


def _with(job: Job, name: str, value: Any) -> Job:
    """Return a job with another value of a field."""
    return replace(job, **{name: value})


def _shard(text: str | None, jobs: list[Job]) -> list[Job]:
    """Return the K-th of N parts of the jobs, for a text `K/N`; None: all.

    The jobs are ordered by source, so the parts do not depend on the order of the inputs.
    """
    if text is None:
        return jobs
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard {text}: give K/N, the K-th of N parts, such as 3/16")
    return sorted(jobs, key=lambda job: job.source)[number - 1 :: count]
