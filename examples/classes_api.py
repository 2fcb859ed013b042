"""Draw pictures of each class that a classifier knows.

`python examples/classes_api.py` writes classes.png here, with a row for each class, in the order of the classes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

import scoreinv
from scoreinv.imaging.sheet import contact_sheet

COLUMNS = 12


def main() -> None:
    prior, classifier = scoreinv.load("cifar10"), scoreinv.load_classifier("cifar10-classifier")
    rows = []
    for label, name in enumerate(classifier.classes):
        rows.append(scoreinv.generate(prior, COLUMNS, classifier=classifier, label=label, seed=label).images)
        print(name)
    sheet = contact_sheet(np.concatenate(rows), COLUMNS)
    Image.fromarray((255 * sheet).round().astype(np.uint8)).save("classes.png")


if __name__ == "__main__":
    main()
