"""Options of mask files. Imports neither numpy nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scoreinv.system.options import FOUND_GROW, MASK_THRESHOLD, MOST_GROW, Number, Setting, Whole

DAMAGE_SUFFIX = "_damage"
"""Suffix of the names of detected masks. Such a mask may be all black, if the photograph has no damage."""


@dataclass(frozen=True)
class MaskOptions:
    """How mask files are read; see `read_mask`."""

    mask_threshold: Annotated[float, Setting("Mask values above this are holes.", Number(0, 1), advanced=True)] = (
        MASK_THRESHOLD
    )
    invert_mask: Annotated[bool, Setting("Black marks what to remove.")] = False
    grow: Annotated[
        int | None,
        Setting(
            f"Enlarge the mask by this many pixels. (default: 0; {FOUND_GROW} for detected damage)", Whole(0, MOST_GROW)
        ),
    ] = None

    @property
    def changes_files(self) -> bool:
        """Whether an option is set that only applies to mask files."""
        return self.invert_mask or self.mask_threshold != MASK_THRESHOLD
