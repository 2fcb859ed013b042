"""Decoders of other libraries at work: whatever they raise is one error that names the file, and they say nothing.

What they have to say of a damaged file goes past the error to stderr: Python warnings and log lines of Pillow and
tifffile, and lines that libtiff writes to descriptor 2 itself. All are held back while a file is decoded, in whichever
thread: turned off by the first that decodes and on again by the last, and nothing but these libraries is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image, PngImagePlugin

from scoreinv.system.errors import InputError

_LOGGERS = ("PIL.TiffImagePlugin", "tifffile")
_NOTHING = logging.Filter("no logger")
_lock = threading.Lock()
_restore = contextlib.ExitStack()
_inside = 0
"""Blocks of `guarded` in all threads: the first holds back, and the last calls what is in `_restore`."""
_LONGEST_PROFILE = 16 << 20
"""Bytes of a PNG's colour profile or text; Pillow's own limit, a sixteenth of it, would refuse the whole picture."""

_LIBTIFF: list[Callable[[int | None], int | None]] = []
"""The functions by which libtiff is told where its messages go (None: nowhere), each returning what was set.

Empty where Pillow was built with a libtiff inside that shows no functions."""
with contextlib.suppress(AttributeError, OSError):
    _library = ctypes.CDLL(Image.core.__file__)  # a handle finds the functions of the libraries below it too
    for _setter in (_library.TIFFSetErrorHandler, _library.TIFFSetWarningHandler):
        _setter.restype, _setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        _LIBTIFF.append(_setter)


@contextmanager
def guarded(name: str, what: str) -> Iterator[None]:
    """Decode in this block: it ends as it is, or with an InputError, and decoders say nothing meanwhile.

    Args:
        name: of the file, as messages call it.
        what: in words what is wrong when a decoder fails, such as "damaged or incomplete PNG file".

    Raises:
        InputError: itself, or whatever else is raised in the block, Ctrl-C and its kind excepted.
    """
    global _inside
    with _lock:
        if not _inside:
            for logger in map(logging.getLogger, _LOGGERS):
                logger.addFilter(_NOTHING)
                _restore.callback(logger.removeFilter, _NOTHING)
            # not warnings.catch_warnings: on leaving it would undo what other threads changed meanwhile
            warnings.filterwarnings("ignore", module=r"PIL\.")
            filters: Any = warnings.filters  # a list, which its type hint does not say
            _restore.enter_context(contextlib.suppress(ValueError))  # someone may put other filters in place
            _restore.callback(filters.remove, filters[0])
            _restore.callback(setattr, PngImagePlugin, "MAX_TEXT_CHUNK", PngImagePlugin.MAX_TEXT_CHUNK)
            PngImagePlugin.MAX_TEXT_CHUNK = _LONGEST_PROFILE
            for setter in _LIBTIFF:
                _restore.callback(setter, setter(None))
        _inside += 1
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{name}: not enough memory for a picture of this size: reduce it first") from error
    except Exception as error:  # decoders fail in every way that Python has: that is the point of this place
        raise InputError(f"{name}: {what} ({reason(error)})") from error
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _restore.close()


def reason(error: BaseException) -> str:
    """The first line of an error's text, for a one-line message."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
