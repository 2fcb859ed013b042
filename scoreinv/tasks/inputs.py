"""Inputs of a task: a picture with its mask, hints and references. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoreinv.tasks.requests import Given

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.imaging.picture import Picture
    from scoreinv.inputs.hints import KnownColours


@dataclass(frozen=True)
class Inputs:
    """A picture and the user's other inputs.

    Attributes:
        picture: the photo.
        hole: HxW bool, pixels to fill; None: tasks that fill holes detect damage.
        avoid: HxW bool, pixels that fills do not copy.
        hints: colour hints.
        references: photos with example colours.
    """

    picture: Picture
    hole: np.ndarray | None = None
    avoid: np.ndarray | None = None
    hints: KnownColours | None = None
    references: Sequence[Picture] = ()

    @property
    def given(self) -> set[Given]:
        """Return the names of the inputs beside the picture."""
        present: dict[Given, bool] = {
            "mask": self.hole is not None,
            "avoid": self.avoid is not None,
            "hints": self.hints is not None,
            "references": bool(self.references),
        }
        return {name for name, is_given in present.items() if is_given}
