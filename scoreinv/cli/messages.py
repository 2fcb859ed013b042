"""What the commands say: JSON lines on stdout for programs, lines on stderr for people."""

from __future__ import annotations

import json
import sys
from typing import Any

from scoreinv.cli.common import Settings


def emit(settings: Settings, record: dict[str, Any]) -> None:
    """One JSON object on a line of stdout, at once, when `--json` asks for it."""
    if settings.json:
        sys.stdout.write(json.dumps(record, allow_nan=False) + "\n")
        sys.stdout.flush()


def notice(settings: Settings, text: str) -> None:
    """A line for a person on stderr, unless quiet or machine-read."""
    if not settings.quiet and not settings.json:
        sys.stderr.write(f"scoreinv: {text}\n")


def warn(text: str) -> None:
    """A line on stderr about something that was not done as one may expect."""
    sys.stderr.write(f"scoreinv: warning: {text}\n")
