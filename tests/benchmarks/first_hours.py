"""Samples of training runs of the first hours: table and picture of `examples/training.md`.

    scoreinv train --sde ve --data SMALL --steps 3800 --out ve-none-10
    scoreinv evaluate ve-none-10 --reference HELD -n 500 --likelihood 0
    python tests/benchmarks/first_hours.py FOLDER... [--sheet FILE.png] [--columns 16]

SMALL has 2,000 photographs, HELD 500 others. A folder is a run or has pictures of 32x32 pixels. For each run the last
evaluated model has a line: steps, held-out loss and the kernel distance of its samples from HELD. The sheet shows a row
of samples or pictures for each folder. Samples of the same number begin with the same noise.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--columns", type=int, default=16)
    options = parser.parse_args()
    rows = []
    print("| run | steps | held-out loss | kernel distance |\n|---|---|---|---|")
    for folder in options.folders:
        samples = folder
        if (folder / "config.json").exists():
            row = json.loads((folder / "evaluation" / "evaluation.jsonl").read_text().splitlines()[-1])
            samples = folder / "evaluation" / row["run"] / f"step-{row['step']:09}"
            print(f"| {folder.name} | {row['step']:,} | {row['validation_loss']:.3f} | {row['kernel_distance']:.3f} |")
        files = sorted(samples.glob("*.png"))[: options.columns]
        rows.append(np.concatenate([np.asarray(Image.open(file).convert("RGB")) for file in files], 1))
    if options.sheet is not None:
        sheet = np.concatenate([np.pad(row, ((0, 4), (0, 0), (0, 0)), constant_values=255) for row in rows])[:-4]
        picture = Image.fromarray(sheet)
        picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST).save(options.sheet)


if __name__ == "__main__":
    main()
