"""Picture files: every mode there and back, orientation, metadata, and what bad input gets."""

from __future__ import annotations

import io
import logging
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps

from scoreinv.errors import InputError, ScoreinvError
from scoreinv.imaging import write as writing
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.read import decode, read_picture
from scoreinv.imaging.write import check_output, write_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="1"/></x:xmpmeta>'
CHANNELS = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}


def samples(mode: str, dtype: type = np.uint8, height: int = 23, width: int = 37) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, *CHANNELS[mode]), endpoint=True, dtype=dtype)


def exif_block(orientation: int | None = None, sides: dict[int, int] | None = None) -> bytes:
    exif = Image.Exif()
    exif[271], exif[33432] = "Maker", "someone"
    exif[34665] = {36867: "2020:01:02 03:04:05", 33434: (1, 100)} | (sides or {})
    if orientation:
        exif[274] = orientation
    return exif.tobytes()


def exif_of(block: bytes) -> tuple[dict, dict]:
    exif = Image.Exif()
    exif.load(block)
    return {tag: value for tag, value in exif.items() if tag != 34665}, dict(exif.get_ifd(34665))


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("size", [(23, 37), (1, 1), (300, 1)])
def test_lossless_formats_keep_every_sample_and_the_metadata(tmp_path, suffix, dtype, mode, size):
    pixels = samples(mode, dtype, *size)
    icc = GRAY_PROFILE if mode in ("L", "LA") else SRGB
    path = tmp_path / f"picture{suffix}"
    write_picture(path, Picture(pixels, Metadata(icc, exif_block(), b"<x/>", (300.0, 150.0))))
    again = read_picture(path)
    assert again.mode == mode
    assert again.pixels.dtype == dtype
    assert_array_equal(again.pixels, pixels)
    assert again.metadata.icc == icc
    assert again.metadata.xmp == b"<x/>"
    assert again.metadata.dpi == pytest.approx((300, 150), abs=0.0128)
    assert exif_of(again.metadata.exif) == exif_of(exif_block())


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_text_beyond_ascii_and_directories_within_exif_are_kept(tmp_path, suffix):
    exif = Image.Exif()
    exif[270], exif[33432] = "Großmutter 1932".encode(), "© Müller".encode()
    exif[34665] = {36867: "2020:01:02 03:04:05", 40965: {1: "R98"}}
    Image.fromarray(samples("RGB")).save(tmp_path / "a.jpg", exif=exif)
    write_picture(tmp_path / f"b{suffix}", read_picture(tmp_path / "a.jpg"))
    with Image.open(tmp_path / f"b{suffix}") as image:
        kept = image.getexif()
        assert [kept[tag].encode("latin-1").decode() for tag in (270, 33432)] == ["Großmutter 1932", "© Müller"]
        assert kept.get_ifd(34665)[36867] == "2020:01:02 03:04:05"
        assert dict(kept.get_ifd(40965)) == {1: "R98"}


def test_the_sides_that_a_file_tells_in_its_exif_are_not_kept(tmp_path):
    """They would be wrong of an enlarged picture."""
    Image.fromarray(samples("RGB")).save(tmp_path / "a.jpg", exif=exif_block(sides={40962: 37, 40963: 23}))
    assert exif_of(read_picture(tmp_path / "a.jpg").metadata.exif) == exif_of(exif_block())


