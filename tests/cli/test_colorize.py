"""`scoreinv colorize` as a user runs it."""

from PIL import Image
from support.shell import photo_array


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
