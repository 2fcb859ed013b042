"""Sessions: an opened photograph and the work on it, in files that only this user can read.

A session is a folder with the photograph, its results and layers, and the state of the page, which only the page
reads. Its unguessable key is in the browser that opened the photograph. Sessions end on request, after a day without
use, when newer ones need the space, and with the server.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.limits import limits
from scoreinv.web.photo import GoneError, Photo

MOST_AGE = 24 * 3600.0
"""Seconds without use after which a session is deleted."""
MOST_BYTES = 16 << 30
"""Limit for all sessions together, or half of the free disk space at the start. The least recently used goes first."""

_PREFIX = "scoreinv-page-"
_STATE = "state"
_KEY = re.compile(r"[\w-]{1,64}", re.ASCII)
_log = logging.getLogger(__name__)


class ConflictError(ScoreinvError):
    """Another tab has saved a newer state."""


class Sessions:
    """Sessions by key; for several threads.

    Args:
        most: limit of their files together, in bytes; None: see `MOST_BYTES`.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._folder: Path | None = None  # made by the first session, and again if something has deleted it
        self._used: dict[str, float] = {}  # time of the last use by key, the latest last
        self._versions: dict[str, int] = {}
        self._lock = threading.RLock()

    def begin(self) -> str:
        """Begin a session; return its key."""
        key = secrets.token_urlsafe(18)
        with self._lock:
            if self._folder is None or not self._folder.is_dir():
                _remove_abandoned()
                self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # of mode 0700
                if self._most is None:
                    self._most = min(MOST_BYTES, shutil.disk_usage(self._folder).free // 2)
            self.expire()
            (self._folder / key).mkdir(mode=0o700)
            self._use(key)
            for old in list(self._used)[: -limits().sessions]:
                self.forget(old)
        return key

    def touch(self, key: str) -> Path:
        """Use a session; return its folder. Raises GoneError for an unknown key."""
        with self._lock:
            return self._known(key)

    def make_room(self, key: str, size: int) -> None:
        """Delete older sessions until a session can take more bytes.

        Raises GoneError for an unknown key, InputError if there is too little space.
        """
        with self._lock:
            self._known(key)
            while (held := self._bytes() + size) > (self._most or 0) and len(self._used) > 1:
                self.forget(next(iter(self._used)))
            if held > (self._most or 0):
                raise InputError("There is no space for more photographs: use the command line for them")

    def keep(self, photo: Photo) -> None:
        """Write a photograph, result or layer of a session to disk, unless there is too little space."""
        with self._lock:
            if self._folder is None or photo.session not in self._used:
                return
            folder = self._folder / photo.session
        try:
            self.make_room(photo.session, photo.nbytes)
            _write_photo(folder / f"{photo.key}.npy", photo)  # without the lock: it may take seconds
        except (OSError, InputError) as error:
            if photo.session in self:
                _log.warning("%s: a photograph of the page is not kept: %s", folder, error)
        if photo.session not in self:  # it was forgotten meanwhile
            shutil.rmtree(folder, ignore_errors=True)

    def photo(self, key: str) -> Photo | None:
        """Return the photograph of a key, or None."""
        with self._lock:
            if self._folder is None or not _KEY.fullmatch(key):
                return None
            path = next(self._folder.glob(f"*/{key}.npy"), None)
            if path is None:
                return None
            self._use(path.parent.name)
        with suppress(FileNotFoundError):  # it was forgotten meanwhile
            return _read_photo(path)  # without the lock: it may take seconds
        return None

    def small(self, key: str, photo: str, side: int) -> Photo:
        """Return a photograph of a session, reduced coarsely to about `side` pixels; the session counts as not used.

        Raises GoneError if there is none.
        """
        if self._folder is not None and key in self._used and _KEY.fullmatch(photo):
            with suppress(FileNotFoundError):
                pixels = np.load(self._folder / key / f"{photo}.npy", mmap_mode="r")
                step = max(1, min(pixels.shape[:2]) // side)
                return Photo(Picture(np.ascontiguousarray(pixels[::step, ::step])), photo, "PNG")
        raise _gone()

    def save(self, key: str, state: bytes, after: int) -> None:
        """Save the state of the page. Its version is `after` + 1.

        Args:
            after: version that this state follows; 0 for the first.

        Raises GoneError for an unknown key, ConflictError if another tab saved since, InputError if it is too long.
        """
        if len(state) > (most := limits().state_bytes):
            raise InputError(f"The marks and their history take more than {most >> 20} MB: they are not kept.")
        with self._lock:
            folder = self._known(key)
            if after != self._versions.get(key, 0):
                raise ConflictError("This photograph was changed in another tab: reload the page to continue here.")
            temporary = folder / f"{_STATE}.part"
            temporary.write_bytes(state)
            temporary.replace(folder / _STATE)
            self._versions[key] = after + 1

    def state(self, key: str) -> tuple[bytes, int]:
        """Return the saved state of the page and its version; raise GoneError if there is none."""
        with self._lock:
            path = self._known(key) / _STATE
            if not path.is_file():
                raise _gone()
            return path.read_bytes(), self._versions[key]

    def forget(self, key: str) -> None:
        """Delete a session with all its files."""
        with self._lock:
            if self._used.pop(key, None) is not None and self._folder is not None:
                self._versions.pop(key, None)
                shutil.rmtree(self._folder / key, ignore_errors=True)

    def expire(self) -> None:
        """Delete sessions that were not used for `MOST_AGE`, and touch the folder of this running server."""
        with self._lock:
            if self._folder is not None:
                with suppress(OSError):
                    os.utime(self._folder)  # other servers, and services that clean /tmp, delete old folders
            for key in [key for key, used in self._used.items() if time.time() - used > MOST_AGE]:
                self.forget(key)

    def close(self) -> None:
        """Delete everything."""
        with self._lock:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._used.clear()

    def __contains__(self, key: str) -> bool:
        return key in self._used

    def _known(self, key: str) -> Path:
        if self._folder is None or key not in self._used:
            raise _gone()
        self._use(key)
        return self._folder / key

    def _use(self, key: str) -> None:
        self._used.pop(key, None)
        self._used[key] = time.time()

    def _bytes(self) -> int:
        assert self._folder is not None
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())


def _gone() -> GoneError:
    return GoneError("This photograph is no longer kept: open it again.")


def _remove_abandoned() -> None:
    """Delete folders of this user's servers that were killed more than `MOST_AGE` ago."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            if own and stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > MOST_AGE:
                shutil.rmtree(folder, ignore_errors=True)


_BLOCKS = ("icc", "exif", "xmp")


def _write_photo(path: Path, photo: Photo) -> None:
    """Write a photograph as arrays: its pixels, JSON about it, and blocks of metadata."""
    metadata = photo.picture.metadata
    about = {"stem": photo.stem, "kind": photo.kind, "note": photo.note, "dpi": metadata.dpi}
    blocks = [json.dumps(about).encode(), *(getattr(metadata, name) or b"" for name in _BLOCKS)]
    temporary = path.with_suffix(".part")
    try:
        with temporary.open("wb") as file:
            np.save(file, photo.picture.pixels)
            for block in blocks:
                np.save(file, np.frombuffer(block, np.uint8))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_photo(path: Path) -> Photo:
    with path.open("rb") as file:
        pixels, about, *blocks = (np.load(file, allow_pickle=False) for _ in range(2 + len(_BLOCKS)))
    facts = json.loads(about.tobytes())
    dpi = facts.pop("dpi")
    kept = {name: block.tobytes() or None for name, block in zip(_BLOCKS, blocks, strict=True)}
    metadata = Metadata(dpi=None if dpi is None else tuple(dpi), **kept)
    return Photo(Picture(pixels, metadata), key=path.stem, session=path.parent.name, **facts)
