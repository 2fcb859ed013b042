"""HEIC (by pillow-heif) and AVIF (by Pillow), the formats of phones.

The packages are imported on first use. Pillow returns 8 bits of an AVIF that has more; pillow-heif keeps them. Both
formats are written with lossy compression.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from scoreinv.files.tiff import unpremultiply
from scoreinv.imaging.metadata import Metadata, metadata_of
from scoreinv.system.errors import InputError

SUFFIXES = {".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".avif": "AVIF"}
LONGEST_SIDE = 16384  # limit of HEVC's highest level, and of AVIF readers by default

_MODULES = {"HEIC": "pillow_heif", "AVIF": "PIL.AvifImagePlugin"}
_HEIC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"])
_AVIF_BRANDS = frozenset([b"avif", b"avis"])
_DEPTH = re.compile(rb"av1C\x81.(.)", re.DOTALL)
"""Bit depth in the third byte of an AV1 configuration: 0x40 for more than eight bits, 0x20 for twelve."""
_HEADER_BYTES = 1 << 16
_HDR_CURVES = {16: "PQ", 18: "HLG"}


def is_heic(prefix: bytes) -> bool:
    """Return whether a file begins as HEIC, or with a brand that may contain HEVC pictures."""
    return prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIC_BRANDS and not is_avif(prefix)


def is_avif(prefix: bytes) -> bool:
    """Return whether AVIF is the brand of a file, or one of its compatible brands, by the file's beginning."""
    brands = prefix[8 : int.from_bytes(prefix[:4])]
    return prefix[4:8] == b"ftyp" and any(brands[at : at + 4] in _AVIF_BRANDS for at in range(0, len(brands), 4))


def codec(kind: str, name: str) -> Any:
    """Return the module that decodes and encodes HEIC or AVIF; raise InputError with a remedy if it is missing."""
    try:
        module = import_module(_MODULES[kind])
    except ImportError:
        module = None
    if not getattr(module, "SUPPORTED", module is not None):  # Pillow may be built without AVIF
        raise InputError(f"{name}: {kind} files need another package: pip install 'scoreinv[heif]'")
    return module


def open_heic(stream: BinaryIO) -> Any:
    """Open a file with pillow-heif without decoding its pictures; requires `codec`."""
    return import_module(_MODULES["HEIC"]).open_heif(stream, convert_hdr_to_8bit=False)


def open_avif(stream: BinaryIO) -> Any:
    """Open an AVIF with Pillow; requires `codec`."""
    return import_module(_MODULES["AVIF"]).AvifImageFile(stream)


def avif_note(stream: BinaryIO) -> str | None:
    """Return a note if an AVIF has more than 8 bits per sample."""
    stream.seek(0)
    depth = max((found[1][0] for found in _DEPTH.finditer(stream.read(_HEADER_BYTES))), default=0)
    return f"its {12 if depth & 0x20 else 10} bits are rounded to 8" if depth & 0x40 else None


def decoding_bytes(image: Any) -> int:
    """Estimate the peak memory of decoding a picture by pillow-heif, in bytes.

    It holds YUV planes, its own buffer and the array; the factors were measured.
    """
    width, height = image.size
    channels = {"L": 1, "I": 1, "RGB": 3}.get(image.mode.partition(";")[0], 4)
    return width * height * (4 + 2 * channels) * (2 if ";16" in image.mode else 1)


def decode_heic(image: Any) -> tuple[np.ndarray, Metadata, str | None]:
    """Return the pixels of one of pillow-heif's pictures, its metadata, and a note.

    pillow-heif applies the file's rotation, so the EXIF orientation, which repeats it (ISO/IEC 23008-12, annex A), is
    ignored. Samples of 10 and 12 bits become 16: their highest bits are repeated below the lowest, so white stays
    white.
    """
    pixels = np.array(image)  # a copy: up to version 1.3 the array shares memory that is freed with `image`
    if pixels.dtype == np.uint16:
        pixels |= pixels >> image.info["bit_depth"]
    if image.premultiplied_alpha:
        unpremultiply(pixels)
    exif = Image.Exif()

    def read_exif() -> Image.Exif:
        exif.load(image.info["exif"] or b"")
        return exif

    _, metadata = metadata_of(image.info, read_exif)
    curve = _HDR_CURVES.get(image.info.get("nclx_profile", {}).get("transfer_characteristics"))
    return (
        pixels,
        metadata,
        curve and f"its brightness is coded for HDR ({curve}) and not converted: it looks pale in other programs",
    )


def encode_heic(stream: BinaryIO, pixels: np.ndarray, mode: str, keep: dict[str, Any]) -> None:
    """Write 8-bit pixels as HEIC; `keep` holds pillow-heif's arguments of quality and metadata.

    Uses x265's fastest preset: the default takes ten times as long for the same error at photographic quality.
    """
    height, width = pixels.shape[:2]
    pictures = import_module(_MODULES["HEIC"]).from_bytes(mode, (width, height), pixels.tobytes())
    pictures.save(stream, enc_params={"preset": "ultrafast"}, **keep)
