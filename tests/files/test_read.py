"""Picture files: every mode is brought to one that is worked on, and what cannot be read is refused in one line."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageCms, ImageFile
from support.picture_files import PIXELS, png_with, refused, samples, saved

from scoreinv.files.read import decode, read_picture, stated_pixels
from scoreinv.files.write import picture_bytes
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM"])
def test_pixels_are_counted_without_decoding(tmp_path, monkeypatch, kind):
    path = tmp_path / "photo"
    path.write_bytes(saved(Image.new("RGB", (40, 30)), kind))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("was decoded"))
    assert stated_pixels(str(path)) == 1200


def test_other_files_have_no_pixel_count(tmp_path):
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png", "gone.png", ""):
        assert stated_pixels(str(tmp_path / name)) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_becomes_alpha(mode, dtype):
    """PNG's tRNS chunk, put in by hand since Pillow writes it for 8 bits only."""
    key = (1, 2, 3)[: len(mode)]
    pixels = samples(mode, dtype).reshape(23, 37, -1)
    pixels[3, 4] = pixels[0, 0] = key
    pixels[5, 6, -1] = 200  # one channel is another
    again = read_picture(png_with(b"tRNS", struct.pack(f">{len(key)}H", *key), pixels.squeeze()))
    assert again.pixels.dtype == dtype
    assert_array_equal(again.pixels[..., :-1], pixels)
    clear = (pixels == key).all(axis=-1)
    assert_array_equal(again.pixels[..., -1], np.where(clear, 0, np.iinfo(dtype).max))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames_need_a_choice(tmp_path, kind):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    path = tmp_path / "a.bin"
    lossless = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], **lossless)
    refused(path, "a.bin", "3 frames", "frame must be chosen, from 0 to 2")
    for absent in (3, -1):
        refused(path, f"not {absent}", "from 0 to 2", frame=absent)
    for wrong in ("1", 1.0):
        refused(path, "whole number", frame=wrong)
    for index, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        decoded = decode(path, frame=index)
        assert_array_equal(decoded.picture.pixels[2, 3, :3], colour)
        assert f"frame {index} " in (decoded.note or "")
    frames[0].save(path, kind, **lossless)
    assert "frame" not in (decode(path, frame=0).note or "")


# --- bad input --------------------------------------------------------------------------------------------------------


def test_missing_folder_empty_and_foreign_files(tmp_path):
    refused(tmp_path / "no.png", "no.png", "no such file")
    refused(tmp_path, "folder")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty.png", "the file is empty")
    (tmp_path / "text.png").write_text("This is a text, and no picture at all.")
    refused(tmp_path / "text.png", "text.png", "not a supported picture", "PNG")
    refused(b"GIF89a", "damaged")


def test_a_decompression_bomb_has_a_remedy(monkeypatch):
    def bomb(*_):
        raise Image.DecompressionBombError

    bmp = saved(Image.fromarray(PIXELS), "BMP")
    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "_open", bomb)
    refused(bmp, "too large for a BMP file", "PNG or TIFF")


@pytest.mark.parametrize("mode", ["LAB", "CMYK"])
def test_a_profile_that_cannot_be_used(monkeypatch, mode):
    """Lab has no other conversion; that of CMYK is Pillow's own."""
    asked = []

    def unable(image, *_, **__):
        asked.append(image.mode)
        raise ImageCms.PyCMSError("no")

    profile = {"icc_profile": bytes(16) + b"CMYK" + bytes(108)}
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", lambda _: None)
    monkeypatch.setattr(ImageCms, "profileToProfile", unable)
    data = saved(Image.new(mode, (8, 6)), "TIFF", **profile)
    if mode == "LAB":
        refused(data, "Lab colours cannot be converted", "RGB")
    else:
        assert read_picture(data).pixels.min() == 255
    assert asked == [mode]


def test_samples_without_a_range_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", np.ones((4, 5), np.float64))
    refused(tmp_path / "float.tif", "8 or 16 bits or 32-bit floats")
    refused(b"Pf 2 1 -1\n" + bytes(8), "floating-point", "16 bits")
    refused(b"P6 2 1 65535\n" + bytes(12), "PNG or TIFF")


