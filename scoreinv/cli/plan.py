"""Which photographs are done, and what their results are called.

Done are those that are given, or are in folders, but for the results among them. A result lies beside the photo as
`STEM_inpainted.png`, or where `-o` says; of a folder in `FOLDER_inpainted/`.
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
from pathlib import Path

from scoreinv import files
from scoreinv.cli.options import Common, Output
from scoreinv.cli.outputs import STREAM, check_folder, check_quality, check_stdout, refuse_inputs
from scoreinv.system.errors import InputError

_log = logging.getLogger(__name__)

FOREIGN = frozenset([".jxl", ".jp2", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"])
"""Suffixes of pictures that are not read here, which a user may miss."""


@dataclass(frozen=True)
class Job:
    """One picture to do.

    Attributes:
        source: path, or `-` for stdin.
        output: path of the result, or `-` for stdout.
        inside: the folder of the source within the folder that was given; for others `.`.
        outputs: names of the results: the output itself, or of several NAME.1.png, NAME.2.png, ...
    """

    source: str
    output: str
    inside: Path = Path()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All jobs of a run.

    Attributes:
        jobs: in order, those of other machines too.
        own: those of this run. Nothing but the inputs decides them: not what is finished, nor what has a mask.
        batch: several inputs or a folder: failures are counted and finished files skipped.
        folders: those of the results, without those of inputs that do not exist.
        folder: of the results, where a batch has one of its own.
        passed_over: how many inputs are left alone, since they are results of others.
        photos, output, common: as given.
        read: what is read or written beside the photos and results, by what it is.
    """

    jobs: list[Job]
    own: list[Job]
    batch: bool
    folders: set[Path]
    folder: Path | None
    passed_over: int
    photos: Sequence[str] = ()
    output: Output = field(default_factory=Output)
    common: Common = field(default_factory=Common)
    read: Mapping[str, str | None] = field(default_factory=dict)


def plan(
    photos: list[str],
    suffix: str,
    files_each: int,
    output: Output,
    common: Common,
    inputs: Mapping[str, str | None],
    kind: str | None = None,
) -> Plan:
    """The jobs of photos: results go to the output given, or beside their inputs.

    Args:
        suffix: suffix of the results' names.
        files_each: results of each photo.
        inputs: what is read or written beside the photos and results, by what it is.
        kind: suffix of files that neither `output` names nor its format; None: tif for a TIFF, else png.

    Raises:
        InputError: an empty folder, stdin among other inputs, a result of an unknown kind or that cannot be made, or
            that replaces an input, a kind or quality of a file without, two inputs with one result.
    """
    _check_workers(output.workers)
    kind = output.format or kind
    given = [item for item in photos if item != STREAM and Path(item).is_dir()]
    batch = len(photos) > 1 or bool(given)
    if STREAM in photos and batch:
        raise InputError("- (stdin) cannot be combined with other inputs")
    if output.shard is not None and not batch:
        raise InputError(f"--shard {output.shard}: is for a folder or several photos")
    if given and not output.recursive:
        _warn_of_folders_within(given, [output.output, *inputs.values()])
    if batch:
        jobs, passed_over = _jobs_of_batch(photos, suffix, kind, output)
    else:
        jobs, passed_over = [Job(photos[0], _of_single(photos[0], output, _ending(photos[0], suffix, kind)))], 0
    has_folder = batch and (output.output is not None or len(given) == len(photos) == 1)
    folder = _results_folder(photos[0], output.output, suffix) if has_folder else None
    if files_each > 1 and jobs[0].output == STREAM:
        raise InputError("--samples: several do not fit on stdout: name a file by -o")
    jobs = [replace(job, outputs=_numbered(job.output, files_each)) for job in jobs]
    own = jobs if output.shard is None else _shard(output.shard, jobs)
    folders = _folders_of(own)
    if batch or (output.output or "").endswith(("/", os.sep)):
        for each in folders:
            check_folder(each)
    else:
        folders = set(filter(Path.is_dir, folders))  # no others are made
    if output.quality is not None:
        check_quality([job.output for job in jobs], output.quality, "-o or --format")
    # What belongs to a single photo may be replaced as any file; a model serves others, too.
    kept = inputs if batch else {what: path for what, path in inputs.items() if "model" in what}
    refuse_inputs("-o", [path for job in jobs for path in job.outputs], kept)
    return Plan(jobs, own, batch, folders, folder, passed_over, photos, output, common, inputs)


