"""Where a picture's bytes come from, and the checks that need no decoding."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scoreinv.errors import InputError

MAX_MEGAPIXELS = 400


@dataclass(frozen=True)
class Source:
    """A picture file, by path or by its bytes; `name` is what messages call it."""

    name: str
    content: Path | bytes

    def open(self) -> BinaryIO:
        """A fresh stream from the beginning.

        Raises:
            InputError: a pipe, a device or a socket, which might be waited for without end.
            OSError: the file cannot be opened.
        """
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        mode = self.content.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{self.name}: is {special_file(mode)}, no file: use - and let it be the standard input")
        return _File(io.FileIO(self.content))


class _File(io.BufferedReader):
    """A file of which never more is asked than it has: for all that is asked Python takes memory before it reads."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def special_file(mode: int) -> str:
    """What a file is, by the mode that `stat` gives, when it is neither a file nor a folder."""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def stream_size(stream: BinaryIO) -> int:
    """Bytes in a stream, which is left at its end."""
    return stream.seek(0, os.SEEK_END)


def check_size(width: int, height: int, name: str) -> None:
    """`InputError` where a picture is beyond what is worked on."""
    if width * height > MAX_MEGAPIXELS * 10**6:
        raise InputError(
            f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels, the limit is {MAX_MEGAPIXELS}: "
            "crop or reduce it first"
        )


def check_content(width: int, height: int, most: int, name: str) -> None:
    """`InputError` where the bytes of a file cannot stand for so many pixels, `most` being the most that they can."""
    if width * height > most:
        raise InputError(f"{name}: damaged or incomplete: the file is too short for a picture of {width}x{height}")


def check_frame(count: int, frame: int | None, name: str) -> int:
    """The index of the frame to read; `InputError` where several are there and none is chosen, or an absent one is."""
    if frame is not None and not isinstance(frame, int):
        raise InputError(f"{name}: a frame is a whole number from 0 on, not {frame!r}")
    if frame is None and count > 1:
        raise InputError(
            f"{name}: has {count} frames: of a photo choose one with `frame` (0 to {count - 1}), of other files save "
            "one as its own file"
        )
    if frame is not None and not 0 <= frame < count:
        raise InputError(f"{name}: there is no frame {frame}: `frame` takes 0 to {count - 1}")
    return frame or 0


def reason(error: BaseException) -> str:
    """The first line of an error's text, for a one-line message."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
