"""Class-conditional pictures as a user makes them: train a classifier on folders, sample a class."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support.shell import brief_run, small_config

import scoreinv as library
from scoreinv import training
from scoreinv.files.read import read_picture
from scoreinv.models.codec import encode
from scoreinv.system.errors import InputError
from scoreinv.tasks.bits_per_dim import pictures_bits_per_dim
from scoreinv.tasks.evaluate import PictureFeatures
from scoreinv.tasks.evaluate_run import RunEvaluation, snapshots_of
from scoreinv.tasks.sampling_settings import LikelihoodSettings, RunEvaluationSettings
from scoreinv.training.config import DataConfig


def write_classes(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, level in (("day", 180), ("night", 40)):
        (folder / "data" / name).mkdir(parents=True)
        for index in range(6):
            pixels = (level + generator.normal(0, 20, (32, 32, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "data" / name / f"{index}.png")
    return folder / "data"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return write_classes(tmp_path)


class Judge:
    """Sees whether pictures are bright."""

    classes, image_size = ("day", "night"), 32

    def to(self, _: object) -> "Judge":
        return self


@pytest.fixture
def judge(monkeypatch) -> None:
    def picture_features(pictures, _):
        levels = np.array([picture.rgb().mean() for _, picture in pictures])
        return PictureFeatures(np.stack([levels, levels**2], axis=1), (levels < 0.5).astype(int))

    monkeypatch.setattr("scoreinv.cli.evaluate.load_classifier", lambda _: Judge())
    monkeypatch.setattr("scoreinv.tasks.picture_features", picture_features)


@pytest.mark.usefixtures("judge")
def test_figures_of_pictures_in_json_and_in_words(scoreinv, classes):
    words = ("evaluate", classes / "day", "--reference", classes / "night")
    record = json.loads(scoreinv(*words, "--json").out)
    assert (record["pictures"], record["classifier"], record["accuracy"]) == (6, "cifar10-judge", 1)
    assert record["class_shares"] == {"day": 1, "night": 0}
    assert record["frechet_distance"] > 0.1
    told = scoreinv(*words)
    lines = dict(line.split(": ", 1) for line in told.out.splitlines())
    assert (lines["class shares"], lines["accuracy"], lines["pictures"]) == ("day 100.0%, night 0.0%", "1.0000", "6")
    assert lines["frechet distance"] == f"{record['frechet_distance']:.4f}"
    assert "--inception" in told.err
    assert json.loads(scoreinv(*words, "--class", "night", "--json").out)["accuracy"] == 0
    both = json.loads(scoreinv("evaluate", classes, "--reference", classes / "night", "--json").out)
    assert (both["pictures"], both["accuracy"], both["class_shares"]["day"]) == (12, 1, 0.5)
    (classes / "day").rename(classes / "dawn")
    assert "accuracy" not in json.loads(scoreinv("evaluate", classes, "--reference", classes / "night", "--json").out)


@pytest.mark.usefixtures("judge")
def test_figures_by_inception(scoreinv, classes, monkeypatch):
    """Also of pictures that the default judge does not take."""
    asked = []

    def calculate_metrics(**given):
        asked.append(given)
        names = ("frechet_inception_distance", "kernel_inception_distance_mean", "inception_score_mean")
        return dict(zip(names, (1, 2, 3), strict=True))

    torch.save({}, "weights.pth")
    words = ("evaluate", classes / "day", "--reference", classes / "night", "--inception", "weights.pth", "--json")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "torch_fidelity", None)
        assert scoreinv(*words).code == 2
    fidelity = SimpleNamespace(calculate_metrics=calculate_metrics, __spec__=object())
    monkeypatch.setitem(sys.modules, "torch_fidelity", fidelity)
    monkeypatch.setitem(sys.modules, "torch_fidelity.datasets", SimpleNamespace(ImagesPathDataset=list))

    def wrong_size(*_):
        raise InputError("another size")

    monkeypatch.setattr("scoreinv.cli.evaluate._by_classifier", wrong_size)
    (record,) = records(scoreinv(*words))
    assert (record["fid"], record["kid"], record["inception_score"]) == (1, 2, 3)
    assert "frechet_distance" not in record
    assert [len(asked[0][name]) for name in ("input1", "input2")] == [6, 6]
    assert (asked[0]["isc_splits"], asked[0]["kid_subset_size"]) == (6, 6)
    for more in (("--class", "day"), ("--classifier", "mine")):
        assert scoreinv(*words, *more).code == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps on whole pictures of 32 pixels, with two snapshots and the last model."""
    folder = tmp_path_factory.mktemp("run")
    data = DataConfig(str(write_classes(folder)), mode="center", holdout_fraction=0.3)
    config = replace(brief_run(data, steps=5, snapshot_every=2), model=replace(small_config(), image_size=32))
    training.train(config, folder / "run")
    return folder / "run"


