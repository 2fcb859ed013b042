"""What an encoder makes of training pictures: computed once for each crop that is drawn again, and kept in a file."""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

_WHOLE = b"\x01"

Maps = tuple[Tensor, ...]


_RESERVE = 2 << 30
"""Bytes of the disk."""


class KeptFeatures:
    """Maps of features by the number of their crop, as float16 in a file whose name is a hash of the key.

    Only what was written takes room on the disk. A byte after each row, written last, says that the row is whole.
    The file of another key is removed. Once the disk is nearly full nothing more is kept: what is left is for the
    states of the run.

    Arguments:
        folder: of the file; made when it is not there.
        key: a hash of all that decides what a crop shows.
        shapes: (C, h, w) of each map of a crop.
    """

    def __init__(self, folder: Path, key: str, shapes: Sequence[tuple[int, int, int]]) -> None:
        self._shapes = shapes
        self._sizes = [math.prod(shape) for shape in shapes]
        self._row = 2 * sum(self._sizes) + 1
        self._full = False
        name = hashlib.sha256(f"{key} in rows of {self._row}".encode()).hexdigest()[:16]
        self._path = folder / f"features-{name}.bin"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"features-{16 * '[0-9a-f]'}.bin"):
            if old != self._path:
                old.unlink()
        self._path.touch()

    def of(self, crops: Sequence[int], seen: Tensor, look: Callable[[Tensor], Maps]) -> Maps:
        """The maps (B, C, h, w) of some crops, of which `seen` (B, ...) is what the encoder is shown.

        look: the encoder, for those that are not kept yet. What it gives is rounded as if it had been kept.
        """
        rows = [self._read(crop) for crop in crops]
        missing = [place for place, row in enumerate(rows) if row is None]
        if missing:
            found = torch.cat([part.flatten(1) for part in look(seen[missing])], dim=1).half().cpu()
            for place, row in zip(missing, found, strict=True):
                rows[place] = row
                self._write(crops[place], row)
        # Autocasting to bfloat16 stacks no float16.
        parts = torch.stack([row.to(seen) for row in rows if row is not None]).split(self._sizes, dim=1)
        return tuple(part.unflatten(1, shape) for part, shape in zip(parts, self._shapes, strict=True))

    def _read(self, crop: int) -> Tensor | None:
        with self._path.open("rb") as file:
            file.seek(self._row * crop)
            row = bytearray(file.read(self._row))
        if len(row) < self._row or row[-1:] != _WHOLE:
            return None
        return torch.frombuffer(row, dtype=torch.float16, count=sum(self._sizes))

    def _write(self, crop: int, row: Tensor) -> None:
        if self._full:
            return
        try:
            if shutil.disk_usage(self._path.parent).free < _RESERVE:
                raise OSError(errno.ENOSPC, f"less than {_RESERVE >> 30} GB are free")
            with self._path.open("r+b") as file:
                file.seek(self._row * crop)
                file.write(row.numpy().tobytes() + _WHOLE)
        except OSError as error:
            self._full = True
            _log.warning("%s: no more features are kept: %s", self._path, error.strerror)


def features_given(
    observed: Tensor,
    seen: Tensor,
    look: Callable[[Tensor], Maps],
    shapes: Iterable[tuple[int, int, int]],
    crops: Tensor | None = None,
    kept: KeptFeatures | None = None,
) -> Maps:
    """Maps (B, C, h, w) of the pictures whose luma is shown as a whole, zeros for the others.

    Where there is none such all are zeros: each step of training has a gradient for what takes the features, which
    processes that train together wait for.

    Arguments:
        observed: (B, 3, H, W), the components of the pictures that are shown.
        seen: what the encoder is shown of each, (B, 1, kH, kW).
        look: the encoder.
        shapes: (C, h, w) of the maps that it gives of such pictures.
        crops: numbers of the pictures' crops in `kept`; None where they are new.
        kept: what was computed before; None for nothing.
    """
    whole = observed[:, 0].flatten(1).all(1)
    if not whole.any():
        return tuple(seen.new_zeros(len(seen), *shape) for shape in shapes)
    shown = look(seen[whole]) if kept is None or crops is None else kept.of(crops[whole].tolist(), seen[whole], look)
    return tuple(value.new_zeros(len(seen), *value.shape[1:]).index_put((whole,), value) for value in shown)
