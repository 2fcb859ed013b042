"""Estimate the time of a restoration in advance."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch

from scoreinv.models.loading import Models
from scoreinv.models.upscaler import Upscaler
from scoreinv.operators import Blur
from scoreinv.tasks.common import wide_tile
from scoreinv.tasks.deblur import BLUR_ITERATIONS
from scoreinv.tasks.notes import Note, warning
from scoreinv.tasks.requests import SolveRequest
from scoreinv.tasks.upscale import upscaling_windows
from scoreinv.texture import NearestNeighbourField
from scoreinv.windows.placement import grid

_PROBE = 96
"""Side of the window that is timed, in pixels of the small picture."""
_LARGE = 0.3
"""Fraction of a picture from which a fill is large: little is left to continue."""
_SIDE, _SWEEPS = 48, 5
"""Side of the hole that is timed for a fill, and sweeps over a hole that take as long as filling it."""


def improvement_seconds(
    work: Literal["denoise", "upscale", "deblur"], size: tuple[int, int], factor: int, models: Models
) -> float:
    """Estimate the seconds for the mean of a photograph by timing one window and one product with A.

    Args:
        size: (height, width) of the photograph.
        factor: factor of `upscale`.
    """
    if work == "upscale":
        return _upscaling_seconds(size, factor, models.upscaler())
    steps, products, prior = 1, 0.0, models.denoiser()
    if work == "deblur":
        _, steps = SolveRequest().method_and_steps(from_estimate=True)
    boxes = grid(*size, *wide_tile(prior, *size), prior.stride)
    windows = len(boxes) * _seconds(partial(prior.noise, torch.zeros(1, 3, *boxes[0][2:], device=prior.device), 0.5))
    if work == "deblur":  # in closed form the products take a tenth of the evaluations
        blurring = Blur(torch.ones(1, 1), *size)
        product = _seconds(partial(blurring, torch.zeros(1, 3, *size, device=prior.device)))
        products = 2 * BLUR_ITERATIONS * product
    return steps * (windows + products)


def large_fill(hole: np.ndarray) -> Note | None:
    """Return a note with the share and the estimated seconds of the fill of a large hole (HxW bool), else None."""
    share = float(hole.mean())
    if share < _LARGE:
        return None
    known = torch.ones(1, 4 * _SIDE, 3 * _SIDE)
    known[:, _SIDE : 2 * _SIDE, _SIDE : 2 * _SIDE] = 0
    below = torch.tensor([3 * _SIDE // 2, 0]).view(2, 1, 1).expand(2, *known.shape[1:])
    field = NearestNeighbourField(torch.zeros(3, *known.shape[1:]), known, below)
    sweep = _seconds(partial(field.sweep, torch.Generator()))
    return warning("fill_large", share=share, seconds=round(_SWEEPS * sweep * int(hole.sum()) / _SIDE**2, 1))


def _upscaling_seconds(size: tuple[int, int], factor: int, model: Upscaler) -> float:
    boxes = upscaling_windows(*size, model.reach)
    pixels = sum(height * width for _, _, height, width in boxes)
    probe = torch.zeros(1, 3, _PROBE, _PROBE, device=model.device)
    return pixels / _PROBE**2 * _seconds(partial(model.enlarged, probe, factor, means=True))


@torch.no_grad()
def _seconds(do: Callable[[], object]) -> float:
    """Return the shorter time of two runs, since the first of a process is slower."""
    return min(timeit.repeat(do, number=1, repeat=2))
