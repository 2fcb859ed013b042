"""Uploads: plain bodies, counted while they come, so that no more is taken into memory than is allowed."""

from __future__ import annotations

from fastapi import HTTPException, Request

MOST_BYTES = 256 << 20
"""Of a file that is sent here."""


async def upload(request: Request) -> bytes:
    """The body of a request; HTTPException where it is too long, or is said to be something else than a picture."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise HTTPException(415, "Send a picture file.")
    stated = request.headers.get("content-length", "0")
    if not stated.isdecimal() or int(stated) > MOST_BYTES:
        raise _too_long()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _too_long()
        parts.append(part)
    return b"".join(parts)


def _too_long() -> HTTPException:
    return HTTPException(413, f"The file is larger than {MOST_BYTES >> 20} MB: use the command line for it.")
