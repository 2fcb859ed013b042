"""`colorize`, `sample`, `likelihood`, `convert` and `train` as a user runs them."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from shell import photo_array, small_config

import scoreinv as library
from scoreinv.colour_space import luma
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.read import read_picture
from scoreinv.imaging.write import write_picture
from scoreinv.models.codec import encode
from scoreinv.training.config import DataConfig, TrainingConfig

PARITY = Path(__file__).parents[1] / "data" / "parity"


@pytest.mark.parametrize(("weights", "dtype"), [("rec601", np.uint8), ("average", np.uint16)])
def test_colorize_keeps_the_luma_to_the_grey_level(scoreinv, tmp_path, weights, dtype):
    gray = photo_array(50, 70, channels=1, dtype=dtype)
    write_picture(tmp_path / "gray.png", Picture(gray))
    outcome = scoreinv("colorize", "gray.png", "--gray-weights", weights, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["output"] == "gray_colorized.png"
    after = read_picture(tmp_path / "gray_colorized.png").pixels
    assert after.dtype == dtype
    assert after.shape == (50, 70, 3)
    assert (np.rint(luma(after.astype(np.float64), weights)) == gray).all()
    assert (after.max(-1) != after.min(-1)).any()


def test_a_profile_of_colours_stays(scoreinv):
    """A sepia print comes out with the profile that it had."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    levels = photo_array()[..., :1] * np.array((1, 0.85, 0.65))
    Image.fromarray(levels.astype(np.uint8)).save("old.png", icc_profile=profile)
    assert scoreinv("colorize", "old.png", "--tint", "white", "-o", "new.png").code == 0
    assert Image.open("new.png").info["icc_profile"] == profile


