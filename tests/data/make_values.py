"""Makes tests/data/networks.json and tests/data/drawings.json, for cases that are added to the tests that read them.

PYTHONPATH=.:tests/networks:tests/training/data python tests/data/make_values.py

A value that changes is of a network that no longer computes what saved models were trained for, or of a recipe that no
longer draws what their weights were trained on.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import test_drawings
import test_values
from PIL import ImageFont


def write(path: Path, cases: Iterable[str], summary: Callable[[str], object]) -> None:
    lines = [f"  {json.dumps(name)}: {json.dumps(summary(name))}" for name in cases]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write(test_values.VALUES, test_values.CASES, test_values.summary)
    ImageFont.load_default = test_drawings.no_font
    write(test_drawings.DRAWINGS, test_drawings.CASES, test_drawings.summary)