def huge_png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_huge_header_is_refused_before_decoding(tmp_path, recwarn):
    refused(huge_png(60000, 20000), "60000x20000", "1200 megapixels", "400")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1, 1, 2), np.uint16), photometric="minisblack", extrasamples=[2])
    data = bytearray((tmp_path / "a.tif").read_bytes())
    for tag in (256, 257):
        at = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
        data[at : at + 4] = struct.pack("<I", 40000)
    refused(bytes(data), "40000x40000", "1600 megapixels")
    gif = saved(Image.new("L", (1, 1)), "GIF")
    refused(gif[:6] + struct.pack("<HH", 40000, 40000) + gif[10:], "40000x40000", "1600 megapixels")
    assert not recwarn.list


def test_a_file_that_is_too_short_for_its_size(monkeypatch):
    """Refused before memory is taken, and before its frames are gone through."""
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    gif = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(Image.core, "new", None)
    monkeypatch.setattr(GifImagePlugin.GifImageFile, "seek", None)
    refused(gif[:6] + struct.pack("<HH", 15000, 15000) + gif[10:], "15000x15000", "short", frame=0)
    refused(b"P5 10000 10000 255\n" + bytes(100), "10000x10000", "short")


def test_a_frame_that_is_larger_than_the_first_is_checked():
    first, second = Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])
    gif = saved(first, "GIF", save_all=True, append_images=[second])
    at = gif.rindex(b"\x2c") + 5  # the sides in the descriptor of the last frame
    large = gif[:at] + struct.pack("<HH", 12000, 12000) + gif[at + 4 :]
    assert read_picture(large, 0).size == PIXELS.shape
    refused(large, "12000x12000", "short", frame=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "tif", "planes.tif", "webp"])
def test_the_memory_of_decoding_is_checked_first(monkeypatch, suffix, mode, dtype):
    """The picture as Pillow holds it, and the array while it is made: twice the pixels are the least."""
    data = picture_bytes(Picture(samples(mode, dtype)), f"a.{suffix}")
    if suffix == "planes.tif" and mode != "L":
        buffer = io.BytesIO()
        planes = np.moveaxis(samples(mode, dtype), -1, 0)
        extra = ["unassalpha"] if mode.endswith("A") else None
        photometric = "rgb" if mode.startswith("RGB") else "minisblack"
        tifffile.imwrite(buffer, planes, photometric=photometric, planarconfig="separate", extrasamples=extra)
        data = buffer.getvalue()
    held = read_picture(data).pixels.nbytes
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("was decoded"))
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda _: pytest.fail("was decoded"))
    told = []

    def check_size(width: int, height: int, needed: int) -> None:
        told.append((width, height))
        assert 2 * held <= needed <= 24 * width * height
        raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        decode(data, check_size=check_size)
    assert told == [(37, 23)]


# --- where the bytes come from ----------------------------------------------------------------------------------------


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


def test_a_file_longer_than_any_picture_is_not_read(tmp_path, limit):
    path = tmp_path / "scan.tif"
    path.write_bytes(saved(Image.new("L", (40, 30)), "TIFF"))
    limit(file_bytes=path.stat().st_size)
    assert read_picture(path).size == (30, 40)
    limit(file_bytes=path.stat().st_size - 1)
    with pytest.raises(InputError, match=r"scan\.tif: is 0 GB long, above the limit: save"):
        read_picture(path)


@pytest.mark.parametrize(
    ("beginning", "words"), [(b"", "not a supported picture"), (b"\x89PNG\r\n\x1a\n", "longer than")]
)
def test_a_stream_that_does_not_end(monkeypatch, limit, beginning, words):
    limit(stream_bytes=5_000_000)
    stream = Endless(beginning)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(stream)))
    refused("-", "standard input", words)
    assert stream.taken < (10_000_000 if beginning else 100_000)
    monkeypatch.setattr(sys, "stdin", None)
    refused("-", "is closed")
