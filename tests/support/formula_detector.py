"""Detectors of damage that are formulas."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from scoreinv.models.damage_detector import DamageDetector


class FormulaDetector(DamageDetector):
    """Log odds by a function of the pictures; counts how often it was asked."""

    device = torch.device("cpu")

    def __init__(self, formula: Callable[[Tensor], Tensor]) -> None:
        nn.Module.__init__(self)
        self.formula, self.asked = formula, 0

    def to(self, *_: object, **__: object) -> Self:
        return self

    def logits(self, pictures: Tensor) -> Tensor:
        self.asked += 1
        return self.formula(pictures)


def whites(pictures: Tensor) -> Tensor:
    """White is damage, and nothing else."""
    return torch.where(pictures.amin(1, keepdim=True) > 0.99, 6.5, -6.0)
