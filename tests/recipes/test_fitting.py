"""What recipes share: options, photographs that are not held out, and AdamW in closed form."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from pretrained import fitting
from pretrained.fitting import arguments, fit, photographs


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


@pytest.mark.parametrize("ema", [0.0, 0.6])
def test_of_a_constant_gradient_each_step_is_as_long_as_its_rate(
    ema: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adam divides by the gradient's size, after it was clipped to one length: rates are all that is left."""
    value, steps = nn.Parameter(torch.zeros(3, dtype=torch.float64)), 6
    sizes = iter([1.0, 100.0, 3.0, 1.0, 50.0, 2.0])
    fit([value], lambda: next(sizes) * value.sum(), steps, 0.1, warmup=3, weight_decay=0.0, ema=ema, clip=0.5)
    place = average = 0.0
    for step in range(steps):
        place -= 0.1 * min(1, (step + 1) / 3) * (1 + math.cos(math.pi * step / steps)) / 2
        decay = min(ema, (2 + step) / (11 + step)) if step else 0.0
        average = decay * average + (1 - decay) * place
    torch.testing.assert_close(value.data, torch.full_like(value, average), rtol=1e-5, atol=0)
    assert capsys.readouterr().out.startswith("step 6: loss -")


def test_weights_decay_by_the_rate_and_losses_are_printed_as_means(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value, losses = nn.Parameter(torch.ones(2)), iter([*range(500), *range(1000, 1003)])
    fit([value], lambda: 0 * value.sum() + next(losses), 503, 0.01, weight_decay=0.5)
    kept = math.prod(1 - 0.005 * (1 + math.cos(math.pi * step / 503)) / 2 for step in range(503))
    torch.testing.assert_close(value.data, torch.full((2,), kept))
    assert capsys.readouterr().out == "step 500: loss 249.500\nstep 503: loss 1001.000\n"