@pytest.mark.parametrize("mode", CHANNELS)
def test_16_bit_files_are_what_other_software_reads(tmp_path, mode):
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    pixels = samples(mode, np.uint16)
    write_picture(tmp_path / "a.png", Picture(pixels))
    write_picture(tmp_path / "a.tif", Picture(pixels))
    assert_array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)
    seen = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    if mode == "LA":  # OpenCV repeats the grey of LA
        assert_array_equal(seen[..., [0, 3]], pixels)
    else:
        order = {"L": ..., "RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3]}[mode]
        assert_array_equal(seen if mode == "L" else seen[..., order], pixels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_files_of_other_software_keep_all_bits(tmp_path, mode, suffix):
    """OpenCV writes TIFF with LZW, which tifffile alone does not read."""
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    pixels = samples(mode, np.uint16)
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    assert_array_equal(read_picture(path).pixels, pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("mode", CHANNELS)
def test_16_bit_tiff_of_every_layout(tmp_path, byteorder, compression, planes, tile, mode):
    if mode == "L" and planes == "separate":
        pytest.skip("one plane")
    pixels = samples(mode, np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(pixels, -1, 0) if planes == "separate" else pixels,
        byteorder=byteorder,
        compression=compression,
        planarconfig=None if mode == "L" else planes,
        photometric="rgb" if mode.startswith("RGB") else "minisblack",
        extrasamples=["unassalpha"] if mode.endswith("A") else None,
        tile=tile,
    )
    again = read_picture(tmp_path / "a.tif")
    assert again.pixels.dtype == np.uint16
    assert_array_equal(again.pixels, pixels)


def test_premultiplied_16_bit_tiff_is_divided_by_its_alpha(tmp_path):
    stored = np.full((4, 5, 4), (1000, 2000, 3000, 32768), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    expected = np.rint(np.array([1000, 2000, 3000]) * 65535 / 32768)
    assert_array_equal(read_picture(tmp_path / "a.tif").pixels[0, 0], [*expected, 32768])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_tiff(tmp_path, dtype):
    stored = samples("L", dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    assert_array_equal(read_picture(tmp_path / "a.tif").pixels, np.iinfo(dtype).max - stored)


@pytest.mark.parametrize("mode", CHANNELS)
def test_webp_is_lossless_unless_asked(tmp_path, mode):
    picture = Picture(samples(mode), Metadata(SRGB, exif_block(), b"<x/>"))
    write_picture(tmp_path / "a.webp", picture)
    again = read_picture(tmp_path / "a.webp")
    assert_array_equal(again.rgb(), picture.rgb())
    if picture.has_alpha:
        assert_array_equal(again.pixels[..., -1], picture.pixels[..., -1])
    assert (again.metadata.icc, again.metadata.xmp) == (SRGB, b"<x/>")
    write_picture(tmp_path / "b.webp", picture, quality=50)
    assert (tmp_path / "b.webp").stat().st_size < (tmp_path / "a.webp").stat().st_size


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_keeps_mode_and_metadata(tmp_path, mode):
    ramp = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
    pixels = ramp if mode == "L" else np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1)
    icc = GRAY_PROFILE if mode == "L" else SRGB
    write_picture(tmp_path / "a.jpg", Picture(pixels, Metadata(icc, exif_block(), b"<x/>", (300.0, 300.0))))
    again = read_picture(tmp_path / "a.jpg")
    assert again.mode == mode
    assert np.abs(again.pixels.astype(int) - pixels).max() <= 8
    assert again.metadata.icc == icc
    assert again.metadata.xmp == b"<x/>"
    assert again.metadata.dpi == (300, 300)
    assert exif_of(again.metadata.exif) == exif_of(exif_block())


def test_a_profile_of_the_other_kind_is_not_written(tmp_path):
    write_picture(tmp_path / "a.png", Picture(samples("RGB"), Metadata(icc=GRAY_PROFILE)))
    assert read_picture(tmp_path / "a.png").metadata.icc is None


def test_standard_input_and_output_are_png(monkeypatch):
    picture = Picture(samples("RGB", np.uint16))
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    write_picture("-", picture)
    data = out.buffer.getvalue()
    assert data.startswith(b"\x89PNG")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert_array_equal(read_picture("-").pixels, picture.pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("kind", ["a.png", "a.tif", "planes.tif", "a.webp", "a.jpg"])
def test_what_decoding_takes_is_told_before_it_is_taken(tmp_path, monkeypatch, kind, mode, dtype):
    """The picture as Pillow holds it, and the array while it is made: twice the pixels are the least."""
    pixels = samples(mode, dtype)
    if kind == "planes.tif" and mode == "RGB":
        planes = np.moveaxis(pixels, -1, 0)
        tifffile.imwrite(tmp_path / kind, planes, photometric="rgb", planarconfig="separate")
    elif kind != "planes.tif" and (kind != "a.jpg" or mode in ("L", "RGB")):
        write_picture(tmp_path / kind, Picture(pixels))
    else:
        pytest.skip("there is no such file")
    held = read_picture(tmp_path / kind).pixels.nbytes
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("was decoded"))
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda _: pytest.fail("was decoded"))
    told = []

    def look(width: int, height: int, needed: int) -> None:
        told.append((width, height))
        assert 2 * held <= needed <= 24 * width * height
        raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        decode(tmp_path / kind, look=look)
    assert told == [(37, 23)]


# --- other modes ------------------------------------------------------------------------------------------------------


def test_two_level_pictures_become_grey(tmp_path, caplog):
    bits = samples("L") > 127
    for suffix in ("png", "tif"):
        Image.fromarray(bits).save(tmp_path / f"a.{suffix}")
        assert_array_equal(read_picture(tmp_path / f"a.{suffix}").pixels, bits * np.uint8(255))
    assert not caplog.records


@pytest.mark.parametrize("keyed", [False, True])
def test_palette_becomes_colour_and_says_so_once(tmp_path, caplog, keyed):
    image = Image.fromarray(samples("L") % 4).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "a.png", **({"transparency": 2} if keyed else {}))
    with caplog.at_level(logging.WARNING):
        picture = read_picture(tmp_path / "a.png")
    index = samples("L") % 4
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    assert_array_equal(picture.pixels[..., :3], colours[index])
    assert picture.mode == ("RGBA" if keyed else "RGB")
    if keyed:
        assert_array_equal(picture.pixels[..., 3], np.where(index == 2, 0, 255))
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / 'a.png'}: palette colours become sRGB"]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_srgb_and_says_so_once(tmp_path, caplog, suffix):
    ink = np.zeros((16, 24, 4), dtype=np.uint8)
    ink[:, 12:, 0] = 255
    Image.fromarray(ink, "CMYK").save(tmp_path / f"a.{suffix}", dpi=(300, 300), exif=exif_block())
    with caplog.at_level(logging.WARNING):
        picture = read_picture(tmp_path / f"a.{suffix}")
    assert picture.mode == "RGB"
    assert_array_equal(np.abs(picture.pixels[8, [2, 20]].astype(int) - [[255, 255, 255], [0, 255, 255]]) <= 2, True)
    assert picture.metadata.dpi == (300, 300)
    assert exif_of(picture.metadata.exif)[0][271] == "Maker"
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / f'a.{suffix}'}: CMYK becomes sRGB"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_transparent_colour_becomes_alpha(tmp_path, dtype):
    """PNG's tRNS chunk, put in by hand since Pillow writes it for 8 bits only."""
    pixels = samples("RGB", dtype)
    pixels[3, 4] = pixels[0, 0] = (1, 2, 3)
    write_picture(tmp_path / "a.png", Picture(pixels))
    data = (tmp_path / "a.png").read_bytes()
    key = b"tRNS" + struct.pack(">HHH", 1, 2, 3)
    chunk = struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key))
    at = data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:at] + chunk + data[at:])
    again = read_picture(tmp_path / "a.png")
    assert again.pixels.dtype == dtype
    assert_array_equal(again.pixels[..., :3], pixels)
    clear = (pixels == (1, 2, 3)).all(axis=-1)
    assert_array_equal(again.pixels[..., 3], np.where(clear, 0, np.iinfo(dtype).max))


