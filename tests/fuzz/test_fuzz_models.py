"""A few seconds of damaged models; by hand more (fuzz_models.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).with_name("fuzz_models.py")


@pytest.mark.slow
def test_damaged_models_are_refused_in_bounds() -> None:
    words = [sys.executable, str(FUZZER), "--cases", "1000", "--seconds", "5"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
