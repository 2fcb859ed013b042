"""What a task works on: one picture and what belongs to it. Imports no torch."""

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
    """A picture and what the user gives with it.

    Attributes:
        picture: the photo.
        hole: HxW bool, the mask; None: the task detects damage if it fills any.
        avoid: HxW bool, what fills do not copy from.
        hints: colours that are given.
        references: photos whose colours serve as examples.
    """

    picture: Picture
    hole: np.ndarray | None = None
    avoid: np.ndarray | None = None
    hints: KnownColours | None = None
    references: Sequence[Picture] = ()

    @property
    def given(self) -> set[Given]:
        """Names of what is given beside the picture."""
        present: dict[Given, bool] = {
            "mask": self.hole is not None,
            "avoid": self.avoid is not None,
            "hints": self.hints is not None,
            "references": bool(self.references),
        }
        return {name for name, is_given in present.items() if is_given}
