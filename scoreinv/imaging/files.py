"""Reading and writing picture files: the errors a person meets, and atomic, never silently destructive writes."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import stat
import sys
from pathlib import Path
from typing import Any

from scoreinv.boxes import Box
from scoreinv.errors import ExistsError, InputError, ScoreinvError
from scoreinv.imaging.decode import PREFIX_BYTES, Decoded, check_prefix, decode
from scoreinv.imaging.encode import FORMATS, encode, fit_to_format, refuse_misfit, refuse_size
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.parts import unfinished
from scoreinv.imaging.picture import Fill, Picture
from scoreinv.imaging.source import Source, reason, special_file

__all__ = [
    "Box",
    "Fill",
    "Metadata",
    "Picture",
    "check_format",
    "check_output",
    "decode_file",
    "picture_bytes",
    "read_picture",
    "write_picture",
]

STREAM = "-"
_LONGEST_STREAM = 1 << 30
_BLOCK = 1 << 20
_logger = logging.getLogger(__name__)


def read_picture(path: str | os.PathLike[str] | bytes, frame: int | None = None) -> Picture:
    """Read a picture file: L, LA, RGB or RGBA of 8 or 16 bits as stored, orientation applied.

    CMYK, Lab and palette pictures become sRGB, with a warning in the log; two-level ones become L.

    Args:
        path: file; "-" is standard input; bytes are a file's content.
        frame: which of several frames, 0 being the first.

    Raises:
        InputError: one line that names the file and what to do: missing, damaged, not a picture, several frames,
            more than 400 megapixels.
    """
    name, decoded = decode_file(path, frame)
    if decoded.note:
        _logger.warning("%s: %s", name, decoded.note)
    return decoded.picture


def decode_file(path: str | os.PathLike[str] | bytes, frame: int | None = None) -> tuple[str, Decoded]:
    """`read_picture` with the file's name for messages, and nothing logged."""
    source = _source(path)
    try:
        return source.name, decode(source, frame)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{source.name}: no such file: check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{source.name}: is a folder: name a picture in it") from error
    except OSError as error:
        raise InputError(f"{source.name}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{source.name}: cannot name a file ({reason(error)})") from error


