"""Files of object stores and other file systems of fsspec (`s3://bucket/scans`): list them, copy them here and back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from scoreinv.system.errors import InputError, ScoreinvError

if TYPE_CHECKING:
    from scoreinv.batch.plan import Job

is_url = re.compile(r"[a-z][a-z0-9+.-]+://.").match


def list_files(url: str) -> list[str]:
    """Return the paths of all files in a folder, relative to it; none if it does not exist."""
    with _opened(url) as (store, folder):
        return [str(PurePosixPath(path).relative_to(folder)) for path in store.find(folder)]


def check_bucket(url: str) -> None:
    """Raise InputError if the bucket of a URL does not exist; some stores would make it silently."""
    with _opened(url) as (store, path):
        bucket = path.partition("/")[0]
        if bucket and not store.exists(bucket):
            raise InputError(f"{url}: there is no bucket {bucket}: make it, or name another")


def exists(path: str) -> bool:
    """Return whether a local path or a URL exists."""
    if not is_url(path):
        return os.path.exists(path)  # noqa: PTH110 - raises nothing
    with _opened(path) as (store, inside):
        return store.exists(inside)


def put(path: str, url: str) -> None:
    """Copy a local file to a URL."""
    with _opened(url) as (store, inside):
        store.makedirs(inside.rpartition("/")[0], exist_ok=True)
        store.put_file(path, inside)


@contextmanager
def local_copy(job: Job) -> Iterator[tuple[Job, dict[str, str]]]:
    """Copy the inputs of a job to a temporary folder, and at the end its outputs to their URLs.

    Yields:
        The job with local paths, and the URL of each local path.
    """
    given = (job.source, job.mask, job.avoid, job.output, *job.outputs, *job.beside)
    urls = [path for path in given if path is not None and is_url(path)]
    parents = list(dict.fromkeys(url.rpartition("/")[0] for url in urls))
    with TemporaryDirectory(prefix="scoreinv-") as folder:
        places = {}
        for url in urls:
            parent, _, name = url.rpartition("/")
            places[url] = f"{folder}/{parents.index(parent)}/{name}"

        def local(value: Any) -> Any:
            return tuple(map(local, value)) if isinstance(value, tuple) else places.get(value, value)

        for url in set(places) & {job.source, job.mask, job.avoid}:
            with _opened(url) as (store, inside):
                Path(places[url]).parent.mkdir(exist_ok=True)
                store.get_file(inside, places[url])
        yield (
            replace(job, **{field.name: local(getattr(job, field.name)) for field in fields(job)}),
            {path: url for url, path in places.items()},
        )
        for url in dict.fromkeys((*job.beside, *job.outputs)):
            if url in places and Path(places[url]).exists():
                put(places[url], url)


def with_urls(value: Any, urls: dict[str, str]) -> Any:
    """Replace local paths in a row by their URLs."""
    if isinstance(value, list):
        return [with_urls(each, urls) for each in value]
    if isinstance(value, dict):
        return {key: with_urls(each, urls) for key, each in value.items()}
    if isinstance(value, str):
        for path, url in urls.items():
            value = value.replace(path, url)
    return value


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
    except Exception as error:  # each store has error classes of its own
        raise ScoreinvError(f"{url}: {type(error).__name__}: {error}") from error
