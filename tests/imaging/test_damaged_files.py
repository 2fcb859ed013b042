"""Files that are damaged or made to do harm, and what is no file at all: one line, soon, and not a word besides."""

from __future__ import annotations

import io
import logging
import os
import socket
import stat
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import BmpImagePlugin, GifImagePlugin, Image, PngImagePlugin, TiffImagePlugin

from scoreinv.errors import InputError, ScoreinvError
from scoreinv.imaging import guard, read
from scoreinv.imaging import tiff as tiff_module
from scoreinv.imaging import write as writing
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.read import read_picture
from scoreinv.imaging.write import check_output, encode, write_picture
from scoreinv.training.config import DataConfig
from scoreinv.training.pictures import load_pictures

PIXELS = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8
SHORT, LONG, RATIONAL, SIGNED_BYTE = 3, 4, 5, 6
LAYOUT = {256: (SHORT, 5), 257: (SHORT, 6), 258: (SHORT, 8), 259: (SHORT, 1), 262: (SHORT, 1), 277: (SHORT, 1)}
"""The tags of a plain grey TIFF of 5x6, without its strips."""


def tiff(
    tags: dict[int, tuple],
    data: bytes = PIXELS.tobytes(),
    *,
    order: str = "<",
    big: bool = False,
    following: int = 0,
    change: dict[int, tuple | None] | None = None,
) -> bytes:
    """A TIFF of one directory, whose data lie at 8 (BigTIFF: 16) and the directory behind them.

    A tag's values are a type and numbers; `change` replaces some, or with None leaves one out.
    """
    word, head = ("Q", 16) if big else ("I", 8)
    tags = {tag: value for tag, value in (tags | (change or {})).items() if value is not None}
    place = head + len(data)
    entries, more = b"", b""
    free = place + (8 if big else 2) + (20 if big else 12) * len(tags) + struct.calcsize(order + word)
    for tag, (kind, *values) in sorted(tags.items()):
        form = {SHORT: "H", LONG: "I", RATIONAL: "I", SIGNED_BYTE: "b"}[kind]
        packed = struct.pack(f"{order}{len(values)}{form}", *values)
        count = len(values) // (2 if kind == RATIONAL else 1)
        if len(packed) > struct.calcsize(order + word):
            packed, more = struct.pack(order + word, free + len(more)), more + packed
        entries += struct.pack(f"{order}HH{word}", tag, kind, count) + packed.ljust(
            struct.calcsize(order + word), b"\0"
        )
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    start = magic + (struct.pack(order + "HHQ", 8, 0, place) if big else struct.pack(order + "I", place))
    directory = struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + struct.pack(order + word, following)
    return start + data + directory + more


def plain(**settings) -> bytes:
    """A grey TIFF of 5x6 in one strip."""
    at = 16 if settings.get("big") else 8
    return tiff(LAYOUT | {273: (LONG, at), 278: (SHORT, 6), 279: (LONG, 30)}, **settings)


def tiled(**settings) -> bytes:
    """A grey TIFF of 5x6 in one tile of 16x16."""
    tile = np.pad(PIXELS, ((0, 10), (0, 11))).tobytes()
    return tiff(LAYOUT | {322: (SHORT, 16), 323: (SHORT, 16), 324: (LONG, 8), 325: (LONG, 256)}, tile, **settings)


def rare(**settings) -> bytes:
    """A TIFF of 16-bit grey with alpha, which Pillow does not read."""
    data = np.arange(60, dtype=np.uint16).tobytes()
    tags = {258: (SHORT, 16, 16), 277: (SHORT, 2), 338: (SHORT, 2), 273: (LONG, 8), 278: (SHORT, 6), 279: (LONG, 120)}
    return tiff(LAYOUT | tags, data, **settings)


