"""Metadata of picture files: colour profile, EXIF, XMP and resolution, carried over with orientation applied."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from scoreinv.operators.tones import ToneCurve, srgb, tone_curve
from scoreinv.system.errors import InputError

EXIF_IFD, GPS_IFD = 34665, 34853
INTEROPERABILITY_IFD = 40965  # within the EXIF directory
_SIDES = 40962, 40963  # tags of width and height, which a result may change
_FILE_PROPERTIES = rb"tiff:Orientation|tiff:ImageWidth|tiff:ImageLength|exif:PixelXDimension|exif:PixelYDimension"
"""XMP properties of the file rather than the picture; a result may change them."""
_ORIENTATION = 274
_REVERSE = (3, 4, 7, 8), (2, 3, 6, 7)  # orientations that reverse the rows, and the columns
# The tags of the first directory that describe the photograph. Others describe the encoding of one file (in a TIFF they
# are in the same directory) or hold a reduced copy of the old picture (the thumbnail).
_KEPT_TAGS = frozenset(
    [270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, EXIF_IFD, GPS_IFD, 40091, 40092, 40093, 40094, 40095]
)


@dataclass(frozen=True)
class Metadata:
    """Metadata of a picture that a result keeps.

    Attributes:
        icc: colour profile.
        exif: EXIF block ("Exif\\0\\0" and a TIFF structure) without orientation and thumbnail.
        xmp: XMP packet, without orientation and size.
        dpi: horizontal and vertical resolution, in pixels per inch.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


def metadata_of(info: Mapping[Any, Any], get_exif: Callable[[], Image.Exif]) -> tuple[int, Metadata]:
    """Return the EXIF orientation (1 to 8) of stored pixels, and the metadata of the picture with it applied.

    An invalid profile, EXIF block or resolution is left out.

    Args:
        info: the `info` of a Pillow image: "icc_profile" (bytes), "xmp" (bytes, text or a sequence of byte values) and
            "dpi" (a pair of numbers).
        get_exif: returns the EXIF directory with its nested directories.

    Raises:
        ValueError: XMP of another type.
    """
    try:
        exif = get_exif()
        orientation = int(exif.get(_ORIENTATION, 1))
    except Exception:  # Pillow raises many types; a broken EXIF block is no reason to refuse a picture
        exif, orientation = Image.Exif(), 1
    icc = info.get("icc_profile")
    return orientation, Metadata(
        icc=icc if icc and isinstance(icc, bytes) else None,
        exif=_kept_exif(exif),
        xmp=_kept_xmp(info.get("xmp")),
        dpi=_resolution(info.get("dpi"), sideways=5 <= orientation <= 8),
    )


def _kept_exif(exif: Image.Exif) -> bytes | None:
    """Return an EXIF block with the tags of `_KEPT_TAGS` that Pillow can write; None if there are none."""
    kept = Image.Exif()
    for tag in _KEPT_TAGS:
        try:
            if value := writable(exif, tag):
                alone = Image.Exif()
                alone[tag] = value
                alone.tobytes()
                kept[tag] = value
        except Exception:  # Pillow raises many types for malformed values
            continue
    return kept.tobytes() if len(kept) else None


def _kept_xmp(xmp: Any) -> bytes | None:
    """Return an XMP packet without `_FILE_PROPERTIES`; raise ValueError for other types than `metadata_of` lists."""
    if isinstance(xmp, str):
        xmp = xmp.encode(errors="replace")
    elif isinstance(xmp, tuple | list) and all(isinstance(value, int) for value in xmp):
        xmp = bytes(xmp)
    if xmp:
        if not isinstance(xmp, bytes):
            raise ValueError("its XMP is not text")
        # (?<!\s) keeps the search linear in the padding of a packet, a long run of spaces.
        xmp = re.sub(rb"(?<!\s)\s*(?:" + _FILE_PROPERTIES + rb')="[0-9]{1,9}"', b"", xmp)
        xmp = re.sub(rb"(?<!\s)\s*<(" + _FILE_PROPERTIES + rb")>[0-9]{1,9}</\1>", b"", xmp)
    return xmp or None


