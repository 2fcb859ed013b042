"""The downloads of the benchmarks' photographs: the photographs held out from training, checked by their hashes."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.shell import image, table

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests/benchmarks/held_out.py"


def test_the_table_has_the_held_out_photographs() -> None:
    training = json.loads((ROOT / "pretrained/photo/training.json").read_text())
    rows = table(SCRIPT.with_suffix(".csv"))
    assert [row["name"] for row in rows] == training["data"]["holdout"]
    assert all(row["address"].startswith("https://") and len(row["sha256"]) == 64 for row in rows)


@pytest.mark.parametrize("right", [True, False])
def test_a_photograph_with_another_hash_is_refused(tmp_path: Path, right: bool) -> None:
    source, listed = tmp_path / "source.png", tmp_path / "table.csv"
    Image.new("RGBA", (1000, 800), (200, 100, 50, 255)).save(source)
    sha256 = hashlib.sha256(source.read_bytes() if right else b"").hexdigest()
    listed.write_text(f"name,address,path,sha256\nphoto,{source.as_uri()},,{sha256}\n")
    done = subprocess.run([sys.executable, SCRIPT, tmp_path / "out", listed], capture_output=True, text=True)
    assert (done.returncode == 0) == right
    assert ("SHA-256" in done.stderr) != right
    written = list((tmp_path / "out").iterdir())
    assert [image(path).size for path in written] == ([(960, 768)] if right else [])