def refused(path: Path | bytes | str, *words: str, frame: int | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_picture(path, frame)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def test_what_is_made_here_can_be_read():
    for order in "<>":
        for big in (False, True):
            assert_array_equal(read_picture(plain(order=order, big=big)).pixels, PIXELS)
    assert_array_equal(read_picture(tiled()).pixels, PIXELS)
    assert read_picture(rare()).pixels.shape == (6, 5, 2)


# --- directories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("frame", [None, 0, 1])
def test_a_directory_that_follows_itself(order, big, frame):
    place = (16 if big else 8) + 30
    refused(plain(order=order, big=big, following=place), "damaged", "circle", frame=frame)


def test_a_circle_of_several_directories(tmp_path):
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as writer:
        for _ in range(3):
            writer.write(PIXELS, photometric="minisblack", metadata=None)
    whole = data.getvalue()
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        links = [page.offset + 2 + 12 * len(page.tags) for page in file.pages]
        first, second, _ = (page.offset for page in file.pages)
    assert_array_equal(read_picture(whole, frame=2).pixels, PIXELS)
    for at, target in ((links[2], first), (links[2], second), (links[1], second)):
        turned = bytearray(whole)
        struct.pack_into("<I", turned, at, target)
        for frame in (None, 0):
            refused(bytes(turned), "circle", frame=frame)
    struct.pack_into("<I", turned, links[1], len(whole) + 100)
    refused(bytes(turned), "damaged", frame=0)


def test_a_circle_does_not_end_a_training(tmp_path, caplog):
    (tmp_path / "circle.tif").write_bytes(plain(following=38))
    (tmp_path / "tile.tif").write_bytes(tiled(change={322: (SHORT, 0)}))
    Image.fromarray(np.full((12, 12), 9, np.uint8)).save(tmp_path / "fine.png")
    loaded = load_pictures(DataConfig(source=str(tmp_path), scales=(1.0,)), 8, 1)
    assert loaded.names == ("fine.png",)
    assert "circle.tif is left out" in caplog.text


def test_many_frames(monkeypatch):
    monkeypatch.setattr(tiff_module, "MAX_FRAMES", 3)
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
    refused(bytes(data), "does not fit", frame=0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"II*\0", "damaged"),
        (b"II*\0\0\0\0\0", "no directory"),
        (b"MM\0+\0\x08\0\0" + bytes(8), "no directory"),
        (b"II*\0\x08\0\0\0\0\0", "is empty"),
    ],
)
def test_no_directory(data, words):
    refused(data, words)


# --- strips and tiles -------------------------------------------------------------------------------------------------

SHORT_OF = "too short for the picture"
BROKEN = {
    "a tile without width": (tiled(change={322: (SHORT, 0)}), "tiles of 0x16"),
    "a tile without height": (tiled(change={323: (SHORT, 0)}), "tiles of 16x0"),
    "a strip without rows": (plain(change={278: (SHORT, 0)}), "tiles of 5x0"),
    "no width": (plain(change={256: (SHORT, 0)}), "a picture of 0x6"),
    "no height": (plain(change={257: None}), "tag 257 is missing"),
    "no samples": (plain(change={277: (SHORT, 0)}), "no known layout"),
    "no bits": (plain(change={258: (SHORT, 0)}), "no known layout"),
    "many bits": (plain(change={258: (SHORT, 65)}), "no known layout"),
    "no planes": (plain(change={284: (SHORT, 0)}), "no known layout"),
    "a fraction as width": (plain(change={256: (RATIONAL, 5, 1)}), "tag 256 is no whole number"),
    "three widths": (plain(change={256: (SHORT, 5, 5, 5)}), "tag 256 has 3 values"),
    "a huge tile": (tiled(change={322: (LONG, 2**31)}), SHORT_OF),
    "a huge number of samples": (plain(change={277: (LONG, 2**31)}), SHORT_OF),
    "strips and tiles": (tiled(change={273: (LONG, 8), 279: (LONG, 30)}), "strips and tiles"),
    "no strips": (plain(change={273: None}), "tag 273 is missing"),
    "one strip of six": (plain(change={278: (SHORT, 1)}), "1 of 6 strips"),
    "a strip nowhere": (plain(change={273: (LONG, 0)}), "are missing"),
    "a strip beyond the end": (plain(change={273: (LONG, 10**6)}), "are missing"),
    "a strip without bytes": (plain(change={279: (LONG, 0)}), "are missing"),
    "a strip over the end": (plain(change={273: (LONG, 150)}), SHORT_OF),
    "a packed strip over the end": (plain(change={259: (SHORT, 8), 279: (LONG, 1000)}), "end outside of the file"),
    "too short a tile": (tiled(change={259: (SHORT, 8), 325: (LONG, 1), 322: (LONG, 64), 323: (LONG, 64)}), SHORT_OF),
    "more rows than bytes": (plain(change={257: (LONG, 10**7), 278: (LONG, 10**7)}), SHORT_OF),
    "more rows than deflate makes": (
        plain(change={259: (SHORT, 8), 257: (LONG, 10**7), 278: (LONG, 10**7)}),
        SHORT_OF,
    ),
    "more rows than a fax has bits": (
        plain(change={259: (SHORT, 4), 258: (SHORT, 1), 257: (SHORT, 241), 278: (SHORT, 241)}),
        SHORT_OF,
    ),
    "more pixels than an old JPEG has": (
        plain(change={259: (SHORT, 6), 273: None, 257: (LONG, 10**6), 513: (LONG, 8)}),
        "too short for its picture",
    ),
    "a rare one without its strip": (rare(change={273: (LONG, 0)}), "are missing"),
    "a rare one with a short strip": (rare(change={257: (LONG, 10**7), 278: (LONG, 10**7)}), SHORT_OF),
    "a rare one with half its strips": (rare(change={278: (SHORT, 3)}), "1 of 2 strips"),
    "a rare one with an empty strip": (rare(change={279: (LONG, 0)}), "are missing"),
    "strips listed beyond the end": (
        plain(change={273: (LONG, *range(8, 14)), 278: (SHORT, 1)})[:-2],
        "tag 273 lies outside",
    ),
}


