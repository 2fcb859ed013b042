"""Photographs of an object store: `scoreinv restore s3://bucket/scans -o s3://bucket/restored`.

A hundred at a time are fetched to this machine, done by the same command on files, and put back: what is in flight is
bounded. They take their names in the store in one transaction of fsspec, each whole or not at all where the store can
do that, and then so does a table of them, `manifests/NAME.csv`. The next run does what no table names.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote

from scoreinv.cli.plan import shard
from scoreinv.cli.record import MANIFEST
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.terminal import say

COMMANDS = ("restore", "inpaint", "damage", "colorize", "denoise", "upscale", "deblur")
"""Those that make a picture of each photograph."""
AT_ONCE = 100
"""Photographs that are fetched together: the start of a command is a hundredth of a second of each."""
TABLES = "manifests"
_URL = re.compile(r"[a-z][a-z0-9+.-]+://.")


def are_in_a_store(arguments: list[str]) -> bool:
    """Whether a command line asks for photographs of a store."""
    return arguments[:1] != [] and arguments[0] in COMMANDS and any(map(_URL.match, arguments))


def run_in_a_store(arguments: list[str]) -> int:
    """Do the photographs of a store; returns the exit status.

    Raises:
        InputError: it is not one folder and one `-o` that are URLs, there are no photographs, or what fsspec needs for
            the store is not installed.
        ScoreinvError: the store cannot be read or written.
    """
    words = [word for word in arguments if word not in ("--recursive", "--overwrite")]
    target, part = _taken(words, "-o", "--output"), _taken(words, "--shard")
    urls = [word for word in words if _URL.match(word)]
    if len(urls) != 1 or target is None or not _URL.match(target):
        form = f"scoreinv {words[0]} URL -o URL"
        raise InputError(f"in a store give two folders, {form}; masks and all else are files of this machine")
    source, target = urls[0].rstrip("/"), target.rstrip("/")
    words.remove(urls[0])
    if f"{target}/".startswith(f"{source}/"):
        raise InputError(f"-o {target}: is in the folder of the photographs: name another")
    with _naming_store(source, target):
        there, results = Folder(source), Folder(target)
        names = there.photographs()
        if part is not None:
            names = shard(part, names)
        finished = set() if "--overwrite" in arguments else results.finished()
        left = [name for name in names if f"{source}/{name}" not in finished]
    if not {"-q", "--quiet", "--json"} & set(words):
        say(f"scoreinv: {len(left)} photographs to do, {len(names) - len(left)} done already")
    status = 0
    for begin in range(0, len(left), AT_ONCE):
        ended = _do(words, there, results, left[begin : begin + AT_ONCE])
        status = max(status, ended)
        if ended not in (0, 1):
            break
    return status


def _do(words: list[str], there: Folder, results: Folder, names: list[str]) -> int:
    """Do some photographs by the command in a process of its own; what it has finished is kept, however it ends."""
    with tempfile.TemporaryDirectory(prefix="scoreinv-") as here:
        photos, made = Path(here, "photos"), Path(here, "results")

        def shown(line: str) -> str:
            return line.replace(str(photos), there.url).replace(str(made), results.url)

        with _naming_store(there.url, results.url):
            for name in names:
                there.fetch(name, photos / name)
        command = [sys.executable, "-m", "scoreinv", words[0], str(photos), "-o", str(made), "--recursive", *words[1:]]
        try:
            return _relayed(command, shown)
        finally:
            table = made / MANIFEST
            if table.exists():
                rows = shown(table.read_text("utf-8", "surrogateescape"))
                table.unlink()
                with _naming_store(there.url, results.url):
                    results.put(made, f"{TABLES}/{quote(names[0], safe='')}.csv", rows)


def _relayed(command: list[str], shown: Callable[[str], str]) -> int:
    """Run a command, and pass on what it says, by the names in the store; returns its exit status."""

    def pass_on(stream: IO[str], to: IO[str]) -> None:
        for line in stream:
            to.write(shown(line))
            to.flush()

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        errors = threading.Thread(target=pass_on, args=(child.stderr, sys.stderr))
        errors.start()
        try:
            pass_on(child.stdout, sys.stdout)
        except BaseException:
            child.terminate()
            raise
        finally:
            child.wait()
            errors.join()
    return child.returncode


class Folder:
    """A folder of a store."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        self._files, self._path = fsspec.url_to_fs(url, use_listings_cache=False)

    def photographs(self) -> list[str]:
        """The names of the pictures in it and in folders within, in order."""
        from scoreinv.imaging.read import is_picture

        inside = [PurePosixPath(path).relative_to(PurePosixPath(self._path)) for path in self._files.find(self._path)]
        names = sorted(str(path) for path in inside if is_picture(path))
        if not names:
            raise InputError(f"{self.url}: no pictures in this folder")
        return names

    def fetch(self, name: str, to: Path) -> None:
        """Copy a file of it to this machine."""
        to.parent.mkdir(parents=True, exist_ok=True)
        self._files.get_file(f"{self._path}/{name}", str(to))

    def finished(self) -> set[str]:
        """The photographs, by their URLs, of which a table names a result."""
        places = self._files.glob(f"{self._path}/{TABLES}/*.csv")
        tables = self._files.cat(places) if places else {}
        rows = (row for table in tables.values() for row in csv.DictReader(io.StringIO(table.decode("utf-8"))))
        return {row["input"] for row in rows if row["output"]}

    def put(self, folder: Path, table: str, rows: str) -> None:
        """Put the files of a folder of this machine into it, and a table behind them."""
        with self._files.transaction:
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                with path.open("rb") as file, self._opened(path.relative_to(folder).as_posix()) as stored:
                    shutil.copyfileobj(file, stored)
            with self._opened(table) as stored:
                stored.write(rows.encode("utf-8", "surrogateescape"))

    def _opened(self, name: str) -> Any:
        place = f"{self._path}/{name}"
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        return self._files.open(place, "wb")


def _taken(words: list[str], *names: str) -> str | None:
    """The value of an option, which is removed from the words with it."""
    for number, word in enumerate(words[:-1]):
        if word in names:
            del words[number]
            return words.pop(number)
    return None


@contextmanager
def _naming_store(source: str, target: str) -> Iterator[None]:
    """Have what fails in the block name the stores."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"{source}: {error}: pip install 'scoreinv[cloud]', and what is named here") from error
    except ScoreinvError:
        raise
    except Exception as error:  # each store has classes of its own
        raise ScoreinvError(f"{source} to {target}: {type(error).__name__}: {error}") from error
