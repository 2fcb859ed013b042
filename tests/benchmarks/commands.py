"""Seconds of whole commands, start-up included, on an idle machine and beside two busy processes.

    python tests/benchmarks/commands.py [--rounds 5] [--beside 3] [--only program]

Medians of the rounds: wall seconds, idle and beside the busy processes, processor seconds of all threads, and the most
memory. Beside them are Telea's fill, by our `--method telea`, and G'MIC's `inpaint_matchpatch` where it is installed
(`pip install gmic`). The pictures are those of `examples/`; larger ones are that photograph enlarged.
"""

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

EXAMPLES = Path(__file__).parents[2] / "examples"
SCOREINV = (sys.executable, "-m", "scoreinv")
GMIC = "import gmic, sys; gmic.run(sys.argv[1])"
PROGRAM = """
import {first}, scoreinv
from PIL import Image

photo, mask = Image.open({photo!r}), Image.open({mask!r})
scoreinv.inpaint(photo, mask, prior=scoreinv.load("photo")).image.save({written!r})
"""
MEASURED = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]).returncode; "
    "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_maxrss, used.ru_utime + used.ru_stime); "
    "sys.exit(done)"
)
"""Runs a command and prints the kilobytes that it took at most, and its processor seconds."""


@dataclass(frozen=True)
class Cost:
    """What a command takes: medians of wall and processor seconds, evaluations where it tells them, the most bytes."""

    seconds: float
    processor: float
    evaluations: int | None
    memory: float


def measure(words: tuple[str, ...], rounds: int) -> Cost:
    """The cost of a command, which must succeed.

    The first of five rounds may read files: their median does not see it.
    """
    seconds, processor, memory = [], [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", MEASURED, *words], check=True, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begun)
        *told, last = done.stdout.splitlines()
        kilobytes, used = last.split()
        processor.append(float(used))
        memory.append(1024 * float(kilobytes))
    evaluations = json.loads(told[0])["nfe"] if "--json" in words else None
    return Cost(statistics.median(seconds), statistics.median(processor), evaluations, max(memory))


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
    return (*SCOREINV, "inpaint", str(photo), "--mask", str(mask), "-o", written, "--overwrite", "--json", *more)


def commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """What is measured, by its name in the table."""
    scratched, scratches = EXAMPLES / "damaged" / "astronaut.png", EXAMPLES / "masks" / "astronaut.png"
    moose = EXAMPLES / "photos" / "moose.jpg", EXAMPLES / "masks" / "moose.png"
    large = enlarged(EXAMPLES / "photos" / "moose.jpg", 12, folder)
    spot = spotted(large, 64, folder)
    lake, sea = (enlarged(EXAMPLES / "grey" / "lake.jpg", megapixels, folder) for megapixels in (1, 12))
    out = str(folder / "drawn.png")
    square = cut(EXAMPLES / "photos" / "moose.jpg", 512, folder)
    drawn = ("sample", "--model", "photo", "-n", "16", "-o", out, "--overwrite", "--json")
    found = {
        "`--help`": (*SCOREINV, "--help"),
        "`inpaint`, 512x512, scratches over 5.5 %": fill(scratched, scratches, folder),
        "the same, `--estimate mean`": fill(scratched, scratches, folder, "--estimate", "mean"),
        **{
            f"the same, by a program, {name} imported first": by_program(name, folder) for name in ("scoreinv", "torch")
        },
        "the same, `--method telea`": fill(scratched, scratches, folder, "--method", "telea"),
        "`inpaint`, 768x512, an object of 111,000 pixels": fill(*moose, folder),
        "`inpaint`, 12 megapixels, one hole of 64x64": fill(large, spot, folder),
        "`colorize`, 1 megapixel": (*SCOREINV, "colorize", str(lake), "-o", out, "--overwrite", "--json"),
        "`colorize`, 12 megapixels": (*SCOREINV, "colorize", str(sea), "-o", out, "--overwrite", "--json"),
        "`denoise --noise 15`, 512x512": restored(square, folder, "denoise", "--noise", "15"),
        "`denoise --noise 15`, 12 megapixels": restored(large, folder, "denoise", "--noise", "15"),
        "`upscale --factor 2`, 512x512 to 1024x1024": restored(square, folder, "upscale", "--factor", "2"),
        "`deblur --kernel gaussian:2`, 512x512": restored(square, folder, "deblur", "--kernel", "gaussian:2"),
        "`sample -n 16`, 64x64": (*SCOREINV, *drawn),
    }
    if importlib.util.find_spec("gmic"):
        written = folder / "matched.png"
        line = f"{scratched} {scratches} inpaint_matchpatch[0] [1] output[0] {written}"
        found["the scratches by G'MIC's `inpaint_matchpatch`"] = (sys.executable, "-c", GMIC, line)
    return found


def by_program(first: str, folder: Path) -> tuple[str, ...]:
    """A program that calls `scoreinv.inpaint` for the scratches, and has imported another package before."""
    photo, mask = (str(EXAMPLES / kind / "astronaut.png") for kind in ("damaged", "masks"))
    program = PROGRAM.format(first=first, photo=photo, mask=mask, written=str(folder / "program.png"))
    return (sys.executable, "-c", program)


def restored(photo: Path, folder: Path, name: str, *more: str) -> tuple[str, ...]:
    """The command of that name on a photo."""
    return (*SCOREINV, name, str(photo), *more, "-o", str(folder / f"{name}.png"), "--overwrite", "--json")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, default=3, help="rounds beside two busy processes; 0 leaves them out")
    parser.add_argument("--only", default="", help="rows whose names hold this word")
    options = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, "
        f"medians of {options.rounds} (beside others of {options.beside})\n"
    )
    with tempfile.TemporaryDirectory() as name:
        table(Path(name), options.rounds, options.beside, options.only)


def table(folder: Path, rounds: int, beside: int, only: str) -> None:
    """Print what the commands cost, a row each as it is measured."""
    titles = ("command", "seconds", "beside two busy processes", "processor seconds", "evaluations", "memory")
    print(f"| {' | '.join(titles)} |\n|{len(titles) * '---|'}")
    for title, words in commands(folder).items():
        if only not in title:
            continue
        idle = measure(words, rounds)
        others = ""
        if beside:
            with busy(2):
                others = f"{measure(words, beside).seconds:.1f}"
        evaluations = "" if idle.evaluations is None else idle.evaluations
        costs = f"{idle.seconds:.1f} | {others} | {idle.processor:.1f} | {evaluations}"
        print(f"| {title} | {costs} | {idle.memory / 1e9:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
