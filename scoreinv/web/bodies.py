"""Uploads: plain bodies, counted while they come, and decoded in turn: they take no more memory than is meant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool

P = ParamSpec("P")
Read = TypeVar("Read")

MOST_BYTES = 256 << 20
"""Of a file that is sent here."""

MOST_AT_ONCE = 1 << 30
"""Of all files together that are coming or being read."""


class Uploads:
    """Gives a route the body of its request, and counts what all routes hold of such bodies."""

    def __init__(self) -> None:
        self._held = 0

    async def __call__(self, request: Request) -> AsyncIterator[bytes]:
        """The body, held until the request is answered.

        Raises HTTPException where it is too long, said to be something else than a picture, or too much beside what
        comes at the same time.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not (kind.startswith("image/") or kind == "application/octet-stream"):
            raise HTTPException(415, "Send a picture file.")
        stated = request.headers.get("content-length", "0")
        if not stated.isdecimal() or len(stated) > len(str(MOST_BYTES)) or int(stated) > MOST_BYTES:
            raise _too_long()
        parts, size = [], 0
        try:
            async for part in request.stream():
                size += len(part)
                self._held += len(part)
                if size > MOST_BYTES:
                    raise _too_long()
                if self._held > MOST_AT_ONCE:
                    raise HTTPException(503, "Too many files are coming at the same time: try again in a minute.")
                parts.append(part)
            content = b"".join(parts)
            parts.clear()
            yield content
        finally:
            self._held -= size


class Reading:
    """Decodes one file at a time: a few bytes may stand for 400 megapixels, which take gigabytes on the way."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def __call__(self, read: Callable[P, Read], *given: P.args, **more: P.kwargs) -> Read:
        """What `read` gives, called in a thread of its own when its turn comes."""
        async with self._turn:
            return await run_in_threadpool(read, *given, **more)


def _too_long() -> HTTPException:
    return HTTPException(413, f"The file is larger than {MOST_BYTES >> 20} MB: use the command line for it.")
