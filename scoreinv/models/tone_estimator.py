"""How far the tones of a photograph have faded: a network that reads them, and the curves that undo it.

It sees each pixel of a small picture beside the colour that a photograph of its greys has on average, and what that was
told from (`networks.chroma`): skin, leaves and sky, which everyone knows the colours of, tell a cast from a colour, and
clothes do not. What the pixels say is pooled, joined with the quantiles of the channels, and read as three numbers a
channel and one of all.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from scoreinv.models.weights import read_network
from scoreinv.networks.chroma import SEEN
from scoreinv.operators.colour_space import luma_weights
from scoreinv.system.files import PRETRAINED

TONE_FILE = PRETRAINED / "tone" / "tone.safetensors"

SIDE = 56
"""Side of the small picture, in pixels, whatever the photograph's shape."""

QUANTILES = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995)
"""Of each channel, that the network is told beside its least and largest value; the first and last bound the curves."""

PARTS = 4
"""In either direction, of whose darkest and lightest values the odds are told."""

_PIXEL, _HEADS, _WIDTH, _ODDS, _POWER = 96, 10, 256, 128, 1.6
_FARTHEST = 0.97
"""Of the way that a curve's black goes to the darkest tones, and its white to the lightest: so nothing is clipped."""


class ToneNetwork(nn.Module):
    """Small pictures (B, N, 3), what is known of them (B, N, 3 + SEEN), and their tones to curves and odds.

    Known are the chroma that greys such as theirs have on average, and what that was told from. The first and the last
    of the quantiles (B, 13, 3) are the least and the largest values of a larger picture: few healthy ones reach neither
    end. Its ends (B, 2, `PARTS`^2, 3) are the darkest values of its parts, and the lightest, each in rising order.

    `forward` gives black, white and log of the exponent of each channel's curve (B, 3, 3), and the log odds that the
    picture is faded at all (B,).
    """

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Sequential(nn.Linear(12 + SEEN, _PIXEL), nn.SiLU(), nn.Linear(_PIXEL, _PIXEL), nn.SiLU())
        self.weigh = nn.Linear(_PIXEL, _HEADS)
        told = 2 * 3 * (len(QUANTILES) + 2) + 27
        self.head = nn.Sequential(
            nn.Linear((_HEADS + 2) * _PIXEL + told, _WIDTH),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(_WIDTH, _WIDTH),
            nn.SiLU(),
            nn.Dropout(0.1),
        )
        self.curves = nn.Linear(_WIDTH, 9)
        tones = 3 * (2 * PARTS**2 + len(QUANTILES) + 2)
        self.odds = nn.Sequential(nn.Linear(_WIDTH + tones, _ODDS), nn.SiLU(), nn.Dropout(0.2), nn.Linear(_ODDS, 1))

    def forward(self, rgb: Tensor, known: Tensor, quantiles: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        low, high = quantiles[:, 1:2], quantiles[:, -2:-1]
        stretched = ((rgb - low) / (high - low).clamp_min(0.05)).clamp(0, 1)
        expected = stretched @ rgb.new_tensor(luma_weights("rec601"))[:, None] + known[..., :3]
        colours = torch.cat([rgb, stretched, expected, stretched - expected], dim=-1) * 2 - 1
        seen = self.pixels(torch.cat([colours, known[..., 3:]], dim=-1))
        weights = self.weigh(seen).softmax(dim=1)
        pooled = (weights.transpose(1, 2) @ seen).flatten(1)
        tones = torch.cat([quantiles, torch.log(quantiles + 0.02) / 2], dim=1).flatten(1)
        moments = _moments(stretched, expected)
        read = self.head(torch.cat([pooled, seen.mean(1), seen.std(1), tones, moments], dim=1))
        out, odds = self.curves(read), self.odds(torch.cat([read, ends.flatten(1), quantiles.flatten(1)], dim=1))
        black = _FARTHEST * torch.sigmoid(out[:, 0:3] - 2) * low[:, 0]
        white = 1 - _FARTHEST * torch.sigmoid(out[:, 3:6] - 2) * (1 - high[:, 0])
        power = _POWER * torch.tanh(out[:, 6:9] / 2)
        return torch.stack([black, white, power], dim=1), odds[:, 0]


def through(rgb: Tensor, curves: Tensor) -> Tensor:
    """Pixels (B, N, 3) through the curves (B, 3, 3) of `ToneNetwork`: ((x - black) / (white - black)) ^ exponent."""
    black, white, power = (one[:, None] for one in curves.unbind(1))
    return ((rgb - black) / (white - black)).clamp(1e-3, 1) ** power.exp()


def _moments(rgb: Tensor, expected: Tensor) -> Tensor:
    """How the channels of pixels (B, N, 3) and of those expected lie, spread and go together: (B, 27)."""
    one, other = (torch.log(x.clamp_min(0) + 0.05) for x in (rgb, expected))
    spread, wanted = one.std(1), other.std(1)
    slope = ((one - one.mean(1, keepdim=True)) * (other - other.mean(1, keepdim=True))).mean(1)
    chroma, own = rgb - rgb.mean(2, keepdim=True), expected - expected.mean(2, keepdim=True)
    together = (chroma * own).mean(1) / (own.square().mean(1) + 1e-3)
    every = [one.mean(1), other.mean(1), spread, wanted, slope / (spread * wanted + 0.05), together]
    return torch.cat([*every, chroma.mean(1) * 4, own.mean(1) * 4, chroma.abs().mean(1) * 4], dim=1)


def load_tone(path: Path = TONE_FILE) -> ToneNetwork:
    """Load the network: float32, in evaluation mode.

    Raises CheckpointError when the file is missing or is not that of one.
    """
    return read_network(path, ToneNetwork)
