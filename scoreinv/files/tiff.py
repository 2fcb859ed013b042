"""TIFF: checks of directories before decoding, decoding by Pillow or tifffile, and writing.

A directory (TIFF 6.0; BigTIFF as in libtiff 4) states the size of a picture, the offsets of its strips or tiles, and
the next directory. Damaged or forged tags make decoders allocate gigabytes, so the size is first compared with the
length of the file. Pillow parses the tags.

Writing uses Pillow's tag directory, the only one available that writes nested EXIF directories.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image
from PIL import TiffImagePlugin as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from scoreinv.imaging.metadata import EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD, metadata_of, orient, writable
from scoreinv.imaging.picture import Picture, check_float_range, check_megapixels, to_samples
from scoreinv.system.errors import InputError
from scoreinv.system.limits import limits

if TYPE_CHECKING:
    import tifffile

_STRIP_LENGTH = 1 << 20  # bytes of an uncompressed strip, when writing
_DEFLATE = 6
_SUBFILE_TYPE, _PREVIEWS = 254, (1, 3, 5, 7)  # the tag, and its values for a reduced copy of another picture
_FAX, _OLD_JPEG, _JPEG = (2, 3, 4), 6, 7
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_ORIENTATION = 274
_ASSOCIATED, _UNASSOCIATED = 1, 2
_SIGNED, _FLOAT = 2, 3

# Maximum number of picture bytes per file byte, by compression: LZW has fewer than 4096 bytes per code of 12 bits,
# deflate 258 bytes per 2 bits, JPEG 64 samples per bit, PackBits 128 bytes per 2 bytes. A fax code needs at least a bit
# per row. Other compressions have no known limit.
_EXPANSION = {1: 1, 5: 4096, _OLD_JPEG: 1024, _JPEG: 1024, 8: 1032, 32771: 1, 32773: 64, 32946: 1032}
_UNLIMITED = 100_000


def read_directories(stream: BinaryIO) -> list[ImageFileDirectory_v2]:
    """Return all directories of the file in order; the chain ends at the first repeated one.

    Raises ValueError if there are none or more than `frames` of `Limits`, or if they do not fit in the file.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    header = stream.read(16)
    offset, total_bytes = _unread_directory(header).next, 0
    found: dict[int, ImageFileDirectory_v2] = {}
    while offset and offset not in found:
        directory = _unread_directory(header)
        directory.next = 0  # the final link may be missing
        begin = stream.seek(min(offset, end))
        directory.load(stream)
        total_bytes += stream.tell() - begin
        if total_bytes > end:  # for example overlapping directories
            raise ValueError("its directories do not fit in the file")
        if len(directory):
            found[offset] = directory
        offset = directory.next
        if len(found) > limits().frames:
            raise ValueError(f"it has more than {limits().frames} frames")
    if not found:
        raise ValueError("it has no directory")
    return list(found.values())


def _unread_directory(header: bytes) -> ImageFileDirectory_v2:
    """Return an empty directory that reads the format and byte order of a file, by its first 16 bytes."""
    # Pillow mistakes a BigTIFF with the byte order MM for a classic TIFF. This little-endian header prevents that.
    start = b"II+\0" + header[4:] if 43 in header[2:4] else b"II*\0" + header[4:8]
    return ImageFileDirectory_v2(start, header[:2])


def is_preview(directory: ImageFileDirectory_v2) -> bool:
    """Return whether a directory marks its picture as a reduced copy of another."""
    return directory.get(_SUBFILE_TYPE) in _PREVIEWS


def has_floats(directory: ImageFileDirectory_v2) -> bool:
    """Return whether the samples of a directory's picture are floats."""
    return _FLOAT in directory.get(Tag.SAMPLEFORMAT, ())


