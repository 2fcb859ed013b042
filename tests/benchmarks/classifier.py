"""What a classifier of noisy pictures knows at each time: accuracy and cross-entropy on pictures in folders of classes.

    python tests/benchmarks/classifier.py FOLDER [--classifier cifar10-classifier] [--pictures 2000]

Times are given with their noise level sigma / alpha of pictures on [-1, 1]. The cross-entropy of knowing nothing is the
logarithm of the number of classes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from scoreinv.imaging.read import read_picture
from scoreinv.models.catalogue import load_classifier
from scoreinv.sdes import TRAINING_START
from scoreinv.tasks.common import to_tensor

TIMES = (TRAINING_START, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BATCH = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classifier", default="cifar10-classifier")
    parser.add_argument("--pictures", type=int, default=2000, help="evenly from the folder")
    options = parser.parse_args()
    classifier = load_classifier(options.classifier)
    paths = sorted(path for path in options.folder.rglob("*.png") if path.parent.name in classifier.classes)
    paths = paths[:: max(1, len(paths) // options.pictures)]
    labels = torch.tensor([classifier.classes.index(path.parent.name) for path in paths])
    low, high = classifier.data_range
    x0 = low + (high - low) * to_tensor([read_picture(path).rgb() for path in paths], torch.device("cpu"))
    z = torch.from_numpy(np.random.default_rng(0).standard_normal(x0.shape, dtype=np.float32))
    print(f"{len(paths)} pictures, {len(classifier.classes)} classes, ln {math.log(len(classifier.classes)):.3f}")
    print(f"{'t':>8}{'noise':>10}{'accuracy':>10}{'cross-entropy':>15}")
    for time in TIMES:
        t = torch.full((len(x0),), time, dtype=torch.float64)
        x = classifier.sde.perturb(x0, t, z)
        with torch.no_grad():
            logits = torch.cat([classifier(*part) for part in zip(x.split(BATCH), t.split(BATCH), strict=True)])
        level = float(classifier.sde.noise_to_signal(t[:1])) * 2 / (high - low)
        accuracy = (logits.argmax(1) == labels).float().mean()
        print(f"{time:>8.3g}{level:>10.3g}{accuracy:>10.1%}{F.cross_entropy(logits, labels):>15.3f}", flush=True)


if __name__ == "__main__":
    main()
