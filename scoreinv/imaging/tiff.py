"""TIFFs: directories checked before any decoder sees the file, the kinds that Pillow does not read, and all writing.

A directory (TIFF 6.0; BigTIFF as of libtiff 4) says where the strips or tiles lie, how large they are, and which
directory follows. Damaged or made up, these numbers send decoders round in circles, or let them take gigabytes for a
picture that is not there. What is checked holds for every whole file: the directories are a chain without loops inside
the file, and all strips or tiles of the chosen one are there and can hold their share of the picture.

TIFFs are written here, since Pillow's tag directory, used for them, is the only one at hand that writes nested EXIF
directories.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from scoreinv.errors import InputError
from scoreinv.imaging.metadata import describe, orient, writable
from scoreinv.imaging.picture import Picture, check_megapixels

if TYPE_CHECKING:
    import tifffile

MAX_FRAMES = 10_000
_STRIP_LENGTH = 1 << 20
"""Bytes of a strip that is written, before it is packed."""
_DEFLATE = 6

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANES = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_TILES = frozenset([_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES])
_LAYOUT = frozenset([*range(_WIDTH, _COMPRESSION + 1), _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES, _ROWS, _STRIP_BYTES])
_LAYOUT |= _TILES | {_PLANES, _SAMPLE_FORMAT}
_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}  # the types of whole numbers from 0 on

_ICC, _XMP, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 34675, 700, 282, 283, 296

_RAW, _FAX, _OLD_JPEG, _JPEG = 1, (3, 4), 6, 7
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_ASSOCIATED, _UNASSOCIATED = 1, 2
_SIGNED = 2

# By compression the most bytes of a picture that a byte of the file can stand for: of the fax code 2560 pixels take 12
# bits, of LZW less than 4096 bytes a code of 12 bits, of deflate 258 bytes take 2 bits, of JPEG 64 samples one, of
# PackBits 128 bytes take 2. Others know no such limit.
_EXPANSION = {_RAW: 1, 2: 256, 5: 4096, _OLD_JPEG: 1024, _JPEG: 1024, 8: 1032, 32771: 1, 32773: 64, 32946: 1032}
_UNLIMITED = 100_000


@dataclass(frozen=True)
class Directory:
    """One directory, which describes one picture.

    Attributes:
        stream: the file.
        index: its place in the chain.
        order: of its bytes, "<" or ">".
        big: whether it is of a BigTIFF.
        table: its entries as they are in the file.
    """

    stream: BinaryIO
    index: int
    order: str
    big: bool
    table: bytes

    @cached_property
    def entries(self) -> dict[int, tuple[int, int, bytes]]:
        """Type, count, and the field of the values or of their place, by tag; ValueError where one of use is twice."""
        entries: dict[int, tuple[int, int, bytes]] = {}
        for tag, *entry in struct.iter_unpack(self.order + _entry_form(self.big), self.table):
            if tag in entries and tag in _LAYOUT:
                raise ValueError(f"tag {tag} is there twice")
            entries.setdefault(tag, tuple(entry))
        return entries

    @property
    def is_preview(self) -> bool:
        """Whether it says that its picture is a reduced one of another's."""
        kind, count, field = self.entries.get(_SUBFILE_TYPE, (0, 0, b""))
        return kind in (3, 4) and count == 1 and bool(np.frombuffer(field, self.order + _NUMBERS[kind], 1)[0] & 1)

    @property
    def is_signed(self) -> bool:
        """Whether the samples are numbers below and above 0."""
        return bool((self._values(_SAMPLE_FORMAT, 1) == _SIGNED).any())

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as it says."""
        return self._one(_WIDTH), self._one(_HEIGHT)

    def check(self, name: str) -> None:
        """Find out whether the whole of its picture can be there.

        Raises:
            InputError: more megapixels than are worked on.
            ValueError: the directory contradicts itself or the file.
        """
        width, height = self.size
        if not (width and height):
            raise ValueError(f"a picture of {width}x{height}")
        check_megapixels(width, height, name)
        compression = self._one(_COMPRESSION, _RAW)
        if compression == _OLD_JPEG and _STRIP_OFFSETS not in self.entries:  # its data are one JPEG file somewhere
            if width * height > self.stream.seek(0, os.SEEK_END) * _EXPANSION[_OLD_JPEG]:
                raise ValueError("the file is too short for its picture")
            return
        samples, planes = self._one(_SAMPLES, 1), self._one(_PLANES, 1)
        bits = self._values(_BITS, 1)
        if not (samples and planes in (1, 2) and len(bits) and bits.min() and bits.max() <= 64):
            raise ValueError("its samples are of no known layout")
        tiled = not _TILES.isdisjoint(self.entries)
        if tiled and _STRIP_OFFSETS in self.entries:
            raise ValueError("it has strips and tiles")
        if tiled:
            across, rows = self._one(_TILE_WIDTH), self._one(_TILE_HEIGHT)
        else:
            across, rows = width, min(self._one(_ROWS, height), height)
        if not (across and rows):
            raise ValueError(f"strips or tiles of {across}x{rows}")
        apart = samples if planes == 2 else 1
        grid = (apart, -(-height // rows), -(-width // across))
        # at the least: of JPEG and YCbCr all samples but the first may be fewer
        subsampled = compression in (_OLD_JPEG, _JPEG) or self._one(_PHOTOMETRIC, 0) == _YCBCR
        row = -(-across * int(bits.min()) * (1 if subsampled else samples // apart) // 8)
        last = rows if tiled else height - (grid[1] - 1) * rows
        capacity = self._capacity(tiled, grid, compression, row)
        if capacity[:, :-1].min(initial=rows * row) < rows * row or capacity[:, -1].min() < last * row:
            raise ValueError("its strips or tiles are too short for the picture")

    def _capacity(self, tiled: bool, grid: tuple[int, int, int], compression: int, row: int) -> np.ndarray:
        """The most bytes of the picture that each strip or tile can hold, as the grid (planes, down, across).

        ValueError unless all are there.
        """
        count, end = grid[0] * grid[1] * grid[2], self.stream.seek(0, os.SEEK_END)
        tags = (_TILE_OFFSETS, _TILE_BYTES) if tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
        offsets = self._values(tags[0])[:count]
        sizes = self._values(tags[1])[:count] if tags[1] in self.entries else np.maximum(offsets, 1)
        if min(len(offsets), len(sizes)) < count:
            raise ValueError(f"{min(len(offsets), len(sizes))} of {count} strips or tiles are there")
        if not (offsets.all() and sizes.all() and offsets.max() < end):
            raise ValueError("strips or tiles are missing")
        there = end - offsets.astype(np.int64)
        if compression == _RAW or tags[1] not in self.entries:
            sizes = there  # what is stated of plain samples is often wrong, and no decoder asks
        if (sizes > there).any():
            raise ValueError("strips or tiles end outside of the file")
        # by the two-dimensional fax codes a row takes a bit when it is as the one above
        most = 8 * row if compression in _FAX else _EXPANSION.get(compression, _UNLIMITED)
        return sizes.astype(np.float64).reshape(grid) * most

    def _one(self, tag: int, default: int | None = None) -> int:
        values = self._values(tag, default)
        if len(values) != 1:
            raise ValueError(f"tag {tag} has {len(values)} values")
        return int(values[0])

    def _values(self, tag: int, default: int | None = None) -> np.ndarray:
        """The values of a tag of whole numbers; ValueError where there are none, or they are of another type."""
        if tag not in self.entries:
            if default is None:
                raise ValueError(f"tag {tag} is missing")
            return np.array([default])
        kind, count, field = self.entries[tag]
        if kind not in _NUMBERS:
            raise ValueError(f"tag {tag} is no whole number")
        numbers = np.dtype(self.order + _NUMBERS[kind])
        size = count * numbers.itemsize
        if size > len(field):
            (place,) = struct.unpack(self.order + ("Q" if self.big else "I"), field)
            if place + size > self.stream.seek(0, os.SEEK_END):
                raise ValueError(f"tag {tag} lies outside of the file")
            self.stream.seek(place)
            field = self.stream.read(size)
        return np.frombuffer(field, numbers, count)


def read_directories(stream: BinaryIO) -> list[Directory]:
    """All directories of the chain.

    Raises:
        ValueError: no TIFF, or its chain has a loop, leaves the file, or has more than `MAX_FRAMES` members.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    header = stream.read(16)
    order, big = {b"II": "<", b"MM": ">"}[header[:2]], 43 in header[2:4]
    word, head = ("Q", 8) if big else ("I", 2)
    entry = struct.calcsize("=" + _entry_form(big))
    (place,) = struct.unpack_from(order + word, header, 8 if big else 4)
    directories: list[Directory] = []
    visited: set[int] = set()
    taken = 0
    while place:
        if place in visited:
            raise ValueError("its directories go round in a circle")
        visited.add(place)
        if len(visited) > MAX_FRAMES:
            raise ValueError(f"it has more than {MAX_FRAMES} frames")
        stream.seek(min(place, end))
        (count,) = struct.unpack(order + ("Q" if big else "H"), stream.read(head))
        taken += head + count * entry
        if not count or place + head + count * entry > end or taken > end:
            raise ValueError("a directory is empty, or does not fit in the file")
        table = stream.read(count * entry)
        directories.append(Directory(stream, len(directories), order, big, table))
        link = stream.read(struct.calcsize("=" + word))
        place = struct.unpack(order + word, link)[0] if len(link) == struct.calcsize("=" + word) else 0
    if not directories:
        raise ValueError("it has no directory")
    return directories