def check_directory(directory: ImageFileDirectory_v2, length: int, name: str) -> None:
    """Check that a directory is valid, and that its whole picture fits in a file of `length` bytes.

    Raises:
        InputError: too many megapixels, or signed samples.
        ValueError: the file is too short, or the directory is invalid.
    """
    width, height = directory[Tag.IMAGEWIDTH], directory[Tag.IMAGELENGTH]
    tile_width = directory.get(Tag.TILEWIDTH, width)  # a strip is a tile of the picture's width
    tile_height = directory.get(Tag.TILELENGTH, min(directory.get(Tag.ROWSPERSTRIP, height), height))
    samples, bits = directory.get(Tag.SAMPLESPERPIXEL, 1), min(directory.get(Tag.BITSPERSAMPLE, (1,)))
    sides = (width, height, tile_width, tile_height)
    if not (all(isinstance(value, int) for value in sides) and min(tile_width, tile_height, samples) > 0):
        raise ValueError("its picture has no size")
    check_megapixels(width, height, name)
    if _SIGNED in directory.get(Tag.SAMPLEFORMAT, ()):
        raise InputError(f"{name}: signed samples are not supported: save the picture with unsigned 8 or 16 bits")
    compression = directory.get(Tag.COMPRESSION, 1)
    planes = samples if directory.get(Tag.PLANAR_CONFIGURATION) == 2 else 1
    offsets = directory.get(Tag.TILEOFFSETS) or directory.get(Tag.STRIPOFFSETS) or ()
    counts = directory.get(Tag.TILEBYTECOUNTS) or directory.get(Tag.STRIPBYTECOUNTS) or ()
    tiles = planes * math.ceil(height / tile_height) * math.ceil(width / tile_width)
    has_all = len(offsets) >= tiles or compression == _OLD_JPEG
    if not (has_all and all(offsets) and all(counts)):  # a truncated file; decoders may show the missing part black
        raise ValueError("strips or tiles are missing")
    # A lower bound: JPEG and YCbCr may subsample all samples but the first.
    subsampled = compression in (_OLD_JPEG, _JPEG) or directory.get(Tag.PHOTOMETRIC_INTERPRETATION) == _YCBCR
    needed = max(width * height, tile_width * tile_height) * bits * (1 if subsampled else samples) / 8
    expansion = width if compression in _FAX else _EXPANSION.get(compression, _UNLIMITED)
    if needed > length * expansion:
        raise ValueError("the file is too short for its picture")


class PillowTiff(Tag.TiffImageFile):
    """Pillow's TIFF without its limit on the size: this class allocates the pixels.

    Pillow turns the loaded pixels upright. This class exchanges the resolutions of a TIFF that was stored sideways.
    """

    def _setup(self) -> None:
        # Pillow shortens the raw mode of a single separate plane to its first letter and so inverts or misreads it.
        if self.tag_v2.get(Tag.SAMPLESPERPIXEL, 1) == 1:
            self.tag_v2[Tag.PLANAR_CONFIGURATION] = 1
        super()._setup()

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        super().load_prepare()

    def load_end(self) -> None:
        sideways = self.tag_v2.get(_ORIENTATION) in (5, 6, 7, 8)
        super().load_end()
        if sideways and "dpi" in self.info:
            self.info["dpi"] = self.info["dpi"][::-1]


def open_by_pillow(stream: BinaryIO, directory: ImageFileDirectory_v2, index: int) -> PillowTiff | None:
    """Open the picture of a directory by Pillow; None if Pillow does not support its kind."""
    stream.seek(0)
    # Pillow misreads BigTIFF with this byte order, and reads no floats of several channels.
    if stream.read(4) == b"MM\0+" or has_floats(directory):
        return None
    with suppress(Exception):
        stream.seek(0)
        opened = PillowTiff(stream)
        opened.seek(index)
        bits = directory.get(Tag.BITSPERSAMPLE, (1,))
        is_planar = directory.get(Tag.PLANAR_CONFIGURATION) == 2 and directory.get(Tag.SAMPLESPERPIXEL, 1) > 1
        # Pillow misreads or rejects separate planes of such samples; "a" is premultiplied alpha.
        misread = max(bits) > 8 or opened.mode in ("LA", "La", "LAB") or "a" in (opened.tile[-1].args or ())
        if not (is_planar and misread):
            return opened
    return None


