"""Bodies of requests, in memory and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from scoreinv.system.limits import limits


async def _content(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of a request until its response is ready.

    Raises HTTPException if the body is too long or not declared as a picture, or all bodies together are too long.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise HTTPException(415, "Send a picture file.")
    most = limits().upload_bytes
    too_long = HTTPException(413, f"The file is larger than {most >> 20} MB: use the command line for it.")
    stated = request.headers.get("content-length", "0")
    if not stated.isdecimal() or len(stated) > len(str(most)) or int(stated) > most:
        raise too_long
    content, received = bytearray(), 0
    try:
        async for part in request.stream():
            content += part
            received += len(part)
            request.app.state.uploading += len(part)
            if received > most:
                raise too_long
            if request.app.state.uploading > 2 * most:
                raise HTTPException(503, "Other files are being sent: try again in a moment.")
        whole = bytes(content)
        content.clear()
        yield whole
    finally:
        request.app.state.uploading -= received


Content = Annotated[bytes, Depends(_content)]
