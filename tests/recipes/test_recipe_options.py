"""What recipes share: options, photographs that are not held out, and files of weights."""

from pathlib import Path

import pytest

from pretrained import fitting
from pretrained.fitting import arguments, photographs


def test_options_are_folders_numbers_and_the_output() -> None:
    parser = arguments("First line.\n\nMore.", "tone", "photos", "more", steps=20, rate=0.5)
    assert parser.description == "First line."
    plain = vars(parser.parse_args(["a", "b"]))
    assert plain == {
        "photos": Path("a"),
        "more": Path("b"),
        "steps": 20,
        "rate": 0.5,
        "seed": 0,
        "output": fitting.PRETRAINED / "tone" / "model.safetensors",
    }
    given = parser.parse_args(["a", "b", "--steps", "7", "--rate", "0.1", "--seed", "3", "-o", "x"])
    assert (given.steps, given.rate, given.seed, given.output) == (7, 0.1, 3, Path("x"))


def test_photographs_are_not_those_that_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some").mkdir()
    for name in ("b.JPG", "some/a.png", "c.jpeg", "held.jpg", "text.txt"):
        (tmp_path / name).touch()
    (tmp_path / "some" / "held_out.txt").write_text("held\nother\n")
    monkeypatch.setattr(fitting, "PRETRAINED", tmp_path)
    names = ["b.JPG", "c.jpeg", "held.jpg", "some/a.png"]
    assert photographs(tmp_path) == [tmp_path / name for name in names]
    assert photographs(tmp_path, "some") == [tmp_path / name for name in names if "held" not in name]
