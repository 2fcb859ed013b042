"""TIFFs: directories checked before any decoder sees the file, the kinds that Pillow does not read, and all writing.

A directory (TIFF 6.0; BigTIFF as of libtiff 4) says how large a picture is, where its strips or tiles lie, and which
directory follows. Pillow reads the tags. Damaged or made up, they let decoders take gigabytes for a picture that is not
there: so it is checked that the file is long enough for it.

TIFFs are written here, since Pillow's tag directory, used for them, is the only one at hand that writes nested EXIF
directories.
"""

from __future__ import annotations

import math
import os
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image
from PIL import TiffImagePlugin as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from scoreinv.imaging.metadata import describe, orient, writable
from scoreinv.imaging.picture import Picture, check_megapixels
from scoreinv.system.errors import InputError

if TYPE_CHECKING:
    import tifffile

MAX_FRAMES = 10_000
_STRIP_LENGTH = 1 << 20  # bytes of a strip that is written, before it is packed
_DEFLATE = 6
_SUBFILE_TYPE, _PREVIEWS = 254, (1, 3, 5, 7)  # what says that a picture is a reduced one of another's
_FAX, _OLD_JPEG, _JPEG = (2, 3, 4), 6, 7
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_ASSOCIATED, _UNASSOCIATED = 1, 2
_SIGNED = 2

# By compression the most bytes of a picture that a byte of the file can stand for: of LZW less than 4096 bytes a code
# of 12 bits, of deflate 258 bytes take 2 bits, of JPEG 64 samples one, of PackBits 128 bytes take 2. By the fax codes a
# row takes a bit. Others know no such limit.
_EXPANSION = {1: 1, 5: 4096, _OLD_JPEG: 1024, _JPEG: 1024, 8: 1032, 32771: 1, 32773: 64, 32946: 1032}
_UNLIMITED = 100_000


def read_directories(stream: BinaryIO) -> list[ImageFileDirectory_v2]:
    """All directories of the chain, which ends where it comes to one for the second time.

    Raises ValueError where there are none, or more than `MAX_FRAMES`, or they are longer than the file.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    header = stream.read(16)
    # as of the other byte order, since Pillow takes a big TIFF of this one for one that is not big
    start = b"II+\0" + header[4:] if 43 in header[2:4] else b"II*\0" + header[4:8]
    place, taken = ImageFileDirectory_v2(start, header[:2]).next, 0
    found: dict[int, ImageFileDirectory_v2] = {}
    while place and place not in found:
        directory = ImageFileDirectory_v2(start, header[:2])
        directory.next = 0  # the link that ends the chain may be missing
        taken -= stream.seek(min(place, end))
        directory.load(stream)
        taken += stream.tell()
        if taken > end:  # they overlap, for one
            raise ValueError("its directories do not fit in the file")
        if len(directory):
            found[place] = directory
        place = directory.next
        if len(found) > MAX_FRAMES:
            raise ValueError(f"it has more than {MAX_FRAMES} frames")
    if not found:
        raise ValueError("it has no directory")
    return list(found.values())


def is_preview(directory: ImageFileDirectory_v2) -> bool:
    """Whether a directory says that its picture is a reduced one of another's."""
    return directory.get(_SUBFILE_TYPE) in _PREVIEWS


def check_directory(directory: ImageFileDirectory_v2, length: int, name: str) -> None:
    """Find out whether the whole of a directory's picture can be in a file of so many bytes.

    Raises:
        InputError: more megapixels than are worked on, or signed samples.
        ValueError: it cannot.
    """
    width, height = directory[Tag.IMAGEWIDTH], directory[Tag.IMAGELENGTH]
    across = directory.get(Tag.TILEWIDTH, width)
    down = directory.get(Tag.TILELENGTH, min(directory.get(Tag.ROWSPERSTRIP, height), height))
    samples, bits = directory.get(Tag.SAMPLESPERPIXEL, 1), min(directory.get(Tag.BITSPERSAMPLE, (1,)))
    if not (all(isinstance(value, int) for value in (width, height, across, down)) and min(across, down, samples) > 0):
        raise ValueError("its picture has no size")
    check_megapixels(width, height, name)
    if _SIGNED in directory.get(Tag.SAMPLEFORMAT, ()):
        raise InputError(f"{name}: signed samples are not read: save the picture with 8 or 16 bits from 0 on")
    compression = directory.get(Tag.COMPRESSION, 1)
    planes = samples if directory.get(Tag.PLANAR_CONFIGURATION) == 2 else 1
    offsets = directory.get(Tag.TILEOFFSETS) or directory.get(Tag.STRIPOFFSETS) or ()
    counts = directory.get(Tag.TILEBYTECOUNTS) or directory.get(Tag.STRIPBYTECOUNTS) or ()
    there = len(offsets) >= planes * math.ceil(height / down) * math.ceil(width / across) or compression == _OLD_JPEG
    if not (there and all(offsets) and all(counts)):  # those of a file that was cut short: decoders may show them black
        raise ValueError("strips or tiles are missing")
    # at the least: of JPEG and YCbCr all samples but the first may be fewer
    subsampled = compression in (_OLD_JPEG, _JPEG) or directory.get(Tag.PHOTOMETRIC_INTERPRETATION) == _YCBCR
    needed = max(width * height, across * down) * bits * (1 if subsampled else samples) / 8
    most = width if compression in _FAX else _EXPANSION.get(compression, _UNLIMITED)
    if needed > length * most:
        raise ValueError("the file is too short for its picture")


