"""Images a second of one training step of a bundled network: the loop's step against plain eager loops.

    python tests/benchmarks/training_speed.py [--model photo] [--batch 16] [--rounds 7] [--compile]

All variants take turns in one process, so that a drifting machine is fair to all; medians are printed.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.models.catalogue import locate
from scoreinv.models.model_file import read_metadata
from scoreinv.prior import ScorePrior
from scoreinv.training.config import ObjectiveConfig
from scoreinv.training.ema import update_average
from scoreinv.training.score_matching import per_image_loss
from scoreinv.training.synthetic_damage import draw_hole


class Step:
    """One optimisation step of a variant of the loop."""

    def __init__(self, prior: ScorePrior, *, bfloat16: bool, ours: bool) -> None:
        self.prior = prior.train()
        self.bfloat16 = bfloat16
        self.ours = ours
        if ours:
            prior.network.to(memory_format=torch.channels_last)
        self.average, self.updates = copy.deepcopy(prior.network), 0
        self.optimizer = torch.optim.Adam(prior.network.parameters(), lr=1e-5, fused=ours, foreach=False)

    def __call__(self, images: Tensor, observed: Tensor, times: Tensor, noise: Tensor) -> float:
        start = time.perf_counter()
        precision = torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext()
        plain = patch("scoreinv.networks.ncsnpp.norm_activate", lambda norm, activation, x: activation(norm(x)))
        with precision, nullcontext() if self.ours else plain:
            loss = self.loss(images, observed, times, noise)
        loss.backward()
        nn.utils.clip_grad_norm_(self.prior.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        update_average(self.average, self.prior.network, self.updates, 0.999)
        return time.perf_counter() - start

    def loss(self, images: Tensor, observed: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        if self.prior.conditional:
            objective = ObjectiveConfig(weighting="residual")
            scale = self.prior.luma_scale
            fine = F.interpolate(images, scale_factor=scale) if scale > 1 else None
            initial = self.prior.initial_estimate(images, observed, fine=fine)
            return per_image_loss(objective, self.prior, images, times, noise, initial).mean()
        return per_image_loss(ObjectiveConfig(weighting="uniform"), self.prior, images, times, noise).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="with torch.compile too, which takes minutes")
    options = parser.parse_args()
    config, _ = read_metadata(locate(options.model))
    variants = {
        "plain eager, float32": Step(config.build(), bfloat16=False, ours=False),
        "plain eager, bfloat16 autocast": Step(config.build(), bfloat16=True, ours=False),
        "scoreinv, bfloat16": Step(config.build(), bfloat16=True, ours=True),
    }
    if options.compile:
        variants["scoreinv, compiled"] = Step(config.build(), bfloat16=True, ours=True)
        variants["scoreinv, compiled"].prior.network.compile()
    size = config.image_size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(options.batch, config.network.channels, size, size, generator=generator) * 2 - 1
    noise = torch.randn(images.shape, generator=generator)
    holes = [draw_hole(size, np.random.default_rng(index)) for index in range(options.batch)]
    observed = torch.from_numpy(~np.stack(holes))[:, None].expand(-1, 3, -1, -1)
    times = torch.rand(options.batch, generator=generator, dtype=torch.float64).clamp_min(1e-5)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(options.rounds + 1):
        for name, step in variants.items():
            took = step(images, observed, times, noise)
            if turn:  # the first turn warms up
                seconds[name].append(took)
    base = statistics.median(seconds["plain eager, float32"])
    print(f"batch {options.batch} of {size}x{size}, {torch.get_num_threads()} threads, median of {options.rounds}")
    print(f"{'variant':<34}{'images/s':>10}{'ratio':>8}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:<34}{options.batch / median:>10.1f}{base / median:>8.2f}")


if __name__ == "__main__":
    main()
