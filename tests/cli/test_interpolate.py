"""`scoreinv interpolate` as a user runs it."""

import json

import numpy as np
import pytest
from PIL import Image
from support.shell import photo_array

from scoreinv.files.read import read_picture
from scoreinv.tasks.outcome import Drawn


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