def records(outcome) -> list[dict]:
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


@pytest.mark.usefixtures("judge")
def test_the_table_of_a_run(scoreinv, run, tmp_path, monkeypatch):
    run, measured = shutil.copytree(run, tmp_path / "run"), []

    def measure(_, snapshot):
        measured.append(snapshot.step)
        return {"validation_loss": snapshot.step / 8} | ({"bits_per_dim": 3.0} if snapshot.step > 2 else {})

    monkeypatch.setattr("scoreinv.tasks.evaluate_run.RunEvaluation.measure", measure)
    words = ("evaluate", run, "-n", 0, "--likelihood", 2)
    header, *rows = scoreinv(*words).out.splitlines()
    assert header.split() == ["step", "validation", "loss", "bits", "per", "dim"]
    assert [row.split() for row in rows] == [["2", "0.2500"], ["4", "0.5000", "3.0000"], ["5", "0.6250", "3.0000"]]
    assert (run / "evaluation/evaluation.png").exists()
    log = run / "evaluation/evaluation.jsonl"
    log.write_text(log.read_text() + '{"step": 2, "cut')  # by a full disk
    again = records(scoreinv(*words, "--json", "--from", 4))
    assert [(row["input"], row["step"], row["samples"], row["likelihood"]) for row in again] == [
        (str(run), step, 0, 2) for step in (4, 5)
    ]
    assert measured == [2, 4, 5]
    records(scoreinv(*words, "--json", "--to", 2, "--exact"))
    assert measured == [2, 4, 5, 2]


