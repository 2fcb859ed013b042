"""Text that others wrote, made safe to show."""

from __future__ import annotations

import unicodedata

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
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
