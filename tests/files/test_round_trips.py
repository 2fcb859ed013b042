"""Properties of files over drawn pictures: written and read, turned, converted and cut off."""

import io
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.picture_files import CHANNELS, saved

from scoreinv.files.read import read_picture
from scoreinv.files.write import picture_bytes
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PROFILES = {"RGB": SRGB, "L": SRGB[:16] + b"GRAY" + SRGB[20:], "CMYK": SRGB[:16] + b"CMYK" + SRGB[20:]}
"""By mode; those of grey and of inks only state it."""
LOSSLESS, LOSSY = ("png", "tif", "webp"), ("jpg", "avif", "heic")
EXIF: dict[int, Any] = {
    270: "Großmutter".encode(),
    271: "Maker",
    272: "Model",
    305: "software",
    306: "2021:01:02 03:04:05",
    315: "someone",
    316: "host",
    18246: 4,
    18249: 80,
    33432: "© Müller".encode(),
    **dict.fromkeys(range(40091, 40096), "é".encode("utf-16-le")),
    34665: {36867: "2020:01:02 03:04:05", 33434: (1, 100), 37500: b"note", 40965: {1: "R98"}},
    34853: {1: "N", 2: (52.0, 30.0, 1.5), 3: "E", 4: (13.0, 24.0, 0.25)},
}

TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored[::-1], 1),
    8: lambda stored: np.rot90(stored, 1),
}
"""What brings pixels upright, by EXIF orientation."""


def drawn_pixels(rng: np.random.Generator, mode: str, dtype: type, size: tuple[int, int], noise: float) -> np.ndarray:
    """Return a ramp that differs by channel and has no symmetry, with noise."""
    down, across = np.linspace(0, 0.5, size[0])[:, None, None], np.linspace(0, 0.2, size[1])[:, None]
    ramp = (down + across) / (1 + np.arange(*CHANNELS[mode] or (1,)))
    values = ramp.reshape(*size, *CHANNELS[mode]) + noise * rng.random((*size, *CHANNELS[mode]))
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def drawn_exif(rng: np.random.Generator) -> bytes | None:
    exif = Image.Exif()
    for tag, value in EXIF.items():
        if rng.random() < 0.6:
            exif[tag] = value
    return exif.tobytes() if len(exif) else None


def tags_of(block: bytes | None) -> dict[int, Any]:
    """Return the tags of an EXIF block, with those of nested directories."""
    if block is None:
        return {}
    exif = Image.Exif()
    exif.load(block)
    found = dict(exif) | {tag: dict(exif.get_ifd(tag)) for tag in (34665, 34853) if tag in exif}
    if 40965 in found.get(34665, {}):
        found[34665][40965] = dict(exif.get_ifd(40965))
    return found


def mode_in(suffix: str, mode: str) -> str:
    """Return the mode of a picture of this mode after it was written and read."""
    if suffix == "jpg":
        return mode.removesuffix("A")
    if suffix in ("webp", "avif") or (suffix, mode) == ("heic", "LA"):
        return mode.replace("L", "RGB")
    return mode


