"""Peak memory of evaluating and differentiating NCSN++, by formulas fitted to measurements.

Level l of a network with `blocks` blocks has m_l * width features at 4^-l of the P = pixels / patch^2 positions. The
largest number of live values is about

    evaluation:  P width (8 + (blocks + 1) sum_l m_l 4^-l)               the working features and the skips
    gradient:    P width 10 (2 blocks + 2) sum_l m_l 4^-l                all features
                 + (blocks + 2) (P 4^-l)^2 for each attention level l    and the attention weights

For `photo`, `cifar10` and the paper's networks for 32, 256 and 1024 pixels, the first is within -10 % and +50 % of the
measured peak, the second within 25 %.
"""

from __future__ import annotations

from scoreinv.networks.ncsnpp import NCSNppConfig

PROGRAM_BYTES = 300_000_000
"""Memory of torch and this package."""


def evaluation_bytes(network: NCSNppConfig, pixels: int, *, itemsize: int = 4) -> int:
    """Return the approximate peak memory of the features during an evaluation, in bytes.

    Args:
        pixels: total number over the batch.
        itemsize: bytes per value, 4 for float32 or 2 for bfloat16.
    """
    values = 8 + (network.blocks + 1) * _relative_features(network)
    return round(itemsize * pixels / network.patch**2 * network.width * values)


def gradient_bytes(network: NCSNppConfig, pixels: int) -> int:
    """Return the approximate memory of a vector-Jacobian product in float32 for one picture, in bytes."""
    positions = pixels / network.patch**2
    features = positions * network.width * 10 * (2 * network.blocks + 2) * _relative_features(network)
    attention = sum((network.blocks + 2) * (positions / 4**level) ** 2 for level in network.attention_levels)
    return round(4 * (features + attention))


def _relative_features(network: NCSNppConfig) -> float:
    """Return sum_l m_l 4^-l: the values of one map per level, relative to one map of `width` features."""
    return sum(multiplier / 4**level for level, multiplier in enumerate(network.multipliers))
