"""The folder of bundled models, checks of outputs, and atomic writing of files."""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scoreinv.system.errors import ExistsError, InputError

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "pretrained"
PRETRAINED = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "pretrained"
"""The folder of the bundled models: in the installed package, or beside the package in a checkout."""
MODEL_FILE = "model.safetensors"
"""Name of a model's file in its own folder."""

STREAM = "-"
"""Name of standard input and output."""

PART = r"\.scoreinv-(?P<host>[\w.]*)-(?P<process>\d+)-[0-9a-f]{8}\.part"
"""End of the names of unfinished files, which begin with a dot and the start of the final name."""

_ABANDONED_SECONDS = 24 * 3600
_HOST = re.sub(r"[^\w.]", "_", platform.node(), flags=re.ASCII)[:32]
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.EACCES)


def check_writable(path: Path, *, overwrite: bool, option: str = "-o", makes_folder: bool = False) -> None:
    """Check that `atomic_write` can write a file, before the work for it.

    Args:
        option: the option that names the file, in messages.
        makes_folder: a missing folder will be created.

    Raises:
        ExistsError, InputError: as `atomic_write`, and if the folder is not writable.
    """
    if makes_folder:
        check_folder(path.parent, option)
    target = _target(path, overwrite=overwrite, option=option, needs_folder=not makes_folder)
    check_folder(target.parent, option)


def check_folder(folder: Path, option: str = "-o") -> None:
    """Raise InputError unless a folder, or its nearest existing parent, is writable; the message names the option."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder: name another")
    try:
        tempfile.TemporaryFile(dir=folder).close()  # permission bits alone do not decide
    except OSError as error:
        raise InputError(f"{folder}: is not writable ({error.strerror}): choose another place with {option}") from error


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends without an error, sync and rename it.

    The block creates the file. Its name identifies the process, see `remove_leftovers`. A link stays, and its target is
    replaced.

    Raises:
        ExistsError: the file exists, at the beginning or at the end, and `overwrite` is False.
        InputError: the path is invalid, a pipe, a device or a folder, or its folder does not exist.
    """
    target = _target(path, overwrite=overwrite)
    # Shorten the name, since a long one may be at the file system's limit.
    name = f".{target.name[:40]}.scoreinv-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.part"
    temporary = target.with_name(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if not overwrite:
            _claim(temporary, target, path)
        temporary.replace(target)
        _sync_folder(target.parent)
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


def special_file(mode: int) -> str:
    """Return the kind of a path that is not a regular file, in words, by its mode from `stat`."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _target(path: Path, *, overwrite: bool, option: str = "-o", needs_folder: bool = True) -> Path:
    """Return the file that a path or link names; raise InputError if it cannot be written, see `atomic_write`."""
    try:
        mode = None
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
        target = path.resolve()
        has_folder = target.parent.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # cyclic links, a long name, an inaccessible folder
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({why}): choose another name with {option}") from error
    if needs_folder and not has_folder:
        raise InputError(f"{path}: there is no folder {path.parent}: create it first")
    if mode is not None and not stat.S_ISREG(mode):
        kind = special_file(mode)
        raise InputError(f"{path}: is {kind}, which cannot be replaced: choose another name with {option}")
    if mode is not None and not overwrite:
        raise _exists(path, option)
    return target


def _exists(path: Path | str, option: str = "-o") -> ExistsError:
    return ExistsError(f"{path}: exists: choose another name with {option}, or replace it")


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


def _claim(temporary: Path, target: Path, path: Path) -> None:
    """Create `target` as a hard link to the file; raise ExistsError, which names `path`, if it exists by now."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():  # without hard links, a file created after this check would be replaced
            raise _exists(path) from error


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