def _entry_form(big: bool) -> str:
    return "HHQ8s" if big else "HHI4s"


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
        info: dict[str, Any] = {"icc_profile": exif.get(_ICC), "xmp": exif.get(_XMP)}
        unit: Any = {2: 1.0, 3: 2.54}.get(exif.get(_RESOLUTION_UNIT, 2))  # to the inch
        if unit and _X_RESOLUTION in exif and _Y_RESOLUTION in exif:
            info["dpi"] = (float(exif[_X_RESOLUTION]) * unit, float(exif[_Y_RESOLUTION]) * unit)
        orientation, metadata = describe(info, lambda: exif)
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

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        for tag in exif:
            tags[tag] = writable(exif, tag)
    if metadata.dpi:
        tags[TiffImagePlugin.X_RESOLUTION], tags[TiffImagePlugin.Y_RESOLUTION] = metadata.dpi
        tags[TiffImagePlugin.RESOLUTION_UNIT] = 2  # the inch
    if metadata.icc:
        tags[TiffImagePlugin.ICCPROFILE] = metadata.icc
    if metadata.xmp:
        tags[TiffImagePlugin.XMP] = metadata.xmp
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = picture.width, picture.height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (pixels.itemsize * 8,) * channels
    tags[TiffImagePlugin.COMPRESSION], tags[TiffImagePlugin.PREDICTOR] = 8, 2  # Adobe deflate, horizontal differences
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 1 if picture.is_gray_mode else 2  # black is zero, or RGB
    tags[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    tags[TiffImagePlugin.PLANAR_CONFIGURATION] = 1  # samples side by side
    tags[TiffImagePlugin.ROWSPERSTRIP] = rows
    tags[TiffImagePlugin.STRIPOFFSETS], tags[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(offsets), tuple(sizes)
    tags[TiffImagePlugin.SAMPLEFORMAT] = (1,) * channels  # whole numbers from 0 on
    if picture.has_alpha:
        tags[TiffImagePlugin.EXTRASAMPLES] = 2  # not multiplied into the colours
    tags.save(stream)
    for packed in strips:
        stream.write(packed)
