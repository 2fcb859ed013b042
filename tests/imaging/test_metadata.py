"""What travels with the pixels: colour profile, EXIF, XMP, resolution."""

import struct
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational
from support.picture_files import (
    LONG,
    PIXELS,
    RATIONAL,
    SHORT,
    SIGNED_BYTE,
    plain,
    png_with,
    rare,
    refused,
    samples,
    saved,
)

from scoreinv.files.read import read_picture
from scoreinv.files.write import picture_bytes
from scoreinv.imaging.metadata import Metadata, metadata_of, tone_curve_of
from scoreinv.imaging.picture import Picture
from scoreinv.operators.tones import srgb

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="1"/></x:xmpmeta>'


def exif_block(orientation: int | None = None, sides: dict[int, int] | None = None) -> bytes:
    exif = Image.Exif()
    exif[271], exif[33432] = "Maker", "someone"
    exif[34665] = {36867: "2020:01:02 03:04:05", 33434: (1, 100)} | (sides or {})
    if orientation:
        exif[274] = orientation
    return exif.tobytes()


def exif_of(block: bytes | None) -> tuple[dict, dict]:
    assert block is not None
    exif = Image.Exif()
    exif.load(block)
    return {tag: value for tag, value in exif.items() if tag != 34665}, dict(exif.get_ifd(34665))


def long_profile(size: int) -> bytes:
    return bytes(16) + b"RGB " + np.random.default_rng(0).integers(0, 4, size - 20, np.uint8).tobytes()


def test_tags_of_orientation_and_sides_are_dropped():
    """It would be wrong of an enlarged picture."""
    exif = exif_block(6, sides={40962: 37, 40963: 23})
    for name in b"tiff:ImageWidth tiff:ImageLength exif:PixelXDimension exif:PixelYDimension".split():
        sides = b'<a %b="37" c="2"><%b>23</%b></a>' % (name, name, name)
        read = read_picture(saved(Image.fromarray(samples("RGB")), "JPEG", xmp=XMP + sides, exif=exif)).metadata
        assert read.xmp == XMP.replace(b' tiff:Orientation="6"', b"") + b'<a c="2"></a>'
        assert exif_of(read.exif) == exif_of(exif_block())


@pytest.mark.parametrize("form", [bytes, bytes.decode, tuple, list])
def test_xmp_of_every_form_is_bytes(form):
    assert metadata_of({"xmp": form(b"<x/>")}, Image.Exif)[1].xmp == b"<x/>"
    assert metadata_of({"xmp": form(b""), "icc_profile": b""}, Image.Exif)[1] == Metadata()


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_xmp_that_is_no_utf_8_is_no_reason_to_write_nothing(suffix, dtype):
    picture = Picture(samples("RGB", dtype), Metadata(xmp=b"<x a='\xfc'/>"))
    assert read_picture(picture_bytes(picture, f"a.{suffix}")).size == picture.size


def test_the_thumbnail_of_the_unedited_picture_is_dropped():
    """An EXIF block of two directories: the picture's (its maker) and the thumbnail's (its width)."""
    first = struct.pack("<HHHI4sI", 1, 271, 2, 4, b"abc\0", 26)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + struct.pack("<HHHIII", 1, 256, 4, 1, 160, 0)
    exif = Image.Exif()
    exif.load(block)
    assert exif.get_ifd(ExifTags.IFD.IFD1) == {256: 160}
    kept = Image.Exif()
    kept.load(read_picture(saved(Image.fromarray(samples("RGB")), "JPEG", exif=block)).metadata.exif)
    assert dict(kept) == {271: "abc"}
    assert kept.get_ifd(ExifTags.IFD.IFD1) == {}


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [plain, rare])
@pytest.mark.parametrize("xmp", [(RATIONAL, 1, 3), (LONG, *range(300)), (SIGNED_BYTE, -1, -2, -3, -4, -5)])
def test_xmp_that_is_no_text_is_damage(make, xmp):
    refused(make(change={700: xmp}), "damaged")


def test_a_resolution_of_anything_but_two_positive_numbers_is_none():
    values = (
        300,
        1.5,
        "300",
        "x",
        None,
        1,
        0,
        -72,
        np.nan,
        np.inf,
        10**400,
        1e7,
        1j,
        b"1",
        (1, 2),
        [],
        IFDRational(1, 0),
    )
    for across, down in product(values, repeat=2):
        good = {300: 300, 1.5: 1.5, "300": 300}
        key = (across, down)
        expected = None
        if all(isinstance(value, int | float | str) and value in good for value in key):
            expected = tuple(good[value] for value in key)
        for dpi in ((across, down), [across, down]):
            assert metadata_of({"dpi": dpi}, Image.Exif)[1].dpi == expected
    for dpi in (300, "300", (300,), (300, 300, 300), {}):
        assert metadata_of({"dpi": dpi}, Image.Exif)[1].dpi is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_block_that_is_no_exif_is_left_out(dtype):
    pixels = samples("RGB", dtype)
    picture = read_picture(png_with(b"eXIf", b"no TIFF", pixels))
    assert picture.metadata.exif is None
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_exif_of_wrong_types_is_left_out_and_the_rest_kept():
    change = {271: (RATIONAL, 1, 0), 33432: (LONG, 2**31), 34665: (LONG, 2**31), 34853: (SHORT, 4), 305: (SHORT, 9)}
    picture = read_picture(plain(change=change))
    for suffix in ("png", "tif", "webp", "jpg"):
        assert read_picture(picture_bytes(picture, f"a.{suffix}")).size == (6, 5)