def in_mode(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Return pixels in a mode that has the same colours; alpha may be dropped or repeated grey."""
    planes = np.atleast_3d(pixels)
    gray, alpha = planes.shape[2] < 3, planes.shape[2] in (2, 4)
    colours = planes[..., : planes.shape[2] - alpha]
    colours = colours.repeat(3, axis=2) if gray and mode.startswith("RGB") else colours
    found = np.dstack([colours, planes[..., -1]]) if mode.endswith("A") else colours
    return found[..., 0] if mode == "L" else found


def kept_dpi(suffix: str, dpi: tuple[float, float]) -> Any:
    """Return the resolution that a format holds, nearly, or None."""
    accuracy = {"jpg": {"abs": 0.5}, "png": {"abs": 0.0128}, "tif": {"rel": 1e-6}}.get(suffix)
    return pytest.approx(dpi, **accuracy) if accuracy else None


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
def test_pixels_and_metadata_survive_every_format(suffix: str) -> None:
    """A profile is kept if and only if it fits the mode in the file."""
    if suffix == "heic":
        pytest.importorskip("pillow_heif")
    rng, lossless = np.random.default_rng(1), suffix in LOSSLESS
    cases = product(CHANNELS, (np.uint8, np.uint16), (None, *PROFILES.values()))
    if suffix == "heic":  # takes long
        cases = ((mode, np.uint8, PROFILES["L" if mode in ("L", "LA") else "RGB"]) for mode in CHANNELS)
    for mode, dtype, icc in cases:
        pixels = drawn_pixels(
            rng, mode, dtype, tuple(rng.choice((1, 2, 23, 37) if lossless else (23, 37), 2)), 0.3 if lossless else 0.02
        )
        if suffix == "jpg" and mode.endswith("A"):
            pixels[..., -1] = np.iinfo(dtype).max
        dpi = tuple(float(np.exp(value)) for value in rng.uniform(1, 11, 2))
        xmp = [None, "<x:xmpmeta xmlns:x='adobe:ns:meta/'>é</x:xmpmeta>".encode()][rng.integers(2)]
        metadata = Metadata(icc, drawn_exif(rng), xmp, dpi)
        again = read_picture(picture_bytes(Picture(pixels, metadata), f"a.{suffix}"))

        deep = dtype == np.uint16 and suffix in ("png", "tif")
        expected = pixels if deep or dtype == np.uint8 else np.rint(pixels / 257)
        difference = np.abs(again.pixels - in_mode(expected, again.mode).astype(float))
        assert again.mode == mode_in(suffix, mode)
        assert again.pixels.dtype == (np.uint16 if deep else np.uint8)
        assert difference.mean() <= (0 if lossless else 4)
        assert again.metadata.icc == (icc if icc == PROFILES["L" if again.is_gray_mode else "RGB"] else None)
        assert again.metadata.xmp == xmp
        assert again.metadata.dpi == kept_dpi(suffix, dpi)
        assert tags_of(again.metadata.exif) == tags_of(metadata.exif)


@pytest.mark.parametrize(("suffix", "mode"), [("png", "LA"), ("tif", "L")])
def test_files_of_several_strips(suffix: str, mode: str) -> None:
    pixels = drawn_pixels(np.random.default_rng(4), mode, np.uint16, (1300, 911), 0.01)
    np.testing.assert_array_equal(read_picture(picture_bytes(Picture(pixels), f"a.{suffix}")).pixels, pixels)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg", "avif"])
def test_every_orientation_is_one_picture(suffix: str) -> None:
    """In all modes and depths, with the resolution along the picture's own axes."""
    rng = np.random.default_rng(2)
    for mode, dtype in product(CHANNELS, (np.uint8, np.uint16)):
        if suffix not in LOSSLESS and (mode.endswith("A") or dtype == np.uint16):
            continue
        pixels = drawn_pixels(rng, mode, dtype, (12, 19), 0.02)
        exif = Image.Exif()
        for orientation in range(1, 9):
            exif[274] = orientation
            stored = Picture(pixels, Metadata(exif=exif.tobytes(), dpi=(100.0, 200.0)))
            found = read_picture(picture_bytes(stored, f"a.{suffix}"))
            upright = TURNS[orientation](pixels)
            expected = upright if found.pixels.dtype == dtype else np.rint(upright / 257)
            difference = np.abs(found.pixels - in_mode(expected, found.mode).astype(float))
            assert difference.mean() <= (0 if suffix in LOSSLESS else 4)
            assert found.metadata.exif is None
            assert found.metadata.dpi == kept_dpi(suffix, (100, 200) if orientation < 5 else (200, 100))


FOREIGN = {
    "PNG": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "P", "LA", "RGB", "RGBA", "RGBX", "I;16", "CMYK", "YCbCr", "LAB"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB", "I;16"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_every_mode_has_pillows_colours_and_no_foreign_profile(kind: str) -> None:
    """A profile of inks, say, does not outlive their conversion to sRGB."""
    rng = np.random.default_rng(3)
    for mode in FOREIGN[kind]:
        noise = Image.fromarray(rng.integers(0, 256, (9, 14, 3), dtype=np.uint8))
        gray = Image.fromarray(rng.integers(0, 1 << 16, (9, 14), dtype=np.uint16))
        image = gray if mode == "I;16" else noise.convert("RGBA").convert(mode) if mode == "P" else noise.convert(mode)
        options = {"transparency": 3} if mode == "P" and kind in ("PNG", "GIF") else {}
        # Pillow 11 cannot read its own uncompressed YCbCr.
        options |= {"compression": "tiff_lzw"} if mode == "YCbCr" else {"quality": 100, "lossless": True}
        profile = PROFILES["RGB" if mode.startswith(("RGB", "P", "Y")) else "CMYK" if mode in ("CMYK", "LAB") else "L"]
        data = saved(image, kind, icc_profile=profile, **options)
        picture = read_picture(data)
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            converted = opened.mode not in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I")
            expected = np.asarray(opened if mode == "I;16" else opened.convert(picture.mode))
            held = opened.info.get("icc_profile")
        assert mode == "LAB" or np.array_equal(picture.pixels, expected)
        assert picture.metadata.icc == (None if converted else held)
