"""Limits on memory, pictures, files and the page, in one place. They hold for the whole process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Limits of a process.

    Attributes:
        memory: bytes that the process may use, if fewer than are free.
        pixels_at_once: pixels evaluated together, in windows or pictures, on every device.
            `memory.pixels_at_once` is for work that may use all free memory of the device.
        megapixels: size of a picture that is read or made.
        frames: frames of a file.
        file_bytes: size of a file or download: more than 400 uncompressed megapixels of four 16-bit channels.
        stream_bytes: size of standard input.
        upload_bytes: size of an upload to the page; all uploads in memory have twice that together.
        view_pixels: size of a picture that the page shows.
        album_bytes: photographs of the page in memory, or half of the free memory at the start.
        sessions: sessions of the page.
        state_bytes: size of the state that the page saves.
        batch_files: photographs of a batch of the page.
        finished_jobs: finished jobs that the page remembers.
    """

    memory: float = math.inf
    pixels_at_once: int = 1 << 17
    megapixels: float = 400
    frames: int = 10_000
    file_bytes: int = 4 << 30
    stream_bytes: int = 1 << 30
    upload_bytes: int = 256 << 20
    view_pixels: int = 24_000_000
    album_bytes: int = 2 << 30
    sessions: int = 200
    state_bytes: int = 32 << 20
    batch_files: int = 500
    finished_jobs: int = 64


_limits = Limits()


def limits() -> Limits:
    """Return the current limits."""
    return _limits


@contextmanager
def limited(**changed: Any) -> Iterator[None]:
    """Change limits of the whole process, by their names, within the block."""
    global _limits
    before, _limits = _limits, replace(_limits, **changed)
    try:
        yield
    finally:
        _limits = before
