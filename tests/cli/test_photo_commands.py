"""What all commands on photographs have in common, for each task of the table; `select` needs another package."""

import json

import numpy as np
import pytest
from PIL import Image
from support.shell import image

from scoreinv.files.read import read_picture
from scoreinv.files.write import write_picture
from scoreinv.imaging.picture import Picture
from scoreinv.tasks.table import TASKS, Task

COMMON = ["input", "output", "outputs", "seconds", "nfe", "seed", "model", "method", "device", "precision"]
WORDS = {
    "inpaint": ("--mask", "auto"),
    "denoise": ("--noise", 20),
    "upscale": ("--noise", 20, "--factor", 3),
    "deblur": ("--noise", 20, "--kernel", "gaussian:0.8"),
}
OWN_KEYS = {
    "restore": ["color_model", "found", "steps", "damaged", "noise"],
    "inpaint": ["damaged"],
    "denoise": ["noise"],
    "upscale": ["noise", "factor"],
    "deblur": ["noise", "kernel"],
    "damage": ["damaged"],
}
WAYS = {"denoise": ("exact", 1), "upscale": ("network", 1), "deblur": ("dpir", 3)}


def old_print() -> np.ndarray:
    """Sepia with noise and a white scratch, 40x50, 16 bits with alpha."""
    y, x = np.mgrid[:40, :50]
    gray = 120 + 40 * np.sin(x / 9) + 40 * np.cos(y / 11) + 14 * np.random.default_rng(0).standard_normal(x.shape)
    pixels = np.dstack([gray, 0.85 * gray, 0.65 * gray, np.full(gray.shape, 220)]).clip(0, 220) * 257
    pixels[10:12, 5:35, :3] = 65535
    return pixels.astype(np.uint16)


@pytest.mark.usefixtures("white_detector")
@pytest.mark.parametrize("task", [task for task in TASKS if task.name != "select"], ids=lambda task: task.name)
def test_a_command_writes_one_result_of_the_photos_kind_and_reports_it(scoreinv, model, tmp_path, task: Task):
    write_picture(tmp_path / "old.tif", Picture(old_print()))
    words = (task.name, "old.tif", *WORDS.get(task.name, ()))
    name = f"old{task.suffix}.{'png' if task.makes_mask else 'tif'}"
    rehearsed = scoreinv(*words, "--dry-run")
    assert (rehearsed.code, rehearsed.out) == (0, f"old.tif: would be written to {name}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["old.tif"]
    machine = ("--seed", 3, "--device", "cpu", "--precision", "float32")
    done = scoreinv(*words, "--json", *machine)
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert done.err.count("\n") == (task.name == "colorize")  # it removes the tint
    row = json.loads(done.out)
    assert list(row) == [*COMMON, *OWN_KEYS.get(task.name, ()), "notes", *["record"] * (not task.makes_mask)]
    assert (row["input"], row["output"], row["outputs"]) == ("old.tif", name, [name])
    assert (row["seed"], row["device"], row["precision"]) == (0 if task.makes_mask else 3, "cpu", "float32")
    assert row["model"] == {"upscale": "upscaler", "damage": "damage"}.get(task.name, str(model))
    assert (row["method"], row["nfe"]) == WAYS.get(task.name, (row["method"], row["nfe"]))
    result, factor = read_picture(tmp_path / name), 3 if task.name == "upscale" else 1
    assert result.size == (40 * factor, 50 * factor)
    if not task.makes_mask:
        assert (result.mode, result.pixels.dtype) == ("RGBA", np.uint16)
    again = scoreinv(*words)
    assert (again.code, f"{name}: exists" in again.err) == (2, True)
    assert scoreinv(*words, "-o", "results/").code == 0
    assert (tmp_path / "results" / name).exists()
    opaque = Image.fromarray((old_print()[..., :3] // 257).astype(np.uint8))
    opaque.save(tmp_path / "old.tif")
    assert scoreinv(*words, "-o", name.replace(name[-3:], "jpg"), "--quality", 80).code == 0
    assert image(tmp_path / name.replace(name[-3:], "jpg")).format == "JPEG"
    assert scoreinv(*words, "--overwrite").code == 0
    both = scoreinv(*words, "--json", "-o", "-")
    assert (both.code, "both need stdout" in json.loads(both.out)["error"]) == (2, True)


def test_values_that_are_light_are_deblurred_as_light(scoreinv, tmp_path):
    write_picture(tmp_path / "old.tif", Picture(old_print()))
    results = []
    for words in (("--light",), ("--no-light",)):
        done = scoreinv("deblur", "old.tif", *WORDS["deblur"], *words, "-o", "a.tif", "--overwrite")
        assert done.code == 0
        results.append(read_picture(tmp_path / "a.tif").pixels)
    assert (results[0] != results[1]).any()


def test_a_kernel_that_was_written_gives_the_same_result(scoreinv, tmp_path):
    write_picture(tmp_path / "old.tif", Picture(old_print()))
    results, kernel = [], "motion:4,30"
    for output in ("a.png", "b.png"):
        words = ("--noise", 20, "--kernel", kernel, "--no-light", "--kernel-out", f"kernel_{output}")
        done = scoreinv("deblur", "old.tif", *words, "-o", output, "--json")
        assert json.loads(done.out)["kernel_out"] == f"kernel_{output}"
        results.append(read_picture(tmp_path / output).pixels)
        kernel = "kernel_a.png"
    np.testing.assert_allclose(results[0] / 65535, results[1] / 65535, atol=1e-3)
    np.testing.assert_array_equal(*(read_picture(tmp_path / f"kernel_{each}.png").pixels for each in "ab"))
    assert scoreinv("deblur", "old.tif", "--kernel", "disk:2", "--kernel-out", "k.jpg").code == 2
