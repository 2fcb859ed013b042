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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from scoreinv import files
from scoreinv.batch.outputs import STREAM, check_file, check_folder, check_quality, check_stdout, refuse_inputs
from scoreinv.batch.urls import check_bucket, is_url, list_files
from scoreinv.inputs.mask_options import DAMAGE_SUFFIX
from scoreinv.system.errors import InputError
from scoreinv.system.options import Setting, Whole

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
    """All jobs of a run.

    Attributes:
        jobs: every job in order, other shards' included.
        own: the jobs of this shard. Inputs alone decide them: neither finished results nor masks do.
        batch: several inputs or a folder: failures are counted and finished files skipped.
        folders: folders of the results, without those of missing inputs.
        folder: the one folder of a batch's results, which gets the manifest.
        results_skipped: number of inputs left out since they are results of others.
        photos, options: as given.
        inputs: other paths that are read, by their role.
        left_out: reasons of photos that are not processed, by source.
        store: URL of the results' folder, if photos and results are in an object store.
        stored: URLs of files in that folder.
    """

    jobs: list[Job]
    own: list[Job]
    batch: bool
    folders: set[Path]
    folder: Path | None
    results_skipped: int
    photos: Sequence[str] = ()
    options: OutputOptions = field(default_factory=OutputOptions)
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    store: str | None = None
    stored: frozenset[str] = frozenset()

    def with_jobs(self, change: Mapping[str, Mapping[str, object]], left_out: Mapping[str, str]) -> Plan:
        """Return the plan with fields of jobs changed, by source, and the reasons of photos that are left out."""
        jobs = [replace(job, **change.get(job.source, {})) for job in self.jobs]  # type: ignore[arg-type]
        changed = {job.source: job for job in jobs}
        return replace(self, jobs=jobs, own=[changed[job.source] for job in self.own], left_out=left_out)


def plan(
    photos: list[str],
    suffix: str,
    results: int,
    options: OutputOptions,
    inputs: Mapping[str, str | None],
    kind: str | None = None,
) -> Plan:
    """Plan the jobs of photos.

    Args:
        suffix: of the results' names, as `_inpainted`.
        results: number of results of each photo.
        inputs: other paths that are read or written, by their role.
        kind: default file suffix of results; None: tif for a TIFF, else png.

    Raises:
        InputError: an empty folder, stdin among other inputs, an output of an unknown format, not writable or equal to
            an input, a quality without use, or two inputs with one output.
    """
    _check_workers(options.workers)
    kind = options.format or kind
    if any(path is not None and is_url(path) for path in (*photos, options.output)):
        return _plan_store(photos, suffix, results, options, inputs, kind)
    folders_given = [item for item in photos if item != STREAM and Path(item).is_dir()]
    batch = len(photos) > 1 or bool(folders_given)
    if STREAM in photos and batch:
        raise InputError("- (stdin) cannot be combined with other inputs")
    if options.shard is not None and not batch:
        raise InputError(f"--shard {options.shard}: needs a folder or several photos")
    if folders_given and not options.recursive:
        _warn_of_subfolders(folders_given, [options.output, *inputs.values()])
    if batch:
        jobs, skipped = _jobs_of_batch(photos, suffix, kind, options)
    else:
        jobs, skipped = [Job(photos[0], _single_output(photos[0], options, _ending(photos[0], suffix, kind)))], 0
    has_folder = batch and (options.output is not None or len(folders_given) == len(photos) == 1)
    folder = _results_folder(photos[0], options.output, suffix) if has_folder else None
    if results > 1 and jobs[0].output == STREAM:
        raise InputError("--samples: stdout takes one picture: name a file with -o")
    jobs = [replace(job, outputs=_numbered(job.output, results)) for job in jobs]
    own = jobs if options.shard is None else _shard(options.shard, jobs)
    folders = _output_folders(own)
    if batch or (options.output or "").endswith(("/", os.sep)):
        for each in folders:
            check_folder(each)
    else:
        folders = set(filter(Path.is_dir, folders))  # a single result's folder is not made
    if options.quality is not None:
        check_quality([job.output for job in jobs], options.quality, "-o or --format")
    # A single photo's own files may be replaced like any other; a model serves other photos, too.
    kept = inputs if batch else {role: path for role, path in inputs.items() if "model" in role}
    refuse_inputs("-o", [path for job in jobs for path in job.outputs], kept)
    return Plan(jobs, own, batch, folders, folder, skipped, photos, options, inputs)


