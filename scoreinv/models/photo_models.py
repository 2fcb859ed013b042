"""What gives the models that photographs are worked on by, in command line, page and Python. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoreinv.models.damage_detector import DamageDetector
    from scoreinv.prior import ScorePrior


@dataclass(frozen=True)
class PhotoModels:
    """The loading of each model, called where one is needed."""

    detector: Callable[[], DamageDetector]
    filler: Callable[[], ScorePrior]
    denoiser: Callable[[], ScorePrior]
    colorizer: Callable[[], ScorePrior]
