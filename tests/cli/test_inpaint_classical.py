"""`scoreinv inpaint --method telea|navier-stokes|biharmonic` as a user runs it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.opencv


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
