"""One evaluation of the paper's networks: ours against diffusers' and plain eager float32.

    pip install 'scoreinv[bench]' && python tests/benchmarks/evaluation_speed.py [--batch 4] [--rounds 5]

Networks with random weights: NCSN++ (continuous) and DDPM of CIFAR-10, and NCSN++ with the pyramids that diffusers'
blocks can express (those of church-256) at 32 pixels. All variants in one process, in turn; medians.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor, nn

from scoreinv.models.published import published
from scoreinv.networks.ncsnpp import NCSNpp, NCSNppConfig

SIZE = 32


def networks() -> dict[str, tuple[NCSNppConfig, Callable[[], nn.Module] | None]]:
    """Name to our configuration, and what makes diffusers' network of the same shape where it has one."""
    ncsnpp = published("ve/cifar10_ncsnpp_continuous").config.network
    skips = replace(
        ncsnpp, blocks=2, attention_levels=(1,), progressive_input="input_skip", progressive_output="output_skip"
    )
    ddpm = replace(published("vp/cifar10_ddpm").config.network, up_attention="each")
    return {
        "NCSN++ continuous": (ncsnpp, None),
        "NCSN++ with skip pyramids": (skips, diffusers_ncsnpp),
        "DDPM": (ddpm, diffusers_ddpm),
    }


def diffusers_ncsnpp() -> nn.Module:
    from diffusers import UNet2DModel

    down, up = ["SkipDownBlock2D"] * 4, ["SkipUpBlock2D"] * 4
    down[1], up[2] = "AttnSkipDownBlock2D", "AttnSkipUpBlock2D"
    return UNet2DModel(
        sample_size=SIZE,
        time_embedding_type="fourier",
        block_out_channels=(128, 256, 256, 256),
        norm_eps=1e-6,
        norm_num_groups=None,
        mid_block_scale_factor=math.sqrt(2),
        attention_head_dim=None,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
    )


def diffusers_ddpm() -> nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIZE,
        freq_shift=1,
        flip_sin_to_cos=False,
        downsample_padding=0,
        block_out_channels=(128, 256, 256, 256),
        norm_eps=1e-6,
        attention_head_dim=None,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )


class Variant:
    """A network in one way of computing it."""

    def __init__(self, network: nn.Module, *, bfloat16: bool, ours: bool) -> None:
        self.network = network.to(memory_format=torch.channels_last) if ours else network
        self.bfloat16 = bfloat16
        self.ours = ours

    def __call__(self, x: Tensor, label: Tensor) -> Tensor:
        plain = patch("scoreinv.networks.ncsnpp.norm_activate", lambda norm, activation, x: activation(norm(x)))
        with nullcontext() if self.ours else plain:
            output = self.network(x.to(memory_format=torch.channels_last) if self.ours else x, label)
            return getattr(output, "sample", output)

    def evaluate(self, x: Tensor, label: Tensor) -> float:
        self.network.eval()
        if self.bfloat16:
            self.network.set_precision(torch.bfloat16)
        start = time.perf_counter()
        with torch.no_grad():
            self(x, label)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-bfloat16", action="store_true", help="where the processor only emulates it")
    options = parser.parse_args()
    x = torch.randn(options.batch, 3, SIZE, SIZE)
    label = torch.linspace(1, 40, options.batch)
    print(f"batch {options.batch} of {SIZE}x{SIZE}, {torch.get_num_threads()} threads, medians of {options.rounds}")
    print(f"{'network':<27}{'variant':<22}{'evaluation ms':>15}{'ratio':>7}")
    for name, (config, other) in networks().items():
        variants = {"plain eager, float32": Variant(NCSNpp(config), bfloat16=False, ours=False)}
        if other is not None:
            variants["diffusers, float32"] = Variant(other(), bfloat16=False, ours=False)
        variants["scoreinv, float32"] = Variant(NCSNpp(config), bfloat16=False, ours=True)
        if not options.no_bfloat16:
            variants["scoreinv, bfloat16"] = Variant(NCSNpp(config), bfloat16=True, ours=True)
        times: dict[str, list[float]] = {variant: [] for variant in variants}
        for turn in range(options.rounds + 1):
            for variant, network in variants.items():
                taken = network.evaluate(x, label)
                if turn:  # the first turn warms up
                    times[variant].append(taken)
        base = statistics.median(times["plain eager, float32"])
        for variant, taken in times.items():
            median = statistics.median(taken)
            print(f"{name:<27}{variant:<22}{1000 * median:>15.0f}{base / median:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
