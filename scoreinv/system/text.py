"""Text that others wrote, made safe to show; and objects that hold pictures, on a line."""

from __future__ import annotations

import unicodedata
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

_LONGEST = 40  # letters of a wrong value that are shown
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of controls, marks that reorder or hide text, halves of characters, and ends of lines."""


def printable(text: str) -> str:
    r"""The text on one line, each character that is not seen but acts escaped, as `\x1b` or `\u202e`.

    Names of files, notes of models and entries of archives may hold sequences that move a terminal's cursor, recolour
    it or reverse the order of letters: whatever comes out of a file is shown through this function. Applied twice it
    changes nothing more.

    >>> print(printable("a\x1b[2Jb\nc"))
    a\x1b[2Jb\nc
    """
    return "".join(
        letter.encode("unicode_escape").decode("ascii") if unicodedata.category(letter) in _UNSEEN else letter
        for letter in text
    )


def shown(value: object) -> str:
    """A value as messages show it: what it is where that is short, else what kind of thing."""
    if value is not None and not isinstance(value, str | Real):
        return type(value).__name__
    if isinstance(value, Integral) and abs(value) > 10**_LONGEST:
        return "a number beyond all bounds"  # whose digits Python would not even write down
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def one_line(holder: Any) -> str:
    """A data class as its `repr` would be, but that arrays, tensors and PIL images are shown by type and shape.

    >>> from scoreinv.tasks.results import Drawn
    >>> import numpy as np
    >>> print(one_line(Drawn(np.zeros((4, 32, 32, 3)), 25)))
    Drawn(images=float64 4x32x32x3, nfe=25)
    """
    values = (f"{field.name}={_brief(getattr(holder, field.name))}" for field in fields(holder) if field.repr)
    return f"{type(holder).__name__}({', '.join(values)})"


def _brief(value: Any) -> str:
    if isinstance(value, list) and len(value) > 1:
        return f"[{_brief(value[0])}, ... {len(value)} in all]"
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {'x'.join(map(str, value.shape)) or 'scalar'}".removeprefix("torch.")
    if hasattr(value, "mode") and hasattr(value, "size"):  # of PIL
        return f"{value.mode} {value.size[0]}x{value.size[1]}"
    return repr(value)
