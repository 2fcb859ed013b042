"""Errors of the library as sentences on the page, which has other remedies than Python and the command line."""

from __future__ import annotations

import re

_REMEDIES = {
    "frame": "the command line's option for frames",
    "invert": "the command line's option to invert masks",
    "mask_threshold=0": "the command line's mask threshold of 0",
}
"""What errors of the library name in backquotes, as the page has it."""

_QUOTED = re.compile(r"`([^`]+)`")


def sentence(text: str) -> str:
    """The text of an error as a sentence."""
    told = _QUOTED.sub(lambda quoted: _REMEDIES.get(quoted[1], quoted[1]), text).strip()
    told = told[:1].upper() + told[1:] if not re.match(r"\S+\.\w{1,5}:", told) else told
    return told if told.endswith((".", "!", "?")) else f"{told}."
