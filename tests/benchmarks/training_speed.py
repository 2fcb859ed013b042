"""Images a second of one training step of the bundled `photo` network: the loop's step against plain eager loops.

    python tests/benchmarks/training_speed.py [--batch 32] [--rounds 7]

All variants take turns in one process, so that a drifting machine is fair to all; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from unittest.mock import patch

import torch
from torch import nn

from scoreinv.checkpoints.catalogue import locate
from scoreinv.checkpoints.files import read_metadata
from scoreinv.prior import ScorePrior
from scoreinv.training.config import ObjectiveConfig
from scoreinv.training.ema import averaged
from scoreinv.training.objectives import per_image_loss

OBJECTIVE = ObjectiveConfig(weighting="uniform")


class Step:
    """One optimisation step of a variant of the loop."""

    def __init__(self, prior: ScorePrior, *, bfloat16: bool, ours: bool) -> None:
        self.prior = prior.train()
        self.bfloat16 = bfloat16
        self.ours = ours
        if ours:
            prior.network.to(memory_format=torch.channels_last)
        self.average = averaged(prior.network, 0.999)
        self.optimizer = torch.optim.Adam(prior.network.parameters(), lr=1e-5, fused=ours, foreach=False)

    def __call__(self, images: torch.Tensor, times: torch.Tensor, noise: torch.Tensor) -> float:
        start = time.perf_counter()
        precision = torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext()
        plain = patch("scoreinv.networks.ncsnpp.norm_activate", lambda norm, activation, x: activation(norm(x)))
        with precision, nullcontext() if self.ours else plain:
            loss = per_image_loss(OBJECTIVE, self.prior, images, times, noise).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.prior.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.prior.network)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    config, _ = read_metadata(locate(options.model))
    variants = {
        "plain eager, float32": Step(config.build(), bfloat16=False, ours=False),
        "plain eager, bfloat16 autocast": Step(config.build(), bfloat16=True, ours=False),
        "scoreinv, bfloat16": Step(config.build(), bfloat16=True, ours=True),
    }
    size = config.image_size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(options.batch, config.network.channels, size, size, generator=generator) * 2 - 1
    noise = torch.randn(images.shape, generator=generator)
    times = torch.rand(options.batch, generator=generator, dtype=torch.float64).clamp_min(1e-5)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(options.rounds + 1):
        for name, step in variants.items():
            took = step(images, times, noise)
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
