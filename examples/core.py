"""The core in 40 lines: an SDE of your own, a prior, two samplers, an observation, and the likelihood.

`python examples/core.py` takes under a minute on one core and prints bits per dimension. It writes core.png here, with
five rows: samples by predictor-corrector, samples by a fast solver, the left halves of these, and pictures drawn given
those halves by DPS, which follows them loosely, and by MMPS, which keeps them at the cost of more gradients.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import scoreinv
from scoreinv.guidance import DPS, MMPS, Observation
from scoreinv.imaging.sheet import contact_sheet
from scoreinv.operators import mask
from scoreinv.prior import ScorePrior
from scoreinv.samplers import DDIM, PC, DPMpp2M, NoiseStream
from scoreinv.sdes import SDE

COUNT, SIDE = 4, 32


class Cosine(SDE):
    """alpha = cos(a t), sigma = sin(a t): drift and diffusion follow from these two (Nichol & Dhariwal 2021)."""

    prior_std, sampling_end, angle = 1.0, 1e-3, 0.495 * math.pi

    def alpha(self, t: Tensor) -> Tensor:
        return (self.angle * t).cos()

    def sigma(self, t: Tensor) -> Tensor:
        return (self.angle * t).sin()


def main() -> None:
    # The network was trained on VP. It takes the noise level sigma / alpha, so it serves every SDE.
    trained = scoreinv.load("cifar10")
    prior = ScorePrior(trained.network, Cosine(), trained.preconditioning, image_size=SIDE)
    shape = (COUNT, 3, SIDE, SIDE)

    # In so few steps the paper's reverse diffusion leaves noise, and ancestral sampling, DDIM with eta 1, does not.
    corrected = PC(DDIM(eta=1.0), snr=0.1, steps=60).sample(prior, shape, rng=NoiseStream(0, COUNT))
    fast = DPMpp2M(steps=25).sample(prior, shape, rng=NoiseStream(0, COUNT))

    left = mask((torch.arange(SIDE) < SIDE // 2).float().expand(1, 1, SIDE, SIDE))  # 1 = observed
    y = left(fast.x0)
    # A condition wraps a prior and is a prior again: samplers take it.
    solver = DPMpp2M(eta=1.0, steps=50)
    loose = solver.sample(DPS(prior, Observation(left, y, noise_std=1.0)), shape, rng=NoiseStream(1, COUNT))
    strict = solver.sample(MMPS(prior, Observation(left, y), iterations=1), shape, rng=NoiseStream(1, COUNT))

    levels = (255 * prior.to_image(fast.x0).clamp(0, 1)).round()
    x = prior.to_model((levels + torch.rand(shape)) / 256)  # 8-bit pictures, uniformly dequantised
    print("bits per dimension:", scoreinv.bits_per_dim(prior, x, steps=16).bits_per_dim.numpy().round(2))

    rows = prior.to_image(torch.cat([corrected.x0, fast.x0, y, loose.x0, strict.x0])).clamp(0, 1)
    sheet = contact_sheet(rows.permute(0, 2, 3, 1).numpy(), columns=COUNT)
    Image.fromarray((255 * sheet).round().astype(np.uint8)).save("core.png")


if __name__ == "__main__":
    main()