@pytest.mark.parametrize("frame", [None, 0])
@pytest.mark.parametrize(("data", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_strips_and_tiles(data, words, frame, monkeypatch):
    """Refused by their numbers, before a decoder is asked."""
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", None)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    refused(data, "the picture: damaged or incomplete TIFF file", words, frame=frame)


def test_a_directory_that_is_cut_between_two_entries():
    whole = plain(change={65000: (SHORT, 7)})
    assert_array_equal(read_picture(whole[:-4]).pixels, PIXELS)  # the link that ends the chain may be missing
    refused(whole[: -4 - 12], "does not fit")


def test_a_big_tiff_of_the_other_byte_order_is_none_that_is_not_big():
    """Pillow takes the first bytes of the place of its directory for the place of one of another kind."""
    big = plain(order=">", big=True)
    other = tiff(LAYOUT | {273: (LONG, 8), 278: (SHORT, 6), 279: (LONG, 30)}, bytes(30), order=">")
    decoy = bytearray(big.ljust(0x80000, b"\0") + other[38:])
    assert TiffImagePlugin.TiffImageFile(io.BytesIO(decoy)).size == (5, 6)
    assert_array_equal(read_picture(bytes(decoy)).pixels, PIXELS)


def test_a_tag_that_is_there_twice():
    data = plain(change={65000: (SHORT, 7)}).replace(
        struct.pack("<HHI", 65000, SHORT, 1), struct.pack("<HHI", 256, 3, 1)
    )
    refused(data, "tag 256 is there twice")


def test_strips_of_unstated_or_wrong_length_are_read():
    assert_array_equal(read_picture(plain(change={279: None})).pixels, PIXELS)
    assert_array_equal(read_picture(plain(change={279: (LONG, 10**6)})).pixels, PIXELS)
    assert_array_equal(read_picture(plain(change={278: (LONG, 2**32 - 1)})).pixels, PIXELS)


@pytest.mark.parametrize(
    ("compression", "mode"), [("group4", "1"), ("group3", "1"), ("tiff_lzw", "L"), ("packbits", "L"), ("jpeg", "L")]
)
def test_an_empty_picture_is_short_by_right(compression, mode):
    buffer = io.BytesIO()
    Image.new(mode, (3000, 4000)).save(buffer, "TIFF", compression=compression)
    assert read_picture(buffer.getvalue()).pixels.max() == 0


@pytest.mark.parametrize("kind", ["GIF", "BMP", "PNG", "WEBP"])
def test_an_empty_picture_of_another_kind(kind):
    buffer = io.BytesIO()
    Image.new("1" if kind == "PNG" else "RGB", (3000, 4000)).save(
        buffer, kind, **({"lossless": True} if kind == "WEBP" else {})
    )
    assert read_picture(buffer.getvalue()).size == (4000, 3000)


def test_a_file_that_is_too_short_for_its_size(monkeypatch):
    monkeypatch.setattr(Image.core, "new", None)  # before memory is taken
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "GIF")
    refused(buffer.getvalue()[:6] + struct.pack("<HH", 15000, 15000) + buffer.getvalue()[10:], "15000x15000", "short")
    refused(b"P5 10000 10000 255\n" + bytes(100), "10000x10000", "short")


def test_frames_of_a_picture_that_is_too_large_are_not_gone_through(monkeypatch):
    monkeypatch.setattr(GifImagePlugin.GifImageFile, "seek", None)
    buffer = io.BytesIO()
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    data = buffer.getvalue()
    refused(data[:6] + struct.pack("<HH", 15000, 15000) + data[10:], "15000x15000", "short", frame=0)


# --- what decoders raise and say --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        *(ZeroDivisionError, OverflowError, AttributeError, KeyError, IndexError, RecursionError, AssertionError),
        *(UnicodeError, struct.error, zlib.error, NotImplementedError, StopIteration, EOFError, MemoryError, OSError),
        *(SyntaxError, Image.DecompressionBombError, SystemError, BufferError),
    ],
)
def test_whatever_a_decoder_raises_is_one_error(monkeypatch, tmp_path, error):
    def fail(*_):
        raise error("first line\nsecond line")

    Image.fromarray(PIXELS).save(tmp_path / "a.bmp")
    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "_open", fail)
    refused(tmp_path / "a.bmp", "a.bmp", "not enough memory" if error is MemoryError else "BMP file")
    (tmp_path / "a.tif").write_bytes(rare())
    monkeypatch.setattr(tifffile.TiffPage, "asarray", fail)
    refused(tmp_path / "a.tif", "a.tif")
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", fail)
    (tmp_path / "b.tif").write_bytes(plain())
    refused(tmp_path / "b.tif", "b.tif")


