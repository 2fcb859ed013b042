"""TIFFs: every layout of 16 bits, kinds that Pillow does not read, and damaged directories."""

import io
import struct
from itertools import product

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import TiffImagePlugin
from support.picture_files import (
    CHANNELS,
    LAYOUT,
    LONG,
    PIXELS,
    RATIONAL,
    SHORT,
    plain,
    refused,
    samples,
    tiff,
    tiled,
)

from scoreinv.files.read import read_picture


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_premultiplied_samples_are_divided_by_their_alpha(tmp_path, mode, dtype, planes, compression):
    peak, colours = np.iinfo(dtype).max, np.array([0.1, 0.2, 0.3][: len(mode) - 1])
    stored = np.full((4, 5, len(mode)), [*colours * peak, peak // 2], dtype)
    stored = np.moveaxis(stored, -1, 0) if planes == "separate" else stored
    layout = {"photometric": "rgb" if mode == "RGBA" else "minisblack", "planarconfig": planes}
    tifffile.imwrite(tmp_path / "a.tif", stored, extrasamples=["assocalpha"], compression=compression, **layout)
    expected = [*(colours * peak).astype(dtype) / (peak // 2) * peak, peak // 2]
    found = read_picture(tmp_path / "a.tif").pixels
    assert found.dtype == dtype
    assert np.abs(found - np.array(expected)).max() <= 1  # Pillow rounds down


def test_lab_in_planes_is_refused_rather_than_misread(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 6, 5), np.uint8), photometric="cielab", planarconfig="separate")
    refused(tmp_path / "a.tif", "only grey and RGB")


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("mode", CHANNELS)
def test_floats_become_16_bits(tmp_path, caplog, planes, mode):
    pixels = samples(mode, np.uint16)
    pixels.flat[0], pixels.flat[-1] = 0, 65535
    values = np.float32(pixels / 65535)
    layout = {"photometric": "rgb" if mode.startswith("RGB") else "minisblack", "compression": "zlib"}
    if mode != "L":
        layout |= {"planarconfig": planes, "extrasamples": ["unassalpha"] if mode.endswith("A") else None}
        values = np.moveaxis(values, -1, 0) if planes == "separate" else values
    tifffile.imwrite(tmp_path / "a.tif", values, **layout)
    assert_array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)
    assert "16 bits" in caplog.text
    for wrong, said in ((255 * values, "0 to 255"), (values - 1, "-1 to 0"), (values * np.nan, "NaN")):
        tifffile.imwrite(tmp_path / "a.tif", wrong, **layout)
        refused(tmp_path / "a.tif", said)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero(tmp_path, dtype):
    stored = samples("L", dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    assert_array_equal(read_picture(tmp_path / "a.tif").pixels, np.iinfo(dtype).max - stored)


def test_white_is_zero_beside_an_alpha_channel(tmp_path):
    """Which Pillow does not read."""
    stored = samples("LA", np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", extrasamples=["unassalpha"])
    again = read_picture(tmp_path / "a.tif").pixels
    assert_array_equal(again[..., 0], 65535 - stored[..., 0])
    assert_array_equal(again[..., 1], stored[..., 1])


FORMS = {
    "RGB": {"photometric": "rgb", "planarconfig": "contig"},
    "LA": {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]},
}
"""By mode, how tifffile writes 16 bits: Pillow reads RGB, and tifffile LA."""


@pytest.mark.parametrize(("unit", "dpi"), [("inch", (100, 200)), ("centimeter", (254, 508)), ("none", None)])
@pytest.mark.parametrize("mode", FORMS)
def test_resolutions_are_in_dots_per_inch(tmp_path, mode, unit, dpi):
    stored = {"resolution": (100, 200), "resolutionunit": unit, **FORMS[mode]}
    tifffile.imwrite(tmp_path / "a.tif", samples(mode, np.uint16), **stored)
    assert read_picture(tmp_path / "a.tif").metadata.dpi == (dpi and pytest.approx(dpi))


@pytest.mark.parametrize("kind", [1, 3, 5, 7])
def test_previews_are_not_frames(kind):
    pixels = samples("RGB", np.uint16)
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as writer:
        writer.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(pixels, photometric="rgb")
    tags = (struct.pack("<HHII", 254, LONG, 1, each) for each in (1, kind))
    assert_array_equal(read_picture(data.getvalue().replace(*tags)).pixels, pixels)
    assert_array_equal(read_picture(plain(change={254: (LONG, kind)})).pixels, PIXELS)  # the only one is read


def test_more_than_four_samples_are_refused(tmp_path):
    layout = {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha", "unspecified"]}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6, 7), np.uint16), **layout)
    refused(tmp_path / "a.tif", "too many samples")


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_signed_samples_are_refused(dtype):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((6, 5), dtype), photometric="minisblack")
    refused(buffer.getvalue(), "signed samples", "8 or 16 bits")


@pytest.mark.parametrize("bits", [12, 32])
def test_samples_of_12_and_32_bits_are_refused(bits):
    """Pillow would give them as 16-bit ones, and so the picture almost black."""
    size = 30 * bits // 8
    refused(plain(data=bytes(size), change={258: (SHORT, bits), 279: (LONG, size)}), "12 or 32 bits", "16 bits")


# --- directories ------------------------------------------------------------------------------------------------------


def test_many_frames(limit):
    limit(frames=3)
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as writer:
        for count in range(4):
            writer.write(PIXELS, photometric="minisblack", metadata=None)
            if count == 2:
                assert_array_equal(read_picture(data.getvalue(), frame=2).pixels, PIXELS)
    refused(data.getvalue(), "more than 3 frames", frame=0)


def test_directories_that_share_their_bytes_are_no_chain():
    """Each begins four bytes after the one before and is there, but all of them are far more than the file."""
    count = 300
    data = bytearray(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<HH", count, 0) * count)
    data += bytes(10 + 12 * count - len(data))
    data += b"".join(struct.pack("<I", 8 + 4 * number) for number in range(1, count)) + bytes(4)
    refused(bytes(data), "do not fit", frame=0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"II*\0", "damaged"),
        (b"MM\0+\0\x08\0\0" + bytes(8), "no directory"),
        (b"II*\0\x08\0\0\0\0\0", "no directory"),
    ],
)
def test_no_directory(data, words):
    refused(data, words)


def test_a_directory_that_is_cut():
    whole = plain(change={65000: (SHORT, 7)})
    assert_array_equal(read_picture(whole[:-4]).pixels, PIXELS)  # the link that ends the chain may be missing
    refused(whole[: whole.index(struct.pack("<HHI", 257, SHORT, 1))], "damaged")


def test_a_big_tiff_of_the_other_byte_order_is_none_that_is_not_big():
    """Pillow takes the first bytes of the place of its directory for the place of one of another kind."""
    big = plain(order=">", big=True)
    other = tiff(LAYOUT | {273: (LONG, 8), 278: (SHORT, 6), 279: (LONG, 30)}, bytes(30), order=">")
    decoy = bytearray(big.ljust(0x80000, b"\0") + other[38:])
    assert TiffImagePlugin.TiffImageFile(io.BytesIO(decoy)).size == (5, 6)
    assert_array_equal(read_picture(bytes(decoy)).pixels, PIXELS)


# --- strips and tiles -------------------------------------------------------------------------------------------------

SHORT_OF = "too short for its picture"
BROKEN = {
    "a tile without width": (tiled(change={322: (SHORT, 0)}), "no size"),
    "no width": (plain(change={256: (SHORT, 0)}), "no size"),
    "no samples": (plain(change={277: (SHORT, 0)}), "no size"),
    "a fraction as width": (plain(change={256: (RATIONAL, 5, 1)}), "no size"),
    "many bits": (plain(change={258: (SHORT, 65)}), SHORT_OF),
    "a huge tile": (tiled(change={322: (LONG, 2**31)}), SHORT_OF),
    "a huge number of samples": (plain(change={277: (LONG, 2**31)}), SHORT_OF),
    "one strip of six": (plain(change={278: (SHORT, 1)}), "are missing"),
    "a strip without a place": (plain(change={273: (LONG, 0)}), "are missing"),
    "a tile without bytes": (tiled(change={325: (LONG, 0)}), "are missing"),
    "strips listed beyond the end": (
        plain(change={273: (LONG, *range(8, 14)), 278: (SHORT, 1)})[:-2],
        "are missing",
    ),
    "more rows than deflate makes": (
        plain(change={259: (SHORT, 8), 257: (LONG, 10**7), 278: (LONG, 10**7)}),
        SHORT_OF,
    ),
    "more rows than a fax has bits": (
        plain(change={259: (SHORT, 4), 258: (SHORT, 1), 257: (SHORT, 2000), 278: (SHORT, 2000)}),
        SHORT_OF,
    ),
    "more pixels than an old JPEG has": (
        plain(change={259: (SHORT, 6), 273: None, 257: (LONG, 10**6), 513: (LONG, 8)}),
        SHORT_OF,
    ),
}


@pytest.mark.parametrize(("data", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_strips_and_tiles(data, words, monkeypatch):
    """Refused by their numbers, before a decoder is asked."""
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", None)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    refused(data, "the picture: damaged or incomplete TIFF file", words)


def test_every_layout_is_read_and_without_a_part_refused():
    """Strips and tiles, side by side or in planes, of 1 to 4 samples, 8 and 16 bits and both byte orders."""
    rng = np.random.default_rng(1)
    for count, dtype, planes, in_tiles in product(range(1, 5), (np.uint8, np.uint16), (1, 2), (False, True)):
        pixels = rng.integers(0, np.iinfo(dtype).max, (*rng.integers(20, 40, 2), count), dtype, endpoint=True)
        order, (height, width) = "<>"[rng.integers(2)], pixels.shape[:2]
        down, across = (16, 16) if in_tiles else (int(rng.integers(3, 12)), width)
        stored = pixels.astype(np.dtype(dtype).newbyteorder(order))
        parts = [
            np.pad(part, [(0, (down - len(part)) * in_tiles), (0, across - part.shape[1]), (0, 0)]).tobytes()
            for plane in (np.split(stored, count, axis=2) if planes == 2 else [stored])
            for top, left in product(range(0, height, down), range(0, width, across))
            for part in [plane[top : top + down, left : left + across]]
        ]
        sizes = [len(part) for part in parts]
        offsets = [8 + sum(sizes[:number]) for number in range(len(parts))]
        tags = {256: (SHORT, width), 257: (SHORT, height), 258: (SHORT, *[8 * pixels.itemsize] * count)}
        tags |= {259: (SHORT, 1), 262: (SHORT, 1 if count < 3 else 2), 277: (SHORT, count), 284: (SHORT, planes)}
        tags |= {338: (SHORT, 2)} if count in (2, 4) else {}
        tags |= {322: (SHORT, across), 323: (SHORT, down)} if in_tiles else {278: (SHORT, down)}
        places, lengths = (324, 325) if in_tiles else (273, 279)
        whole = tags | {places: (LONG, *offsets), lengths: (LONG, *sizes)}
        assert_array_equal(read_picture(tiff(whole, b"".join(parts), order=order)).pixels, np.squeeze(pixels))
        for broken in ((offsets[:-1], sizes[:-1]), ([*offsets[:-1], 0], sizes), (offsets, [0, *sizes[1:]])):
            change = {places: (LONG, *broken[0]), lengths: (LONG, *broken[1])}
            refused(tiff(tags | change, b"".join(parts), order=order), "strips or tiles are missing")
