"""Boxes: where a window or a region lies in a picture."""

from __future__ import annotations

Box = tuple[int, int, int, int]
"""Top, left, height and width, in pixels."""
