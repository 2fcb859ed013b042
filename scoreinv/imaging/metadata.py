"""What a file states beside its pixels: colour profile, EXIF, XMP and resolution.

All of it travels with the pixels from file to file, with orientation applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

EXIF_IFD, GPS_IFD = 34665, 34853
_INTEROPERABILITY_IFD = 40965  # within the EXIF directory
_SIDES = 40962, 40963  # tags of the width and height: a result may have others
_OF_THE_FILE = rb"tiff:Orientation|tiff:ImageWidth|tiff:ImageLength|exif:PixelXDimension|exif:PixelYDimension"
"""What XMP says of the file, likewise."""
_ORIENTATION = 274
_REVERSE = (3, 4, 7, 8), (2, 3, 6, 7)  # of its values those by which rows, and columns, are in reverse order
# The descriptive tags of a picture's first directory. The rest describes how that one file is coded (in a TIFF the
# same directory holds both) or, as the thumbnail does, shows the picture as it was.
_KEPT_TAGS = frozenset(
    [270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, EXIF_IFD, GPS_IFD, 40091, 40092, 40093, 40094, 40095]
)


@dataclass(frozen=True)
class Metadata:
    """Attributes:
    icc: colour profile.
    exif: EXIF block ("Exif\\0\\0" and a TIFF structure) without orientation and thumbnail.
    xmp: XMP packet, without orientation.
    dpi: horizontal and vertical resolution.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


def describe(info: Mapping[Any, Any], get_exif: Callable[[], Image.Exif]) -> tuple[int, Metadata]:
    """Orientation (1 to 8) that is still to be applied, and the metadata, from what a file states.

    A profile or resolution that is none is left out.

    Args:
        info: of a Pillow image, or the like: "icc_profile" (bytes), "xmp" (bytes, text or a sequence of byte values),
            "dpi" (a pair of numbers, or anything else where there is none).
        get_exif: gives the directory, its nested ones included.

    Raises:
        ValueError: XMP that is none of these.
    """
    try:
        exif = get_exif()
        orientation = int(exif.get(_ORIENTATION, 1))
    except Exception:  # whichever way Pillow fails: a broken EXIF block is no reason to refuse a whole picture
        exif, orientation = Image.Exif(), 1
    icc, xmp = info.get("icc_profile"), info.get("xmp")
    kept = Image.Exif()
    for tag in _KEPT_TAGS:
        try:
            if value := writable(exif, tag):
                alone = Image.Exif()
                alone[tag] = value
                alone.tobytes()
                kept[tag] = value
        except Exception:  # Pillow fails in many ways at values of a wrong type, read or written
            continue
    if isinstance(xmp, str):
        xmp = xmp.encode(errors="replace")
    elif isinstance(xmp, tuple | list) and all(isinstance(value, int) for value in xmp):
        xmp = bytes(xmp)
    if xmp:
        if not isinstance(xmp, bytes):
            raise ValueError("its XMP is no text")
        # from where a run of spaces begins only, or the padding of a packet would be searched from each of its spaces
        xmp = re.sub(rb"(?<!\s)\s*(?:" + _OF_THE_FILE + rb')="[0-9]{1,9}"', b"", xmp)
        xmp = re.sub(rb"(?<!\s)\s*<(" + _OF_THE_FILE + rb")>[0-9]{1,9}</\1>", b"", xmp)
    try:
        across, down = (float(value) for value in info.get("dpi") or ())
    except (TypeError, ValueError, ArithmeticError):
        across = down = 0.0
    known = 1 < across < 1e6 and 1 < down < 1e6  # 1x1 is what a TIFF without resolution gives; nan fails too
    return orientation, Metadata(
        icc=icc if icc and isinstance(icc, bytes) else None,
        exif=kept.tobytes() if len(kept) else None,
        xmp=xmp or None,
        dpi=((down, across) if orientation >= 5 else (across, down)) if known else None,
    )


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror pixels as EXIF orientation 1 to 8 wants them shown; other values leave them."""
    turned = pixels.swapaxes(0, 1) if 5 <= orientation <= 8 else pixels
    down, across = (-1 if orientation in reverse else 1 for reverse in _REVERSE)
    return np.ascontiguousarray(turned[::down, ::across])


def profile_fits(icc: bytes, *, gray: bool) -> bool:
    """Whether a colour profile is of the picture's kind; its header names the colour space at bytes 16 to 20."""
    return icc[16:20] == (b"GRAY" if gray else b"RGB ")


def writable(exif: Image.Exif, tag: int) -> Any:
    """The value of a tag as Pillow writes it without a loss: text that is not ASCII as its bytes, directories whole.

    Pillow reads text as Latin-1, whatever it is, and writes a question mark for each letter beyond ASCII.
    """
    values: dict[int, Any] = {tag: exif.get(tag)}
    nested = tag in (EXIF_IFD, GPS_IFD)
    if nested:
        values = dict(values[tag] if isinstance(values[tag], dict) else exif.get_ifd(tag))
        # Their sides are those of another picture; and this one would be left as a place in another file.
        within = values.pop(_INTEROPERABILITY_IFD, None)
        values = {key: value for key, value in values.items() if key not in _SIDES}
        if tag == EXIF_IFD and within is not None:
            values[_INTEROPERABILITY_IFD] = dict(
                within if isinstance(within, dict) else exif.get_ifd(_INTEROPERABILITY_IFD)
            )
    for key, value in values.items():
        if isinstance(value, str) and not value.isascii():
            values[key] = value.encode("latin-1")
    return values if nested else values[tag]
