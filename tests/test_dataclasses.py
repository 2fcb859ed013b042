"""What is described by a dataclass does not change, but for the few that hold what is under way."""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "scoreinv"
UNDER_WAY = {"TrainingState", "Batch", "ETA", "Report", "_Evaluation", "_Restoration"}


def test_dataclasses_are_frozen() -> None:
    decorated = re.compile(r"^@dataclass(?:\((.*)\))?\nclass (\w+)", re.MULTILINE)
    for path in PACKAGE.rglob("*.py"):
        for options, name in decorated.findall(path.read_text(encoding="utf-8")):
            assert "frozen=True" in options or (name in UNDER_WAY and path.parts[-2] != "data"), f"{path.name}: {name}"
