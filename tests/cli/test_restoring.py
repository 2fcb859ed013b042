"""`scoreinv denoise`, `upscale` and `deblur` as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.signal import fftconvolve
from shell import photo_array

from scoreinv.files.read import read_picture
from scoreinv.operators.kernels import disk

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"
COMMON = ["input", "output", "outputs", "seconds", "nfe", "seed", "model", "method", "device", "precision"]
COMMANDS = [("denoise",), ("upscale",), ("deblur", "--kernel", "gaussian:0.8")]
EVERY = pytest.mark.parametrize("command", COMMANDS, ids=[words[0] for words in COMMANDS])
SUFFIXES = {"denoise": "_denoised", "upscale": "_upscaled", "deblur": "_deblurred"}


@pytest.fixture
def restores(scoreinv):
    """Runs a command with the small model."""

    def run(command: tuple[str, ...], *words: object):
        return scoreinv(*command, *words)

    return run


@pytest.fixture
def small_photo(tmp_path):
    Image.fromarray(photo_array(14, 22)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@EVERY
def test_a_result_beside_the_photo(restores, small_photo, tmp_path, command):
    outcome = restores(command, "photo.png")
    assert (outcome.code, outcome.out) == (0, "")
    after = read_picture(tmp_path / f"photo{SUFFIXES[command[0]]}.png")
    factor = 2 if command[0] == "upscale" else 1
    assert after.size == (14 * factor, 22 * factor)
    assert (outcome.err.count("its noise level is") == 1) == (command[0] != "upscale")
    again = restores(command, "photo.png")
    assert again.code == 2
    assert "exists" in again.err


@EVERY
def test_json(restores, small_photo, model, command):
    outcome = restores(command, "photo.png", "--json", "--seed", 3, "--device", "cpu", "--noise", 20)
    record = json.loads(outcome.out)
    keys = {"denoise": ["noise"], "upscale": ["noise", "factor"], "deblur": ["noise", "kernel"]}[command[0]]
    assert list(record) == [*COMMON, *keys, "notes"]
    assert (record["seed"], record["model"], record["noise"]) == (3, str(model), 20)
    assert (record["method"], record["nfe"]) == (("exact", 1) if command[0] == "denoise" else ("dpir", 10))
    assert outcome.err == ""


@pytest.mark.opencv
def test_samples_estimate_and_uncertainty(restores, small_photo, tmp_path):
    words = ["photo.png", "--samples", 3, "--noise", 15, "--steps", 2, "--precision", "float32"]
    record = json.loads(restores(("upscale",), *words, "--json", "--uncertainty", "where.png").out)
    names = [f"photo_upscaled.{i}.png" for i in (1, 2, 3)]
    assert (record["outputs"], record["uncertainty"]) == (names, "where.png")
    drawn = np.stack([read_picture(tmp_path / name).pixels for name in names]) / 255
    assert drawn.std(0).mean() > 1e-3
    assert restores(("upscale",), *words, "--estimate", "mean", "-o", "mean.png").code == 0
    np.testing.assert_allclose(read_picture(tmp_path / "mean.png").pixels / 255, drawn.mean(0), atol=1.5 / 255)


def test_orientations(restores, small_photo):
    outcome = restores(("denoise",), "photo.png", "--noise", 20, "--orientations", 8, "--json")
    assert json.loads(outcome.out)["nfe"] == 8


@pytest.mark.opencv
def test_a_photo_without_noise_is_left_as_it_is(restores, tmp_path):
    flat = np.repeat(np.arange(100, 130, dtype=np.uint8)[:, None], 30, axis=1)
    Image.fromarray(flat).save(tmp_path / "flat.png")
    outcome = restores(("denoise",), "flat.png", "--samples", 2, "--uncertainty", "u.png")
    assert outcome.code == 0
    assert "is too low to remove" in outcome.err
    assert "flat.png: its samples are equal: one is written" in outcome.err
    assert (read_picture(tmp_path / "flat_denoised.1.png").pixels == flat).all()


@pytest.mark.slow
def test_what_is_too_large_is_refused_before_the_work(restores, tmp_path):
    Image.new("L", (16000, 7000)).save(tmp_path / "huge.png")
    outcome = restores(("upscale",), "huge.png", "--factor", 4, "--model", "missing.safetensors")
    assert outcome.code == 2
    assert "64000x28000 is 1792 megapixels, the limit is 400" in outcome.err
    Image.new("RGB", (9000, 2)).save(tmp_path / "wide.png")
    outcome = restores(("upscale",), "wide.png", "-o", "wide.webp", "--model", "missing.safetensors")
    assert (outcome.code, "WebP is limited to" in outcome.err) == (2, True)


def test_kernels(restores, small_photo, tmp_path):
    point = np.zeros((5, 5), np.uint8)
    point[2, 1:4] = 200
    Image.fromarray(point).save(tmp_path / "kernel.png")
    for kernel in ("kernel.png", "disk:1.5", "motion:3,30"):
        outcome = restores(("deblur", "--kernel", kernel), "photo.png", "--json", "-o", "out.png", "--overwrite")
        assert (outcome.code, json.loads(outcome.out)["kernel"]) == (0, "file" if kernel.endswith(".png") else kernel)


def test_a_blur_is_found_and_a_photo_where_it_cannot_be_is_refused(restores, small_photo, tmp_path):
    facade = Image.open(EXAMPLES / "facade.jpg").convert("L")
    sharp = np.asarray(facade.crop((100, 100, 300, 300)), np.float32)
    seen = fftconvolve(sharp, disk(4), mode="valid").clip(0, 255)
    Image.fromarray(np.rint(seen).astype(np.uint8)).save(tmp_path / "blurred.png")
    outcome = restores(("deblur",), "blurred.png", "--json", "--steps", 1)
    assert outcome.code == 0, outcome.err
    kernel = json.loads(outcome.out)["kernel"]
    assert float(kernel.removeprefix("disk:")) == pytest.approx(4, rel=0.15)
    assert outcome.err == ""
    assert restores(("deblur", "--kernel", "disk:4"), "blurred.png", "--quiet", "--steps", 1, "-o", "a.png").err == ""
    refused = restores(("deblur",), "photo.png")
    assert (refused.code, "the blur of less than 128x128 pixels cannot be estimated" in refused.err) == (2, True)
    assert not (tmp_path / "photo_deblurred.png").exists()


def test_a_kernel_for_a_sharp_photo_is_doubted(restores, tmp_path):
    Image.open(EXAMPLES / "facade.jpg").convert("L").crop((100, 100, 300, 300)).save(tmp_path / "sharp.png")
    outcome = restores(("deblur", "--kernel", "disk:4"), "sharp.png", "--quiet", "--steps", 1)
    assert (outcome.code, outcome.err) == (
        0,
        "scoreinv: warning: sharp.png: it looks sharp: a wrong kernel causes ringing (--kernel)\n",
    )
