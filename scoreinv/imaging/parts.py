"""Unfinished pictures: files whose names tell whose they are, until they take the names of their targets."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
from pathlib import Path

_NAME = re.compile(r"\.scoreinv-(?P<host>[\w.]*)-(?P<process>\d+)-[0-9a-f]{12}\.part", re.ASCII)


def unfinished(target: Path) -> Path:
    """A new name beside a target; short whatever the target's length, which may be at the file system's limit."""
    return target.with_name(f".scoreinv-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part")


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished pictures in a folder that processes of this machine have left which are no more."""
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            owner = _NAME.fullmatch(entry.name)
            if owner and owner["host"] == _host() and not _is_alive(int(owner["process"])):
                entry.unlink(missing_ok=True)


def _host() -> str:
    return re.sub(r"[^\w.]", "_", platform.node(), flags=re.ASCII)[:64]


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # signal 0, which asks, would end it there
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # of another user
    return True