def _plan_store(
    photos: list[str],
    suffix: str,
    results: int,
    options: OutputOptions,
    inputs: Mapping[str, str | None],
    kind: str | None,
) -> Plan:
    """Plan the jobs of a folder of an object store and its subfolders; see `plan`."""
    url, target = photos[0].rstrip("/"), (options.output or "").rstrip("/")
    if len(photos) != 1 or not (is_url(url) and is_url(target)):
        raise InputError("in an object store give two folders: URL -o URL")
    if f"{target}/".startswith(f"{url}/"):
        raise InputError(f"-o {target}: is in the folder of the photos: name another")
    check_bucket(target)
    sources = [(source, url, Path(source).relative_to(url).parent) for source in expand(url, recursive=True)]
    names = _batch_outputs(sources, ".", suffix, kind)
    jobs = [
        Job(source, f"{target}/{name}", inside, tuple(f"{target}/{each}" for each in _numbered(name, results)))
        for name, (source, _, inside) in zip(names, sources, strict=True)
    ]
    own = jobs if options.shard is None else _shard(options.shard, jobs)
    if options.quality is not None:
        check_quality([job.output for job in jobs], options.quality, "--format")
    stored = frozenset(f"{target}/{name}" for name in list_files(target))
    return Plan(jobs, own, True, set(), None, 0, photos, options, inputs, store=target, stored=stored)


