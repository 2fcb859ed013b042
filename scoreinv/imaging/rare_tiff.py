"""TIFFs of kinds that Pillow does not read: 16-bit grey with alpha, 16-bit planes apart, and the like. By tifffile."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from scoreinv.errors import InputError
from scoreinv.imaging.metadata import Metadata, build_metadata, orient
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.source import DAMAGE, Source, check_frame, check_size, reason

if TYPE_CHECKING:
    import tifffile

_ORIENTATION, _ICC, _XMP = 274, 34675, 700
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_UNSPECIFIED, _ASSOCIATED, _UNASSOCIATED = 0, 1, 2


def decode_rare_tiff(stream: BinaryIO, source: Source, frame: int | None) -> Picture:
    """One frame of a TIFF of 1 to 4 samples of 8 or 16 bits; `InputError` for what is not of that kind."""
    import tifffile  # slow to import, and for rare files

    stream.seek(0)
    try:
        with _muted(tifffile.logger()), tifffile.TiffFile(stream) as tiff:
            pages = [page.aspage() for page in tiff.pages]
            pages = [page for page in pages if not page.is_reduced] or pages
            page = pages[check_frame(len(pages), frame, source.name)]
            check_size(page.imagewidth, page.imagelength, source.name)
            pixels = _samples(page, source.name)
            orientation = int(page.tags.valueof(_ORIENTATION, 1))
            metadata = _metadata(page, stream, turned=orientation >= 5)
    except InputError:
        raise
    except (*DAMAGE, RuntimeError, ImportError) as error:
        raise InputError(
            f"{source.name}: damaged TIFF file, or of a kind that is not read ({reason(error)}): "
            "save it again as PNG, or as an uncompressed TIFF"
        ) from error
    return Picture(orient(pixels, orientation), metadata)


@contextmanager
def _muted(logger: logging.Logger) -> Iterator[None]:
    """Drop what a library logs about a damaged file: the one error that is raised says it."""

    def nothing(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)


def _samples(page: tifffile.TiffPage, name: str) -> np.ndarray:
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(int(page.photometric), 0)
    extra = tuple(int(kind) for kind in page.extrasamples)
    if page.dtype not in (np.uint8, np.uint16) or not colours or page.imagedepth != 1:
        raise InputError(f"{name}: only grey and RGB samples of 8 or 16 bits are read: save the picture as such")
    if math.prod(page.chunked) != len(page.dataoffsets):  # tifffile would put zeros for what is missing
        raise ValueError(f"{len(page.dataoffsets)} of {math.prod(page.chunked)} strips or tiles are there")
    pixels = page.asarray()
    if pixels.ndim == 3 and int(page.planarconfig) == 2:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(page.imagelength, page.imagewidth, -1)
    alpha = extra[:1] in ((_ASSOCIATED,), (_UNASSOCIATED,))
    pixels = np.ascontiguousarray(pixels[..., : colours + alpha])
    if int(page.photometric) == _WHITE_IS_ZERO:
        pixels[..., 0] = np.iinfo(pixels.dtype).max - pixels[..., 0]
    if extra[:1] == (_ASSOCIATED,):
        unpremultiply(pixels)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def unpremultiply(pixels: np.ndarray) -> None:
    """Divide the colours of HxWxC integers by their alpha, the last channel, in place."""
    peak = np.iinfo(pixels.dtype).max
    for rows in np.array_split(pixels, max(1, pixels.shape[0] // 256)):
        alpha = np.maximum(rows[..., -1:].astype(np.float64), 1)
        rows[..., :-1] = np.rint(np.minimum(rows[..., :-1] * (peak / alpha), peak))


def _metadata(page: tifffile.TiffPage, stream: BinaryIO, *, turned: bool) -> Metadata:
    exif = Image.Exif()
    exif.endian = page.parent.byteorder
    exif.load_from_fp(stream, page.offset)
    per_inch: Any = {2: 1.0, 3: 2.54}.get(exif.get(_RESOLUTION_UNIT, 2))
    dpi = None
    if per_inch and _X_RESOLUTION in exif and _Y_RESOLUTION in exif:
        dpi = (float(exif[_X_RESOLUTION]) * per_inch, float(exif[_Y_RESOLUTION]) * per_inch)
    return build_metadata(exif.get(_ICC), exif, exif.get(_XMP), dpi, turned=turned)