def test_colorize_alpha_samples_and_colours(scoreinv, tmp_path):
    before = photo_array(channels=2)
    write_picture(tmp_path / "la.png", Picture(before))
    assert scoreinv("colorize", "la.png", "--samples", 2).code == 0
    first, second = (read_picture(tmp_path / f"la_colorized.{i}.png").pixels for i in (1, 2))
    assert (first[..., 3] == before[..., 1]).all()
    assert (first != second).any()
    write_picture(tmp_path / "red.png", Picture(photo_array() // np.array([1, 4, 4], np.uint8)))
    outcome = scoreinv("colorize", "red.png")
    assert outcome.code == 0
    assert "has colours already" in outcome.err


@pytest.mark.parametrize("size", [(1, 1), (300, 2)])
def test_colorize_thin_pictures(scoreinv, tmp_path, size):
    write_picture(tmp_path / "thin.png", Picture(photo_array(*size, channels=1)))
    assert scoreinv("colorize", "thin.png").code == 0
    assert read_picture(tmp_path / "thin_colorized.png").size == size


def test_sample_a_grid_and_a_folder(scoreinv, tmp_path, model):
    outcome = scoreinv("sample", "-n", 3, "--json", "--precision", "float32")
    assert outcome.code == 0
    record = json.loads(outcome.out)
    assert record["output"] == "small_samples.png"
    assert (record["method"], record["nfe"]) == ("multistep", 2)
    grid = read_picture(tmp_path / "small_samples.png").pixels
    assert grid.shape == (32, 32, 3)
    assert scoreinv("sample", "-n", 2, "-o", "many", "--precision", "float32").code == 0
    second = read_picture(tmp_path / "many" / "000002.png").pixels
    assert abs(grid[:16, 16:].astype(int) - second).max() <= 1
    refused = scoreinv("sample", "-n", 2, "-o", "many")
    assert refused.code == 2
    assert "exists already" in refused.err


def test_a_folder_is_written_in_parts(scoreinv, tmp_path, model, monkeypatch):
    """The pictures of one go: what is drawn is on the disk before the next are."""
    words = ["sample", "-n", 5, "--precision", "float32", "--json"]
    whole = json.loads(scoreinv(*words, "-o", "whole").out)
    monkeypatch.setattr("scoreinv.cli.sample._WRITTEN_AT_ONCE", 2)
    parts = json.loads(scoreinv(*words, "-o", "parts").out)
    assert whole["nfe"] == parts["nfe"]
    for name in (f"00000{number}.png" for number in range(1, 6)):
        one, other = (read_picture(tmp_path / folder / name).pixels.astype(int) for folder in ("whole", "parts"))
        assert abs(one - other).max() <= 1


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
    assert scoreinv("interpolate", "a.png", "b.png", "-n", 3, "-o", "row/", "--steps", 16).code == 0
    assert abs(read_picture(tmp_path / "row" / "000002.png").pixels.astype(int) - row[:, 12:24]).max() <= 1
    assert scoreinv("interpolate", "a.png", "b.png", "--temperature", 0.5, "--steps", 4).code == 0
    assert read_picture(tmp_path / "a_interpolated.png").size == (8, 96)
    refused = scoreinv("interpolate", "a.png", "b.png")
    assert refused.code == 2
    assert "a_interpolated.png: exists already" in refused.err


def test_a_row_that_its_format_cannot_hold_is_refused_before_the_work(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    words = ("interpolate", "a.png", "a.png", "-n", 2100, "-o", "row.webp", "--model", "missing.safetensors")
    for dry in ((), ("--dry-run",)):
        outcome = scoreinv(*words, *dry)
        assert (outcome.code, "row.webp: WebP ends at 16383 pixels a side" in outcome.err) == (2, True)


def test_a_second_folder_of_samples_does_not_mix_with_the_first(scoreinv, tmp_path):
    assert scoreinv("sample", "-n", 2, "-o", "drawn/").code == 0
    again = scoreinv("sample", "-n", 10, "-o", "drawn/")
    assert (again.code, "exists already" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a.png", "wide.png", "wide.png: is 10x8, and a.png is 8x8"),
        ("odd.png", "odd.png", "odd.png: the picture is 9x8"),
        ("a.png", "missing.png", "missing.png: no such file"),
        ("-", "-", "stdin"),
        ("-", "a.png", "-o"),
    ],
)
def test_pictures_that_cannot_be_interpolated(scoreinv, tmp_path, first, second, said):
    for name, width in {"a": 8, "wide": 10, "odd": 9}.items():
        Image.fromarray(photo_array(8, width)).save(tmp_path / f"{name}.png")
    before = sorted(tmp_path.iterdir())
    outcome = scoreinv("interpolate", first, second)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("scoreinv: error: ")
    assert outcome.err.count("\n") == 1
    assert said in outcome.err
    assert sorted(tmp_path.iterdir()) == before


def test_likelihood(scoreinv, tmp_path, model):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    Image.fromarray(photo_array(8, 9)).save(tmp_path / "b.png")
    outcome = scoreinv("likelihood", "a.png", "--json", "--rtol", 1e-2, "--repeats", 2)
    record = json.loads(outcome.out)
    assert outcome.code == 0
    assert 0 < record["bits_per_dim"] < 20
    assert record["precision"] == "float32"
    assert scoreinv("likelihood", "a.png", "--rtol", 1e-2).out.endswith("bits/dim  a.png\n")
    Image.fromarray(np.dstack([photo_array(8, 8), photo_array(8, 8)[..., :1]])).save(tmp_path / "clear.png")
    assert "clear.png: transparency is left out" in scoreinv("likelihood", "clear.png", "--rtol", 1e-2).err
    both = scoreinv("likelihood", "a.png", "b.png", "--json", "--rtol", 1e-2)
    assert both.code == 1
    assert [set(json.loads(line)) >= {"bits_per_dim"} for line in both.out.splitlines()] == [True, False]
    assert "multiples of" in both.err


def test_a_long_likelihood_says_first_how_long(scoreinv, tmp_path, monkeypatch):
    for name, size in (("small.png", 8), ("big.png", 16)):
        Image.fromarray(photo_array(size, size)).save(tmp_path / name)
    monkeypatch.setattr("scoreinv.tasks.bits._LARGE", 16 * 16)
    monkeypatch.setattr("scoreinv.cli.likelihood.LONG_SECONDS", 0.0)
    said = scoreinv("likelihood", "big.png", "--steps", 1).err
    assert re.search(r"big\.png: the likelihood takes about \d+ s here; a smaller picture or a crop less\n", said)
    assert "--steps 16 takes half of it" in scoreinv("likelihood", "big.png", "--rtol", 1e-2).err
    monkeypatch.setattr("scoreinv.cli.likelihood.LONG_SECONDS", 1e-9)
    assert "takes about" not in scoreinv("likelihood", "small.png", "--steps", 1).err


def test_a_likelihood_of_few_steps_is_warned_of(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    few, enough = (scoreinv("likelihood", "a.png", "--steps", steps) for steps in (2, 8))
    assert few.code == enough.code == 0
    assert "warning: --steps 2: so few" in few.err
    assert "warning" not in enough.err


def test_likelihood_of_many_pictures(scoreinv, tmp_path):
    folder = tmp_path / "scans"
    (folder / "within").mkdir(parents=True)
    sizes = {"a": (8, 8), "b": (8, 8), "c": (8, 9), "d": (12, 8), "e": (8, 8)}
    for name, (height, width) in sizes.items():
        Image.fromarray(photo_array(height, width)).save(folder / f"{name}.png")
    (folder / "within/f.png").write_bytes(b"broken")
    Image.fromarray(255 - photo_array(8, 8)).save(folder / "b.png")
    words = ["--rtol", 1e-2, "--repeats", 3]
    outcome = scoreinv("likelihood", "scans", "--csv", "table.csv", "--json", *words)
    assert outcome.code == 1
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert [Path(record["input"]).stem for record in records] == list("abcdef")
    assert ["error" in record for record in records] == [False, False, True, False, False, True]
    assert records[0]["bits_per_dim"] != records[1]["bits_per_dim"]
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    good = [record for record in records if "error" not in record]
    assert list(rows[0]) == ["input", "width", "height", "bits_per_dim", "standard_error", "repeats", "nfe", "seconds"]
    for row, record in zip(rows, good, strict=True):
        height, width = sizes[Path(row["input"]).stem]
        assert (row["width"], row["height"], row["repeats"]) == (str(width), str(height), "3")
        for key in ("bits_per_dim", "standard_error", "nfe"):
            assert float(row[key]) == record[key] > 0
    # Together or one by one: the same.
    for record in good:
        alone = json.loads(scoreinv("likelihood", record["input"], "--json", *words).out)
        # Rounding differs with the batch, and may turn a step of the solver: within its tolerance, and some steps more.
        assert alone["bits_per_dim"] == pytest.approx(record["bits_per_dim"], abs=1e-2)
        assert alone["nfe"] == pytest.approx(record["nfe"], rel=0.2)
    refused = scoreinv("likelihood", "scans", "--csv", "table.csv")
    assert (refused.code, refused.out) == (2, "")
    assert "table.csv: exists already" in refused.err
    mistyped = scoreinv("likelihood", "scans", "--csv", "table.csv", "--overwrite", "--model", "phto")
    assert (mistyped.code, len((tmp_path / "table.csv").read_text().splitlines())) == (2, 5)
    spoken = scoreinv("likelihood", "scans", "--csv", "table.csv", "--overwrite", *words)
    assert spoken.out.splitlines()[-1].endswith("bits/dim  mean of 4 pictures")
    assert spoken.out.count("±") == 5
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 5


def test_likelihood_on_a_fixed_grid(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    fixed, adaptive = (
        json.loads(scoreinv("likelihood", "a.png", "--json", *words).out) for words in (["--steps", 16], [])
    )
    assert fixed["nfe"] == 64 != adaptive["nfe"]
    assert fixed["bits_per_dim"] == pytest.approx(adaptive["bits_per_dim"], abs=0.005)
    assert fixed["standard_error"] is None


def test_a_table_that_cannot_be(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    for path in (".", "a.png", "nowhere/table.csv", "-", "/dev/null"):
        outcome = scoreinv("likelihood", "a.png", "--csv", path, "--overwrite")
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.count("\n") == 1
    assert (tmp_path / "a.png").exists()


def test_convert_and_load(scoreinv, tmp_path):
    folder = sorted(path for path in PARITY.iterdir() if path.is_dir())[0]
    words = ["convert", folder / "checkpoint.pth", "--config", folder / "config.json", "-o", "new/deep/m.safetensors"]
    outcome = scoreinv(*words, "--json")
    assert outcome.code == 0
    prior = library.load("new/deep/m.safetensors")
    assert json.loads(outcome.out)["parameters"] == sum(p.numel() for p in prior.network.parameters())
    assert scoreinv(*words).code == 2
    assert scoreinv(*words, "--overwrite", "--raw").code == 0
    other = scoreinv(
        "convert", folder / "checkpoint.pth", "--config", "ve/ffhq_256_ncsnpp_continuous", "-o", "n.safetensors"
    )
    assert other.code == 2
    assert "do not belong together" in other.err


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    run = TrainingConfig(
        replace(small_config(), image_size=16),
        DataConfig(),
        batch_size=2,
        steps=4,
        validation_images=2,
        samples=1,
        save_minutes=100.0,
        log_every=2,
    )
    path = tmp_path / "run.json"
    path.write_text(json.dumps(encode(run)))
    return path


def test_train_and_resume(scoreinv, configuration, tmp_path):
    outcome = scoreinv("train", "--config", configuration, "--out", "run", "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert (record["steps"], record["images"]) == (4, 8)
    assert record["loss"] > 0
    assert record["output"] == "run/model.safetensors"
    again = scoreinv("train", "--config", configuration, "--out", "run")
    assert again.code == 2
    assert "holds a training run already: resume it, or choose another folder" in again.err
    resumed = scoreinv("train", "--out", "run", "--resume", "--steps", 6, "--json")
    assert json.loads(resumed.out)["steps"] == 6
    other = scoreinv("train", "--sde", "vp", "--out", "run", "--resume")
    assert other.code == 2
    for words, said in ((["--seed", 5], "seed"), (["--precision", "bfloat16"], "precision")):
        other = scoreinv("train", "--out", "run", "--resume", "--steps", 7, *words)
        assert (other.code, f"differs in {said}" in other.err) == (2, True)
    same = scoreinv("train", "--config", configuration, "--steps", 7, "--out", "run", "--resume", "--json")
    assert json.loads(same.out)["steps"] == 7
    assert scoreinv("sample", "-n", 1, "--model", "run/model.safetensors").code == 0


def test_a_configuration_keeps_its_seed_and_precision(scoreinv, configuration):
    entries = json.loads(configuration.read_text()) | {"seed": 7, "precision": "float32", "steps": 1}
    configuration.write_text(json.dumps(entries))
    for name, words, seed, precision in (
        ("a", [], 7, "float32"),
        ("b", ["--seed", 0, "--precision", "bfloat16"], 0, "bfloat16"),
    ):
        assert scoreinv("train", "--config", configuration, "--out", name, *words).code == 0
        written = json.loads(Path(name, "config.json").read_text())
        assert (written["seed"], written["precision"]) == (seed, precision)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"observations": None, "steps": 0}, "steps must be from 1"),
        ({"minutes": float("inf")}, "minutes = inf"),
        ({"model": None}, "model = None is not supported"),
        ({"model": {"network": 3}}, "lacks 'sde'"),
        ({"colour": 1}, "colour"),
    ],
)
def test_configurations_that_are_not_such(scoreinv, configuration, entries, said):
    configuration.write_text(json.dumps(json.loads(configuration.read_text()) | entries))
    outcome = scoreinv("train", "--config", configuration, "--out", "run")
    assert outcome.code == 2, outcome.err
    assert outcome.err.startswith("scoreinv: error: ")
    assert configuration.name in outcome.err
    assert said in outcome.err
    assert not Path("run").exists()


def test_a_published_model_is_trained_on_all_pictures(scoreinv, monkeypatch, tmp_path):
    """Its configuration; the training itself would take hours."""
    runs = []

    def train(run, out, **options):
        runs.append(run)
        raise KeyboardInterrupt

    monkeypatch.setattr("scoreinv.training.loop.train", train)
    (tmp_path / "photos").mkdir()
    outcome = scoreinv("train", "--config", "vp/cifar10_ddpm", "--data", "photos", "--steps", 9)
    assert outcome.code == 130
    assert (runs[0].data.source, runs[0].data.mode, runs[0].data.holdout_fraction) == ("photos", "resize", 0)
    assert (runs[0].steps, runs[0].ema_decay) == (9, 0.9999)


def test_train_into_a_dated_folder(scoreinv, configuration, tmp_path):
    assert scoreinv("train", "--config", configuration, "--steps", 1).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("ve-")


def test_an_error_is_told_in_json_too(scoreinv, tmp_path):
    Image.fromarray(photo_array(9, 8)).save(tmp_path / "odd.png")
    for words, names in (
        (["likelihood", "odd.png"], {"input", "error"}),
        (["likelihood", "gone.png"], {"input", "error"}),
        (["inpaint", "odd.png", "--mask", "gone.png"], {"error"}),
        (["sample", "--model", "phto"], {"error"}),
    ):
        outcome = scoreinv(*words, "--json")
        (record,) = map(json.loads, outcome.out.splitlines())
        assert set(record) == names
        assert outcome.err == f"scoreinv: error: {record['error']}\n"
    assert "odd.png: the picture is 8x9" in scoreinv("likelihood", "odd.png").err


def test_interpolation_says_what_it_leaves_out(scoreinv, tmp_path):
    for name, channels in (("a.png", 3), ("b.png", 4)):
        Image.fromarray(photo_array(8, 8, channels)).save(tmp_path / name)
    outcome = scoreinv("interpolate", "a.png", "b.png", "-n", 2, "-o", "row.png", "--steps", 2)
    assert outcome.code == 0
    assert outcome.err.count("warning: b.png: transparency is left out") == 1
    assert "warning: a.png" not in outcome.err
