"""The folder of bundled models, and atomic writing of files."""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scoreinv.system.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "pretrained"
PRETRAINED = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "pretrained"
"""The folder of the bundled models: in the installed package, or beside the package in a checkout."""
MODEL_FILE = "model.safetensors"
"""Name of a model's file in its own folder."""

PART = r"\.scoreinv-(?P<host>[\w.]*)-(?P<process>\d+)-[0-9a-f]{8}\.part"
"""End of the names of unfinished files, which begin with a dot and the start of the final name."""

_ABANDONED_SECONDS = 24 * 3600
_HOST = re.sub(r"[^\w.]", "_", platform.node(), flags=re.ASCII)[:32]
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.EACCES)


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends without an error, sync and rename it.

    The block creates the file. Its name identifies the process, see `remove_leftovers`.

    Raises:
        InputError: the folder does not exist, or the path is a pipe, a device or a folder.
        FileExistsError: the file exists at the end, and `overwrite` is False.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file, and cannot be replaced: choose another name")
    # Shorten the name, since a long one may be at the file system's limit.
    name = f".{path.name[:40]}.scoreinv-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.part"
    temporary = path.with_name(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if not overwrite:
            _claim(temporary, path)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of `atomic_write` that are abandoned in a folder, if the folder exists.

    A file is abandoned if its process on this machine has ended, or if it was not modified for a day.
    """
    with suppress(OSError):
        for entry in folder.iterdir():
            owner = re.fullmatch(rf"\..*{PART}", entry.name, re.ASCII | re.DOTALL)
            if owner is None:
                continue
            ended = owner["host"] == _HOST and not _is_alive(int(owner["process"]))
            if ended or time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS:
                entry.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a rename in it survives a power cut, if the system can."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _claim(temporary: Path, path: Path) -> None:
    """Create `path` as a hard link to the file; raise FileExistsError if the path exists by now."""
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():  # without hard links, a file created after this check would be replaced
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end the process there
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another user's process
    return True
