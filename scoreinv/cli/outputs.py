"""Which files go in and which come out: inputs and folders to jobs, names of results."""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from scoreinv.errors import InputError

STREAM = "-"
"""Stands for stdin and stdout."""

READABLE = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pnm", ".pbm", ".pgm", ".ppm"]
)
"""Suffixes of the files that are taken from a folder; a file that is named is read whatever its suffix."""

WRITABLE = (".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
"""Suffixes of results."""


@dataclass(frozen=True)
class Job:
    """One picture to do.

    Attributes:
        source: path, or `-` for stdin.
        output: path of the result, or `-` for stdout; several samples are numbered from it.
    """

    source: str
    output: str

    @property
    def stem(self) -> str:
        return Path(self.source).stem

    def outputs(self, samples: int) -> list[str]:
        """Names of the results: the output itself, or NAME.1.png, NAME.2.png, ...; InputError for several on stdout."""
        if samples == 1:
            return [self.output]
        if self.output == STREAM:
            raise InputError("several samples do not fit on stdout: name a file by -o")
        path = Path(self.output)
        return [str(path.with_name(f"{path.stem}.{i}{path.suffix}")) for i in range(1, samples + 1)]


@dataclass(frozen=True)
class Plan:
    """All jobs of a run.

    Attributes:
        jobs: in order.
        batch: several inputs or a folder: failures are counted and finished files skipped.
        folder: of the results, where a batch has one of its own.
    """

    jobs: list[Job]
    batch: bool
    folder: Path | None = None

    def make_folders(self) -> None:
        """Create the folders of the results; InputError where one cannot be."""
        for parent in {Path(job.output).parent for job in self.jobs if job.output != STREAM}:
            make_folder(parent)


def plan(inputs: list[str], output: str | None, suffix: str, kind: str | None = None) -> Plan:
    """Jobs of the inputs (files, folders, or one `-`).

    Where `-o` names no file a result is STEM + suffix + . + kind; where two pictures would have one result by that,
    their whole names take the place of the stem.

    Raises InputError, with nothing done: a folder without pictures, an output of an unknown kind or that cannot be
    made, a kind beside a file's name, two inputs with one result.
    """
    sources = [(source, item if Path(item).is_dir() else None) for item in inputs for source in expand(item)]
    folders = [item for item in inputs if item != STREAM and Path(item).is_dir()]
    batch = len(inputs) > 1 or bool(folders)
    if STREAM in inputs and batch:
        raise InputError("- (stdin) cannot be combined with other inputs")
    ending = f"{suffix}.{kind or 'png'}"
    if batch:
        jobs = _apart(
            [Job(source, _batch_output(source, origin, output, ending)) for source, origin in sources], ending
        )
    else:
        jobs = [Job(inputs[0], _single_output(inputs[0], output, ending))]
        if output is None and jobs[0].output == STREAM and sys.stdout.isatty():
            raise InputError("the result of - goes to stdout, which is a terminal: name a file by -o, or redirect it")
        if kind is not None and jobs[0].output in (output, STREAM):
            raise InputError(
                f"--format {kind}: {output or STREAM} has a format already, on stdout png: give one of them"
            )
    _refuse_collisions(jobs)
    for parent in {Path(job.output).parent for job in jobs if job.output != STREAM}:
        _check_folder(parent, create=batch or (output is not None and output.endswith(("/", os.sep))))
    own = batch and (output is not None or len(folders) == len(inputs) == 1)
    return Plan(jobs, batch, Path(jobs[0].output).parent if own else None)


def expand(item: str) -> list[str]:
    """The pictures that an input stands for: itself, or those in a folder; InputError when a folder has none."""
    path = Path(item)
    if item == STREAM or not path.is_dir():
        return [item]
    return _pictures(item, path.iterdir())


def expand_deep(item: str) -> list[str]:
    """As `expand`, with the pictures of the folders in a folder."""
    path = Path(item)
    if item == STREAM or not path.is_dir():
        return [item]
    return _pictures(item, path.rglob("*"))


def _pictures(folder: str, entries: Iterable[Path]) -> list[str]:
    found = sorted(
        str(entry)
        for entry in entries
        if entry.is_file() and entry.suffix.lower() in READABLE and not _hidden(entry.relative_to(folder))
    )
    if not found:
        raise InputError(f"{folder}: no pictures in this folder")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def check_outputs(outputs: list[str], *, overwrite: bool) -> None:
    """Raise InputError when a result could not be written: its name, its folder, or a file that exists already."""
    from scoreinv.imaging.files import check_output

    for output in outputs:
        check_output(output, overwrite=overwrite)


def refuse_existing(outputs: list[str], *, overwrite: bool) -> None:
    """Raise InputError when a result would replace a file and `--overwrite` is not given."""
    if overwrite:
        return
    for output in outputs:
        if output != STREAM and Path(output).exists():
            raise InputError(f"{output}: exists already; --overwrite replaces it, -o names another file")


def check_file(path: str) -> None:
    """Raise InputError unless `path` is a file."""
    if path != STREAM and not Path(path).is_file():
        raise InputError(f"{path}: no such file" if not Path(path).exists() else f"{path}: not a file")


def check_suffix(path: str) -> None:
    """Raise InputError unless pictures can be written under this name."""
    if path != STREAM and Path(path).suffix.lower() not in WRITABLE:
        raise InputError(f"{path}: end the output's name in {', '.join(WRITABLE)}, or in / for a folder")


def check_quality(paths: list[str], quality: int | None) -> None:
    """Raise InputError when a quality is asked for of formats that have none."""
    if quality is not None and not any(Path(path).suffix.lower() in (".jpg", ".jpeg", ".webp") for path in paths):
        raise InputError(f"--quality is of jpg and webp: name such a result by -o or --format, not {paths[0]}")


def check_writable(path: str, *, create: bool = False) -> None:
    """Raise InputError unless the file's folder exists (or, on request, can be made) and can be written to."""
    if path != STREAM:
        _check_folder(Path(path).parent, create=create)


def _single_output(source: str, output: str | None, ending: str) -> str:
    if output is None:
        return STREAM if source == STREAM else str(_beside(Path(source), ending))
    if output == STREAM:
        return STREAM
    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        stem = "stdin" if source == STREAM else Path(source).stem
        return str(Path(output) / f"{stem}{ending}")
    check_suffix(output)
    return output


def _batch_output(source: str, folder: str | None, output: str | None, ending: str) -> str:
    path = Path(source)
    if output is not None:
        if output == STREAM or Path(output).is_file() or Path(output).suffix.lower() in WRITABLE:
            raise InputError(f"-o {output}: with several inputs the output is a folder")
        return str(Path(output) / f"{path.stem}{ending}")
    if folder is None:
        return str(_beside(path, ending))
    base = Path(folder)
    base = base.resolve() if base.name in ("", "..") else base
    return str(base.with_name(f"{base.name}{Path(ending).stem}") / f"{path.stem}{ending}")


def _beside(source: Path, ending: str) -> Path:
    return source.with_name(f"{source.stem}{ending}")


def _apart(jobs: list[Job], ending: str) -> list[Job]:
    """The jobs, with whole names where stems would make one result of two pictures."""
    counts = Counter(job.output for job in jobs)

    def renamed(job: Job) -> Job:
        return replace(job, output=str(Path(job.output).with_name(f"{Path(job.source).name}{ending}")))

    return [job if counts[job.output] == 1 else renamed(job) for job in jobs]


def _refuse_collisions(jobs: list[Job]) -> None:
    sources = defaultdict(list)
    for job in jobs:
        sources[job.output].append(job.source)
    for output, names in sources.items():
        if len(names) > 1:
            raise InputError(f"{names[0]} and {names[1]} would both be written to {output}: do them apart, with -o")


def make_folder(folder: Path) -> None:
    """Create a folder and those that it is in; InputError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror}") from error


def _check_folder(folder: Path, *, create: bool) -> None:
    """Raise InputError unless the folder is there, or on request can be made, and can be written to."""
    while create and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder for the output")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: this folder cannot be written to; -o names another place")
