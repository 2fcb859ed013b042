"""The photographs at hand, in memory alone: those that were opened and those that were made of them."""

from __future__ import annotations

import io
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from scoreinv.files.read import decode
from scoreinv.files.write import check_format, picture_bytes
from scoreinv.imaging.metadata import profile_fits
from scoreinv.imaging.picture import Picture, eight_bits
from scoreinv.inputs.masks import check_mask_size
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.memory import available_bytes, shortage
from scoreinv.system.text import printable

HELD_BYTES = 2 << 30
"""Of all photographs together, or half of what is free at the start: the one not asked for the longest goes first."""

_LEAST_BYTES = 1 << 14  # that a photograph counts as, so that their number has a limit too

_SEEN_PIXELS = 24_000_000
_SEEN_SIDE = 16_384
"""Of a photograph as the page shows it; a larger one is reduced for it, and painted on at its own size all the same.
Browsers draw no longer sides, and JPEG ends at 65,500."""
_SUFFIXES = {"PNG": ".png", "TIFF": ".tif", "WebP": ".webp", "JPEG": ".jpg", "HEIC": ".heic", "AVIF": ".avif"}
_LONGEST_NAME = 120


class GoneError(InputError):
    """What was asked for is not held here, or no longer."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph that is held.

    Attributes:
        stem: its file's name, without the suffix.
        kind: of file that it came as, such as JPEG.
        note: what has to be said of how it was read; None for nothing.
        key: by which the page asks for it; nobody else can guess it.
    """

    picture: Picture
    stem: str
    kind: str
    note: str | None = None
    key: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @classmethod
    def read(cls, name: str, content: bytes, size: tuple[int, int] | None = None) -> Photo:
        """The photograph in a file's bytes, or a mask or strokes for one of this size (height, width).

        Raises InputError for what is none, damaged, too large for the memory that is free, or of another size: the last
        two before it is decoded, since a few bytes may stand for 400 megapixels.
        """
        name = printable(PurePath(name.replace("\\", "/")).name)[:_LONGEST_NAME] or "photo"

        def look(width: int, height: int, needed: int) -> None:
            if size is not None and (width, height) != size:  # else it may lie on its side
                check_mask_size((height, width), size, name)
            if lacking := shortage(needed):
                raise InputError(f"{name}: opening it {lacking}: close other programs, or reduce it first")

        try:
            decoded = decode(content, name=name, look=look)
        except SettingError as error:  # of its frames: the page has no setting for them
            raise InputError(
                f"{name}: has several pages or frames: save one as a file of its own, and open that"
            ) from error
        return cls(decoded.picture, PurePath(name).stem, decoded.kind, decoded.note)

    def result(self, picture: Picture, ending: str, seed: int = 0) -> Photo:
        """A photograph made of this one, whose name tells the seed, unless it is 0."""
        return Photo(picture, f"{self.stem}_{ending}{f'_{seed}' if seed else ''}", self.kind)

    @property
    def held_bytes(self) -> int:
        """What it counts as in the album: its pixels, and the blocks of metadata, which a file can make as large."""
        metadata = self.picture.metadata
        blocks = (metadata.icc, metadata.exif, metadata.xmp)
        return max(_LEAST_BYTES, self.picture.pixels.nbytes + sum(len(block) for block in blocks if block))

    @property
    def formats(self) -> list[str]:
        """The kinds of file that can hold it, its own first, else PNG."""
        able = []
        for kind, suffix in _SUFFIXES.items():
            with suppress(InputError):
                check_format(self.stem + suffix, self.picture)
                able.append(kind)
        return sorted(able, key=lambda kind: kind != self.kind)

    def file(self, kind: str) -> tuple[str, bytes]:
        """The name and bytes of its file, as the commands write it; InputError where the kind cannot hold it."""
        if kind not in _SUFFIXES:
            raise InputError(f"{kind}: choose one of {', '.join(_SUFFIXES)}")
        name = self.stem + _SUFFIXES[kind]
        return name, picture_bytes(self.picture, name)

    def view(self) -> tuple[str, bytes]:
        """What a browser shows: 8 bits, at most `_SEEN_PIXELS` and `_SEEN_SIDE`; media type and bytes."""
        pixels = self.picture.pixels
        image = Image.fromarray(eight_bits(pixels) if pixels.dtype == np.uint16 else pixels)
        scale = min((_SEEN_PIXELS / (image.width * image.height)) ** 0.5, _SEEN_SIDE / max(image.size))
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
        """What the page is told of it."""
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
        }


class Album:
    """Photographs by their keys, as many as memory is meant for; used by several threads."""

    def __init__(self, most: int | None = None) -> None:
        self._most = min(HELD_BYTES, (available_bytes() or HELD_BYTES) // 2) if most is None else most
        self._photos: dict[str, Photo] = {}
        self._lock = threading.Lock()

    def add(self, *photos: Photo) -> None:
        """Hold photographs, and let go of those that were not used for the longest; these stay, whatever they take."""
        with self._lock:
            for photo in photos:
                self._photos.pop(photo.key, None)
                self._photos[photo.key] = photo  # the last
            held = sum(photo.held_bytes for photo in self._photos.values())
            for key in list(self._photos)[: -len(photos)]:
                if held <= self._most:
                    break
                held -= self._photos.pop(key).held_bytes

    def get(self, key: str) -> Photo:
        """The photograph of a key; GoneError where there is none."""
        with self._lock:
            if key not in self._photos:
                raise GoneError("This is no longer held here: open the photograph again.")
            self._photos[key] = photo = self._photos.pop(key)  # the last that was used
            return photo
