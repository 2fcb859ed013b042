"""`scoreinv select` as a user types it, on squares that what stands for the networks tells by their brightness."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pointing import LEFT, LENGTH, session_of_pointing, square_picture


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    yield from session_of_pointing()


@pytest.fixture(autouse=True)
def photo(tmp_path: Path) -> Path:
    Image.fromarray(square_picture()).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def read(path: Path | str) -> np.ndarray:
    return np.asarray(Image.open(path))


def square(size: str, grown: int = 0) -> np.ndarray:
    """The mask of a square with its sides moved outwards, without the corners that a disk does not reach."""
    mask = np.zeros((LENGTH, LENGTH), np.uint8)
    first, last = LEFT[size] - grown, LENGTH - LEFT[size] + grown
    mask[first:last, first:last] = 255
    return mask


def test_a_mask_is_written_beside_the_photo(scoreinv, tmp_path):
    outcome = scoreinv("select", "photo.png", "--at", "80,80", "--grow", 0)
    assert outcome.code == 0
    assert "photo.png: 14 % of it is selected: the middle one of three possible objects (--size)" in outcome.err
    np.testing.assert_array_equal(read(tmp_path / "photo_selection.png"), square("middle"))


def test_points_boxes_and_sizes(scoreinv):
    assert scoreinv("select", "photo.png", "--at", "80,80", "--size", "large", "--grow", 0, "-o", "a.png").code == 0
    np.testing.assert_array_equal(read("a.png"), square("large"))
    words = ("--box", "45,45,70,70", "--at", "80,80", "--at", "90.5,90", "--not", "30,30")
    assert scoreinv("select", "photo.png", *words, "--grow", 0, "-o", "b.png").code == 0
    np.testing.assert_array_equal(read("b.png"), square("middle"))
    assert scoreinv("select", "photo.png", "--box", "45,45,70,70", "-o", "c.png").code == 0
    np.testing.assert_array_equal(read("c.png")[80], square("middle", 2)[80])


def test_json_of_a_selection(scoreinv):
    outcome = scoreinv("select", "photo.png", "--at", "80,80", "--json", "--grow", 0)
    record = json.loads(outcome.out)
    assert (record["input"], record["output"], record["model"]) == ("photo.png", "photo_selection.png", "select")
    assert (record["selected"], record["size"]) == (pytest.approx(0.140625), "middle")
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("photo.png",), "--at is missing"),
        (("photo.png", "--at", "3"), "--at 3: give X,Y, in pixels"),
        (("photo.png", "--at", "a,b"), "--at a,b: give X,Y, in pixels"),
        (("photo.png", "--box", "1,2,3"), "--box 1,2,3: give X,Y,W,H, in pixels"),
        ((".", "--at", "3,3"), ".: is a folder: name a photo"),
    ],
)
def test_refusals_of_selections(scoreinv, words, said):
    outcome = scoreinv("select", *words)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


def test_where_nothing_is_no_mask_is_written(scoreinv, tmp_path):
    Image.new("RGB", (50, 40)).save("black.png")
    outcome = scoreinv("select", "black.png", "--at", "3,3")
    assert (outcome.code, "no object was found: point at the middle" in outcome.err) == (1, True)
    assert not (tmp_path / "black_selection.png").exists()


def test_a_dry_run_looks_at_nothing(scoreinv, tmp_path):
    assert "would be written to photo_selection.png" in scoreinv("select", "photo.png", "--at", "3,3", "--dry-run").out
    assert scoreinv("select", "photo.png", "--at", "200,3", "--dry-run").code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png"]


def test_a_machine_without_onnxruntime_is_told_the_remedy_and_torch_is_not_loaded(photo):
    code = (
        "import sys; sys.modules['onnxruntime'] = None; from scoreinv.cli.main import main; "
        f"sys.argv = ['scoreinv', 'select', {str(photo)!r}, '--at', '80,80']; code = main(); "
        "assert code == 1 and 'torch' not in sys.modules, code"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1
    assert "selecting needs onnxruntime" in done.stderr
    assert "pip install 'scoreinv[select]'" in done.stderr
