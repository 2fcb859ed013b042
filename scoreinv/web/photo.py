"""A photograph of the page: one that was opened, a result, a mask or strokes."""

from __future__ import annotations

import base64
import io
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from scoreinv.files.read import decode
from scoreinv.files.write import check_format, picture_bytes
from scoreinv.imaging.metadata import profile_fits
from scoreinv.imaging.picture import Picture, eight_bits, picture_of_hole
from scoreinv.imaging.regions import extent
from scoreinv.inputs.masks import check_mask_size
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.limits import limits
from scoreinv.system.memory import shortage
from scoreinv.system.options import QUALITY, check
from scoreinv.system.text import printable

_LEAST_BYTES = 1 << 14  # minimum size counted for a photograph, which limits the number of photographs

_VIEW_SIDE = 16_384
"""Maximum side of a view. Larger photographs are reduced for the view, but masks keep the full size. Browsers draw no
longer sides."""
_SUFFIXES = {"PNG": ".png", "TIFF": ".tif", "WebP": ".webp", "JPEG": ".jpg", "HEIC": ".heic", "AVIF": ".avif"}
_LONGEST_NAME = 120


def boxed_bits(mask: np.ndarray | None) -> dict[str, Any]:
    """Return a mask, HxW bool, as JSON: its bounding box, and the bits in it, row by row, in base64.

    Masks travel to the page and back in this form; `box` is [left, top, width, height], or None for an empty mask.
    """
    if mask is None or not mask.any():
        return {"box": None, "bits": ""}
    rows, columns = extent(mask)
    bits = np.packbits(mask[rows, columns])
    return {
        "box": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
        "bits": base64.b64encode(bits.tobytes()).decode(),
    }


def unboxed(sent: Any, size: tuple[int, int]) -> np.ndarray:
    """Return the mask (height, width) of the JSON of `boxed_bits`; raise InputError if it is none of this size."""
    mask = np.zeros(size, dtype=bool)
    try:
        left, top, width, height = sent["box"]
        part = mask[top : top + height, left : left + width]
        if min(left, top) < 0 or part.shape != (height, width):
            raise ValueError("the box is not within the photograph")
        bits = np.frombuffer(base64.b64decode(sent["bits"]), np.uint8)
        part[...] = np.unpackbits(bits)[: part.size].reshape(part.shape)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError("the mask is none of this photograph") from error
    return mask


def layer_of(content: bytes, size: tuple[int, int]) -> Picture:
    """Return a mask that the page sends as a picture; or strokes, sent as a mask for each colour (`#rrggbb`).

    Raises InputError if they do not fit a photograph of this (height, width).
    """
    try:
        sent = json.loads(content)
        if "box" in sent:
            return picture_of_hole(unboxed(sent, size))
        pixels = np.zeros((*size, 4), np.uint8)
        for colour, mask in sent.items():
            pixels[unboxed(mask, size)] = [*bytes.fromhex(colour.removeprefix("#")), 255]
    except InputError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError("the mask or strokes are not valid") from error
    return Picture(pixels)


class GoneError(InputError):
    """The photograph or job is not held, or no longer."""