def match_masks(mask: str, option: Literal["--mask", "--avoid"], jobs: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """Match masks and photos: one file for all photos, or the files of a folder by name.

    Args:
        mask: file or folder.
        option: the option that gave it.

    Returns:
        The mask of each photo, and the reason for each photo without one, both by source.

    Raises:
        InputError: no photo has a mask, two masks have one name, a mask is a photo, or an output would replace one.
    """
    if is_url(mask) or Path(mask).is_dir():
        masks = _masks_by_name(mask, option, jobs)
    else:
        check_file(mask, option)
        if mask == STREAM and (jobs.batch or jobs.jobs[0].source == STREAM):
            raise InputError(f"{option} -: stdin is one mask of one photo")
        masks = {job.source: mask for job in jobs.jobs}
    for job in jobs.jobs:
        own = masks.get(job.source)
        refuse_inputs(option, filter(None, [own]), {"a photo": job.source})
        refuse_inputs("-o", job.outputs if jobs.batch else (), {f"the mask of {option}": own})
    missing = {job.source: job.inside / Path(job.source).stem for job in jobs.jobs if job.source not in masks}
    return masks, {source: f"{mask} has no mask named {stem}" for source, stem in missing.items()}


def beside(
    option: str, path: str, jobs: Plan, *, endings: tuple[str, ...] = (), suffix: str = "", more: Iterable[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Name the files that an option adds beside the results: one for each photo, or several in a folder.

    Args:
        option: the option that gave the path.
        endings: of several files, what their names add to the photo's.
        suffix: of the results' names, which these names lack.
        more: other files that are read or written.

    Returns:
        The files of each photo, by source.

    Raises:
        InputError: a file that cannot be written, is an input or another output, or lies in a folder of photos.
    """
    target = Path(path)
    is_file = target.suffix.lower() in (".png", ".tif", ".tiff")
    overwrite = jobs.options.overwrite
    if not (endings or jobs.batch):
        if not is_file:
            raise InputError(f"{option} {path}: end its name in .png or .tif")
        (job,) = jobs.jobs
        refuse_inputs(option, [path], {"the photo": job.source, **jobs.inputs})
        if os.path.realpath(path) in map(os.path.realpath, (*job.outputs, *more)):
            raise InputError(f"{option} {path}: is another output, or an input: name another file")
        files.check_output(path, overwrite=overwrite)
        return {job.source: (path,)}
    if is_file:
        raise InputError(f"{option} {path}: there are several pictures: name a folder")
    check_folder(target)
    named: dict[str, tuple[str, ...]] = {}
    for job in jobs.jobs:
        name = Path(job.source if job.output == STREAM else job.output).stem.removesuffix(suffix)
        named[job.source] = tuple(str(target / job.inside / f"{name}{ending}.png") for ending in endings or ("",))
    paths = [each for group in named.values() for each in group]
    others = [each for job in jobs.jobs for each in (job.source, *job.outputs)]
    counts = Counter(Path(each).resolve() for each in (*paths, *others, *filter(None, jobs.inputs.values()), *more))
    if taken := [each for each in paths if counts[Path(each).resolve()] > 1]:
        raise InputError(f"{option} {path}: {taken[0]} is an input, or another output: name another folder")
    own = target.resolve()
    for given in (Path(photo).resolve() for photo in jobs.photos if Path(photo).is_dir()):
        # The next run would take these files for photos.
        if own == given or (jobs.options.recursive and given in own.parents):
            raise InputError(f"{option} {path}: is a folder of the photos: name another")
    existing = next(filter(os.path.exists, paths), None)
    if existing is not None and not (overwrite or jobs.batch):
        raise InputError(f"{existing}: exists: --overwrite replaces it, {option} names another folder")
    return named


def expand(item: str, *, recursive: bool) -> list[str]:
    """Return the pictures of an input: itself, or those in a folder.

    Args:
        recursive: include subfolders.

    Raises InputError if a folder has no picture.
    """
    path = Path(item)
    if is_url(item):
        found = sorted(name for name in list_files(item) if files.is_picture(PurePosixPath(name)))
        if not found:
            raise InputError(f"{item}: no pictures in this folder")
        return [f"{item}/{name}" for name in found]
    if item == STREAM or not path.is_dir():
        return [item]
    entries, linked = [] if recursive else list(path.iterdir()), []
    for where, folders, names in os.walk(path) if recursive else ():  # does not follow links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        entries += [Path(where, name) for name in names]
        linked += [str(folder) for name in folders if (folder := Path(where, name)).is_symlink()]
    if linked:
        _log.warning("%s: linked folders are left out (%s): name them as inputs", item, ", ".join(linked))
    inside = [entry for entry in entries if entry.is_file() and not files.is_hidden(entry.relative_to(path))]
    found = sorted(str(file) for file in inside if file.suffix.lower() in files.SUFFIXES)
    foreign = [suffix for file in inside if (suffix := file.suffix.lower()) in OTHER_FORMATS]
    kinds = f"{len(foreign)} in unsupported formats ({', '.join(sorted(set(foreign)))})" if foreign else ""
    if not found:
        raise InputError(f"{item}: no pictures in this folder{f', but {kinds}: convert them first' if kinds else ''}")
    if kinds:
        _log.warning("%s: %s, left out: convert them first", item, kinds)
    return found


def _check_workers(workers: str | None) -> None:
    if workers == "ray" and find_spec("ray") is None:
        raise InputError("--workers ray: Ray is not installed: pip install 'scoreinv[ray]'")
    if workers not in (None, "ray") and not re.fullmatch("[1-9][0-9]{0,2}", str(workers)):
        raise InputError(f"--workers {workers}: give a number of processes from 1 to 999, or ray")


def _jobs_of_batch(photos: list[str], suffix: str, kind: str | None, options: OutputOptions) -> tuple[list[Job], int]:
    """Return the jobs of several photos and folders, and the number of results among the inputs."""
    sources = [(source, item) for item in photos for source in expand(item, recursive=options.recursive)]
    results = _results_among([source for source, _ in sources], options, suffix)
    for result in sorted(results):
        _log.info("%s: left out: its name is that of a result", result)
    wanted = [
        (source, item, Path() if source == item else Path(source).parent.relative_to(item))
        for source, item in sources
        if source not in results
    ]
    names = _batch_outputs(wanted, options.output, suffix, kind)
    return [Job(source, name, inside) for name, (source, _, inside) in zip(names, wanted, strict=True)], len(results)


def _numbered(output: str, count: int) -> tuple[str, ...]:
    """Return the output itself, or for several results `NAME.1.png`, `NAME.2.png`, ..."""
    path = Path(output)
    several = tuple(str(path.with_name(f"{path.stem}.{number}{path.suffix}")) for number in range(1, count + 1))
    return several if count > 1 else (output,)


def _output_folders(jobs: list[Job]) -> set[Path]:
    """Return the folders of the results, without those of missing inputs."""
    places = {(Path(job.output).parent, job.source) for job in jobs if job.output != STREAM}
    return {place for place, source in places if place != Path(source).parent or os.path.lexists(source)}


def _shard(text: str, jobs: list[Job]) -> list[Job]:
    """Return every N-th job from the K-th of `K/N`, ordered by source: independent of the order of the inputs."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard {text}: give K/N, the K-th of N parts, such as 3/16")
    return sorted(jobs, key=lambda job: job.source)[number - 1 :: count]


def _warn_of_subfolders(given: list[str], others: Iterable[str | None]) -> None:
    """Warn once, for all given folders, of subfolders whose pictures are left out.

    Args:
        others: other paths of the command line; a subfolder that is or holds one of them has its own use.
    """
    known = [Path(os.path.realpath(path)) for path in (*given, *others) if path is not None]
    entries = [entry for folder in given for entry in Path(folder).iterdir() if entry.name[0] != "."]
    within = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    unused = [folder for folder in within if not any(path.is_relative_to(os.path.realpath(folder)) for path in known)]
    passed = [
        folder for folder in unused if any(files.is_picture(file.relative_to(folder)) for file in folder.rglob("*"))
    ]
    if passed:
        names = ", ".join(str(Path(folder)) for folder in given)
        _log.warning("%s: subfolders are left out (%d): --recursive includes them", names, len(passed))


def _single_output(source: str, options: OutputOptions, ending: str) -> str:
    """Return the output of a single photo."""
    target = options.output
    stem = "stdin" if source == STREAM else Path(source).stem
    if target is None and source != STREAM:
        return str(Path(source).with_name(f"{stem}{ending}"))
    if target is not None and (target.endswith(("/", os.sep)) or (target != STREAM and Path(target).is_dir())):
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


def _batch_outputs(
    sources: list[tuple[str, str, Path]], output: str | None, suffix: str, kind: str | None
) -> list[str]:
    """Return the output of each picture; whole file names are used if two stems are equal.

    Args:
        sources: each picture's path, the input that stands for it, and its folder within that.
    """
    names = []
    for source, given, inside in sources:
        is_beside = given == source and output is None
        folder = Path(source).parent if is_beside else _results_folder(given, output, suffix) / inside
        names.append(str(folder / f"{Path(source).stem}{_ending(source, suffix, kind)}"))
    counts, first = Counter(names), dict[str, str]()
    for number, (source, _, _) in enumerate(sources):
        if counts[names[number]] > 1:
            whole = f"{Path(source).name}{_ending(source, suffix, kind)}"
            names[number] = str(Path(names[number]).with_name(whole))
        if (other := first.get(names[number])) is not None:
            raise InputError(f"{other} and {source} have one output, {names[number]}: process them apart, with -o")
        first[names[number]] = source
    return names


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


def _masks_by_name(folder: str, option: str, jobs: Plan) -> dict[str, str]:
    """Return the masks of a folder, by the source of their photo."""
    by_name: dict[str, str] = {}
    for path in expand(folder, recursive=jobs.options.recursive):
        name = str(Path(path).relative_to(folder).with_suffix(""))
        if name in by_name:
            raise InputError(f"{option}: {by_name[name]} and {path} have one name: remove one of them")
        by_name[name] = path
    # The mask of a.jpg is a.png or, if photos share their stem, a.jpg.png; `damage` names it a_damage.png.
    masks: dict[str, str] = {}
    for job in jobs.jobs:
        source = Path(job.source)
        names = (source.name, source.stem, f"{source.name}{DAMAGE_SUFFIX}", f"{source.stem}{DAMAGE_SUFFIX}")
        places = (str(job.inside / name) for name in names)
        if (place := next(filter(by_name.__contains__, places), None)) is not None:
            masks[job.source] = by_name[place]
    if not masks:
        if jobs.store is None:
            check_file(jobs.jobs[0].source)  # a missing photo has no mask either
        raise InputError(f"{option} {folder}: no mask in this folder has the name of a photo")
    return masks
