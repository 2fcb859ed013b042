"""Tone estimator: a network that estimates the fading of a photograph and the curves that correct it.

For each pixel of a reduced picture, the inputs are its colour, the expected colour of its grey, and the features behind
that expectation (`networks.chroma`). Skin, leaves and sky have known colours and so reveal a cast; clothes do not. The
pixels' features are pooled and joined with the quantiles of the channels. A head returns three numbers per channel, and
the log odds of a gain by these curves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoreinv.networks.chroma import DECODER_FEATURES
from scoreinv.operators.luma import luma_weights

SIDE = 56
"""Side of the reduced, square picture, in pixels."""

QUANTILES = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995)
"""Quantiles of each channel among the inputs, besides minimum and maximum; the first and last bound the curves."""

PARTS = 4
"""Parts of the picture per axis. The odds depend on the darkest and lightest value of each part."""

_PIXEL, _HEADS, _WIDTH, _ODDS = 96, 10, 256, 128
"""Features of a pixel, number of poolings over the pixels, and features of the head and of the odds."""
_MOST_LOG_EXPONENT = 1.6
_LARGEST_SHIFT = 0.97
"""Largest shift of black to the darkest tones and of white to the lightest, as a fraction; below 1, nothing clips."""


class ToneNetwork(nn.Module):
    """Network from reduced pictures and their tones to correcting curves and log odds of a gain.

    `forward` takes
        rgb (B, N, 3): pixels of the reduced pictures, in [0, 1];
        expected (B, N, 3 + DECODER_FEATURES): mean chroma of their greys, then its features;
        quantiles (B, 13, 3): minimum, `QUANTILES` and maximum of each channel. Minimum and maximum are measured at a
            larger size, at which most healthy pictures reach black or white;
        ends (B, 2, `PARTS`^2, 3): darkest and lightest values of the parts, in ascending order.

    It returns black, white and log exponent of each channel's curve, (B, 3, 3), and the log odds of a gain, (B,). Above
    0, the expected gain is more than 8 times the expected loss (`AVERSION` of pretrained/tone/make.py).
    """

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Sequential(
            nn.Linear(12 + DECODER_FEATURES, _PIXEL), nn.SiLU(), nn.Linear(_PIXEL, _PIXEL), nn.SiLU()
        )
        self.weigh = nn.Linear(_PIXEL, _HEADS)
        statistics = 2 * 3 * (len(QUANTILES) + 2) + 27
        self.head = nn.Sequential(
            nn.Linear((_HEADS + 2) * _PIXEL + statistics, _WIDTH),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(_WIDTH, _WIDTH),
            nn.SiLU(),
            nn.Dropout(0.1),
        )
        self.curves = nn.Linear(_WIDTH, 9)
        tones = 3 * (2 * PARTS**2 + len(QUANTILES) + 2)
        self.odds = nn.Sequential(nn.Linear(_WIDTH + tones, _ODDS), nn.SiLU(), nn.Dropout(0.2), nn.Linear(_ODDS, 1))

    def forward(self, rgb: Tensor, expected: Tensor, quantiles: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        low, high = quantiles[:, 1:2], quantiles[:, -2:-1]
        stretched = ((rgb - low) / (high - low).clamp_min(0.05)).clamp(0, 1)
        expected_rgb = stretched @ rgb.new_tensor(luma_weights("rec601"))[:, None] + expected[..., :3]
        colours = torch.cat([rgb, stretched, expected_rgb, stretched - expected_rgb], dim=-1) * 2 - 1
        features = self.pixels(torch.cat([colours, expected[..., 3:]], dim=-1))
        weights = self.weigh(features).softmax(dim=1)
        pooled = (weights.transpose(1, 2) @ features).flatten(1)
        tones = torch.cat([quantiles, torch.log(quantiles + 0.02) / 2], dim=1).flatten(1)
        moments = _moments(stretched, expected_rgb)
        hidden = self.head(torch.cat([pooled, features.mean(1), features.std(1), tones, moments], dim=1))
        out, odds = self.curves(hidden), self.odds(torch.cat([hidden, ends.flatten(1), quantiles.flatten(1)], dim=1))
        black = _LARGEST_SHIFT * torch.sigmoid(out[:, 0:3] - 2) * low[:, 0]
        white = 1 - _LARGEST_SHIFT * torch.sigmoid(out[:, 3:6] - 2) * (1 - high[:, 0])
        log_exponent = _MOST_LOG_EXPONENT * torch.tanh(out[:, 6:9] / 2)
        return torch.stack([black, white, log_exponent], dim=1), odds[:, 0]


def apply_curves(rgb: Tensor, curves: Tensor) -> Tensor:
    """Apply the curves (B, 3, 3) of `ToneNetwork` to pixels (B, N, 3): ((x - black) / (white - black)) ^ exponent."""
    black, white, log_exponent = (values[:, None] for values in curves.unbind(1))
    return ((rgb - black) / (white - black)).clamp(1e-3, 1) ** log_exponent.exp()


def _moments(rgb: Tensor, expected: Tensor) -> Tensor:
    """Return means, deviations and correlations of pixels and expected ones, (B, N, 3), by channel: (B, 27)."""
    log_rgb, log_expected = (torch.log(x.clamp_min(0) + 0.05) for x in (rgb, expected))
    std, expected_std = log_rgb.std(1), log_expected.std(1)
    deviations, expected_deviations = (x - x.mean(1, keepdim=True) for x in (log_rgb, log_expected))
    covariance = (deviations * expected_deviations).mean(1)
    chroma, expected_chroma = rgb - rgb.mean(2, keepdim=True), expected - expected.mean(2, keepdim=True)
    slope = (chroma * expected_chroma).mean(1) / (expected_chroma.square().mean(1) + 1e-3)
    logs = [log_rgb.mean(1), log_expected.mean(1), std, expected_std, covariance / (std * expected_std + 0.05), slope]
    return torch.cat([*logs, chroma.mean(1) * 4, expected_chroma.mean(1) * 4, chroma.abs().mean(1) * 4], dim=1)
