"""HEIC and AVIF: upright once, as deep as they are, the main picture of several, and refused in one line."""

import io
import logging
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from support.picture_files import refused, saved

from scoreinv.files import heif
from scoreinv.files.read import decode, read_picture
from scoreinv.files.write import check_format, picture_bytes
from scoreinv.imaging.metadata import orient
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError, SettingError

pillow_heif = pytest.importorskip("pillow_heif")
pytest.importorskip("PIL.AvifImagePlugin")

BOTH = pytest.mark.parametrize("suffix", ["heic", "avif"])


def ramp(height: int = 40, width: int = 64, channels: int = 3) -> np.ndarray:
    """Smooth, so that little of it is lost, and no two of its sides are alike."""
    down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
    planes = (0.9 * across + 0 * down, 0.9 * down + 0 * across, (down + across) / 3, 0.2 + 0.8 * across * down)
    return np.rint(255 * np.stack(planes, axis=-1)[..., :channels]).astype(np.uint8)


def heic(pixels: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    size = pixels.shape[1::-1]
    pillow_heif.from_bytes(mode, size, pixels.tobytes()).save(stream, **({"quality": 95, "chroma": 444} | options))
    return stream.getvalue()


def error(pixels: np.ndarray, expected: np.ndarray) -> float:
    assert pixels.shape == expected.shape
    return float(np.abs(pixels.astype(float) - expected).mean())


@pytest.mark.parametrize("orientation", [2, 3, 6, 7, 8])
@BOTH
def test_it_is_turned_once(suffix, orientation):
    """The file states turns of its own and, as phones write it, the same in EXIF."""
    exif = Image.Exif()
    exif[274] = orientation
    if suffix == "avif":
        data = saved(Image.fromarray(ramp()), "AVIF", exif=exif, quality=95, subsampling="4:4:4")
    else:
        data = heic(ramp(), exif=exif.tobytes())
        stated = Image.Exif()
        stated.load(pillow_heif.open_heif(data).info["exif"])
        assert stated[274] == orientation
    after = read_picture(data)
    assert error(after.pixels, orient(ramp(), orientation)) < 3
    assert after.metadata.exif is None


@pytest.mark.parametrize("mode", ["RGB;16", "I;16"])
def test_ten_bits_are_kept_and_white_is_white(mode, caplog):
    deep = np.linspace(0, 65535, 40 * 64).astype(np.uint16).reshape(40, 64)
    if mode == "RGB;16":
        deep = np.dstack([deep, deep[::-1], deep])
    with caplog.at_level(logging.WARNING):
        after = read_picture(heic(deep, mode, quality=-1)).pixels
    assert after.dtype == np.uint16
    assert error(after, deep) < 65535 / 1023
    assert (after.min(), after.max()) == (0, 65535)
    assert not caplog.records


def test_bits_that_are_lost_are_told():
    """The configuration of an AV1 stream stands in the file's head."""
    data = saved(Image.fromarray(ramp()), "AVIF")
    assert decode(data).note is None
    place = data.index(b"av1C") + 6
    for bits, byte in ((10, 0x40), (12, 0x60)):
        stream = io.BytesIO(data[:place] + bytes([data[place] | byte]) + data[place + 1 :])
        stream.seek(0, io.SEEK_END)  # where decoding leaves it
        assert heif.avif_note(stream) == f"its {bits} bits are rounded to 8"


@pytest.mark.parametrize(("code", "curve"), [(16, "PQ"), (18, "HLG")])
def test_an_hdr_curve_is_told(code, curve):
    hdr = {"color_primaries": 9, "transfer_characteristics": code, "matrix_coefficients": 9, "full_range_flag": 1}
    assert f"HDR ({curve})" in (decode(heic(ramp(), **hdr)).note or "")


def test_of_several_pictures_the_main_one():
    file = pillow_heif.HeifFile()
    for level in (10, 100, 200):
        file.add_frombytes("RGB", (64, 40), np.full((40, 64, 3), level, np.uint8).tobytes())
    stream = io.BytesIO()
    file.save(stream, primary_index=1, quality=95)
    levels = [round(read_picture(stream.getvalue(), frame).pixels.mean()) for frame in (None, 0, 2)]
    assert_array_equal(np.abs(np.subtract(levels, [100, 10, 200])) <= 1, True)
    assert "frame 2 " in (decode(stream.getvalue(), 2).note or "")
    with pytest.raises(SettingError, match="from 0 to 2"):
        read_picture(stream.getvalue(), 3)


@BOTH
def test_sizes_are_checked_before_it_is_decoded(suffix, monkeypatch, limit):
    data, seen = picture_bytes(Picture(ramp()), f"a.{suffix}"), []

    def check_size(*numbers: int) -> None:
        seen.append(numbers)
        raise InputError("too large")

    monkeypatch.setattr("pillow_heif.HeifImage.load", lambda _: pytest.fail("was decoded"))
    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", lambda _: pytest.fail("was decoded"))
    with pytest.raises(InputError, match="too large"):
        decode(data, check_size=check_size)
    ((width, height, needed),) = seen
    assert (width, height) == (64, 40)
    assert needed >= 5 * 64 * 40
    limit(megapixels=0.002)
    refused(data, "megapixels, the limit is")


@BOTH
def test_a_file_that_is_cut_off_is_refused(suffix):
    data = picture_bytes(Picture(ramp()), f"a.{suffix}")
    kind = suffix.upper()
    for length in (20, 40, 200, len(data) // 2, len(data) - 5):
        refused(data[:length], f"the picture: damaged or incomplete {kind} file (")


@BOTH
def test_a_missing_package_has_a_remedy(suffix, monkeypatch):
    data = picture_bytes(Picture(ramp()), f"a.{suffix}")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("PIL.AvifImagePlugin.SUPPORTED", False)
    assert refused(data).endswith(f"{suffix.upper()} files need another package: pip install 'scoreinv[heif]'")
    with pytest.raises(InputError, match=r"pip install 'scoreinv\[heif\]'"):
        check_format(f"a.{suffix}", Picture(ramp()))


def test_avif_by_a_brand_that_it_is_compatible_with():
    data = picture_bytes(Picture(ramp()), "a.avif")
    assert decode(data[:8] + b"mif1" + data[12:]).kind == "AVIF"


class Stated:
    """A picture as pillow-heif has it."""

    def __init__(self, pixels: np.ndarray, mode: str = "RGBA;16", **info: object) -> None:
        self.pixels, self.mode, self.size = pixels, mode, pixels.shape[1::-1]
        self.info = {"bit_depth": 10, "exif": None} | info
        self.premultiplied_alpha = True

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        return self.pixels


def test_premultiplied_colours_are_divided_by_their_alpha():
    """And the lowest bits are filled: 1,023 of 1,023 is white."""
    pixels = np.array([[[1023 << 6] * 4, [256 << 6, 128 << 6, 0, 512 << 6]]], np.uint16)
    found, _, note = heif.decode_heic(Stated(pixels))
    assert_array_equal(found[0, 0], [65535] * 4)
    assert np.abs(found[0, 1] / 65535 - [256 / 512, 128 / 512, 0, 512 / 1023]).max() < 0.002
    assert note is None
    assert heif.decoding_bytes(Stated(pixels)) == 2 * 1 * (4 + 2 * 4) * 2
    assert heif.decoding_bytes(Stated(pixels, "RGB")) == 2 * (4 + 2 * 3)
    assert heif.decoding_bytes(Stated(pixels, "L")) == 2 * (4 + 2)


def test_prefixes_of_both_formats():
    brands = {heif.is_heic: "heic heix heim heis hevc hevx mif1 msf1", heif.is_avif: "avif avis"}
    for kind, brand in ((kind, brand) for kind, names in brands.items() for brand in names.split()):
        prefix = b"\0\0\0\x10ftyp" + brand.encode() + b"\0\0\0\0"
        assert [accepts(prefix) for accepts in (heif.is_heic, heif.is_avif)] == [
            kind is heif.is_heic,
            kind is heif.is_avif,
        ]
        assert not kind(prefix.replace(b"ftyp", b"free"))
    beyond = b"\0\0\0\x10ftypheic\0\0\0\0avif"
    assert (heif.is_heic(beyond), heif.is_avif(beyond)) == (True, False)