def _check_workers(workers: str | None) -> None:
    if workers == "ray" and find_spec("ray") is None:
        raise InputError("--workers ray: Ray is not installed: pip install 'scoreinv[ray]'")
    if workers not in (None, "ray") and not re.fullmatch("[1-9][0-9]{0,2}", str(workers)):
        raise InputError(f"--workers {workers}: give a number of processes from 1 to 999, or ray")


def _jobs_of_batch(photos: list[str], suffix: str, kind: str | None, output: Output) -> tuple[list[Job], int]:
    """The jobs of several photos and folders, their results unnumbered; and how many are left alone as results."""
    sources = [(source, item) for item in photos for source in expand(item, deep=output.recursive)]
    results = _are_results([source for source, _ in sources], output, suffix)
    for result in sorted(results):
        _log.info("%s: left alone, being a result by its name", result)
    wanted = [
        (source, item, Path() if source == item else Path(source).parent.relative_to(item))
        for source, item in sources
        if source not in results
    ]
    names = _of_batch(wanted, output.output, suffix, kind)
    return [Job(source, name, inside) for name, (source, _, inside) in zip(names, wanted, strict=True)], len(results)


def _numbered(output: str, count: int) -> tuple[str, ...]:
    """The files of several results: `NAME.1.png`, `NAME.2.png`, ...; of one the output itself."""
    path = Path(output)
    several = tuple(str(path.with_name(f"{path.stem}.{number}{path.suffix}")) for number in range(1, count + 1))
    return several if count > 1 else (output,)


def _folders_of(jobs: list[Job]) -> set[Path]:
    """The folders of the results, without those of inputs that do not exist."""
    places = {(Path(job.output).parent, job.source) for job in jobs if job.output != STREAM}
    return {place for place, source in places if place != Path(source).parent or os.path.lexists(source)}


def _shard(text: str, jobs: list[Job]) -> list[Job]:
    """Every N-th job from the K-th of `K/N`, by the names of the sources: in whatever order they were given."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard {text}: give K/N, the K-th of N parts, such as 3/16")
    return sorted(jobs, key=lambda job: job.source)[number - 1 :: count]


def _warn_of_folders_within(given: list[str], others: Iterable[str | None]) -> None:
    """Warn, once for all folders given, of those within them whose pictures are not taken.

    others: what else is given; a folder that is one of these, or holds one, has a use of its own.
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
        _log.warning("%s: folders within are passed over (%d): --recursive takes them too", names, len(passed))


def expand(item: str, *, deep: bool) -> list[str]:
    """The pictures that an input stands for: itself, or those in a folder; InputError when a folder has none.

    deep: those in folders within it too.
    """
    path = Path(item)
    if item == STREAM or not path.is_dir():
        return [item]
    entries, linked = [] if deep else list(path.iterdir()), []
    for where, folders, names in os.walk(path) if deep else ():  # which goes through no links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        entries += [Path(where, name) for name in names]
        linked += [str(folder) for name in folders if (folder := Path(where, name)).is_symlink()]
    if linked:
        _log.warning("%s: linked folders are passed over (%s): name them beside it", item, ", ".join(linked))
    inside = [entry for entry in entries if entry.is_file() and not files.is_hidden(entry.relative_to(path))]
    found = sorted(str(file) for file in inside if file.suffix.lower() in files.SUFFIXES)
    foreign = [suffix for file in inside if (suffix := file.suffix.lower()) in FOREIGN]
    kinds = f"{len(foreign)} of a kind that is not read here ({', '.join(sorted(set(foreign)))})" if foreign else ""
    if not found:
        raise InputError(f"{item}: no pictures in this folder{f', but {kinds}: convert them first' if kinds else ''}")
    if kinds:
        _log.warning("%s: %s, left out: convert them first", item, kinds)
    return found