def test_16_bit_pgm(tmp_path):
    pixels = samples("L", np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 37 23 65535\n" + pixels.astype(">u2").tobytes())
    assert_array_equal(read_picture(tmp_path / "a.pgm").pixels, pixels)


def test_a_jpeg_that_carries_further_pictures_is_its_first(tmp_path):
    first, second = Image.fromarray(samples("RGB")), Image.fromarray(samples("RGB")[::-1])
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=95)
    assert_array_equal(read_picture(tmp_path / "a.jpg").pixels, np.asarray(Image.open(tmp_path / "a.jpg")))


# --- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_orientation_is_applied_and_dropped(tmp_path, orientation, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(samples("RGB")).save(path, exif=exif_block(orientation), dpi=(300, 150), lossless=True)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    picture = read_picture(path)
    assert_array_equal(picture.pixels, upright)
    assert 274 not in exif_of(picture.metadata.exif)[0]
    if suffix in ("png", "jpg"):
        assert picture.metadata.dpi == pytest.approx((150, 300) if orientation >= 5 else (300, 150), abs=0.0128)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_of_uncompressed_tiff(tmp_path, orientation, mode, dtype):
    pixels = samples(mode, dtype)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        photometric="rgb" if mode == "RGB" else "minisblack",
        extrasamples=["unassalpha"] if mode == "LA" else None,
        extratags=[(274, "H", 1, orientation, True)],
    )
    picture = read_picture(tmp_path / "a.tif")
    assert_array_equal(picture.pixels, np.rot90(pixels, {3: 2, 6: -1}[orientation]))


