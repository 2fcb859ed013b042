"""Photographs of an object store: `scoreinv restore s3://bucket/scans -o s3://bucket/restored`.

The command is run on two folders of this machine with the names of the store's photographs and results, of files that
are empty: so what there is to do is decided as ever, by names. A hundred at a time are fetched, done, and put back:
what is in flight is bounded. They take their names in the store in one transaction of fsspec, each whole or not at all
where the store can do that, and then so does a table of them, `manifests/TIME-NUMBER.csv`.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import typer

from scoreinv import files
from scoreinv.cli import photo_loop
from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job
from scoreinv.cli.record import MANIFEST
from scoreinv.cli.report import notice, warn
from scoreinv.system.errors import InputError, ScoreinvError

AT_ONCE = 100  # photographs that are fetched, and put back, together
TABLES = "manifests"
_PREFIX = "scoreinv-"
is_url = re.compile(r"[a-z][a-z0-9+.-]+://.").match


def run_in_a_store(photos: list[str], output: str | None) -> int:
    """Run the command, which was given these, on a folder of a store; returns the exit status.

    Raises:
        InputError: it is not one folder and one `-o` that are URLs, there are no photographs, the bucket for the
            results does not exist, or what fsspec needs for the store is not installed.
        ScoreinvError: the store cannot be read or written.
    """
    if len(photos) != 1 or output is None or not (is_url(photos[0]) and is_url(output)):
        raise InputError("in a store give two folders, URL -o URL; masks and all else are files of this machine")
    with TemporaryDirectory(prefix=_PREFIX) as here:
        there, results = Folder(photos[0], Path(here, "photos")), Folder(output, Path(here, "results"))
        if f"{results.url}/".startswith(f"{there.url}/"):
            raise InputError(f"-o {output}: is in the folder of the photographs: name another")
        if not there.list_here():
            raise InputError(f"{there.url}: is no folder with pictures")
        results.list_here()
        # `-o URL`, `-oURL` or `--output=URL`; the first is for one of the environment, and may not follow a `--`.
        ending = re.compile(f"{re.escape(output)}$")
        typed = [str(there.here) if word == photos[0] else word for word in sys.argv[1:]]
        words = [ending.sub(lambda _: str(results.here), word) for word in typed]
        words[1:1] = ["--recursive", "-o", str(results.here)]

        def spoken(text: str) -> str:
            text = text.replace(f"; {results.here} has them, and {MANIFEST}", "")  # which is told once they are put
            return text.replace(str(there.here), there.url).replace(str(results.here), results.url)

        with _spoken_here(words, spoken):
            return _do(words, there, results, spoken)


def _do(words: list[str], there: Folder, results: Folder, spoken: Callable[[str], str]) -> int:
    """Do the photographs that have no results; returns the exit status."""
    from scoreinv.cli.app import run as run_here

    asked: list[Run[Any]] = []
    run_here(words, asked.append)
    (run,) = asked
    if run.plan.common.dry_run:
        return _status_of(_Listed(**{field.name: getattr(run, field.name) for field in fields(run)}))
    left = [job for job in run.plan.own if run.missing(job)]
    remedy = " (--overwrite makes them anew)" if len(left) < len(run.plan.own) else ""
    notice(run.plan.common, f"{len(left)} to do, {len(run.plan.own) - len(left)} exist already{remedy}")
    if left:
        results.check()
    status = 0
    for begin in range(0, len(left), AT_ONCE):
        part = left[begin : begin + AT_ONCE]
        for job in part:
            if run.settled(job) is None:
                there.fetch(Path(job.source))
        try:
            status = max(status, _status_of(replace(run, plan=replace(run.plan, jobs=part, own=part))))
        finally:
            if count := results.put([Path(path) for job in part for path in job.outputs], spoken):
                notice(run.plan.common, f"{count} put into {results.url}")
        for job in part:
            Path(job.source).write_bytes(b"")
    return status


def _status_of(run: Run[Any]) -> int:
    """Do the photographs of a run; returns the exit status."""
    try:
        photo_loop.run(run)
    except typer.Exit as end:
        return end.exit_code
    return 0


class _Listed(Run[Any]):
    """A run of which no more is told than the names of the photographs tell."""

    def opened(self, job: Job, missing: list[str]) -> Any:
        """Nothing is: they are not on this machine."""


class Folder:
    """A folder of a store, and that of this machine which stands for it."""

    def __init__(self, url: str, here: Path) -> None:
        import fsspec

        self.url, self.here = url.rstrip("/"), here
        with self._named():
            self._files, self._path = fsspec.url_to_fs(self.url, use_listings_cache=False)

    def list_here(self) -> bool:
        """Make an empty file for each picture in it and in folders within; returns whether there are any."""
        with self._named():
            inside = [PurePosixPath(path).relative_to(self._path) for path in self._files.find(self._path)]
        found = [self.here / path for path in inside if files.is_picture(path)]  # none with a `..`, which is hidden
        for path in found:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return bool(found)

    def fetch(self, path: Path) -> None:
        """Copy a file of it to this machine."""
        with self._named():
            self._files.get_file(f"{self._path}/{path.relative_to(self.here).as_posix()}", str(path))

    def check(self) -> None:
        """Write and remove a file; InputError where its bucket does not exist, which fsspec would make."""
        bucket = "/".join(self._path.split("/")[: 2 if self._path.startswith("/") else 1])
        name = f"{TABLES}/{secrets.token_hex(8)}"
        with self._named():
            if bucket and not self._files.exists(bucket):
                raise InputError(f"{self.url}: there is no {bucket}: make it, or name another")
            with self._opened(name) as stored:
                stored.write(b"a trial")
            self._files.rm_file(f"{self._path}/{name}")

    def put(self, written: list[Path], spoken: Callable[[str], str]) -> int:
        """Put those files that are there, and not empty, into it, and behind them the table; returns how many.

        They stay as empty files. Where it fails all are kept on this machine.

        spoken: gives a text by the names in the store.
        """
        pictures = [path for path in written if path.is_file() and path.stat().st_size]
        table = self.here / MANIFEST
        paths = [*pictures, table] if table.exists() else pictures
        try:
            with self._named(), self._files.transaction:
                for path in pictures:
                    with path.open("rb") as file, self._opened(path.relative_to(self.here).as_posix()) as stored:
                        shutil.copyfileobj(file, stored)
                if paths != pictures:
                    rows = spoken(table.read_bytes().decode("utf-8", "surrogateescape"))
                    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
                    with self._opened(f"{TABLES}/{when}-{secrets.token_hex(4)}.csv") as stored:
                        stored.write(rows.encode("utf-8", "surrogateescape"))
        except BaseException:
            kept = Path(mkdtemp(prefix=_PREFIX))
            for path in paths:
                to = kept / path.relative_to(self.here)
                to.parent.mkdir(parents=True, exist_ok=True)
                path.rename(to)
            warn(f"{len(pictures)} results that could not be put into the store are kept in {kept}")
            raise
        for path in pictures:
            path.write_bytes(b"")
        table.unlink(missing_ok=True)
        return len(pictures)

    def _opened(self, name: str) -> Any:
        place = f"{self._path}/{name}"
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        return self._files.open(place, "wb")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Have what fails in the block name the store."""
        try:
            yield
        except ImportError as error:
            raise InputError(f"{self.url}: {error}") from error
        except ScoreinvError:
            raise
        except Exception as error:  # each store has classes of its own
            raise ScoreinvError(f"{self.url}: {type(error).__name__}: {error}") from error


class _Spoken:
    """A stream on which the names of this machine are said as those of the store."""

    def __init__(self, stream: Any, spoken: Callable[[str], str]) -> None:
        self._stream, self._spoken = stream, spoken

    def write(self, text: str) -> int:
        self._stream.write(self._spoken(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _spoken_here(words: list[str], spoken: Callable[[str], str]) -> Iterator[None]:
    """Have the command line be these words, of which other processes make their runs, and speak of the store."""
    out, err, before = _Spoken(sys.stdout, spoken), _Spoken(sys.stderr, spoken), sys.argv
    sys.argv = [before[0], *words]
    try:
        with redirect_stdout(out), redirect_stderr(err):  # type: ignore[type-var]
            yield
    except ScoreinvError as error:
        error.args = tuple(spoken(str(each)) for each in error.args)
        raise
    finally:
        sys.argv = before