def write_picture(
    path: str | os.PathLike[str],
    picture: Picture,
    *,
    overwrite: bool = False,
    quality: int | None = None,
) -> None:
    """Write a picture in the format of the suffix (.png, .tif, .tiff, .webp, .jpg, .jpeg), whole or not at all.

    The bytes go to a temporary file beside, are synced, and take the name in one step. The folder must exist.
    PNG and TIFF keep every sample; WebP is lossless unless a quality is given; JPEG is not (quality 95). What WebP and
    JPEG cannot hold: see `encode.fit_to_format`.

    Args:
        path: file; "-" is standard output, as PNG.
        overwrite: replace an existing file.
        quality: 1 to 100, for JPEG and WebP.

    Raises:
        InputError: the path cannot be written, exists, or its format cannot hold the picture.
        ScoreinvError: writing failed midway (disk full); nothing is left behind.
    """
    name = _name(path)
    if name == STREAM:
        _write_stream(picture)
        return
    target = check_output(name, overwrite=overwrite)
    kind = FORMATS[target.suffix.lower()]
    fitted = fit_to_format(picture, kind, name)
    temporary = unfinished(target)
    try:
        with temporary.open("xb") as stream:
            encode(stream, fitted, kind, quality)
            stream.flush()
            os.fsync(stream.fileno())
        _publish(temporary, target, name, overwrite=overwrite)
    except InputError:
        raise
    except Exception as error:  # an encoder's, too
        raise ScoreinvError(f"{name}: writing failed ({_why(error)}): nothing was written") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def picture_bytes(picture: Picture, kind: str, name: str) -> bytes:
    """What `write_picture` would write: the picture as PNG, TIFF, WebP or JPEG; `name` is what messages call it.

    Raises:
        InputError: the format cannot hold the picture.
    """
    buffer = io.BytesIO()
    encode(buffer, fit_to_format(picture, kind, name), kind)
    return buffer.getvalue()


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Find out whether `write_picture` could write there, before anything is computed; returns the real target.

    Raises:
        InputError: no path, unknown suffix, no such folder, a folder that cannot be written to, an existing file, or
            with `overwrite` too what is no file: a folder, a device, a pipe.
    """
    name = _name(path)
    given = Path(name)
    if name == STREAM:
        return given
    if given.suffix.lower() not in FORMATS:
        what = f"the suffix {given.suffix}" if given.suffix else "a name without suffix"
        raise InputError(f"{name}: {what} names no format: use {', '.join(FORMATS)}")
    try:
        mode = _mode(given)
        target = given.resolve()  # a link stays a link: what it points to is replaced
        in_folder = target.parent.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # rings of links, too long a name, a folder that is closed
        raise InputError(f"{name}: cannot be written ({_why(error)}): choose another name") from error
    if not in_folder:
        raise InputError(f"{name}: there is no folder {given.parent}: make it first")
    if mode is not None and stat.S_ISDIR(mode):
        raise InputError(f"{name}: is a folder: name a file in it")
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"{name}: is {special_file(mode)}, which is never replaced: name a file, or - for stdout")
    if mode is not None and not overwrite:
        raise _exists(name)
    probe = unfinished(target)
    try:
        probe.open("xb").close()
    except OSError as error:
        raise InputError(
            f"{name}: the folder {given.parent} cannot be written to ({_why(error)}): choose another"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return target


def check_size(path: str | os.PathLike[str], size: tuple[int, int]) -> None:
    """Raise InputError where the format of the path cannot hold a picture of a size (height, width)."""
    name = _name(path)
    if name != STREAM:
        refuse_size(size, FORMATS[Path(name).suffix.lower()], name)


def check_format(path: str | os.PathLike[str], picture: Picture) -> None:
    """Raise InputError where the format of the path cannot hold a picture of this size and alpha channel."""
    name = _name(path)
    if name != STREAM:
        refuse_misfit(picture, FORMATS[Path(name).suffix.lower()], name)


def _exists(name: str) -> ExistsError:
    return ExistsError(f"{name}: exists already: choose another name, or allow it with `overwrite=True`")


def _name(path: Any) -> str:
    """The path as text; InputError for what is none."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a path is text or a path object, not {type(path).__name__}")
    name = os.fsdecode(path)
    if not name:
        raise InputError("the name of a picture is empty: name a file")
    return name


def _source(path: str | os.PathLike[str] | bytes) -> Source:
    if isinstance(path, bytes):
        return Source("the picture", path)
    name = _name(path)
    return Source("standard input", _read_stream()) if name == STREAM else Source(name, Path(name))


def _read_stream() -> bytes:
    """All of standard input; InputError where it begins as no picture does, or does not end."""
    if sys.stdin is None:
        raise InputError("standard input is closed: name a file")
    blocks = [sys.stdin.buffer.read(PREFIX_BYTES)]
    check_prefix(blocks[0], "standard input")
    size = 0
    while block := sys.stdin.buffer.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > _LONGEST_STREAM:
            raise InputError("standard input: is longer than a gibibyte: give so large a picture as a file")
    return b"".join(blocks)


def _write_stream(picture: Picture) -> None:
    """The picture on standard output, as PNG."""
    if sys.stdout is None:
        raise InputError("standard output is closed: name a file")
    content = picture_bytes(picture, "PNG", "standard output")
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # who read it has enough
    except OSError as error:
        raise ScoreinvError(f"standard output: writing failed ({error.strerror})") from error


def _mode(path: Path) -> int | None:
    """What `stat` says that a path is, links followed; None where nothing is there."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or reason(error)


def _publish(temporary: Path, target: Path, name: str, *, overwrite: bool) -> None:
    """Give the finished file its name in one step; a file that has appeared meanwhile is not replaced unasked."""
    if not overwrite:
        try:
            target.hardlink_to(temporary)
        except FileExistsError as error:
            raise _exists(name) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.EACCES):
                raise
            if target.exists():  # no hard links here: the narrow race remains
                raise _exists(name) from error
        else:
            return
    temporary.replace(target)