def _of_single(source: str, output: Output, ending: str) -> str:
    """Where the result of a single photo goes."""
    target = output.output
    stem = "stdin" if source == STREAM else Path(source).stem
    if target is None and source != STREAM:
        return str(Path(source).with_name(f"{stem}{ending}"))
    if target is not None and (target.endswith(("/", os.sep)) or (target != STREAM and Path(target).is_dir())):
        return str(Path(target) / f"{stem}{ending}")
    if output.format is not None:
        raise InputError(
            f"--format {output.format}: {target or STREAM} has a format already, on stdout png: give one of them"
        )
    if target in (None, STREAM):
        check_stdout()
        if target is None and sys.stdout.isatty():
            raise InputError("the result of - goes to stdout, which is a terminal: name a file by -o, or redirect it")
        return STREAM
    if Path(str(target)).suffix.lower() not in files.FORMATS:
        raise InputError(f"{target}: end the output's name in {', '.join(files.FORMATS)}, or in / for a folder")
    return str(target)


def _ending(source: str, suffix: str, kind: str | None) -> str:
    """What takes the place of a photo's suffix in its result's name; see `plan`."""
    return f"{suffix}.{kind or ('tif' if Path(source).suffix.lower() in ('.tif', '.tiff') else 'png')}"


def _of_batch(sources: list[tuple[str, str, Path]], output: str | None, suffix: str, kind: str | None) -> list[str]:
    """Where the result of each picture goes.

    Where stems would give two pictures one result, results are named by whole file names.

    Args:
        sources: each picture's name, what was given (itself, or a folder that holds it), and its folder in that.
    """
    names = []
    for source, given, inside in sources:
        beside = given == source and output is None
        folder = Path(source).parent if beside else _results_folder(given, output, suffix) / inside
        names.append(str(folder / f"{Path(source).stem}{_ending(source, suffix, kind)}"))
    counts, first = Counter(names), dict[str, str]()
    for number, (source, _, _) in enumerate(sources):
        if counts[names[number]] > 1:
            whole = f"{Path(source).name}{_ending(source, suffix, kind)}"
            names[number] = str(Path(names[number]).with_name(whole))
        if (other := first.get(names[number])) is not None:
            raise InputError(f"{other} and {source} would both be written to {names[number]}: do them apart, with -o")
        first[names[number]] = source
    return names


def _results_folder(given: str, output: str | None, suffix: str) -> Path:
    """The folder of a batch's results: that of `-o`, or one beside the folder that was given."""
    if output is not None:
        if output == STREAM or Path(output).is_file() or Path(output).suffix.lower() in files.FORMATS:
            raise InputError(f"-o {output}: with several inputs the output is a folder")
        return Path(output)
    base = Path(given)
    base = base.resolve() if base.name in ("", "..") else base
    return base.with_name(f"{base.name}{suffix}")


def _are_results(sources: list[str], output: Output, suffix: str) -> set[str]:
    """The pictures that are results of other pictures here: of single ones beside them, or where all results go.

    They are known by their names: a run that was killed may not have noted the last one.
    """
    places = {(Path(source).parent, name) for source in sources for name in (Path(source).name, Path(source).stem)}
    names = {name for _, name in places}
    target = None if output.output is None else Path(output.output).resolve()
    found = set()
    for source in sources:
        of, _, number = Path(source).stem.rpartition(suffix)
        if of and re.fullmatch(r"(\.\d+)?", number):
            parent = Path(source).parent
            where = [parent.resolve(), *(parent.resolve().parents if output.recursive else ())]
            if (parent, of) in places or (target in where and of in names):
                found.add(source)
    return found
