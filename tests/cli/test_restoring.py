"""`scoreinv denoise`, `upscale` and `deblur` as a user runs them."""

import json

import pytest
from PIL import Image
from shell import photo_array

from scoreinv.files.read import read_picture

COMMON = ["input", "output", "outputs", "seconds", "nfe", "seed", "model", "method", "device", "precision"]
COMMANDS = [("denoise",), ("upscale",), ("deblur", "--kernel", "gaussian:0.8")]
EVERY = pytest.mark.parametrize("command", COMMANDS, ids=[words[0] for words in COMMANDS])
SUFFIXES = {"denoise": "_denoised", "upscale": "_upscaled", "deblur": "_deblurred"}


@pytest.fixture
def small_photo(tmp_path):
    Image.fromarray(photo_array(14, 22)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@EVERY
def test_a_result_beside_the_photo(scoreinv, small_photo, tmp_path, command):
    outcome = scoreinv(*command, "photo.png")
    assert (outcome.code, outcome.out) == (0, "")
    after = read_picture(tmp_path / f"photo{SUFFIXES[command[0]]}.png")
    factor = 2 if command[0] == "upscale" else 1
    assert after.size == (14 * factor, 22 * factor)
    assert outcome.err.count("--noise sets it") == 1
    again = scoreinv(*command, "photo.png")
    assert again.code == 2
    assert "exists" in again.err


@EVERY
def test_json(scoreinv, small_photo, model, command):
    outcome = scoreinv(*command, "photo.png", "--json", "--seed", 3, "--device", "cpu", "--noise", 20)
    record = json.loads(outcome.out)
    keys = {"denoise": ["noise"], "upscale": ["noise", "factor"], "deblur": ["noise", "kernel"]}[command[0]]
    assert list(record) == [*COMMON, *keys, "notes", "record"]
    used = "upscaler" if command[0] == "upscale" else str(model)
    assert (record["seed"], record["model"], record["noise"]) == (3, used, 20)
    ways = {"denoise": ("exact", 1), "upscale": ("network", 1), "deblur": ("dpir", 3)}
    assert (record["method"], record["nfe"]) == ways[command[0]]
    assert outcome.err == ""


def test_values_of_light(scoreinv, small_photo, tmp_path):
    """The kernel is the same, and the results differ."""
    results = []
    for words in (("--light",), ("--no-light",)):
        outcome = scoreinv(
            "deblur", "photo.png", "--kernel", "gaussian:0.8", "--noise", 1, *words, "-o", "a.png", "--overwrite"
        )
        assert outcome.code == 0
        results.append(read_picture(tmp_path / "a.png").pixels)
    assert (results[0] != results[1]).any()


@pytest.mark.slow
def test_what_is_too_large_is_refused_before_the_work(scoreinv, tmp_path):
    Image.new("L", (16000, 7000)).save(tmp_path / "huge.png")
    outcome = scoreinv("upscale", "huge.png", "--factor", 4, "--model", "missing.safetensors")
    assert outcome.code == 2
    assert "64000x28000 is 1792 megapixels, the limit is 400" in outcome.err
    Image.new("RGB", (9000, 2)).save(tmp_path / "wide.png")
    outcome = scoreinv("upscale", "wide.png", "-o", "wide.webp", "--model", "missing.safetensors")
    assert (outcome.code, "WebP is limited to" in outcome.err) == (2, True)