def test_ctrl_c_is_no_damage(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_picture(plain())


def deflated(data: bytes = PIXELS.tobytes(), **change: tuple) -> bytes:
    packed = zlib.compress(data)
    tags = {259: (SHORT, 8), 273: (LONG, 8), 278: (SHORT, 6), 279: (LONG, len(packed))}
    return tiff(LAYOUT | tags, packed, **change)


def damaged_files() -> dict[str, bytes]:
    whole = deflated()
    broken = whole[:12] + b"\xff\xff\xff" + whole[15:]  # libtiff complains itself
    tags = plain(change={270: (LONG, *range(50)), 282: (RATIONAL, 1, 0), 34675: (SHORT, 1, 2, 3)})
    many = plain(change={277: (SHORT, 300), 258: (SHORT, 8)}, data=bytes(300 * 30))  # Pillow logs
    return {"deflate": broken, "tags": tags, "samples": many, "cut": plain()[:-20], "entries": rare()[:-30]}


@pytest.mark.parametrize("name", ["deflate", "tags", "samples", "cut", "entries"])
@pytest.mark.parametrize("as_file", [False, True])
def test_nothing_is_said_but_the_error(name, as_file, tmp_path, capfd, recwarn):
    logging.getLogger().handlers, handlers = [], logging.getLogger().handlers  # then Python shows warnings on stderr
    try:
        (tmp_path / "a.tif").write_bytes(damaged_files()[name])
        try:
            read_picture(tmp_path / "a.tif" if as_file else damaged_files()[name], 0)
        except InputError:
            assert name != "tags"
    finally:
        logging.getLogger().handlers = handlers
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_libtiff_would_say_it(capfd):
    """The test above tests something."""
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(damaged_files()["deflate"]))
    with pytest.raises(OSError, match="decoder error"):
        image.load()
    if guard._libtiff_setters():
        assert "ZIPDecode" in capfd.readouterr().err


