"""Memory of this machine, and how much of it is taken at once."""

from __future__ import annotations

from pathlib import Path

PIXELS_AT_ONCE = 1 << 17
"""Pixels that are evaluated together at most, in windows of one picture or in several pictures."""


def available_bytes() -> int | None:
    """Memory of this machine that programs can have; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def shortage(needed: int) -> str | None:
    """What is needed and what is free, in words, where memory is lacking; None where not or where nobody knows."""
    free = available_bytes()
    if free is None or needed <= free:
        return None
    return f"takes about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