def test_the_padding_of_xmp_takes_no_time():
    """A packet may be mostly spaces; searched from each of them it would take hours."""
    packet = b"<x/>" + b" " * 2_000_000 + b' tiff:Orientation="6"'
    tiff = saved(Image.fromarray(PIXELS), "TIFF", tiffinfo={700: packet})
    assert b"Orientation" not in (read_picture(tiff).metadata.xmp or b"")


# --- colour profiles --------------------------------------------------------------------------------------------------


def profile_with(tag: bytes, name: bytes = b"gTRC") -> bytes:
    """Return a profile with a single tag."""
    return bytes(128) + struct.pack(">I4sII", 1, name, 144, len(tag)) + tag


@pytest.mark.parametrize(
    ("tag", "light"),
    [
        (struct.pack(">4s4xI", b"curv", 0), lambda v: v),
        (struct.pack(">4s4xIH", b"curv", 1, 461), lambda v: v ** (461 / 256)),
        (struct.pack(">4s4xI3H", b"curv", 3, 0, 13107, 65535), lambda v: np.interp(v, [0, 0.5, 1], [0, 0.2, 1])),
        (struct.pack(">4s4xHxxi", b"para", 0, 2 << 16), lambda v: v**2),
        (
            struct.pack(">4s4xHxx3i", b"para", 1, 2 << 16, 5 << 14, -(1 << 14)),
            lambda v: np.maximum(1.25 * v - 0.25, 0) ** 2,
        ),
        (
            struct.pack(">4s4xHxx4i", b"para", 2, 2 << 16, 3 << 15, -(1 << 15), 1 << 14),
            lambda v: np.maximum(1.5 * v - 0.5, 0) ** 2,
        ),
        (
            struct.pack(">4s4xHxx5i", b"para", 3, 2 << 16, 1 << 16, 0, 1 << 14, 1 << 14),
            lambda v: np.where(v < 0.25, v / 4, v**2),
        ),
        (  # with offsets of the power and of the line
            struct.pack(">4s4xHxx7i", b"para", 4, 2 << 16, 58982, 0, 1 << 15, 1 << 15, 12452, 6554),
            lambda v: (np.where(v < 0.5, v / 2 + 0.1, 0.81 * v**2 + 0.19) - 0.1) / 0.9,
        ),
    ],
)
@pytest.mark.parametrize("name", [b"gTRC", b"kTRC"])
def test_the_tone_curve_of_a_profile(tag, light, name):
    values = np.linspace(0, 1, 1024)
    expected = np.maximum(light(values), values / 32)
    np.testing.assert_allclose(tone_curve_of(profile_with(tag, name)).light, expected, atol=1e-4)
    tones = Picture(PIXELS, Metadata(icc=profile_with(tag, name))).tones
    np.testing.assert_allclose(tones.light, expected, atol=1e-4)


@pytest.mark.parametrize(
    "icc",
    [
        None,
        b"",
        bytes(131),
        SRGB,
        profile_with(b"curv"),
        profile_with(struct.pack(">4s4xI2H", b"curv", 9, 0, 1)),
        profile_with(struct.pack(">4s4xI3H", b"curv", 3, 9, 5, 1)),
        profile_with(struct.pack(">4s4xHxx", b"para", 9)),
        profile_with(struct.pack(">4s4xHxx3i", b"para", 1, 2 << 16, 0, 0)),
        profile_with(b"mft2" + bytes(20)),
        long_profile(3000),
    ],
)
def test_without_a_valid_tone_curve_a_photograph_is_srgb(icc):
    np.testing.assert_allclose(tone_curve_of(icc).light, srgb().light, atol=1e-4)


@pytest.mark.parametrize(("kind", "head"), [(b"iCCP", b"Name\0\0"), (b"zTXt", b"Comment\0\0")])
def test_a_png_chunk_that_unpacks_to_far_more_is_refused(kind, head):
    refused(png_with(kind, head + zlib.compress(bytes(40_000_000)), samples("RGB")), "damaged", "too large")
    assert PngImagePlugin.MAX_TEXT_CHUNK == 1 << 20
