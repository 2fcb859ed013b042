"""Seconds of a program that calls `scoreinv.inpaint` beside those of the command, idle and beside busy processes.

    python tests/benchmarks/programs.py [--rounds 3] [--beside 0 2 6] [--only torch]

Each row is a process from its start to its end, for the photograph and the scratches of README: medians of the rounds,
which go through all rows in turn, since others may be at work too. Processor seconds are those of all threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from commands import EXAMPLES, Cost, busy, fill, measure

PHOTO, MASK = EXAMPLES / "damaged" / "astronaut.png", EXAMPLES / "masks" / "astronaut.png"
FIRST = {"scoreinv": "import scoreinv\nimport torch", "torch": "import torch\nimport scoreinv"}
PROGRAM = """
{first}
from PIL import Image

photo, mask = Image.open({photo!r}), Image.open({mask!r})
scoreinv.inpaint(photo, mask, prior=scoreinv.load("photo")).image.save({written!r})
"""


def programs(folder: Path) -> dict[str, tuple[str, ...]]:
    """What is measured, by its name in the table."""
    found = {
        "the command": fill(PHOTO, MASK, folder),
        "the same, float32": fill(PHOTO, MASK, folder, "--precision", "float32"),
    }
    for name, first in FIRST.items():
        written = str(folder / f"{name}.png")
        program = PROGRAM.format(first=first, photo=str(PHOTO), mask=str(MASK), written=written)
        found[f"a program, {name} imported first"] = (sys.executable, "-c", program)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=int, nargs="+", default=[0, 2, 6], help="busy processes")
    parser.add_argument("--only", default="", help="rows whose names hold this word")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, medians of {options.rounds}\n")
    titles = ["", *(f"beside {count}: seconds | processor" for count in options.beside)]
    print(f"| {' | '.join(titles)} |\n|---|{2 * len(options.beside) * '---|'}")
    costs: defaultdict[tuple[str, int], list[Cost]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        rows = {title: words for title, words in programs(Path(name)).items() if options.only in title}
        for count in options.beside:
            for _ in range(options.rounds):
                for title, words in rows.items():
                    with busy(count):
                        costs[title, count].append(measure(words, 1))
    for title in rows:
        cells = []
        for count in options.beside:
            for kind in ("seconds", "processor"):
                cells.append(f"{statistics.median(getattr(cost, kind) for cost in costs[title, count]):.1f}")
        print(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
