"""What the commands say: JSON lines on stdout for programs, lines on stderr for people."""

from __future__ import annotations

import json
from typing import Any

from scoreinv.cli.command import Settings
from scoreinv.cli.streams import put, say


def emit(settings: Settings, record: dict[str, Any]) -> None:
    """One JSON object on a line of stdout, at once, when `--json` asks for it."""
    if settings.json:
        put(json.dumps(record, allow_nan=False))


def rehearse(settings: Settings, record: dict[str, Any], text: str) -> None:
    """What `--dry-run` says on stdout of a piece of work: a line for people, or for programs."""
    if settings.json:
        emit(settings, record | {"dry_run": True})
    else:
        put(text)


def notice(settings: Settings, text: str) -> None:
    """A line for a person on stderr, unless quiet or machine-read."""
    if not settings.quiet and not settings.json:
        say(f"scoreinv: {text}")


def advise(settings: Settings, text: str) -> None:
    """A line on stderr that says how to go on, unless quiet; with `--json` too, where a notice is left out."""
    if not settings.quiet:
        say(f"scoreinv: {text}")


def pictures(count: int) -> str:
    """So many pictures, in words."""
    return "1 picture" if count == 1 else f"{count} pictures"
