"""Estimate the time of a restoration in advance."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch

from scoreinv.operators import Blur
from scoreinv.prior import ScorePrior
from scoreinv.tasks.common import wide_tile
from scoreinv.tasks.deblur import BLUR_ITERATIONS
from scoreinv.tasks.requests import DEBLURRING_STEPS, EXACT_STEPS
from scoreinv.windows.placement import grid


def improvement_seconds(
    work: Literal["denoise", "upscale", "deblur"], size: tuple[int, int], factor: int, prior: ScorePrior
) -> float:
    """Estimate the seconds for the mean of a photograph by timing one window and one product with A.

    Args:
        size: (height, width) of the photograph.
        factor: factor of `upscale`.
    """
    steps, products = {"denoise": 1, "upscale": EXACT_STEPS, "deblur": DEBLURRING_STEPS}[work], 0.0
    if work == "upscale":
        size = size[0] * factor, size[1] * factor
    boxes = grid(*size, *wide_tile(prior, *size), prior.stride)
    windows = len(boxes) * _seconds(partial(prior.noise, torch.zeros(1, 3, *boxes[0][2:], device=prior.device), 0.5))
    if work == "deblur":  # in closed form the products take a tenth of the evaluations
        blurring = Blur(torch.ones(1, 1), *size)
        product = _seconds(partial(blurring, torch.zeros(1, 3, *size, device=prior.device)))
        products = 2 * BLUR_ITERATIONS * product
    return steps * (windows + products)


@torch.no_grad()
def _seconds(do: Callable[[], object]) -> float:
    """Return the shorter time of two runs, since the first of a process is slower."""
    return min(timeit.repeat(do, number=1, repeat=2))
