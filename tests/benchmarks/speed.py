"""Seconds of one training step: ours against plain eager float32.

    python tests/benchmarks/speed.py [--model photo] [--batch 16] [--rounds 7] [--compile]

Trained is a bundled network. All variants take turns in one process, so that a drifting machine is fair to all; medians
are printed.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional import Observation
from scoreinv.models.catalogue import locate
from scoreinv.models.model_file import read_metadata
from scoreinv.operators import ObservedComponents
from scoreinv.prior import ScorePrior
from scoreinv.tasks.common import accepts_holes
from scoreinv.training.config import ObjectiveConfig
from scoreinv.training.data.synthetic_damage import draw_hole
from scoreinv.training.loop import update_average
from scoreinv.training.losses import per_image_loss

PLAIN = "plain eager, float32"


def plain() -> AbstractContextManager[object]:
    """Normalisation and activation as torch has them."""
    return patch("scoreinv.networks.ncsnpp.norm_activate", lambda norm, activation, x: activation(norm(x)))


def report(name: str, variants: dict[str, Callable[[], object]], batch: int, rounds: int) -> None:
    """Print what variants take, of which one is `PLAIN`."""
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    for turn in range(rounds + 1):
        for variant, run in variants.items():
            start = time.perf_counter()
            run()
            if turn:  # the first turn warms up
                seconds[variant].append(time.perf_counter() - start)
    base = statistics.median(seconds[PLAIN])
    for variant, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:<27}{variant:<34}{1000 * median:>8.0f}{batch / median:>10.1f}{base / median:>7.2f}", flush=True)


def step(prior: ScorePrior, batch: tuple[Tensor, ...], *, bfloat16: bool, ours: bool) -> Callable[[], object]:
    """One optimisation step of a variant of the loop."""
    network, (images, observed, times, noise) = prior.train().network, batch
    if ours:
        network.to(memory_format=torch.channels_last)
    average, updates = copy.deepcopy(network), 0
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, fused=ours, foreach=False)

    def loss() -> Tensor:
        if not accepts_holes(prior):
            return per_image_loss(ObjectiveConfig(weighting="uniform"), prior, images, times, noise).mean()
        scale = prior.luma_scale
        fine = F.interpolate(images, scale_factor=scale) if scale > 1 else None
        operator = ObservedComponents(observed, prior.preconditioning.basis)
        given = prior.given(Observation(operator, operator(images), fine=fine))
        return per_image_loss(ObjectiveConfig(weighting="residual"), given, images, times, noise).mean()

    def run() -> None:
        nonlocal updates
        precision = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()
        with precision, nullcontext() if ours else plain():
            found = loss()
        found.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        updates += 1
        update_average(average, network, updates, 0.999)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="photo", help="that is trained")
    parser.add_argument("--compile", action="store_true", help="train with torch.compile too, which takes minutes")
    options = parser.parse_args()
    print(f"batch {options.batch}, {torch.get_num_threads()} threads, medians of {options.rounds}")
    print(f"{'network':<27}{'variant':<34}{'ms':>8}{'images/s':>10}{'ratio':>7}")
    config, _ = read_metadata(locate(options.model))
    size, generator = config.image_size, torch.Generator().manual_seed(0)
    images = torch.rand(options.batch, config.network.channels, size, size, generator=generator) * 2 - 1
    noise = torch.randn(images.shape, generator=generator)
    holes = [draw_hole(size, np.random.default_rng(index)) for index in range(options.batch)]
    observed = torch.from_numpy(~np.stack(holes))[:, None].expand(-1, 3, -1, -1)
    times = torch.rand(options.batch, generator=generator, dtype=torch.float64).clamp_min(1e-5)
    batch = (images, observed, times, noise)
    variants = {
        PLAIN: step(config.build(), batch, bfloat16=False, ours=False),
        "plain eager, bfloat16 autocast": step(config.build(), batch, bfloat16=True, ours=False),
        "scoreinv, bfloat16": step(config.build(), batch, bfloat16=True, ours=True),
    }
    if options.compile:
        compiled = config.build()
        compiled.network.compile()
        variants["scoreinv, compiled"] = step(compiled, batch, bfloat16=True, ours=True)
    report(options.model, variants, options.batch, options.rounds)


if __name__ == "__main__":
    main()
