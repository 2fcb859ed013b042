"""`scoreinv inpaint --method telea|navier-stokes|biharmonic` as a user runs it."""

import json
import subprocess
import sys

import pytest
from shell import image

pytestmark = pytest.mark.opencv


def test_json(scoreinv, photo, mask):
    outcome = scoreinv("inpaint", "photo.png", "--mask", "mask.png", "--method", "telea", "--json")
    record = json.loads(outcome.out)
    assert (record["output"], record["outputs"]) == ("photo_inpainted.png", ["photo_inpainted.png"])
    assert (record["nfe"], record["model"], record["method"]) == (0, None, "telea")
    assert (record["device"], record["precision"]) == ("cpu", None)


def test_torch_is_not_loaded(photo, mask, tmp_path):
    code = (
        "import sys; from scoreinv.cli.main import main; sys.argv = ['scoreinv', 'inpaint', 'photo.png', '--mask', "
        "'mask.png', '--method', 'biharmonic']; main(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--method", "telea"],
        ["--method", "navier-stokes"],
        ["--samples", "2", "--uncertainty", "u.png", "--model", "missing.safetensors"],
    ],
)
def test_without_libgl_the_remedy_is_named_before_the_work(scoreinv, photo, mask, tmp_path, monkeypatch, words):
    monkeypatch.setitem(sys.modules, "cv2", None)
    outcome = scoreinv("inpaint", "photo.png", "--mask", "mask.png", *words)
    assert outcome.code == 1
    assert outcome.err.startswith("scoreinv: error: OpenCV cannot be loaded")
    assert "apt install libgl1" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.glob("photo_inpainted*"))


def test_a_result_may_take_the_place_of_the_mask_as_of_any_file(scoreinv, photo, mask):
    words = ("inpaint", photo, "--mask", mask, "--method", "biharmonic", "-o", mask)
    kept = scoreinv(*words)
    assert (kept.code, "exists" in kept.err) == (2, True)
    assert scoreinv(*words, "--overwrite").code == 0
    assert image(mask).mode == image(photo).mode
