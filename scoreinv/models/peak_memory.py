"""Peak memory of differentiating NCSN++, by a formula fitted to measurements.

Level l of a network with `blocks` blocks has m_l * width features at 4^-l of the P = pixels / patch^2 positions. The
largest number of live values is about

    P width 10 (2 blocks + 2) sum_l m_l 4^-l                 all features
    + (blocks + 2) (P 4^-l)^2 for each attention level l     and the attention weights

For `photo`, `cifar10` and the paper's networks for 32, 256 and 1024 pixels, it is within 25 % of the measured peak.
"""

from __future__ import annotations

from scoreinv.networks.ncsnpp import NCSNppConfig


def gradient_bytes(network: NCSNppConfig, pixels: int) -> int:
    """Return the approximate memory of a vector-Jacobian product in float32 for one picture, in bytes."""
    positions = pixels / network.patch**2
    maps = sum(multiplier / 4**level for level, multiplier in enumerate(network.multipliers))
    features = positions * network.width * 10 * (2 * network.blocks + 2) * maps
    attention = sum((network.blocks + 2) * (positions / 4**level) ** 2 for level in network.attention_levels)
    return round(4 * (features + attention))