def test_what_is_held_back_comes_again_after_the_last_thread(capfd):
    filters = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with guard.guarded("a", "b"):
            inside.set()
            leave.wait(60)

    def speak() -> bool:
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(damaged_files()["deflate"]))
        with pytest.raises(OSError, match="decoder error"):
            image.load()
        logging.getLogger("tifffile").error("hm")
        return "ZIPDecode" in capfd.readouterr().err

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(60)
    with guard.guarded("a", "b"):
        assert len(warnings.filters) == len(filters) + 1
    assert not logging.getLogger("tifffile").filter(logging.makeLogRecord({}))
    assert not speak()
    leave.set()
    thread.join()
    assert warnings.filters == filters
    assert logging.getLogger("tifffile").filter(logging.makeLogRecord({}))
    if guard._libtiff_setters():
        assert speak()


def test_no_more_is_read_than_there_is(tmp_path):
    """For all that is asked of a file Python takes memory first."""
    (tmp_path / "a").write_bytes(b"abc" * 5000)
    with read._open_file(tmp_path / "a", "a") as stream:
        assert stream.read(2) == b"ab"
        assert len(stream.read(1 << 60)) == 14998
        stream.seek(0)
        assert len(stream.read()) == 15000


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [plain, rare])
@pytest.mark.parametrize(
    "xmp",
    [(RATIONAL, 1, 3), (RATIONAL, *range(40)), (LONG, 2**31), (LONG, *range(300)), (SIGNED_BYTE, -1, -2, -3, -4, -5)],
)
def test_xmp_that_is_no_text_is_damage(make, xmp):
    refused(make(change={700: xmp}), "damaged")


@pytest.mark.parametrize("make", [plain, rare])
@pytest.mark.parametrize("profile", [(SHORT, 1), (LONG, 2**31), (RATIONAL, 1, 3, 4, 5), (SHORT, *range(300))])
def test_a_profile_that_is_none_is_left_out(make, profile):
    assert read_picture(make(change={34675: profile})).metadata.icc is None


@pytest.mark.parametrize("resolution", [(RATIONAL, 1, 0), (RATIONAL, 0, 0), (RATIONAL, 2**32 - 1, 1), (LONG, 1, 8, 9)])
def test_a_resolution_that_is_none_is_left_out(resolution):
    for make in (plain, rare):
        change = {282: resolution, 283: resolution, 296: (SHORT, 2)}
        picture = read_picture(make(change=change))
        assert picture.metadata.dpi is None


def test_exif_of_wrong_types_is_left_out_and_the_rest_kept():
    change = {271: (RATIONAL, 1, 0), 33432: (LONG, 2**31), 34665: (LONG, 2**31), 34853: (SHORT, 4), 305: (SHORT, 9)}
    picture = read_picture(plain(change=change))
    for suffix in ("png", "tif", "webp", "jpg"):
        assert read_picture(writing.picture_bytes(picture, f"a.{suffix}")).size == (6, 5)


def test_the_padding_of_xmp_takes_no_time():
    """A packet may be mostly spaces; searched from each of them it would take hours."""
    buffer = io.BytesIO()
    packet = b"<x/>" + b" " * 2_000_000 + b' tiff:Orientation="6"'
    Image.fromarray(PIXELS).save(buffer, "TIFF", tiffinfo={700: packet})
    assert b"Orientation" not in read_picture(buffer.getvalue()).metadata.xmp
    assert b"Orientation" not in read_picture(rare(change={700: (SHORT, *packet)})).metadata.xmp


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_signed_samples_are_refused(dtype, shape):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros(shape, dtype), photometric="rgb" if len(shape) == 3 else "minisblack")
    refused(buffer.getvalue(), "signed samples", "8 or 16 bits")


def test_samples_of_12_bits_are_refused():
    """Pillow would give them as 16-bit ones, and so the picture almost black."""
    refused(plain(data=bytes(48), change={258: (SHORT, 12), 279: (LONG, 48)}), "12 or 32 bits", "16 bits")