def _resolution(dpi: Any, *, sideways: bool) -> tuple[float, float] | None:
    """Return a file's resolution, exchanged if its pixels are stored sideways; None if it is not a valid pair."""
    try:
        across, down = (float(value) for value in dpi or ())
    except (TypeError, ValueError, ArithmeticError):
        return None
    if not (1 < across < 1e6 and 1 < down < 1e6):  # Pillow reports 1x1 for a TIFF without resolution; rejects NaN
        return None
    return (down, across) if sideways else (across, down)


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply EXIF orientation 1 to 8 to pixels; return them unchanged for other values."""
    turned = pixels.swapaxes(0, 1) if 5 <= orientation <= 8 else pixels
    down, across = (-1 if orientation in reverse else 1 for reverse in _REVERSE)
    return np.ascontiguousarray(turned[::down, ::across])


def profile_fits(icc: bytes, *, gray: bool) -> bool:
    """Return whether a colour profile is for grey or colour pictures, by the colour space in its header."""
    return icc[16:20] == (b"GRAY" if gray else b"RGB ")


def tone_curve_of(icc: bytes | None) -> ToneCurve:
    """Return the tone curve of a colour profile, by its grey or green channel; without a valid one sRGB's."""
    if icc is not None:
        with suppress(InputError, struct.error, ValueError, ZeroDivisionError):
            for number in range(*struct.unpack_from(">I", icc, 128)):
                signature, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * number)
                if signature in (b"gTRC", b"kTRC"):
                    return tone_curve(_light(icc[offset : offset + size]))
    return srgb()


def _light(tag: bytes) -> np.ndarray:
    """Return the linear light of equally spaced values in [0, 1] by a `curv` or `para` tag.

    See ICC.1:2022, sections 10.6 and 10.18.
    """
    kind, count = struct.unpack_from(">4s4xI", tag)
    values = np.linspace(0, 1, 1024)
    if kind == b"curv" and count > 1:
        return np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
    if kind == b"curv":
        return values ** (struct.unpack_from(">H", tag, 12)[0] / 256 if count else 1.0)
    form = count >> 16
    if kind != b"para" or form > 4:
        raise ValueError("unknown type of tone curve")
    given = (np.frombuffer(tag, ">i4", (1, 3, 4, 5, 7)[form], 12) / 65536).tolist()
    exponent, a, b, c, d, e, f = given + [1.0, 0.0, 0.0, 0.0, 0.0, 0.0][len(given) - 1 :]
    if form in (1, 2):  # constant up to -b / a
        c, d, e, f = 0.0, -b / a, c, c
    power = np.maximum(a * values + b, 0) ** exponent + e
    return np.where(values >= d, power, c * values + f)


def writable(exif: Image.Exif, tag: int) -> Any:
    """Return the value of a tag in a form that Pillow writes without loss: non-ASCII text as bytes, directories whole.

    Pillow reads any text as Latin-1 and writes each non-ASCII letter as a question mark.
    """
    values: dict[int, Any] = {tag: exif.get(tag)}
    nested = tag in (EXIF_IFD, GPS_IFD)
    if nested:
        values = dict(values[tag] if isinstance(values[tag], dict) else exif.get_ifd(tag))
        # Without the sides, which a result may change, and the file offset of the nested directory.
        within = values.pop(INTEROPERABILITY_IFD, None)
        values = {key: value for key, value in values.items() if key not in _SIDES}
        if within is not None:
            values[INTEROPERABILITY_IFD] = dict(
                within if isinstance(within, dict) else exif.get_ifd(INTEROPERABILITY_IFD)
            )
    for key, value in values.items():
        if isinstance(value, str) and not value.isascii():
            values[key] = value.encode("latin-1")
    return values if nested else values[tag]
