"""Photographs an hour of folders, by one process and by several.

    python tests/benchmarks/folders.py PHOTOS [--count 40] [--megapixels 2] [--workers 1 2]

The first photographs of a folder, reduced to a size, with two scratches each, go through `inpaint` (masks given),
`colorize` (made grey) and `restore`, all as the command line does them, start-up included. One worker is one process
with as many threads as it takes by itself; N are N processes of one thread each. The runs of a command follow each
other, so that a machine whose speed varies is judged by the rows that stand together.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scoreinv.imaging.read import SUFFIXES

ROOT = Path(__file__).parents[2]


def prepare(sources: list[Path], megapixels: float, folder: Path) -> None:
    """Write `photos`, scratched, their `masks`, and `greys` into a folder."""
    for name in ("photos", "masks", "greys"):
        (folder / name).mkdir()
    for number, path in enumerate(sources):
        photo = Image.open(path).convert("RGB")
        factor = (1e6 * megapixels / (photo.width * photo.height)) ** 0.5
        photo = photo.resize((round(photo.width * factor), round(photo.height * factor)), Image.Resampling.LANCZOS)
        mask = Image.new("L", photo.size)
        rng = np.random.default_rng(number)
        for _ in range(2):
            ends = (rng.random((2, 2)) * photo.size).tolist()
            ImageDraw.Draw(mask).line([tuple(end) for end in ends], fill=255, width=4)
        photo.convert("L").save(folder / "greys" / f"{number:03}.png")
        photo.paste((235, 235, 230), mask=mask)
        photo.save(folder / "photos" / f"{number:03}.png")
        mask.save(folder / "masks" / f"{number:03}.png")


def run(words: list[str], folder: Path) -> tuple[float, float]:
    """Seconds, and processor seconds of all its processes, that a command takes."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "scoreinv", *words, "-q", "--overwrite"], cwd=folder, check=True)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--commands", nargs="+", default=["inpaint", "colorize", "restore"])
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    sources = sorted(path for path in given.photos.iterdir() if path.suffix.lower() in SUFFIXES)[: given.count]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(sources, given.megapixels, folder)
        print(f"{len(sources)} photographs of {given.megapixels:g} megapixels, {os.cpu_count()} processors\n")
        print("| command | workers | seconds | processor seconds | photographs an hour |\n|---|---|---|---|---|")
        for command in given.commands:
            words = {"inpaint": ["photos", "--mask", "masks"], "colorize": ["greys"], "restore": ["photos"]}[command]
            for count in given.workers:
                wall, processor = run([command, *words, "-o", f"{command}-{count}", "--workers", str(count)], folder)
                rate = 3600 * len(sources) / wall
                print(f"| `{command}` | {count} | {wall:.1f} | {processor:.1f} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
