"""Guard for decoders of other libraries: turn every failure into one error that names the file, and silence them.

For damaged files Pillow and tifffile issue Python warnings and log lines, and libtiff writes to file descriptor 2. All
these messages are suppressed while any thread decodes: the first thread to begin turns them off, the last to end turns
them on again. Messages of other libraries are not affected.
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
"""Number of active blocks of `guarded` in all threads: the first suppresses messages, the last runs `_restore`."""
_LONGEST_PROFILE = 16 << 20
"""Maximum size of a PNG's profile or text, in bytes. By default Pillow refuses pictures with more than 1/16 of it."""

_LIBTIFF: list[Callable[[int | None], int | None]] = []
"""The functions that set libtiff's message handlers (None: no messages) and return the previous one.

Empty if Pillow's own libtiff does not export them."""
with contextlib.suppress(AttributeError, OSError):
    _library = ctypes.CDLL(Image.core.__file__)  # also finds the functions of the libraries it links to
    for _setter in (_library.TIFFSetErrorHandler, _library.TIFFSetWarningHandler):
        _setter.restype, _setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        _LIBTIFF.append(_setter)


@contextmanager
def guarded(name: str, what: str) -> Iterator[None]:
    """Decode within this block: silence decoders, and turn every exception into an InputError.

    Args:
        name: name of the file in messages.
        what: description of a decoder's failure, such as "damaged or incomplete PNG file".

    Raises:
        InputError: for every exception in the block but KeyboardInterrupt and the like.
    """
    global _inside
    with _lock:
        if not _inside:
            for logger in map(logging.getLogger, _LOGGERS):
                logger.addFilter(_NOTHING)
                _restore.callback(logger.removeFilter, _NOTHING)
            # Not warnings.catch_warnings: on exit it would undo changes by other threads.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            filters: Any = warnings.filters  # a list, despite its type hint
            _restore.enter_context(contextlib.suppress(ValueError))  # other code may replace the filters
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
    except Exception as error:  # decoders of damaged files raise exceptions of all types
        why = reason(error)
        if "truncated" in why.lower():
            why = "its end is missing: copy it again"
        raise InputError(f"{name}: {what} ({why})") from error
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _restore.close()


def reason(error: BaseException) -> str:
    """Return the first line of an error's text, for a one-line message."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
