"""`scoreinv interpolate` as a user runs it."""

import json

import numpy as np
import pytest
from PIL import Image
from shell import photo_array

from scoreinv.files.read import read_picture
from scoreinv.tasks.outcome import Drawn


@pytest.mark.slow
def test_interpolate_in_a_row_and_a_folder(scoreinv, tmp_path):
    a, b = photo_array(8, 12), 255 - photo_array(8, 12)
    Image.fromarray(a).save(tmp_path / "a.png")
    Image.fromarray(b).save(tmp_path / "b.png")
    outcome = scoreinv("interpolate", "a.png", "b.png", "-n", 3, "-o", "row.png", "--steps", 16, "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert record["inputs"] == ["a.png", "b.png"]
    assert (record["output"], record["nfe"], record["method"]) == ("row.png", round(5 * 64 / 3), "ode")
    row = read_picture(tmp_path / "row.png").pixels
    assert row.shape == (8, 36, 3)
    assert abs(row[:, :12].astype(int) - a).max() <= 3
    assert abs(row[:, 24:].astype(int) - b).max() <= 3
    words = ("--steps", 4, "--temperature", 0.5)
    assert scoreinv("interpolate", "a.png", "b.png", "-n", 3, "-o", "row/", *words).code == 0
    assert scoreinv("interpolate", "a.png", "b.png", "-n", 3, *words).code == 0
    row = read_picture(tmp_path / "a_interpolated.png").pixels
    assert abs(read_picture(tmp_path / "row" / "000002.png").pixels.astype(int) - row[:, 12:24]).max() <= 1
    refused = scoreinv("interpolate", "a.png", "b.png")
    assert refused.code == 2
    assert "a_interpolated.png: exists" in refused.err


def test_a_row_that_its_format_cannot_hold_is_refused_before_the_work(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    words = ("interpolate", "a.png", "a.png", "-n", 2100, "-o", "row.webp", "--model", "missing.safetensors")
    for dry in ((), ("--dry-run",)):
        outcome = scoreinv(*words, *dry)
        assert (outcome.code, "row.webp: WebP is limited to 16383 pixels a side" in outcome.err) == (2, True)


@pytest.mark.parametrize(("first", "out"), [("-", ("-o", "row.png")), ("a.png", ())])
def test_of_stdin_and_the_name_of_the_result(scoreinv, tmp_path, first, out):
    """Stdin is one of the pictures, and then the result has no name of its own."""
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    refused = scoreinv("interpolate", first, "-", *out)
    assert (refused.code, refused.err.count("\n"), "with -o" in refused.err) == (2, 1, not out)


def test_json_of_a_row(scoreinv, tmp_path, monkeypatch):
    given = []

    def drawn(first, second, prior, count, *, temperature, steps):
        given.append((first.size, second.size, count, temperature, steps))
        return Drawn(np.full((count, 8, 12, 3), 0.5), 7)

    monkeypatch.setattr("scoreinv.tasks.interpolate_pictures", drawn)
    for name in "ab":
        Image.fromarray(photo_array(8, 12)).save(tmp_path / f"{name}.png")
    words = ("-n", 3, "--steps", 5, "--temperature", 0.5, "--seed", 2)
    record = json.loads(scoreinv("interpolate", "a.png", "b.png", *words, "--json").out)
    assert (record["input"], record["inputs"], record["method"]) == ("a.png", ["a.png", "b.png"], "ode")
    assert (record["output"], record["outputs"]) == ("a_interpolated.png", ["a_interpolated.png"])
    assert (record["nfe"], record["seed"], record["precision"]) == (7, 2, "float32")
    assert given == [((8, 12), (8, 12), 3, 0.5, 5)]
    assert read_picture(tmp_path / "a_interpolated.png").size == (8, 36)
    record = json.loads(scoreinv("interpolate", "a.png", "b.png", "-o", "row/", *words, "--json").out)
    assert record["outputs"] == [f"row/00000{number}.png" for number in (1, 2, 3)]


def test_interpolation_says_what_it_leaves_out(scoreinv, tmp_path):
    for name, channels in (("a.png", 3), ("b.png", 4)):
        Image.fromarray(photo_array(8, 8, channels)).save(tmp_path / name)
    outcome = scoreinv("interpolate", "a.png", "b.png", "-n", 2, "-o", "row.png", "--steps", 2)
    assert outcome.code == 0
    assert outcome.err.count("warning: b.png: transparency is left out") == 1
    assert "warning: a.png" not in outcome.err


def test_interpolating_by_a_model_that_completes_is_said_to_be_a_cross_fade(scoreinv, conditional, model, tmp_path):
    for name in ("a", "b"):
        Image.fromarray(photo_array(16, 16)).save(tmp_path / f"{name}.png")
    told = scoreinv("interpolate", "a.png", "b.png", "-n", 2, "--model", conditional)
    assert (told.code, "cross-fade (--model cifar10" in told.err) == (0, True)
    words = ["interpolate", "a.png", "b.png", "-n", 2, "-o", "other.png", "--overwrite"]
    for more, warned in ((["--model", model], False), (["--model", conditional, "--quiet"], True)):
        outcome = scoreinv(*words, *more)
        assert (outcome.code, "cross-fade" in outcome.err) == (0, warned)