def test_grey_with_alpha_in_planes():
    pixels = np.stack([PIXELS, PIXELS[::-1]])
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="minisblack", planarconfig="separate", extrasamples=["unassalpha"])
    assert_array_equal(read_picture(buffer.getvalue()).pixels, np.moveaxis(pixels, 0, -1))


# --- long profiles ----------------------------------------------------------------------------------------------------


def long_profile(size: int) -> bytes:
    return bytes(16) + b"RGB " + np.random.default_rng(0).integers(0, 4, size - 20, np.uint8).tobytes()


def png_with(kind: bytes, content: bytes, dtype: type = np.uint8) -> bytes:
    """A PNG with a chunk before its data."""
    buffer = io.BytesIO()
    encode(buffer, Picture(np.full((4, 5, 3), 9, dtype)), "PNG")
    data = buffer.getvalue()
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    at = data.index(b"IDAT") - 4
    return data[:at] + chunk + data[at:]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_long_profile_of_a_png_is_read_and_kept_where_it_can_be(tmp_path, caplog, dtype):
    profile = long_profile(3_000_000)
    (tmp_path / "a.png").write_bytes(png_with(b"iCCP", b"Name\0\0" + zlib.compress(profile), dtype))
    picture = read_picture(tmp_path / "a.png")
    assert picture.metadata.icc == profile
    assert_array_equal(picture.pixels, np.full((4, 5, 3), 9, dtype))
    for suffix in ("tif", "jpg", "webp"):
        write_picture(tmp_path / f"b.{suffix}", picture)
        assert read_picture(tmp_path / f"b.{suffix}").metadata.icc == profile
    caplog.clear()
    write_picture(tmp_path / "b.png", picture)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'b.png'}: the colour profile is too long for a PNG and is left out (.tif keeps it)"
    ]
    assert read_picture(tmp_path / "b.png").metadata.icc is None
    assert Image.open(tmp_path / "b.png").load()


def test_the_longest_profile_that_a_png_has(tmp_path, caplog):
    for size, kept in ((PngImagePlugin.MAX_TEXT_CHUNK - 1, True), (PngImagePlugin.MAX_TEXT_CHUNK + 1, False)):
        write_picture(
            tmp_path / f"{size}.png", Picture(np.zeros((2, 2, 3), np.uint8), Metadata(icc=long_profile(size)))
        )
        assert (read_picture(tmp_path / f"{size}.png").metadata.icc is not None) == kept
        assert bool(caplog.records) != kept


def test_a_profile_that_is_too_long_for_a_jpeg(tmp_path, caplog):
    picture = Picture(np.zeros((2, 2, 3), np.uint8), Metadata(icc=long_profile(255 * 65519 + 1)))
    write_picture(tmp_path / "a.jpg", picture)
    assert "too long for a JPEG" in caplog.text
    assert read_picture(tmp_path / "a.jpg").metadata.icc is None


