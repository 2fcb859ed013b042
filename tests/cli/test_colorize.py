"""`scoreinv colorize` as a user runs it."""

import numpy as np
from PIL import Image
from support.shell import photo_array

from scoreinv.files.read import read_picture


def test_hints_by_a_file(scoreinv, conditional, tmp_path):
    Image.fromarray(photo_array(channels=1)).save(tmp_path / "grey.png")
    layer = np.zeros((24, 40, 4), np.uint8)
    layer[5:9, 5:20] = (150, 120, 110, 255)
    Image.fromarray(layer).save(tmp_path / "hints.png")
    words = ["colorize", "grey.png", "--model", conditional]
    assert scoreinv(*words, "--hints", "hints.png", "--saturation", "0.8", "--keep-color").code == 0
    result = read_picture(tmp_path / "grey_colorized.png").pixels.astype(int)
    assert (np.ptp(result[5:9, 5:20], axis=-1) > 20).all()


def test_wrong_references_are_refused(scoreinv, conditional, tmp_path):
    Image.fromarray(photo_array(channels=1)).save("grey.png")
    Image.fromarray(photo_array()).save("colours.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "colours.png").read_bytes()[:60])
    for words, said in (
        (("--like", "grey.png"), "grey.png: has no colours"),
        (("--like", "colours.png", "--like", "torn.png"), "torn.png"),
        (("--like", "absent.png"), "--like absent.png: no such file"),
        (("--like", "-"), "stdin is for the photo"),
        (("--like", "colours.png", "--model", conditional), "scene"),
    ):
        refused = scoreinv("colorize", "grey.png", *words)
        assert refused.code == 2
        assert said in refused.err
        assert len(refused.err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"grey.png", "colours.png", "torn.png"}
