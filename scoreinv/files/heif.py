"""HEIC and AVIF, in which phones keep photographs: the former by pillow-heif, the latter by Pillow.

Either is imported when the first such file is met. Pillow hands out 8 bits of an AVIF that has more; pillow-heif keeps
them. Both are compressed with loss when they are written here.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from scoreinv.files.tiff import unpremultiply
from scoreinv.imaging.metadata import Metadata, describe
from scoreinv.system.errors import InputError

SUFFIXES = {".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".avif": "AVIF"}
LONGEST_SIDE = 16384  # what HEVC's highest level allows, and readers of AVIF by default

_MODULES = {"HEIC": "pillow_heif", "AVIF": "PIL.AvifImagePlugin"}
_HEIC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"])
_AVIF_BRANDS = frozenset([b"avif", b"avis"])
_DEPTH = re.compile(rb"av1C\x81.(.)", re.DOTALL)
"""The bits of a sample, in the third byte of an AV1 configuration: 0x40 for more than eight, 0x20 for twelve."""
_HEADER_BYTES = 1 << 16
_HDR_CURVES = {16: "PQ", 18: "HLG"}


def is_heic(prefix: bytes) -> bool:
    """Whether a file that begins so is of pictures in HEVC, or of a kind that may be."""
    return prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIC_BRANDS and not is_avif(prefix)


def is_avif(prefix: bytes) -> bool:
    """Whether a file that begins so says that it is AVIF: by its brand, or by one that it is compatible with."""
    brands = prefix[8 : int.from_bytes(prefix[:4])]
    return prefix[4:8] == b"ftyp" and any(brands[at : at + 4] in _AVIF_BRANDS for at in range(0, len(brands), 4))


def codec(kind: str, name: str) -> Any:
    """The module that decodes and encodes HEIC or AVIF; InputError with the remedy where there is none."""
    try:
        module = import_module(_MODULES[kind])
    except ImportError:
        module = None
    if not getattr(module, "SUPPORTED", module is not None):  # Pillow may be built without AVIF
        raise InputError(f"{name}: for {kind} files a package is missing: pip install 'scoreinv[heif]'")
    return module


def open_heic(stream: BinaryIO) -> Any:
    """pillow-heif's pictures of a file, none of them decoded; there must be a `codec`."""
    return import_module(_MODULES["HEIC"]).open_heif(stream, convert_hdr_to_8bit=False)


def open_avif(stream: BinaryIO) -> Any:
    """Pillow's image of an AVIF, likewise."""
    return import_module(_MODULES["AVIF"]).AvifImageFile(stream)


def avif_note(stream: BinaryIO) -> str | None:
    """What has to be said of an AVIF with more than 8 bits a sample."""
    stream.seek(0)
    depth = max((found[1][0] for found in _DEPTH.finditer(stream.read(_HEADER_BYTES))), default=0)
    return f"its {12 if depth & 0x20 else 10} bits are rounded to 8" if depth & 0x40 else None


def decoding_bytes(image: Any) -> int:
    """What decoding one of pillow-heif's pictures takes, as measured: the planes of YUV, the bytes, and the array."""
    width, height = image.size
    channels = {"L": 1, "I": 1, "RGB": 3}.get(image.mode.partition(";")[0], 4)
    return width * height * (4 + 2 * channels) * (2 if ";16" in image.mode else 1)


def decode_heic(image: Any) -> tuple[np.ndarray, Metadata, str | None]:
    """The pixels of one of pillow-heif's pictures, its metadata, and what has to be said of it.

    Pixels come upright, by the turns that the file states; its EXIF only repeats them (ISO/IEC 23008-12, annex A).
    Samples of 10 and 12 bits become 16, their highest bits repeated below the lowest, so that white stays white.
    """
    pixels = np.array(image)  # a copy: in versions up to 1.3 the memory of the other goes with `image`
    if pixels.dtype == np.uint16:
        pixels |= pixels >> image.info["bit_depth"]
    if image.premultiplied_alpha:
        unpremultiply(pixels)
    exif = Image.Exif()

    def read_exif() -> Image.Exif:
        exif.load(image.info["exif"] or b"")
        return exif

    _, metadata = describe(image.info, read_exif)
    curve = _HDR_CURVES.get(image.info.get("nclx_profile", {}).get("transfer_characteristics"))
    return (
        pixels,
        metadata,
        curve and f"its brightness is coded for HDR ({curve}) and kept as it is, which looks pale elsewhere",
    )


def encode_heic(stream: BinaryIO, pixels: np.ndarray, mode: str, keep: dict[str, Any]) -> None:
    """Write 8-bit pixels as HEIC; `keep` is what pillow-heif is told of quality and metadata.

    By x265's quickest preset: at the quality of photographs its own one takes ten times as long for the same error.
    """
    height, width = pixels.shape[:2]
    pictures = import_module(_MODULES["HEIC"]).from_bytes(mode, (width, height), pixels.tobytes())
    pictures.save(stream, enc_params={"preset": "ultrafast"}, **keep)