@pytest.mark.parametrize(
    ("kind", "head"), [(b"iCCP", b"Name\0\0"), (b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0en\0\0")]
)
def test_a_png_chunk_that_unpacks_to_far_more_is_refused(kind, head):
    refused(png_with(kind, head + zlib.compress(bytes(40_000_000))), "damaged", "too large")
    assert PngImagePlugin.MAX_TEXT_CHUNK == 1 << 20


def test_a_broken_profile_chunk_is_no_reason_to_refuse():
    assert read_picture(png_with(b"iCCP", b"Name\0\0" + bytes(2000))).metadata.icc is None


# --- what is no file --------------------------------------------------------------------------------------------------


@pytest.fixture
def special(tmp_path):
    """A pipe, a socket and a link to a device, with names of pictures."""
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.png"))
        (tmp_path / "device.png").symlink_to("/dev/null")
        yield [tmp_path / "pipe.png", tmp_path / "socket.png", tmp_path / "device.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_pipes_and_devices_are_not_read(special):
    for path, kind in zip(special, ("a pipe", "a socket", "a device"), strict=True):
        refused(path, path.name, kind, "use -")
    refused("/dev/zero", "device")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_pipes_and_devices_are_not_replaced(special, tmp_path):
    before = sorted(tmp_path.iterdir())
    for path in special:
        for overwrite in (False, True):
            with pytest.raises(InputError, match="never replaced"):
                check_output(path, overwrite=overwrite)
            with pytest.raises(InputError, match="never replaced"):
                write_picture(path, Picture(PIXELS), overwrite=overwrite)
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISFIFO(special[0].stat().st_mode)
    assert special[2].is_symlink()


def test_rings_of_links(tmp_path):
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    refused(tmp_path / "a.png", "cannot be read")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"a\.png: cannot be written"):
            write_picture(tmp_path / "a.png", Picture(PIXELS), overwrite=overwrite)
    assert (tmp_path / "a.png").is_symlink()


def test_names_at_the_limit_of_the_file_system(tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    path = tmp_path / ("a" * (longest - 4) + ".png")
    write_picture(path, Picture(PIXELS))
    assert_array_equal(read_picture(path).pixels, PIXELS)
    write_picture(path, Picture(PIXELS[::-1]), overwrite=True)
    assert_array_equal(read_picture(path).pixels, PIXELS[::-1])
    too_long = tmp_path / ("a" * (longest - 3) + ".png")
    refused(too_long, "cannot be read")
    with pytest.raises(InputError, match="cannot be written"):
        write_picture(too_long, Picture(PIXELS))
    assert list(tmp_path.iterdir()) == [path]


def test_what_one_is_not_allowed_to(tmp_path, monkeypatch):
    """Root is allowed everything, so the refusal is made."""

    def deny(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", deny)
    refused(tmp_path / "a.png", "a.png", "cannot be read", "Permission denied")
    with pytest.raises(InputError, match=r"a\.png: cannot be written \(Permission denied\)"):
        check_output(tmp_path / "a.png")


@pytest.mark.parametrize("path", ["", "a\0b.png", "\ud800.png", None, 3, 2.5, ["a.png"], object()])
def test_what_is_no_path(path):
    words = "a path is" if not isinstance(path, str) else "is empty" if not path else "cannot name|cannot be written"
    with pytest.raises(InputError, match=words):
        read_picture(path)
    with pytest.raises(InputError, match=words):
        check_output(path)
    with pytest.raises(InputError, match=words):
        write_picture(path, Picture(PIXELS))


@pytest.mark.parametrize("frame", ["1", 1.0, [0], float("nan")])
def test_a_frame_is_a_number(frame):
    refused(plain(), "whole number", frame=frame)


class Endless(io.RawIOBase):
    """What follows the beginning of a stream goes on and on."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning = beginning
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = min(len(buffer), len(self.beginning)) or len(buffer)
        buffer[:count] = self.beginning[:count] or bytes(count)
        self.beginning = self.beginning[count:]
        self.taken += count
        return count


@pytest.mark.parametrize(("beginning", "words"), [(b"", "not a picture"), (b"\x89PNG\r\n\x1a\n", "longer than")])
def test_a_stream_that_does_not_end(monkeypatch, beginning, words):
    monkeypatch.setattr(read, "_LONGEST_STREAM", 5_000_000)
    stream = Endless(beginning)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(stream)))
    refused("-", "standard input", words)
    assert stream.taken < (10_000_000 if beginning else 100_000)


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_closed_streams(monkeypatch, name):
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(InputError, match="is closed"):
        read_picture("-") if name == "stdin" else write_picture("-", Picture(PIXELS))


def test_an_encoder_that_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise struct.error("ushort format requires 0 <= number")

    monkeypatch.setattr(writing, "encode", fail)
    with pytest.raises(ScoreinvError, match=r"a\.png: writing failed \(ushort"):
        write_picture(tmp_path / "a.png", Picture(PIXELS))
    assert not list(tmp_path.iterdir())


def test_every_kind_is_guarded():
    assert {kind.name for kind in read._KINDS} == {"PNG", "JPEG", "TIFF", "WebP", "GIF", "BMP", "PNM"}
