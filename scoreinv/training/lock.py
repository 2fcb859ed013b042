"""One writer at a time: a lock that the system frees when its process ends, however that happens."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scoreinv.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file for the time of the block; the file is made, and removed at the end.

    A killed process leaves the file, but not its lock. Raises InputError when another process holds it, OSError when
    the file cannot be made.
    """
    if fcntl is None:
        yield
        return
    handle = _acquired(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquired(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                os.close(handle)
                raise InputError(
                    f"{path.parent}: another run is writing into this folder: wait for its end, or choose another"
                ) from error
            _log.warning("%s: this file system has no locks: let no other run write there", path.parent)
        if _is_at(path, handle):
            return handle
        os.close(handle)  # removed by the run that held it, while this one waited for its turn


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
