"""Files of object stores and other file systems of fsspec (`s3://bucket/scans`): list, read and write them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from scoreinv.system.errors import InputError, ScoreinvError

is_url = re.compile(r"[a-z][a-z0-9+.-]+://.").match


def list_files(url: str) -> list[str]:
    """Return the paths of all files in a folder, relative to it; none if it does not exist."""
    with _opened(url) as (store, folder):
        return [str(PurePosixPath(path).relative_to(folder)) for path in store.find(folder)]


def check_bucket(url: str) -> None:
    """Raise InputError if the bucket of a URL does not exist; some stores would create it silently."""
    with _opened(url) as (store, path):
        bucket = path.partition("/")[0]
        if bucket and not store.exists(bucket):
            raise InputError(f"{url}: there is no bucket {bucket}: create it, or name another")


def exists(path: str) -> bool:
    """Return whether a local path or a URL exists."""
    if not is_url(path):
        return os.path.exists(path)  # noqa: PTH110 - raises nothing
    with _opened(path) as (store, inside):
        return store.exists(inside)


def read_url(url: str, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes; raise InputError for a longer one."""
    with _opened(url) as (store, inside):
        if (store.size(inside) or 0) > most:
            raise InputError(f"{url}: is longer than {most / 1e9:.0f} GB")
        return bytes(store.cat_file(inside))


def write_url(url: str, content: bytes) -> None:
    """Write a file, and create its folder."""
    with _opened(url) as (store, inside):
        store.makedirs(inside.rpartition("/")[0], exist_ok=True)
        store.pipe_file(inside, content)


@contextmanager
def _opened(url: str) -> Iterator[tuple[Any, str]]:
    """Yield the file system of a URL and the path in it; raise ScoreinvError with the URL if anything fails."""
    try:
        import fsspec

        yield fsspec.url_to_fs(url)
    except ScoreinvError:
        raise
    except ImportError as error:
        raise InputError(f"{url}: {error}") from error
    except Exception as error:  # each store has its own error classes
        raise ScoreinvError(f"{url}: {type(error).__name__}: {error}") from error
