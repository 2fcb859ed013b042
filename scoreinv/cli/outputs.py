"""Which files go in and which come out: inputs and folders to jobs, names of results."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scoreinv.cli.streams import stdout_is_closed
from scoreinv.errors import ExistsError, InputError

_log = logging.getLogger(__name__)

STREAM = "-"
"""Stands for stdin and stdout."""

FOREIGN = frozenset(
    [".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"]
)
"""Suffixes of pictures that are not read here, which a user may miss."""

_NO_FOLDER = "is no folder that results could go into: name another"

WRITABLE = (".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
"""Suffixes of results."""


@dataclass(frozen=True)
class Job:
    """One picture to do.

    Attributes:
        source: path, or `-` for stdin.
        output: path of the result, or `-` for stdout; several samples are numbered from it.
        inside: the folder of the source within the folder that was given; for others `.`.
    """

    source: str
    output: str
    inside: Path = Path()

    @property
    def place(self) -> str:
        """The source within the folder that was given, without its suffix: what a mask of it is called."""
        return str(self.inside / Path(self.source).stem)

    @property
    def full_place(self) -> str:
        """The same with its suffix."""
        return str(self.inside / Path(self.source).name)

    @property
    def folder(self) -> Path | None:
        """The folder of the result; None for stdout."""
        return None if self.output == STREAM else Path(self.output).parent

    @property
    def is_beside_nothing(self) -> bool:
        """Whether the result goes beside an input that does not exist."""
        return self.folder == Path(self.source).parent and not os.path.lexists(self.source)

    def outputs(self, samples: int) -> list[str]:
        """Names of the results: the output itself, or NAME.1.png, NAME.2.png, ...; InputError for several on stdout."""
        if samples == 1:
            return [self.output]
        if self.output == STREAM:
            raise InputError("--samples: several do not fit on stdout: name a file by -o")
        path = Path(self.output)
        return [str(path.with_name(f"{path.stem}.{i}{path.suffix}")) for i in range(1, samples + 1)]


Workers = Literal["ray"]
"""Whose processes do the pictures of a run."""


@dataclass(frozen=True)
class Shard:
    """The part of a run that one of several machines does.

    Attributes:
        number: of this part, from 1.
        count: of all parts.
    """

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """The shard that `K/N` stands for; InputError for anything else."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
        shard = cls(*map(int, found.groups())) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.count:
            raise InputError(f"--shard {text}: give K/N, the K-th of N parts, such as 3/16")
        return shard

    def of(self, jobs: list[Job]) -> list[Job]:
        """Every N-th job from the K-th, by the names of the sources: in whatever order they were given."""
        return sorted(jobs, key=lambda job: job.source)[self.number - 1 :: self.count]


@dataclass(frozen=True)
class Plan:
    """All jobs of a run.

    Attributes:
        jobs: in order, those of other machines too.
        batch: several inputs or a folder: failures are counted and finished files skipped.
        folder: of the results, where a batch has one of its own.
        results: inputs that are left alone, since they are results of others.
        shard: the part that this run does; None for all.
        workers: None: this process does the pictures.
    """

    jobs: list[Job]
    batch: bool
    folder: Path | None = None
    results: int = 0
    shard: Shard | None = None
    workers: Workers | None = None

    @property
    def own(self) -> list[Job]:
        """The jobs of this run. Nothing but the inputs decides them: not what is finished, nor what has a mask."""
        return self.jobs if self.shard is None else self.shard.of(self.jobs)

    @property
    def folders(self) -> set[Path]:
        """The folders of the results, without those of inputs that do not exist."""
        return {job.folder for job in self.own if job.folder is not None and not job.is_beside_nothing}


def plan(
    inputs: list[str], output: str | None, suffix: str, kind: str | None = None, *, recursive: bool = False
) -> Plan:
    """Jobs of the inputs (files, folders, or one `-`); recursive: with the folders in folders, which results keep.

    Where `-o` names no file a result is STEM + suffix + . + kind; where two results would collide, the full file names
    replace the stems.

    Raises InputError, with nothing done: a folder without pictures, an output of an unknown kind or that cannot be
    made, a kind given with a file's name, two inputs with one result.
    """
    ending = f"{suffix}.{kind or 'png'}"
    search = expand_deep if recursive else expand
    sources = [(source, item if Path(item).is_dir() else None) for item in inputs for source in search(item)]
    folders = [item for item in inputs if item != STREAM and Path(item).is_dir()]
    batch = len(inputs) > 1 or bool(folders)
    if STREAM in inputs and batch:
        raise InputError("- (stdin) cannot be combined with other inputs")
    results = _results([source for source, _ in sources], output, suffix, deep=recursive) if batch else set()
    for result in sorted(results):
        _log.info("%s: left alone, being a result by its name", result)
    if batch:
        named = [(source, folder) for source, folder in sources if source not in results]
        jobs = _apart([_batch_job(source, folder, output, ending) for source, folder in named], ending)
    else:
        jobs = [Job(inputs[0], _single_output(inputs[0], output, ending))]
        if jobs[0].output == STREAM:
            check_stdout()
        if output is None and jobs[0].output == STREAM and sys.stdout.isatty():
            raise InputError("the result of - goes to stdout, which is a terminal: name a file by -o, or redirect it")
        if kind is not None and jobs[0].output in (output, STREAM):
            raise InputError(
                f"--format {kind}: {output or STREAM} has a format already, on stdout png: give one of them"
            )
    _refuse_collisions(jobs)
    own = batch and (output is not None or len(folders) == len(inputs) == 1)
    made = Plan(jobs, batch, _results_folder(inputs[0], output, ending) if own else None, len(results))
    for folder in made.folders:
        _check_folder(folder, create=batch or (output is not None and output.endswith(("/", os.sep))))
    return made