def decode_by_tifffile(stream: BinaryIO, name: str, directory: ImageFileDirectory_v2, index: int) -> Picture:
    """Decode the picture of a checked directory with tifffile: 1 to 4 samples of 8 or 16 bits, or 32-bit floats.

    Floats in [0, 1] become 16 bits. Pillow cannot read some of these, such as 16-bit grey with alpha and 16-bit planes.

    Args:
        name: name of the file in messages.
        index: index of the directory in the file.

    Raises:
        InputError: an unsupported kind. For damaged files tifffile raises exceptions of any type.
    """
    import tifffile  # slow to import, and only rare files need it

    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        page = tiff.pages[index].aspage()
        check_megapixels(page.imagewidth, page.imagelength, name)
        if max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))) > tiff.filehandle.size:
            raise ValueError("strips or tiles are missing")  # newer tifffiles show the missing part black
        pixels = _samples(page, name)
        exif = _exif(stream, directory)
        info: dict[str, Any] = {"icc_profile": exif.get(Tag.ICCPROFILE), "xmp": exif.get(Tag.XMP)}
        unit: Any = {2: 1.0, 3: 2.54}.get(exif.get(Tag.RESOLUTION_UNIT, 2))  # converts to inches
        if unit and Tag.X_RESOLUTION in exif and Tag.Y_RESOLUTION in exif:
            info["dpi"] = (exif[Tag.X_RESOLUTION] * unit, exif[Tag.Y_RESOLUTION] * unit)
        orientation, metadata = metadata_of(info, lambda: exif)
        return Picture(orient(pixels, orientation), metadata)


def _exif(stream: BinaryIO, directory: ImageFileDirectory_v2) -> Image.Exif:
    """Return the tags of a directory with those of its nested directories; invalid ones are left out.

    `Image.Exif.load_from_fp` misreads BigTIFFs of the byte order MM.
    """
    stream.seek(0)
    header = stream.read(16)
    exif = Image.Exif()
    for tag in directory:
        with suppress(Exception):  # Pillow raises many types
            exif[tag] = directory[tag]

    def read_nested(tags: MutableMapping[int, Any], tag: int) -> None:
        if (offset := tags.pop(tag, None)) is not None:
            with suppress(Exception):
                nested = _unread_directory(header)
                stream.seek(offset)
                nested.load(stream)
                tags[tag] = dict(nested)

    for tag in (EXIF_IFD, GPS_IFD):
        read_nested(exif, tag)
    read_nested(exif.get(EXIF_IFD, {}), INTEROPERABILITY_IFD)
    return exif


def _samples(page: tifffile.TiffPage, name: str) -> np.ndarray:
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(int(page.photometric), 0)
    extra = tuple(int(kind) for kind in page.extrasamples)
    if page.dtype not in (np.uint8, np.uint16, np.float32) or not colours or page.imagedepth != 1:
        kinds = "of 8 or 16 bits or 32-bit floats"
        raise InputError(f"{name}: only grey and RGB samples {kinds} are supported: convert the picture first")
    if page.size > 4 * page.imagelength * page.imagewidth:
        raise ValueError("it has too many samples")
    pixels = page.asarray()
    if pixels.dtype == np.float32:
        check_float_range(pixels, name)
        floats, pixels = pixels, np.empty(pixels.shape, np.uint16)
        for values, rows in zip(floats, pixels, strict=True):  # to save memory
            rows[...] = to_samples(values, pixels.dtype)
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
    """Write a TIFF with deflate and horizontal prediction (TIFF 6.0, Adobe's Technical Note 3), in any mode."""
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
        tags[Tag.RESOLUTION_UNIT] = 2  # inch
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
    tags[Tag.SAMPLEFORMAT] = (1,) * channels  # unsigned integers
    if picture.has_alpha:
        tags[Tag.EXTRASAMPLES] = 2  # unassociated alpha
    tags.save(stream)
    for packed in strips:
        stream.write(packed)
