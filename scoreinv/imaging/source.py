"""Where a picture's bytes come from, and the checks that need no decoding."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scoreinv.errors import InputError

MAX_MEGAPIXELS = 400

DAMAGE = (OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, struct.error, zlib.error)
"""What decoders raise on damaged bytes."""


@dataclass(frozen=True)
class Source:
    """A picture file, by path or by its bytes; `name` is what messages call it."""

    name: str
    content: Path | bytes

    def open(self) -> BinaryIO:
        """A fresh stream from the beginning."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")


def check_size(width: int, height: int, name: str) -> None:
    """`InputError` where a picture is beyond what is worked on."""
    if width * height > MAX_MEGAPIXELS * 10**6:
        raise InputError(
            f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels, the limit is {MAX_MEGAPIXELS}: "
            "crop or reduce it first"
        )


def check_frame(count: int, frame: int | None, name: str) -> int:
    """The index of the frame to read; `InputError` where several are there and none is chosen, or an absent one is."""
    if frame is None and count > 1:
        raise InputError(
            f"{name}: has {count} frames: of a photo choose one with --frame N (0 to {count - 1}), of other files save "
            "one as its own file"
        )
    if frame is not None and not 0 <= frame < count:
        raise InputError(f"{name}: there is no frame {frame}: --frame takes 0 to {count - 1}")
    return frame or 0


def reason(error: BaseException) -> str:
    """The first line of an error's text, for a one-line message."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
