"""Seconds of whole commands, start-up included, on an idle machine and beside two busy processes.

    python tests/benchmarks/commands.py [--rounds 5] [--idle-only] [--figure cost.png]

Medians of the rounds, with the most memory that the command took. Beside them are Telea's fill, by our
`--method telea`, and G'MIC's `inpaint_matchpatch` where it is installed (`pip install gmic`). The pictures are those of
`examples/`; larger ones are that photograph enlarged. `--figure` draws the cost of a fill against the size of the
picture, at one hole, and against the area of the hole, at one size.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scoreinv.speed import processor, usable_threads

EXAMPLES = Path(__file__).parents[2] / "examples"
SCOREINV = (sys.executable, "-m", "scoreinv")
GMIC = "import gmic, sys; gmic.run(sys.argv[1])"
MEASURED = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done)"
)
"""Runs a command and prints the kilobytes that it took at most."""


@dataclass(frozen=True)
class Cost:
    """Wall seconds of each round, and the most bytes."""

    seconds: list[float]
    memory: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(words: tuple[str, ...], rounds: int) -> Cost:
    """The cost of a command, which must succeed."""
    seconds, memory = [], 0
    for _ in range(rounds):
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", MEASURED, *words], check=True, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begun)
        memory = max(memory, 1024 * int(done.stdout.splitlines()[-1]))
    return Cost(seconds, memory)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute all the while."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def fill(photo: Path, mask: Path, folder: Path, *more: str) -> tuple[str, ...]:
    """The command that fills the holes of a photo."""
    written = str(folder / "filled.png")
    return (*SCOREINV, "inpaint", str(photo), "--mask", str(mask), "-o", written, "--overwrite", "--quiet", *more)


def commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """What is measured, by its name in the table."""
    scratched, scratches = EXAMPLES / "damaged" / "astronaut.png", EXAMPLES / "masks" / "astronaut.png"
    moose = EXAMPLES / "photos" / "moose.jpg", EXAMPLES / "masks" / "moose.png"
    large = enlarged(EXAMPLES / "photos" / "moose.jpg", 12, folder)
    spot = spotted(large, 64, folder)
    lake, out = str(EXAMPLES / "grey" / "lake.jpg"), str(folder / "drawn.png")
    square = cut(EXAMPLES / "photos" / "moose.jpg", 512, folder)
    found = {
        "`--help`": (*SCOREINV, "--help"),
        "`inpaint`, 512x512, scratches over 5.5 %": fill(scratched, scratches, folder),
        "the same, `--estimate mean`": fill(scratched, scratches, folder, "--estimate", "mean"),
        "the same, `--method telea`": fill(scratched, scratches, folder, "--method", "telea"),
        "`inpaint`, 768x512, an object of 111,000 pixels": fill(*moose, folder),
        "`inpaint`, 12 megapixels, one hole of 64x64": fill(large, spot, folder),
        "`colorize`, 768x432": (*SCOREINV, "colorize", lake, "-o", out, "--overwrite", "--quiet"),
        "`denoise --noise 15`, 512x512": restored(square, folder, "denoise", "--noise", "15"),
        "`denoise --noise 15`, 12 megapixels": restored(large, folder, "denoise", "--noise", "15"),
        "`upscale --factor 2`, 512x512 to 1024x1024": restored(square, folder, "upscale", "--factor", "2"),
        "`deblur --kernel gaussian:2`, 512x512": restored(square, folder, "deblur", "--kernel", "gaussian:2"),
        "`sample -n 16`, 64x64": (*SCOREINV, "sample", "--model", "photo", "-n", "16", "-o", out, "--overwrite"),
    }
    if importlib.util.find_spec("gmic"):
        written = folder / "matched.png"
        line = f"{scratched} {scratches} inpaint_matchpatch[0] [1] output[0] {written}"
        found["the scratches by G'MIC's `inpaint_matchpatch`"] = (sys.executable, "-c", GMIC, line)
    return found


def restored(photo: Path, folder: Path, name: str, *more: str) -> tuple[str, ...]:
    """The command of that name on a photo."""
    return (*SCOREINV, name, str(photo), *more, "-o", str(folder / f"{name}.png"), "--overwrite", "--quiet")


def cut(photo: Path, side: int, folder: Path) -> Path:
    """The upper left square of the photo."""
    path = folder / f"{photo.stem}_cut.png"
    with Image.open(photo) as picture:
        picture.crop((0, 0, side, side)).save(path)
    return path


def enlarged(photo: Path, megapixels: float, folder: Path) -> Path:
    """The photo at another size."""
    with Image.open(photo) as picture:
        scale = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
        path = folder / f"{photo.stem}_{megapixels:g}.png"
        picture.resize((round(scale * picture.width), round(scale * picture.height))).save(path, compress_level=1)
    return path


def spotted(photo: Path, side: int, folder: Path) -> Path:
    """A mask with one square hole in the middle."""
    with Image.open(photo) as picture:
        width, height = picture.size
    mask = Image.new("L", (width, height))
    left, top = (width - side) // 2, (height - side) // 2
    ImageDraw.Draw(mask).rectangle((left, top, left + side - 1, top + side - 1), fill=255)
    path = folder / f"{photo.stem}_spot.png"
    mask.save(path)
    return path


def scratched(photo: Path, share: float, folder: Path) -> Path:
    """A mask with lines of 3 pixels over that share of the picture."""
    with Image.open(photo) as picture:
        mask = Image.new("L", picture.size)
    random, draw = np.random.default_rng(0), ImageDraw.Draw(mask)
    while np.asarray(mask).mean() / 255 < share:
        x, y = random.uniform(0, mask.size)
        dx, dy = random.normal(0, 60, 2)
        draw.line((x, y, x + dx, y + dy), fill=255, width=3)
    path = folder / f"{photo.stem}_{share:g}.png"
    mask.save(path)
    return path


def figure(path: Path, folder: Path, rounds: int) -> None:
    """Draw seconds against megapixels, with one scratched place, and against the share that is scratched."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    photo = EXAMPLES / "photos" / "moose.jpg"
    sizes = (0.25, 1, 4, 12, 24)
    larger = [enlarged(photo, size, folder) for size in sizes]
    by_size = [measure(fill(each, spotted(each, 64, folder), folder), rounds).median for each in larger]
    shares = (0.001, 0.01, 0.02, 0.05, 0.1)
    one = enlarged(photo, 1, folder)
    by_share = [measure(fill(one, scratched(one, share, folder), folder), rounds).median for share in shares]
    _, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
    left.plot(sizes, by_size, "o-")
    left.set(xlabel="megapixels, one hole of 64x64", ylabel="seconds", ylim=(0, None))
    right.plot([100 * share for share in shares], by_share, "o-")
    right.set(xlabel="% of a megapixel that is scratched")
    pyplot.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle-only", action="store_true", help="leave out the runs beside busy processes")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    print(f"{processor()}, {usable_threads()} threads, medians of {options.rounds}\n")
    print("| command | seconds | beside two busy processes | memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, words in commands(folder).items():
            measure(words, 1)  # files come to memory, and the model's speed is measured
            idle = measure(words, options.rounds)
            beside = ""
            if not options.idle_only:
                with busy(2):
                    beside = f"{measure(words, options.rounds).median:.1f}"
            print(f"| {title} | {idle.median:.1f} | {beside} | {idle.memory / 1e9:.2f} GB |", flush=True)
        if options.figure is not None:
            figure(options.figure, folder, options.rounds)


if __name__ == "__main__":
    main()