@pytest.mark.usefixtures("judge")
def test_samples_of_a_run_without_held_out_pictures_need_a_reference(scoreinv, run, classes, tmp_path, monkeypatch):
    run = shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["holdout_fraction"] = 0.0
    (run / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("scoreinv.tasks.evaluate_run.RunEvaluation.measure", lambda *_: {})
    words = ("evaluate", run, "--to", 2)
    for more, code in (((), 2), (("--reference", classes / "day"), 0), (("-n", 0), 0)):
        assert scoreinv(*words, *more).code == code


def test_a_snapshot_has_the_mean_of_its_likelihoods(run):
    settings = RunEvaluationSettings(samples=0, likelihood=2)
    evaluation = RunEvaluation(training.TrainingRun(run), settings, "cpu")
    snapshot, *_ = snapshots_of(evaluation.run, settings)
    found = evaluation.measure(snapshot)
    pictures = list(evaluation.real(evaluation.held_out, 2))
    densities = pictures_bits_per_dim(pictures, library.load(snapshot.path), LikelihoodSettings(steps=16))
    one, other = (density.bits_per_dim for density in densities)
    assert found["bits_per_dim"] == pytest.approx((one + other) / 2)
    assert found["standard_error"] == pytest.approx(abs(one - other) / 2)
    assert found["validation_loss"] > 0


def test_no_central_square_of_a_held_out_picture_counts_twice(run, tmp_path):
    run = shutil.copytree(run, tmp_path / "run")
    evaluation = RunEvaluation(training.TrainingRun(run), RunEvaluationSettings(), "cpu")
    assert evaluation.config.data.mode == "center"
    held_out = evaluation.held_out
    count = len(held_out)
    assert len(list(evaluation.real(held_out, count + 2))) == count
    crops = replace(evaluation.config.data, mode="crops")
    (run / "config.json").write_text(json.dumps(encode(replace(evaluation.config, data=crops))))
    evaluation = RunEvaluation(training.TrainingRun(run), RunEvaluationSettings(), "cpu")
    assert len(list(evaluation.real(held_out, count + 2))) == count + 2


def test_a_run_is_compared_with_photographs_of_any_size(scoreinv, run, tmp_path):
    run, photos = shutil.copytree(run, tmp_path / "run"), tmp_path / "photos"
    photos.mkdir()
    small = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    wide = np.zeros((64, 100, 3), np.uint8)
    wide[:, 18:82] = 90  # its central square
    for name, pixels in {"small": small, "wide": wide}.items():
        Image.fromarray(pixels).save(photos / f"{name}.png")
    # Each is drawn at least once, and their middles once.
    for samples in (1, 9):
        settings = RunEvaluationSettings(samples=samples)
        evaluation = RunEvaluation(training.TrainingRun(run), settings, "cpu")
        drawn = [read_picture(path).pixels for path in evaluation.write_real(str(photos))]
        assert len(drawn) == 2
    drawn.sort(key=np.ptp)
    assert (drawn[0] == 90).all()
    assert any(np.array_equal(drawn[1], one) for one in (small, small[:, ::-1]))
    crops = replace(evaluation.config.data, mode="crops")
    (run / "config.json").write_text(json.dumps(encode(replace(evaluation.config, data=crops))))
    evaluation = RunEvaluation(training.TrainingRun(run), RunEvaluationSettings(samples=9), "cpu")
    assert len(evaluation.write_real(str(photos))) == 9
    (tmp_path / "empty").mkdir()
    outcome = scoreinv("evaluate", run, "--reference", tmp_path / "empty")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


def test_more_samples_of_a_run_are_added_to_those_drawn(scoreinv, run):
    few = ["evaluate", run, "--likelihood", 0, "--to", 2, "--json"]
    records(scoreinv(*few, "-n", 2))
    (first,) = (run / "evaluation").glob("*/step-000000002/000000.png")
    before = first.stat().st_mtime_ns
    records(scoreinv(*few, "-n", 6))
    assert len(list(first.parent.iterdir())) == 6
    assert first.stat().st_mtime_ns == before


def test_settings_that_do_not_suit_a_run_are_refused(scoreinv, run, classes):
    for words, said in (
        ((run, "--from", 9), "holds no snapshots of those steps, but of the steps 2, 4, 5"),
        ((run, "--class", "day"), "--class: is for generated pictures"),
        ((classes / "day", "--every", 2, "--reference", classes / "night"), "--every is for training runs"),
        ((classes / "day", "--exact", "--reference", classes / "night"), "--exact is for training runs"),
        ((run, "--from", -1), "--from must be"),
        ((run, "-n", -1), "--count must be"),
        ((classes / "day",), "--reference FOLDER"),
    ):
        outcome = scoreinv("evaluate", *words)
        assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    rehearsed = scoreinv("evaluate", run, "--dry-run")
    assert "the models of the steps 2, 4, 5 would be evaluated" in rehearsed.out


def test_a_reference_of_another_size_is_told(scoreinv, classes):
    for path in (classes / "night").iterdir():
        Image.new("RGB", (40, 32)).save(path)
    odd = scoreinv("evaluate", classes / "day", "--reference", classes / "night")
    assert (odd.code, "night/0.png: is 40x32" in odd.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "data/day", "--reference", "data/night", "--classifier", "photo"], "not classifier"),
        (
            ["evaluate", "data/day", "--reference", "data/night", "--classifier", "photo", "--dry-run"],
            "not classifier",
        ),
        (
            ["evaluate", "data/day", "--reference", "data/night", "--inception", "code.pth"],
            "code.pth: has no weights",
        ),
        (["train", "--classifier", "--sde", "vp"], "--data"),
        (["train", "--classifier", "--data", "data"], "--sde"),
        (["train", "--classifier", "--conditional", "--sde", "ve", "--data", "data"], "give one of them"),
        (["train", "--classifier", "--sde", "vp", "--data", "data/day"], "could be classes"),
    ],
)
def test_conflicting_settings_are_refused(scoreinv, classes, words, said):
    torch.save(Path(), classes.parent / "code.pth")  # a pickle of more than tensors: it is not executed
    outcome = scoreinv(*words)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
