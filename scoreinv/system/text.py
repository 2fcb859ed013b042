"""Safe display of foreign text, and one-line descriptions of objects with pictures."""

from __future__ import annotations

import unicodedata
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

_LONGEST = 40  # maximum number of characters of a wrong value in messages
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories to escape: controls, marks that reorder or hide text, surrogates, and line separators."""


def printable(text: str) -> str:
    r"""Return the text on one line, with control and formatting characters escaped, as `\x1b` or `\u202e`.

    File names, notes of models and entries of archives may contain sequences that move a terminal's cursor, recolour it
    or reverse the order of letters. All text from files is printed through this function, which is idempotent.

    >>> print(printable("a\x1b[2Jb\nc"))
    a\x1b[2Jb\nc
    """
    return "".join(
        letter.encode("unicode_escape").decode("ascii") if unicodedata.category(letter) in _ESCAPED else letter
        for letter in text
    )


def percent(share: float) -> str:
    """Format a fraction in [0, 1] as a percentage with two digits: 0 % and 100 % only if it is exactly 0 or 1."""
    if 0.99 < share < 1:
        return f"{min(100 * share, 99.99):.2f} %"
    if share >= 0.1 or not share:
        return f"{100 * share:.0f} %"
    return f"{max(100 * share, 0.01):.2g} %"


def shown(value: object) -> str:
    """Return a value's text for messages: the `repr` of text and numbers, shortened if it is long, else the type."""
    if value is not None and not isinstance(value, str | Real):
        return type(value).__name__
    if isinstance(value, Integral) and abs(value) > 10**_LONGEST:
        return "a huge number"  # Python refuses to format it
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def one_line(holder: Any) -> str:
    """Return the `repr` of a data class, with arrays, tensors and PIL images described by type and shape.

    >>> from scoreinv.tasks.outcome import Drawn
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
    if hasattr(value, "mode") and hasattr(value, "size"):  # a PIL image
        return f"{value.mode} {value.size[0]}x{value.size[1]}"
    return repr(value)
