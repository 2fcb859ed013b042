"""Line plots of figures over training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT, _MARGIN = 480, 240, 32


def line_plots(x: Sequence[float], figures: Mapping[str, Sequence[float | None]]) -> np.ndarray:
    """Return a panel for each figure, one below another, as HxWx3 uint8: its name, its range, and its values over x."""
    font, panels = ImageFont.load_default(12), []
    for name, values in figures.items():
        points = [(step, value) for step, value in zip(x, values, strict=True) if value is not None]
        panel = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
        draw = ImageDraw.Draw(panel)
        left, top, right, bottom = _MARGIN, _MARGIN, _WIDTH - _MARGIN, _HEIGHT - _MARGIN
        draw.rectangle((left, top, right, bottom), outline="gray")
        low, high = min(value for _, value in points), max(value for _, value in points)
        first, last = min(x), max(x)

        def at(step: float, value: float, ends: tuple[float, ...] = (first, last, low, high)) -> tuple[float, float]:
            across = (step - ends[0]) / ((ends[1] - ends[0]) or 1)
            up = (value - ends[2]) / ((ends[3] - ends[2]) or 1)
            return _MARGIN + across * (_WIDTH - 2 * _MARGIN), _HEIGHT - _MARGIN - up * (_HEIGHT - 2 * _MARGIN)

        draw.line([at(*point) for point in points], fill="navy", width=2)
        for across, up in (at(*point) for point in points):
            draw.ellipse((across - 3, up - 3, across + 3, up + 3), fill="navy")
        draw.text((left, 8), f"{name}, {low:.4g} to {high:.4g}", fill="black", font=font)
        draw.text((left, bottom + 8), f"{first:,.0f}", fill="black", font=font)
        draw.text((right, bottom + 8), f"{last:,.0f} steps", fill="black", font=font, anchor="ra")
        panels.append(np.asarray(panel))
    return np.concatenate(panels)