def decode_by_tifffile(stream: BinaryIO, name: str, index: int) -> Picture:
    """The picture of a checked directory of 1 to 4 samples of 8 or 16 bits, by tifffile; `index` is its place.

    That is 16-bit grey with alpha, 16-bit planes apart, and the like.

    Raises:
        InputError: of another kind. Of a damaged one tifffile raises errors of any type.
    """
    import tifffile  # slow to import, and for rare files

    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        page = tiff.pages[index].aspage()
        check_megapixels(page.imagewidth, page.imagelength, name)
        pixels = _samples(page, name)
        exif = Image.Exif()
        exif.endian = page.parent.byteorder
        exif.load_from_fp(stream, page.offset)
        info: dict[str, Any] = {"icc_profile": exif.get(Tag.ICCPROFILE), "xmp": exif.get(Tag.XMP)}
        unit: Any = {2: 1.0, 3: 2.54}.get(exif.get(Tag.RESOLUTION_UNIT, 2))  # to the inch
        if unit and Tag.X_RESOLUTION in exif and Tag.Y_RESOLUTION in exif:
            info["dpi"] = (float(exif[Tag.X_RESOLUTION]) * unit, float(exif[Tag.Y_RESOLUTION]) * unit)
        orientation, metadata = describe(info, lambda: exif)
        return Picture(orient(pixels, orientation), metadata)


def _samples(page: tifffile.TiffPage, name: str) -> np.ndarray:
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(int(page.photometric), 0)
    extra = tuple(int(kind) for kind in page.extrasamples)
    if page.dtype not in (np.uint8, np.uint16) or not colours or page.imagedepth != 1:
        raise InputError(f"{name}: only grey and RGB samples of 8 or 16 bits are read: save the picture as such")
    if page.size > 4 * page.imagelength * page.imagewidth:
        raise ValueError("it has more samples than its kind")
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


def write_tiff(stream: BinaryIO, picture: Picture) -> None:
    """Deflate with horizontal prediction (TIFF 6.0 and Adobe's Technical Note 3), every mode and both sample types."""
    pixels, metadata = picture.pixels, picture.metadata
    samples = pixels.reshape(picture.height, picture.width, -1)
    channels = samples.shape[2]
    rows = max(1, _STRIP_LENGTH // (samples[0].size * pixels.itemsize))
    strips = []
    for top in range(0, picture.height, rows):
        strip = samples[top : top + rows].astype(pixels.dtype.newbyteorder("<"))
        strip[:, 1:] -= samples[top : top + rows, :-1]
        strips.append(zlib.compress(strip.tobytes(), _DEFLATE))
    sizes = [len(strip) for strip in strips]
    offsets = np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(np.int64).tolist()

    tags = ImageFileDirectory_v2()
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        for tag in exif:
            tags[tag] = writable(exif, tag)
    if metadata.dpi:
        tags[Tag.X_RESOLUTION], tags[Tag.Y_RESOLUTION] = metadata.dpi
        tags[Tag.RESOLUTION_UNIT] = 2  # the inch
    if metadata.icc:
        tags[Tag.ICCPROFILE] = metadata.icc
    if metadata.xmp:
        tags[Tag.XMP] = metadata.xmp
    tags[Tag.IMAGEWIDTH], tags[Tag.IMAGELENGTH] = picture.width, picture.height
    tags[Tag.BITSPERSAMPLE] = (pixels.itemsize * 8,) * channels
    tags[Tag.COMPRESSION], tags[Tag.PREDICTOR] = 8, 2  # Adobe deflate, horizontal differences
    tags[Tag.PHOTOMETRIC_INTERPRETATION] = 1 if picture.is_gray_mode else 2  # black is zero, or RGB
    tags[Tag.SAMPLESPERPIXEL] = channels
    tags[Tag.PLANAR_CONFIGURATION] = 1  # samples side by side
    tags[Tag.ROWSPERSTRIP] = rows
    tags[Tag.STRIPOFFSETS], tags[Tag.STRIPBYTECOUNTS] = tuple(offsets), tuple(sizes)
    tags[Tag.SAMPLEFORMAT] = (1,) * channels  # whole numbers from 0 on
    if picture.has_alpha:
        tags[Tag.EXTRASAMPLES] = 2  # not multiplied into the colours
    tags.save(stream)
    for packed in strips:
        stream.write(packed)