def tell_of_folders_within(inputs: list[str], others: Iterable[str | None]) -> None:
    """Warn, once for all inputs, of the folders within them whose pictures are not taken.

    others: what else is given; a folder that is one of these, or holds one, has a use of its own.
    """
    from scoreinv.imaging.read import is_picture

    given = [Path(item) for item in inputs if item != STREAM and Path(item).is_dir()]
    known = [Path(os.path.realpath(path)) for path in (*given, *others) if path is not None]
    entries = [entry for folder in given for entry in folder.iterdir() if entry.name[0] != "."]
    within = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    unused = [folder for folder in within if not any(path.is_relative_to(os.path.realpath(folder)) for path in known)]
    passed = [folder for folder in unused if any(is_picture(file.relative_to(folder)) for file in folder.rglob("*"))]
    if passed:
        names = ", ".join(map(str, given))
        _log.warning("%s: folders within are passed over (%d): --recursive takes them too", names, len(passed))


def _results(sources: list[str], output: str | None, suffix: str, *, deep: bool) -> set[str]:
    """The pictures that are results of other pictures here: of single ones beside them, or where all results go.

    deep: or into a folder within it, or in folders within theirs.

    They are known by their names: a run that was killed may not have noted the last one.
    """
    names = {name for source in sources for name in (Path(source).name, Path(source).stem)}
    places = {(Path(source).parent, name) for source in sources for name in (Path(source).name, Path(source).stem)}

    def is_result(source: str) -> bool:
        of, _, number = Path(source).stem.rpartition(suffix)
        parent = Path(source).parent
        if not of or re.fullmatch(r"(\.\d+)?", number) is None:
            return False
        if (parent, of) in places:
            return True
        within = output is not None and deep and Path(output).resolve() in parent.resolve().parents
        return of in names and output is not None and (within or same_file(str(parent), output))

    return {source for source in sources if is_result(source)}


def expand(item: str) -> list[str]:
    """The pictures that an input stands for: itself, or those in a folder; InputError when a folder has none."""
    path = Path(item)
    if item == STREAM or not path.is_dir():
        return [item]
    return _pictures(item, path.iterdir())


def expand_deep(item: str) -> list[str]:
    """The same as `expand`, with the pictures in folders within a folder too."""
    path = Path(item)
    if item == STREAM or not path.is_dir():
        return [item]
    entries, linked = [], []
    for where, folders, names in os.walk(path):  # which goes through no links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        entries += [Path(where, name) for name in names]
        linked += [str(folder) for name in folders if (folder := Path(where, name)).is_symlink()]
    if linked:
        _log.warning("%s: linked folders are passed over (%s): name them beside it", item, ", ".join(linked))
    return _pictures(item, entries)


def _pictures(folder: str, entries: Iterable[Path]) -> list[str]:
    from scoreinv.imaging.read import SUFFIXES, is_hidden

    files = [entry for entry in entries if entry.is_file() and not is_hidden(entry.relative_to(folder))]
    found = sorted(str(file) for file in files if file.suffix.lower() in SUFFIXES)
    foreign = [suffix for file in files if (suffix := file.suffix.lower()) in FOREIGN]
    kinds = f"{len(foreign)} of a kind that is not read here ({', '.join(sorted(set(foreign)))})" if foreign else ""
    if not found:
        raise InputError(f"{folder}: no pictures in this folder{f', but {kinds}: convert them first' if kinds else ''}")
    if kinds:
        _log.warning("%s: %s, left out: convert them first", folder, kinds)
    return found


def check_outputs(outputs: list[str], *, overwrite: bool) -> None:
    """Raise InputError when a result could not be written: its name, its folder, or a file that exists already."""
    from scoreinv.imaging.write import check_output

    for output in outputs:
        check_output(output, overwrite=overwrite)


def refuse_existing(outputs: list[str], *, overwrite: bool, option: str = "-o") -> None:
    """Raise InputError when a result would replace a file without `--overwrite`, or something that is no file.

    option: by which the results are named.
    """
    for output in outputs:
        if output == STREAM or not os.path.lexists(output):
            continue
        if not Path(output).is_file():
            raise InputError(f"{output}: is no file that could be replaced; {option} names another")
        if not overwrite:
            raise ExistsError(f"{output}: exists already; --overwrite replaces it, {option} names another file")


