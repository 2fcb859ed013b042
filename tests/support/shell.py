"""What a user of the command line has at hand: a small model, a photo, a mask, a shell."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scoreinv.training.config import DataConfig, TrainingConfig
from support.processes import default_signals
from support.small_model import small_config as small_config


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit status and what it said."""

    code: int
    out: str
    err: str


def codes(outcome: Outcome) -> list[str]:
    """Return the note codes of a command with --json on one photo."""
    assert outcome.code == 0, outcome.err
    (record,) = map(json.loads, outcome.out.splitlines())
    return [note["code"] for note in record["notes"]]


def brief_run(data: DataConfig, **changes: Any) -> TrainingConfig:
    """A run of a small model on pictures of 16 pixels, two at a time."""
    run = TrainingConfig(
        replace(small_config(), image_size=16),
        data,
        batch_size=2,
        steps=4,
        validation_images=2,
        samples=1,
        save_minutes=100.0,
        log_every=2,
    )
    return replace(run, **changes)


def start_process(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """The command as its own process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "scoreinv", *map(str, arguments)]
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=default_signals if os.name == "posix" else None,
        **options,
    )


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    return list(csv.DictReader(io.StringIO(path.read_text())))


def image(path: Path) -> Image.Image:
    """Return a picture and close its file."""
    with Image.open(path) as opened:
        opened.load()
    return opened


def photo_array(height: int = 24, width: int = 40, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """A picture without two equal rows or columns."""
    peak = np.iinfo(dtype).max
    noise = np.random.default_rng(7).random((height, width, channels)) * 0.3
    ramp = np.linspace(0, 0.7, height * width).reshape(height, width, 1)
    array: np.ndarray = np.rint((noise + ramp) * peak).astype(dtype)
    return array[..., 0] if channels == 1 else array


def hole_array(height: int = 24, width: int = 40) -> np.ndarray:
    hole = np.zeros((height, width), dtype=bool)
    hole[8:13, 10:17] = True
    return hole
