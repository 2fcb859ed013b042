"""Reading and writing picture files: the errors a person meets, and atomic, never silently destructive writes."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
from pathlib import Path

from scoreinv.errors import ExistsError, InputError, ScoreinvError
from scoreinv.imaging.decode import Decoded, decode
from scoreinv.imaging.encode import FORMATS, encode, fit_to_format, refuse_misfit
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.parts import unfinished
from scoreinv.imaging.picture import Box, Fill, Picture
from scoreinv.imaging.source import Source, reason

__all__ = [
    "Box",
    "Fill",
    "Metadata",
    "Picture",
    "check_format",
    "check_output",
    "decode_file",
    "read_picture",
    "write_picture",
]

STREAM = "-"
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
    except FileNotFoundError as error:
        raise InputError(f"{source.name}: no such file: check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{source.name}: is a folder: name a picture in it") from error
    except OSError as error:
        raise InputError(f"{source.name}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise ScoreinvError(f"{source.name}: not enough memory for a picture of this size: reduce it first") from error


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
    if os.fspath(path) == STREAM:
        buffer = io.BytesIO()
        encode(buffer, fit_to_format(picture, "PNG", "standard output"), "PNG")
        sys.stdout.buffer.write(buffer.getbuffer())
        sys.stdout.buffer.flush()
        return
    target = check_output(path, overwrite=overwrite)
    kind = FORMATS[target.suffix.lower()]
    fitted = fit_to_format(picture, kind, str(path))
    temporary = unfinished(target)
    try:
        with temporary.open("xb") as stream:
            encode(stream, fitted, kind, quality)
            stream.flush()
            os.fsync(stream.fileno())
        _publish(temporary, target, str(path), overwrite=overwrite)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise ScoreinvError(f"{path}: writing failed ({reason(error)}): nothing was written") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Find out whether `write_picture` could write there, before anything is computed; returns the real target.

    Raises:
        InputError: unknown suffix, no such folder, a folder that cannot be written to, or an existing file.
    """
    given = Path(path)
    if os.fspath(path) == STREAM:
        return given
    if given.suffix.lower() not in FORMATS:
        what = f"the suffix {given.suffix}" if given.suffix else "a name without suffix"
        raise InputError(f"{path}: {what} says no format to write: end it in {', '.join(FORMATS)}")
    if given.is_dir():
        raise InputError(f"{path}: is a folder: name a file in it")
    if given.exists() and not overwrite:
        raise _exists(str(path))
    target = given.resolve()  # a link stays a link: what it points to is replaced
    if not target.parent.is_dir():
        raise InputError(f"{path}: there is no folder {given.parent}: make it first")
    probe = unfinished(target)
    try:
        probe.open("xb").close()
    except OSError as error:
        raise InputError(
            f"{path}: the folder {given.parent} cannot be written to ({error.strerror or error}): choose another"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return target


def check_format(path: str | os.PathLike[str], picture: Picture) -> None:
    """Raise InputError where the format of the path cannot hold a picture of this size and alpha channel."""
    if os.fspath(path) != STREAM:
        refuse_misfit(picture, FORMATS[Path(path).suffix.lower()], str(path))


def _exists(name: str) -> ExistsError:
    return ExistsError(f"{name}: exists already: choose another name, or allow it with --overwrite")


def _source(path: str | os.PathLike[str] | bytes) -> Source:
    if isinstance(path, bytes):
        return Source("the picture", path)
    if os.fspath(path) == STREAM:
        return Source("standard input", sys.stdin.buffer.read())
    return Source(os.fspath(path), Path(path))


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