def test_orientation_and_sides_are_dropped_from_xmp(tmp_path):
    sides = b'<a exif:PixelXDimension="37" c="2"><tiff:ImageLength>23</tiff:ImageLength></a>'
    Image.fromarray(samples("RGB")).save(tmp_path / "a.jpg", xmp=XMP + sides, exif=exif_block(6))
    kept = XMP.replace(b' tiff:Orientation="6"', b"") + b'<a c="2"></a>'
    assert read_picture(tmp_path / "a.jpg").metadata.xmp == kept


def test_the_thumbnail_of_the_unedited_picture_is_dropped(tmp_path):
    """An EXIF block of two directories: the picture's (its maker) and the thumbnail's (its width)."""
    first = struct.pack("<HHHI4sI", 1, 271, 2, 4, b"abc\0", 26)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + struct.pack("<HHHIII", 1, 256, 4, 1, 160, 0)
    exif = Image.Exif()
    exif.load(block)
    assert exif.get_ifd(ExifTags.IFD.IFD1) == {256: 160}
    Image.fromarray(samples("RGB")).save(tmp_path / "a.jpg", exif=block)
    kept = Image.Exif()
    kept.load(read_picture(tmp_path / "a.jpg").metadata.exif)
    assert dict(kept) == {271: "abc"}
    assert kept.get_ifd(ExifTags.IFD.IFD1) == {}


# --- bad input --------------------------------------------------------------------------------------------------------


def refused(path: Path | bytes, *words: str, frame: int | None = None) -> str:
    """The one-line message of the refusal, which holds the words."""
    with pytest.raises(InputError) as caught:
        read_picture(path, frame)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def test_missing_folder_empty_and_foreign_files(tmp_path):
    refused(tmp_path / "no.png", "no.png", "no such file")
    refused(tmp_path, "folder")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty.png", "empty")
    (tmp_path / "text.png").write_text("This is a text, and no picture at all.")
    refused(tmp_path / "text.png", "text.png", "not a picture", "PNG")
    refused(b"GIF89a", "damaged")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB"])
def test_truncated_files(tmp_path, suffix, dtype, mode):
    if mode == "LA" and suffix == ".jpg":
        pytest.skip("no alpha")
    path = tmp_path / f"a{suffix}"
    write_picture(path, Picture(samples(mode, dtype, 64, 64) | 1 if mode != "LA" else samples(mode, dtype, 64, 64)))
    data = path.read_bytes()
    for part in (0.3, 0.7):
        path.write_bytes(data[: int(len(data) * part)])
        refused(path, path.name)


def test_damaged_png_content():
    buffer = io.BytesIO()
    Image.fromarray(samples("RGB")).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[len(data) // 2] ^= 255
    refused(bytes(data), "damaged")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames_need_a_choice(tmp_path, kind):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    path = tmp_path / "a.bin"
    lossless = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], **lossless)
    refused(path, "a.bin", "3 frames", "`frame`")
    refused(path, "no frame 3", "0 to 2", frame=3)
    refused(path, "no frame -1", frame=-1)
    for index, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        assert_array_equal(read_picture(path, frame=index).pixels[2, 3, :3], colour)


def test_previews_of_a_tiff_are_not_frames(tmp_path):
    pixels = samples("RGB", np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(pixels, photometric="rgb")
    assert_array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)


def huge_png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_huge_header_is_refused_before_decoding(tmp_path, recwarn):
    refused(huge_png(60000, 20000), "60000x20000", "1200 megapixels", "400")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1, 1, 2), np.uint16), photometric="minisblack", extrasamples=[2])
    for name, size in (("a.tif", b"\x40\x9c\0\0"), ("b.gif", b"\x40\x9c")):  # 40000, into both sides
        if name == "b.gif":
            Image.new("L", (1, 1)).save(tmp_path / name)
        data = bytearray((tmp_path / name).read_bytes())
        if name == "b.gif":
            data[6:10] = size * 2
        else:
            for tag in (256, 257):
                at = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
                data[at : at + 4] = size
        refused(bytes(data), "40000x40000", "1600 megapixels")
    assert not recwarn.list


