"""What recipes share: options, photographs that are not held out, and files of weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pretrained import fitting
from pretrained.fitting import arguments, photographs, store


def test_options_are_folders_numbers_and_the_output() -> None:
    parser = arguments("First line.\n\nMore.", Path("out.bin"), "photos", "more", steps=20, rate=0.5)
    assert parser.description == "First line."
    plain = vars(parser.parse_args(["a", "b"]))
    assert plain == {
        "photos": Path("a"),
        "more": Path("b"),
        "steps": 20,
        "rate": 0.5,
        "seed": 0,
        "output": Path("out.bin"),
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


@pytest.mark.parametrize("half", [False, True])
def test_stored_weights(tmp_path: Path, half: bool) -> None:
    layer = nn.Conv2d(2, 3, 1)
    store(layer, tmp_path / "new" / "weights.safetensors", half=half)
    found = load_file(tmp_path / "new" / "weights.safetensors")
    assert found["weight"].dtype == (torch.float16 if half else torch.float32)
    assert torch.equal(found["bias"], layer.bias)
    torch.testing.assert_close(found["weight"].float(), layer.weight.data, rtol=1e-3, atol=1e-6)
