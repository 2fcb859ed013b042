"""`scoreinv restore` as a user runs it, with small models and a detector that marks what is white."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.shell import table

from scoreinv.inputs.masks import dilate
from scoreinv.system.options import FOUND_GROW
from scoreinv.tasks.requests import COLOR_STEPS, FILL_STEPS

pytestmark = pytest.mark.usefixtures("white_detector")

STEPS = ["1_damage", "3_tint", "5_inpaint", "6_denoise", "7_colorize"]


def tones(height: int = 40, width: int = 50) -> np.ndarray:
    """Smooth tones between 40 and 200."""
    y, x = np.mgrid[:height, :width]
    return 120 + 40 * np.sin(x / 9) + 40 * np.cos(y / 11)


def in_colours() -> np.ndarray:
    return levels(np.stack([tones(), tones()[::-1], tones()[:, ::-1]], axis=-1))


def old_print(noise: float = 14.0) -> np.ndarray:
    """Sepia, noisy, with a white scratch of 2 x 30 pixels."""
    pixels = tones() + noise * np.random.default_rng(0).standard_normal((40, 50))
    pixels = levels(pixels[..., None] * (1, 0.85, 0.65)).clip(0, 220)
    pixels[10:12, 5:35] = 255
    return pixels


def levels(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path)
    return path


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


SCRATCH = dilate(old_print().min(-1) == 255, FOUND_GROW)
"""What is filled of it."""


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models have random weights: more steps make nothing better."""
    for steps in (FILL_STEPS, COLOR_STEPS):
        monkeypatch.setitem(steps, "pc", 4)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return save(tmp_path / "old.png", old_print())


def test_an_old_print_takes_every_step(scoreinv, old, tmp_path):
    outcome = scoreinv("restore", "old.png", "--json")
    (record,) = map(json.loads, outcome.out.splitlines())
    notes = {note["code"]: note for note in record["notes"]}
    assert list(notes) == ["damage_found", "tint_removed", "tone_too_small", "filled", "noise_removed", "colors_drawn"]
    assert notes["damage_found"]["share"] == pytest.approx(SCRATCH.mean())
    assert notes["noise_removed"]["level"] == pytest.approx(14, rel=0.3)
    after = read(tmp_path / "old_restored.png")
    assert (after.shape, after.dtype) == ((40, 50, 3), np.uint8)
    again = scoreinv("restore", "old.png")
    assert (again.code, "exists" in again.err) == (2, True)
    rim = scoreinv("restore", "old.png", "--mask", "auto", "--overwrite", "-q", "--grow", 1, "--json")
    assert (rim.err, json.loads(rim.out)["damaged"]) == ("", dilate(old_print().min(-1) == 255, 1).mean())


@pytest.mark.slow
def test_pictures_between_the_steps(scoreinv, old, tmp_path):
    outcome = scoreinv("restore", "old.png", "--steps-to", "steps")
    assert outcome.code == 0
    assert sorted(path.stem for path in (tmp_path / "steps").iterdir()) == [f"old_{step}" for step in STEPS]
    shown = {step: read(tmp_path / "steps" / f"old_{step}.png") for step in STEPS}
    scratch = SCRATCH
    assert (shown["1_damage"] == np.where(scratch, 255, 0)).all()
    assert (shown["3_tint"][10:12, 5:35] == 255).all()
    assert (shown["5_inpaint"][~scratch] == shown["3_tint"][~scratch]).all()
    assert (shown["6_denoise"] != shown["5_inpaint"]).any()
    assert (shown["7_colorize"] == read(tmp_path / "old_restored.png")).all()
    refused = scoreinv("restore", "old.png", "--steps-to", "steps", "-o", "other.png")
    assert (refused.code, "old_1_damage.png: exists" in refused.err) == (0, False)  # of another name
    refused = scoreinv("restore", "old.png", "--steps-to", "steps", "-o", "sub/")
    assert (refused.code, "exists" in refused.err, "--steps-to" in refused.err) == (2, True, True)
    assert scoreinv("restore", "old.png", "--steps-to", "steps", "--overwrite").code == 0


@pytest.mark.parametrize("words", [["old_1_damage.png"], ["second.png", "--mask", "old_1_damage.png"]])
def test_inputs_are_not_replaced_by_a_step_picture(scoreinv, old, tmp_path, words):
    read_too = save(tmp_path / "old_1_damage.png", in_colours())
    save(tmp_path / "second.png", in_colours())
    before = read_too.read_bytes()
    outcome = scoreinv("restore", "old.png", *words, "--steps-to", ".")
    assert (outcome.code, "--steps-to old_1_damage.png: is " in outcome.err) == (2, True)
    assert read_too.read_bytes() == before


@pytest.mark.slow
def test_no_folder_is_left_where_no_step_changed_anything(scoreinv, tmp_path):
    save(tmp_path / "new.png", in_colours())
    assert scoreinv("restore", "new.png", "--steps-to", "steps").code == 0
    assert not (tmp_path / "steps").exists()


def test_a_folder_with_folders_and_a_damaged_file(scoreinv, tmp_path):
    save(tmp_path / "scans/a.png", old_print())
    save(tmp_path / "scans/within/a.png", in_colours())
    (tmp_path / "scans/b.jpg").write_bytes(b"\xff\xd8\xff broken")
    outcome = scoreinv("restore", "scans", "--recursive", "--steps-to", "steps")
    assert outcome.code == 1
    results = tmp_path / "scans_restored"
    assert {str(path.relative_to(results)) for path in results.rglob("*.png")} == {
        "a_restored.png",
        "within/a_restored.png",
    }
    assert sorted(path.name for path in (tmp_path / "steps").rglob("*.png")) == [f"a_{step}.png" for step in STEPS]
    rows = table(results / "manifest.csv")
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert "2 skipped because they exist" in scoreinv("restore", "scans", "--recursive", "--steps-to", "steps").err


def test_a_dry_run_computes_and_writes_nothing(scoreinv, old, tmp_path):
    outcome = scoreinv("restore", "old.png", "--steps-to", "steps", "--dry-run")
    assert (outcome.code, outcome.err) == (0, "")
    steps = [f"steps/old_{step}.png" for step in sorted([*STEPS, "4_tone"])]
    said = "old.png: would be written to old_restored.png"
    assert outcome.out == f"{said}; with it, at most, {', '.join(steps)}\n"
    left_out = ("--no-denoise", "--tone", 0, "--keep-tint")
    words = ("restore", "old.png", "--steps-to", "steps", *left_out, "--dry-run", "--json")
    assert json.loads(scoreinv(*words).out)["beside"] == [steps[0], steps[3], steps[5]]
    assert scoreinv("restore", "old.png", "--dry-run").out == f"{said}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
