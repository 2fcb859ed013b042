"""Comparison of a result with its original, by their pixels, a mask of changes and the result's records.

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scoreinv.imaging.changes import ALTERED, GENERATED, IDENTICAL, differing, side_by_side
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import Record, history_of, pixel_hash
from scoreinv.system.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """A result beside its original.

    Attributes:
        original: the part of the original that the result shows.
        result: the result.
        mask: the mask of changes, HxW uint8 of the result's size; None: not given.
        differs: HxW bool, pixels of the result that are not the original's.
        record: the latest record of a run on this original, from the result or the mask; None: there is none.
    """

    original: Picture
    result: Picture
    mask: np.ndarray | None
    differs: np.ndarray
    record: Record | None

    @cached_property
    def unmarked(self) -> np.ndarray:
        """HxW bool, pixels that differ although the mask calls them identical; none without a mask."""
        return np.zeros_like(self.differs) if self.mask is None else self.differs & (self.mask == IDENTICAL)

    @property
    def untouched(self) -> bool | None:
        """Whether all pixels that the mask calls identical are the original's; None without a mask."""
        return None if self.mask is None else not self.unmarked.any()

    @property
    def identical(self) -> float:
        """Share of the result's pixels that are the original's."""
        return 1 - float(self.differs.mean())

    @property
    def generated(self) -> float | None:
        """Share of the pixels that are generated, by the mask; None without one."""
        return None if self.mask is None else float((self.mask == GENERATED).mean())

    @property
    def altered(self) -> float | None:
        """Share of the pixels that are altered, by the mask; None without one."""
        return None if self.mask is None else float((self.mask == ALTERED).mean())

    @property
    def as_recorded(self) -> bool | None:
        """Whether the result has the pixels that its record names; None without a record."""
        return None if self.record is None else self.record.result == pixel_hash(self.result)

    def side_by_side(self) -> Picture:
        """Return both pictures side by side; without a mask all pixels that differ count as altered."""
        mask = ALTERED * self.differs.astype(np.uint8) if self.mask is None else self.mask
        return side_by_side(self.original, self.result, mask, self.unmarked)


def compare_pictures(
    original: Picture, result: Picture, changes: Picture | None = None, *, name: str = "the mask"
) -> Comparison:
    """Compare a result with its original.

    Args:
        changes: the mask of changes that the run wrote.
        name: name of that mask in errors.

    Raises InputError if `changes` is no mask of changes of the result's size, or is that of another original.
    """
    of_mask = [] if changes is None else history_of(changes.metadata.xmp)
    own_hash = pixel_hash(original)
    if of_mask and of_mask[-1].original != own_hash:
        raise InputError(f"{name}: is the mask of another original, with the SHA-256 {of_mask[-1].original}")
    # The result's own records come first: a mask is shared by all samples, and has the record of only one.
    records = (*reversed(history_of(result.metadata.xmp)), *reversed(of_mask))
    record = next((each for each in records if each.original == own_hash), None)
    mask = None if changes is None else changes.pixels
    if mask is not None and (mask.shape != result.size or mask.dtype != np.uint8):
        raise InputError(f"{name}: is not a mask of changes for this result: it needs its size, in 8-bit grey")
    part = original if record is None or record.box is None else original.part(record.box)
    return Comparison(part, result, mask, differing(part, result), record)