def _new_key() -> str:
    return secrets.token_urlsafe(12)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph, mask or layer of strokes.

    Attributes:
        stem: the file's name without its suffix.
        kind: the file's format, as JPEG.
        note: a note about how the file was read.
        key: unguessable name in requests.
        session: key of the session that keeps it; None: it is in memory only.
    """

    picture: Picture
    stem: str
    kind: str
    note: str | None = None
    key: str = field(default_factory=_new_key)
    session: str | None = None

    @classmethod
    def read(cls, name: str, content: bytes, size: tuple[int, int] | None = None, session: str | None = None) -> Photo:
        """Decode a file.

        Args:
            size: required (height, width), for a mask or strokes.
            session: key of its session.

        Raises InputError for a damaged file, another size, or too little memory. Size and memory are checked before
        decoding, since a few bytes may stand for 400 megapixels.
        """
        name = printable(PurePath(name.replace("\\", "/")).name)[:_LONGEST_NAME] or "photo"

        def check_size(width: int, height: int, needed: int) -> None:
            if size is not None and (width, height) != size:  # an orientation tag may swap them
                check_mask_size((height, width), size, name)
            if lacking := shortage(needed):
                raise InputError(f"{name}: opening it {lacking}: close other programs, or reduce it first")

        try:
            decoded = decode(content, name=name, check_size=check_size)
        except SettingError as error:  # about frames, which the page cannot choose
            raise InputError(
                f"{name}: has several pages or frames: save one as a separate file, and open that"
            ) from error
        return cls(decoded.picture, PurePath(name).stem, decoded.kind, decoded.note, session=session)

    def result(self, picture: Picture, suffix: str, seed: int = 0) -> Photo:
        """Return a result for this photograph. Its name ends with the suffix, and the seed unless that is 0."""
        done = f"_{suffix}"
        stem = f"{self.stem.removesuffix(done)}{done}{f'_{seed}' if seed else ''}"
        return Photo(picture, stem, self.kind, session=self.session)

    def edited(self, picture: Picture) -> Photo:
        """Return the photograph with another picture, under a new key."""
        return replace(self, picture=picture, key=_new_key(), note=None)

    @property
    def nbytes(self) -> int:
        """Memory of pixels and metadata; a file's metadata may be as large as its pixels."""
        metadata = self.picture.metadata
        blocks = (metadata.icc, metadata.exif, metadata.xmp)
        return max(_LEAST_BYTES, self.picture.pixels.nbytes + sum(len(block) for block in blocks if block))

    @property
    def formats(self) -> list[str]:
        """File formats that can store the photograph; that of its own file is first, else PNG."""
        formats = []
        for kind, suffix in _SUFFIXES.items():
            with suppress(InputError):
                check_format(self.stem + suffix, self.picture)
                formats.append(kind)
        return sorted(formats, key=lambda kind: kind != self.kind)

    def file(self, kind: str, quality: int | None = None) -> tuple[str, bytes]:
        """Return the name and bytes of a file, as the commands write it.

        Raises InputError for an unsuitable format or quality.
        """
        if quality is not None:
            check("quality", quality, QUALITY)
        if kind not in _SUFFIXES:
            raise InputError(f"{kind}: choose one of {', '.join(_SUFFIXES)}")
        name = self.stem + _SUFFIXES[kind]
        return name, picture_bytes(self.picture, name, quality)

    def view(self, side: int | None = None) -> tuple[str, bytes]:
        """Return media type and bytes of a picture for the browser.

        It has 8 bits, and at most `view_pixels`, see `Limits`, and sides of `side`, or `_VIEW_SIDE`.
        """
        pixels = self.picture.pixels
        image = Image.fromarray(eight_bits(pixels) if pixels.dtype == np.uint16 else pixels)
        share = limits().view_pixels / (image.width * image.height)
        scale = min(share**0.5, (side or _VIEW_SIDE) / max(image.size))
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BOX, reducing_gap=2)
        icc = self.picture.metadata.icc
        keep: dict[str, Any] = {}
        if icc and profile_fits(icc, gray=self.picture.is_gray_mode):
            keep["icc_profile"] = icc
        stream = io.BytesIO()
        if self.picture.has_alpha:
            image.save(stream, "PNG", compress_level=1, **keep)
            return "image/png", stream.getvalue()
        image.save(stream, "JPEG", quality=92, subsampling=0, **keep)
        return "image/jpeg", stream.getvalue()

    def describe(self) -> dict[str, Any]:
        """Return the JSON that the page gets."""
        return {
            "key": self.key,
            "name": self.stem,
            "width": self.picture.width,
            "height": self.picture.height,
            "bits": 8 * self.picture.pixels.itemsize,
            "grey": self.picture.is_gray_mode,
            "kind": self.kind,
            "formats": self.formats,
            "note": self.note,
            "session": self.session,
        }
