"""TIFFs of kinds that Pillow does not read: 16-bit grey with alpha, 16-bit planes apart, and the like. By tifffile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from scoreinv.errors import InputError
from scoreinv.imaging.guard import guarded
from scoreinv.imaging.metadata import Metadata, build_metadata, orient
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.source import check_size

if TYPE_CHECKING:
    import tifffile

_ORIENTATION, _ICC, _XMP = 274, 34675, 700
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_ASSOCIATED, _UNASSOCIATED = 1, 2


def decode_rare_tiff(stream: BinaryIO, name: str, index: int) -> Picture:
    """The picture of a checked directory of a TIFF, of 1 to 4 samples of 8 or 16 bits; `index` is its place.

    Raises:
        InputError: not of that kind, or damaged.
    """
    import tifffile  # slow to import, and for rare files

    stream.seek(0)
    what = "damaged TIFF file, or of a kind that is not read: save it again as PNG, or as an uncompressed TIFF"
    with guarded(name, what), tifffile.TiffFile(stream) as tiff:
        page = tiff.pages[index].aspage()
        check_size(page.imagewidth, page.imagelength, name)
        pixels = _samples(page, name)
        orientation = int(page.tags.valueof(_ORIENTATION, 1))
        metadata = _metadata(page, stream, turned=orientation >= 5)
        return Picture(orient(pixels, orientation), metadata)


def _samples(page: tifffile.TiffPage, name: str) -> np.ndarray:
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(int(page.photometric), 0)
    extra = tuple(int(kind) for kind in page.extrasamples)
    if page.dtype not in (np.uint8, np.uint16) or not colours or page.imagedepth != 1:
        raise InputError(f"{name}: only grey and RGB samples of 8 or 16 bits are read: save the picture as such")
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