def refuse_inputs(option: str, outputs: list[str], inputs: Mapping[str, str | None]) -> None:
    """Raise InputError where what is written would replace something that is read.

    Arguments:
        option: by which the outputs are named.
        inputs: what is read, by what it is; None and what is not there are no file.
    """
    for output in outputs:
        for what, path in inputs.items():
            if path is not None and same_file(output, path):
                raise InputError(f"{option} {output}: is {what}: name another file")


def same_file(one: str, other: str) -> bool:
    """Whether two paths lead to the same existing file or folder, by links of either kind too."""
    found = file_identity(one)
    return found is not None and found == file_identity(other)


def file_identity(path: str) -> tuple[int, int] | None:
    """What only this file or folder has, whatever path leads to it; None where there is none."""
    try:
        status = None if path == STREAM else Path(path).stat()
    except (OSError, ValueError):
        return None
    return None if status is None else (status.st_dev, status.st_ino)


def check_stdout() -> None:
    """Raise InputError when nobody could receive a picture on stdout."""
    if stdout_is_closed():
        raise InputError("-o -: stdout is closed: name a file")


def check_source(path: str) -> None:
    """Raise InputError where there is nothing at a path."""
    if path != STREAM and not os.path.lexists(path):
        raise InputError(f"{path}: no such file: check the path")


def check_file(path: str, option: str | None = None) -> None:
    """Raise InputError, naming the option that gave it, unless `path` is a file."""
    if path != STREAM and not Path(path).is_file():
        given = path if option is None else f"{option} {path}"
        raise InputError(f"{given}: no such file" if not Path(path).exists() else f"{given}: not a file")


def check_suffix(path: str) -> None:
    """Raise InputError unless pictures can be written under this name."""
    if path != STREAM and Path(path).suffix.lower() not in WRITABLE:
        raise InputError(f"{path}: end the output's name in {', '.join(WRITABLE)}, or in / for a folder")


def check_quality(paths: list[str], quality: int | None, choose: str) -> None:
    """Raise InputError where a quality is given and no result has a format with one; choose: by which option to."""
    if quality is not None and not any(Path(path).suffix.lower() in (".jpg", ".jpeg", ".webp") for path in paths):
        raise InputError(f"--quality applies only to jpg and webp, not to {paths[0]}: choose one by {choose}")


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


def _batch_job(source: str, folder: str | None, output: str | None, ending: str) -> Job:
    path = Path(source)
    if folder is None and output is None:
        return Job(source, str(_beside(path, ending)))
    inside = Path() if folder is None else path.parent.relative_to(folder)
    results = _results_folder(source if folder is None else folder, output, ending)
    return Job(source, str(results / inside / f"{path.stem}{ending}"), inside)


def _results_folder(given: str, output: str | None, ending: str) -> Path:
    """The folder of a batch's results: that of `-o`, or one beside the folder that was given."""
    if output is not None:
        if output == STREAM or Path(output).is_file() or Path(output).suffix.lower() in WRITABLE:
            raise InputError(f"-o {output}: with several inputs the output is a folder")
        return Path(output)
    base = Path(given)
    base = base.resolve() if base.name in ("", "..") else base
    return base.with_name(f"{base.name}{Path(ending).stem}")


def _beside(source: Path, ending: str) -> Path:
    return source.with_name(f"{source.stem}{ending}")


def _apart(jobs: list[Job], ending: str) -> list[Job]:
    """The jobs, with results named by whole file names where stems would give two pictures one result."""
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


@contextmanager
def output_folders(folders: Iterable[Path], *, shared: bool = False) -> Iterator[None]:
    """Make the folders that results go into where there are none; those that stay empty are removed.

    Unless they are `shared`: then another run may be about to write into them. What killed runs have left of unfinished
    pictures in them goes too. Raises InputError where a folder cannot be made.
    """
    from scoreinv.imaging.parts import remove_leftovers

    made: list[Path] = []
    try:
        for folder in folders:
            for each in reversed([folder, *folder.parents]):
                if not each.exists():
                    _make(each, made)
            remove_leftovers(folder)
        yield
    finally:
        for folder in [] if shared else reversed(made):
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _make(folder: Path, made: list[Path]) -> None:
    try:
        folder.mkdir()
    except FileExistsError as error:
        if not folder.is_dir():  # else it was made by another process, just now
            raise InputError(f"{folder}: {_NO_FOLDER}") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror}") from error
    else:
        made.append(folder)


def _check_folder(folder: Path, *, create: bool) -> None:
    """Raise InputError unless the folder is there, or on request can be made, and can be written to."""
    while create and not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        there = os.path.lexists(folder)
        raise InputError(f"{folder}: {_NO_FOLDER if there else 'no such folder for the output: make it first'}")
    try:
        with tempfile.TemporaryFile(dir=folder):  # by trying: permissions do not say everything
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); -o names another place") from error
