"""The photographs of the page by key: in memory, and in sessions on disk."""

from __future__ import annotations

import threading

from fastapi.concurrency import run_in_threadpool

from scoreinv.system.limits import limits
from scoreinv.system.memory import available_bytes
from scoreinv.web.photo import GoneError, Photo
from scoreinv.web.sessions import Sessions


class Album:
    """Photographs by key, up to a limit of memory; for several threads. Those of a session come back from disk.

    The limit is `album_bytes`, or half of the free memory at the start. The least recently used photograph goes first.
    """

    def __init__(self) -> None:
        most = limits().album_bytes
        self._most = min(most, (available_bytes() or most) // 2)
        self._photos: dict[str, Photo] = {}
        self._lock = threading.Lock()
        self.sessions = Sessions()

    def add(self, *photos: Photo) -> None:
        """Add photographs, write those of a session, and drop the least recently used others beyond the limit."""
        known = self._hold(*photos)
        for photo in photos:
            if photo.key not in known and photo.session is not None:
                self.sessions.keep(photo)

    async def find(self, key: str) -> Photo:
        """Return the photograph of a key without holding up the event loop; errors as `get`."""
        held = self._held(key)
        return await run_in_threadpool(self.get, key) if held is None else held

    def get(self, key: str) -> Photo:
        """Return the photograph of a key; raise GoneError if there is none. To read a session's takes seconds."""
        if (held := self._held(key)) is not None:
            return held
        photo = self.sessions.photo(key)
        if photo is not None:
            self._hold(photo)
            if photo.session is not None and photo.session in self.sessions:
                return photo
            self._drop(photo.session)  # it was forgotten meanwhile
        raise GoneError("This photograph is no longer in memory: open it again.")

    def forget(self, session: str) -> None:
        """Delete a session and its photographs."""
        self.sessions.forget(session)
        self._drop(session)

    def _held(self, key: str) -> Photo | None:
        with self._lock:
            if key in self._photos:
                self._photos[key] = self._photos.pop(key)  # the latest is last
            return self._photos.get(key)

    def _drop(self, session: str | None) -> None:
        with self._lock:
            self._photos = {key: photo for key, photo in self._photos.items() if photo.session != session}

    def _hold(self, *photos: Photo) -> set[str]:
        """Hold photographs in memory as the latest; return the keys of those that were held before."""
        with self._lock:
            known = {photo.key for photo in photos if self._photos.pop(photo.key, None) is not None}
            self._photos |= {photo.key: photo for photo in photos}
            held = sum(photo.nbytes for photo in self._photos.values())
            for key in list(self._photos)[: -len(photos)]:
                if held <= self._most:
                    break
                held -= self._photos.pop(key).nbytes
        return known