def test_pillows_own_limit_does_not_apply(monkeypatch, recwarn):
    """Pillow warns beyond a global limit and refuses beyond twice that; the limit is left alone and not in the way."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "TIFF", "JPEG"):
        buffer = io.BytesIO()
        Image.fromarray(samples("RGB")).save(buffer, kind)
        assert read_picture(buffer.getvalue()).size == (23, 37)
    assert not recwarn.list
    assert Image.MAX_IMAGE_PIXELS == 100


def test_samples_without_a_range_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", np.ones((4, 5), np.float32))
    refused(tmp_path / "float.tif", "floating-point", "16 bits")
    tifffile.imwrite(tmp_path / "rgb.tif", np.ones((4, 5, 3), np.float32), photometric="rgb")
    refused(tmp_path / "rgb.tif", "8 or 16 bits")
    tifffile.imwrite(tmp_path / "int.tif", np.ones((4, 5), np.int32))
    refused(tmp_path / "int.tif", "16 bits")
    (tmp_path / "deep.ppm").write_bytes(b"P6 2 1 65535\n" + bytes(12))
    refused(tmp_path / "deep.ppm", "PNG or TIFF")


# --- writing ----------------------------------------------------------------------------------------------------------


def unwritable(path: Path, *words: str, picture: Picture | None = None) -> None:
    with pytest.raises(InputError) as caught:
        write_picture(path, picture or Picture(samples("RGB")))
    assert "\n" not in str(caught.value)
    for word in (path.name, *words):
        assert word in str(caught.value)


def test_existing_files_are_replaced_only_when_asked(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    unwritable(path, "exists", "`overwrite=True`")
    assert path.read_bytes() == b"precious"
    write_picture(path, Picture(samples("L")), overwrite=True)
    assert_array_equal(read_picture(path).pixels, samples("L"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    real = writing.encode

    def encode_while_another_writes(*args):
        real(*args)
        path.write_bytes(b"precious")

    monkeypatch.setattr(writing, "encode", encode_while_another_writes)
    unwritable(path, "exists")
    assert path.read_bytes() == b"precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_midway_leaves_nothing(tmp_path, monkeypatch, overwrite):
    path = tmp_path / "a.png"
    if overwrite:
        path.write_bytes(b"precious")

    def full_disk(stream, *_):
        stream.write(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "encode", full_disk)
    with pytest.raises(ScoreinvError, match="No space left on device") as caught:
        write_picture(path, Picture(samples("L")), overwrite=overwrite)
    assert not isinstance(caught.value, InputError)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([b"precious"] if overwrite else [])


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to("real.png")
    write_picture(tmp_path / "link.png", Picture(samples("L")), overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    assert_array_equal(read_picture(tmp_path / "real.png").pixels, samples("L"))


def test_bad_outputs(tmp_path, monkeypatch):
    unwritable(tmp_path / "a.xyz", ".xyz", ".png")
    unwritable(tmp_path / "a", "without suffix")
    unwritable(tmp_path / "no" / "a.png", "no folder")
    (tmp_path / "folder.png").mkdir()
    unwritable(tmp_path / "folder.png", "folder")
    assert check_output(tmp_path / "fine.PNG") == (tmp_path / "fine.PNG").resolve()

    def read_only(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", read_only)
    unwritable(tmp_path / "a.png", "cannot be written to", "Permission denied")


def test_what_jpeg_and_webp_cannot_hold(tmp_path, caplog):
    unwritable(tmp_path / "a.jpg", "transparency", ".png", picture=Picture(samples("RGBA")))
    opaque = samples("RGBA")
    opaque[..., 3] = 255
    write_picture(tmp_path / "opaque.jpg", Picture(opaque))
    assert read_picture(tmp_path / "opaque.jpg").mode == "RGB"
    unwritable(tmp_path / "wide.webp", "16383", picture=Picture(np.zeros((1, 16384), np.uint8)))
    unwritable(tmp_path / "a.png", "8 or 16 bits", picture=Picture(np.zeros((2, 2), np.float32)))
    with caplog.at_level(logging.WARNING):
        write_picture(tmp_path / "deep.webp", Picture(samples("RGB", np.uint16)))
    assert "16 are rounded" in caplog.text
    expected = np.rint(samples("RGB", np.uint16) / 257)
    assert_array_equal(read_picture(tmp_path / "deep.webp").pixels, expected)
    with caplog.at_level(logging.WARNING):
        write_picture(tmp_path / "long.jpg", Picture(samples("L"), Metadata(xmp=b"x" * 70000)))
    assert "XMP block is too long" in caplog.text
