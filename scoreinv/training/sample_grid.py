"""Sample grids: what the averaged weights draw."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import torch
from PIL import Image

from scoreinv.files import atomic_write
from scoreinv.imaging.sheet import contact_sheet
from scoreinv.prior import ScorePrior
from scoreinv.samplers.dpmpp_2m import DPMpp2M
from scoreinv.samplers.rng import NoiseStream
from scoreinv.training.config import GRID_STEPS


def write_samples(path: Path, prior: ScorePrior, count: int, seed: int) -> None:
    """A PNG of `count` samples of the training size in rows, drawn by a short multistep solver from a fixed seed.

    Raises OSError when it cannot be written.
    """
    shape = _shape(prior, count)
    noise = NoiseStream(seed, count, device=prior.device)
    samples = prior.to_image(DPMpp2M(steps=GRID_STEPS).sample(prior, shape, rng=noise).x0)
    pixels = (samples.nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    buffer = BytesIO()
    Image.fromarray(contact_sheet(pixels)).save(buffer, "PNG")
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


@torch.no_grad()
def rehearse(prior: ScorePrior, count: int) -> None:
    """One of the evaluations that `write_samples` takes, with the result on the CPU: to measure it."""
    prior.noise(torch.zeros(_shape(prior, count), device=prior.device), torch.ones(count, device=prior.device)).cpu()


def _shape(prior: ScorePrior, count: int) -> tuple[int, int, int, int]:
    return count, prior.channels, prior.image_size, prior.image_size
