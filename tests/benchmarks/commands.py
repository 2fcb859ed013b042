"""Seconds of whole commands, start-up included, on an idle machine and beside two busy processes.

    python tests/benchmarks/commands.py [--rounds 5] [--beside 3] [--only program]

Medians of the rounds: wall seconds, idle and beside the busy processes, processor seconds of all threads, and the most
memory. `import torch` takes a turn in each round; the first two columns are multiples of its wall and processor
seconds. So machines and rounds compare, also beside other work. Beside them are Telea's fill, by our `--method telea`,
and G'MIC's `inpaint_matchpatch` where it is installed (`pip install gmic`). The pictures are those of `examples/`;
larger ones are that photograph enlarged, and small scans are cut from it.
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
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw

EXAMPLES = Path(__file__).parents[2] / "examples"
TESTS = str(Path(__file__).parents[1])
SCOREINV = (sys.executable, "-m", "scoreinv")
TORCH = (sys.executable, "-c", "import torch")
GMIC = "import gmic, sys; gmic.run(sys.argv[1])"
PROGRAM = """
import {first}, scoreinv
from PIL import Image

prior = scoreinv.load("photo")
for seed in range({count}):
    photo, mask = Image.open({photo!r}), Image.open({mask!r})
    scoreinv.inpaint(photo, mask, prior=prior, seed=seed).image.save({written!r})
"""
PAGE = """
import sys

sys.path.append({tests!r})
from support.client import client, done, opened
from scoreinv.models.loading import Models

with client(models=Models()) as browser:
    photo, mask = (open(file, "rb").read() for file in ({photo!r}, {mask!r}))
    path = f"/api/photos/{{opened(browser, photo)['key']}}/fill"
    for seed in range({count}):
        assert done(browser, path, mask, seed=seed)["state"] == "done"
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


@dataclass(frozen=True)
class Row:
    """A command; or one further picture of a command: what it takes beyond `first`, over the number of pictures.

    Attributes:
        status: the exit status that it must have.
    """

    words: tuple[str, ...]
    first: tuple[str, ...] = ()
    further: int = 1
    status: int = 0

    def measure(self, rounds: int) -> tuple[Cost, Cost]:
        """The cost, and that of `import torch` in the same rounds.

        The first of five rounds may read files: their median does not see it.
        """
        runs = [(TORCH, 0), (self.words, self.status), *([(self.first, 0)] if self.first else [])]
        taken = [[run(*each) for each in runs] for _ in range(rounds)]
        torch, whole, *first = (
            Cost(
                statistics.median(each.seconds for each in costs),
                statistics.median(each.processor for each in costs),
                costs[0].evaluations,
                max(each.memory for each in costs),
            )
            for costs in zip(*taken, strict=True)
        )
        if first:
            seconds, processor = whole.seconds - first[0].seconds, whole.processor - first[0].processor
            whole = replace(whole, seconds=seconds / self.further, processor=processor / self.further)
        return whole, torch


def run(words: tuple[str, ...], status: int) -> Cost:
    """Run a command once; it must end with this exit status."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *words], check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    assert done.returncode == status, done.stderr
    *told, last = done.stdout.splitlines()
    kilobytes, used = map(float, last.split())
    evaluations = json.loads(told[0]).get("nfe") if "--json" in words else None
    return Cost(seconds, used, evaluations, 1024 * kilobytes)


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


def commands(folder: Path) -> dict[str, Row]:
    """What is measured, by its name in the table."""
    scratched, scratches = EXAMPLES / "damaged" / "astronaut.png", EXAMPLES / "masks" / "astronaut.png"
    moose = EXAMPLES / "photos" / "moose.jpg", EXAMPLES / "masks" / "moose.png"
    large = enlarged(EXAMPLES / "photos" / "moose.jpg", 12, folder)
    spot = spotted(large, 64, folder)
    lake, sea = (enlarged(EXAMPLES / "grey" / "lake.jpg", megapixels, folder) for megapixels in (1, 12))
    out = str(folder / "drawn.png")
    square = cut(EXAMPLES / "photos" / "moose.jpg", 512, folder)
    drawn = ("sample", "--model", "photo", "-n", "16", "-o", out, "--overwrite", "--json")
    alone = {
        "`--help`": (*SCOREINV, "--help"),
        "`inpaint`, 512x512, scratches over 5.5 %": fill(scratched, scratches, folder),
        "the same, `--estimate mean`": fill(scratched, scratches, folder, "--estimate", "mean"),
        **{
            f"the same, by a program, {name} imported first": by_program(folder, first=name)
            for name in ("scoreinv", "torch")
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
        alone["the scratches by G'MIC's `inpaint_matchpatch`"] = (sys.executable, "-c", GMIC, line)
    return {name: Row(words) for name, words in alone.items()} | {
        "`inpaint` of a missing file": Row(fill(folder / "missing.png", scratches, folder), status=2),
        "`inpaint`, a further scan of 128x128 in a folder": Row(*(scans(folder, count) for count in (101, 1)), 100),
        "a further call of `scoreinv.inpaint`, 512x512": Row(*(by_program(folder, count) for count in (6, 1)), 5),
        "a further fill on the page, 512x512": Row(*(by_program(folder, count, PAGE) for count in (6, 1)), 5),
    }


def by_program(folder: Path, count: int = 1, program: str = PROGRAM, first: str = "scoreinv") -> tuple[str, ...]:
    """A program that fills the scratches `count` times; `first` is imported first."""
    photo, mask = (str(EXAMPLES / kind / "astronaut.png") for kind in ("damaged", "masks"))
    places = {"photo": photo, "mask": mask, "written": str(folder / "program.png"), "tests": TESTS}
    return (sys.executable, "-c", program.format(first=first, count=count, **places))


def scans(folder: Path, count: int) -> tuple[str, ...]:
    """The command that fills the scratches of a folder of small JPEGs."""
    for kind, suffix in (("damaged", "jpg"), ("masks", "png")):
        (folder / f"{kind}{count}").mkdir()
        with Image.open(EXAMPLES / kind / "astronaut.png") as picture:
            for number in range(count):
                left, top = number * 37 % 384, number * 23 % 384
                part = picture.crop((left, top, left + 128, top + 128))
                part.save(folder / f"{kind}{count}" / f"{number}.{suffix}")
    out = ("-o", f"{folder / f'filled{count}'}/")
    words = ("inpaint", str(folder / f"damaged{count}"), "--mask", str(folder / f"masks{count}"))
    return (*SCOREINV, *words, *out, "--overwrite", "--json")


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
    titles = (
        "command",
        "`import torch`",
        "its processor seconds",
        "seconds",
        "beside two busy processes",
        "processor seconds",
        "evaluations",
        "memory",
    )
    print(f"| {' | '.join(titles)} |\n|{len(titles) * '---|'}")
    for title, row in commands(folder).items():
        if only not in title:
            continue
        idle, torch = row.measure(rounds)
        units = f"{idle.seconds / torch.seconds:.2f} | {idle.processor / torch.processor:.2f}"
        others = ""
        if beside:
            with busy(2):
                cost, slow = row.measure(beside)
            others = f"{cost.seconds:.2f} ({cost.seconds / slow.seconds:.2f})"
        evaluations = "" if idle.evaluations is None else idle.evaluations
        costs = f"{units} | {idle.seconds:.2f} | {others} | {idle.processor:.2f} | {evaluations}"
        print(f"| {title} | {costs} | {idle.memory / 1e9:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
