"""Configurations of runs: what they may say, and those of the paper."""

import json
from dataclasses import replace

import pytest

from scoreinv.models.codec import decode, encode
from scoreinv.models.foreign.published import PUBLISHED
from scoreinv.prior import RecommendedSampler
from scoreinv.sdes import VE, VP
from scoreinv.system.errors import InputError
from scoreinv.system.files import PRETRAINED
from scoreinv.training.config import (
    DamageDrawing,
    DataConfig,
    ObjectiveConfig,
    ObservationConfig,
    OptimizerConfig,
    TrainingConfig,
    read_config,
)
from scoreinv.training.presets import classifier_training, continued_training, paper_training, small_training


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_make_a_whole_configuration(name: str) -> None:
    config = paper_training(name, DataConfig("pictures", mode="resize"))
    assert decode(TrainingConfig, json.loads(json.dumps(encode(config)))) == config
    assert (config.objective.times == "continuous") == ("continuous" in name)
    assert config.optimizer == OptimizerConfig(2e-4, 0.9, 0.999, 1e-8, warmup=5000, clip=1.0)


def test_the_bundled_configurations_and_those_of_version_0_1_are_read() -> None:
    for path in PRETRAINED.glob("*/*.json"):
        read_config(path)
    data = encode(small_training(VP(), DataConfig()))
    data["data"]["detail_candidates"] = 1
    assert decode(TrainingConfig, data) == small_training(VP(), DataConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "model"),
        ({"steps": None}, "steps or minutes"),
        ({"batch_size": 0}, "batch_size"),
        ({"optimizer": {"rate": 1}}, "rate"),
        ({"objective": {"weighting": "best"}}, "weighting"),
        ({"data": {"scales": [2.0]}}, "scales"),
        ({"data": {"shares": [["a", 0.5], ["a", 2.0]]}}, "names a folder twice"),
        ({"data": {"shares": [["a", 0.0]]}}, "data.shares must lie in"),
        ({"data": {"source": ""}}, "data.source is empty"),
        ({"data": {"holdout_fraction": 1.0}}, "holdout_fraction must lie in"),
        ({"data": {"memory_gb": float("nan")}}, "memory_gb"),
        ({"optimizer": {"beta1": 1.0}}, "beta1"),
        ({"damage": {"often": [["rust", 2.0]]}}, "a kind of damage.often must be"),
        ({"damage": {"often": [["dust", -1.0]]}}, "damage.often of dust must lie in"),
        ({"damage": {"often": [["dust", 1.0], ["dust", 2.0]]}}, "names a kind twice"),
        ({"damage": {"often": [[kind, 0.0] for kind in DamageDrawing().shares]}}, "leaves 0 kinds"),
        ({"observations": {"nothing": -0.1, "holes": 0.65}}, "shares must not be negative"),
        ({"observations": {"holes": 0.5}}, "shares must add up to 1, not 1.1"),
        ({"observations": {}}, "a conditional prior needs observations"),
        ({"damage": {}}, "a damage detector needs damage, and no other model takes it"),
        ({"trained": "chroma"}, "needs a model with a chroma network"),
        ({"objective": {"weighting": "residual"}}, "a conditional prior needs the residual weighting"),
        ({"objective": {"label_smoothing": 1.0}}, "label_smoothing must lie in"),
        ({"objective": {"times": "discrete", "focus": [0.0, 1.0]}}, "focus is for continuous times"),
        ({"objective": {"focus": [0.0, -1.0]}}, "focus"),
        ({"objective": {"weighting": "likelihood", "focus": [0.0, 1.0]}}, "focus does not go with the likelihood"),
        ({"ema_decay": 1.0}, "ema_decay must lie in"),
        ({"accumulate": 3}, "accumulate must divide the batch of 16 evenly"),
        ({"objective": {"times": "discrete"}}, "discrete times need the VE SDE"),
    ],
)
def test_bad_configurations_name_the_entry(change: dict, message: str) -> None:
    data = encode(small_training(VP(), DataConfig())) | change
    if data["model"] is None:
        del data["model"]
    with pytest.raises(InputError, match=message):
        decode(TrainingConfig, data)


@pytest.mark.parametrize("size", [None, 16])
def test_a_model_is_trained_further_with_another_sde(size: int | None) -> None:
    start = replace(small_training(VE(), DataConfig(), 32).model, sampler=RecommendedSampler("ancestral"))
    run = continued_training(start, VP(), DataConfig("photos"), size)
    assert run.model == replace(start, sde=VP(), image_size=size or 32, sampler=None)
    assert run.optimizer.learning_rate == 2e-4
    assert run == replace(
        small_training(VP(), DataConfig("photos"), size or 32), model=run.model, optimizer=run.optimizer
    )


def test_a_resumed_run_may_change_its_length_its_reports_its_place_and_its_memory() -> None:
    config = small_training(VP(), DataConfig())
    key = config.resume_key()
    free = {"accumulate": 2, "compile": True, "steps": 7, "minutes": 3.0, "validation_images": 3, "samples": 5}
    free |= dict.fromkeys(("log_every", "validate_every", "sample_every", "snapshot_every"), 9) | {"save_minutes": 1.0}
    for name, value in free.items():
        assert replace(config, **{name: value}).resume_key() == key, name
    for name, value in {"source": "elsewhere", "memory_gb": 1.0}.items():
        assert replace(config, data=replace(config.data, **{name: value})).resume_key() == key, name
    fixed = {"batch_size": 4, "ema_decay": 0.5, "seed": 3, "precision": "float32", "frozen_norms": True}
    fixed |= {"optimizer": OptimizerConfig(), "model": replace(config.model, image_size=32)}
    for name, value in fixed.items():
        assert replace(config, **{name: value}).resume_key() != key, name
    for name, value in {"flip": False, "holdout": ("a",), "mode": "resize"}.items():
        assert replace(config, data=replace(config.data, **{name: value})).resume_key() != key, name


def test_a_classifier_has_no_likelihood_weighting() -> None:
    """Its times would be drawn by importance, and no loss weighed to make up for it."""
    data = encode(classifier_training(VP(), DataConfig(), ("a", "b")))
    with pytest.raises(InputError, match="a classifier has no likelihood weighting"):
        decode(TrainingConfig, data | {"objective": {"weighting": "likelihood"}})


def test_entries_that_runs_leave_out_have_the_values_of_released_ones() -> None:
    model = {"network": {}, "sde": {"name": "ve"}, "preconditioning": {"name": "edm"}}
    found = decode(TrainingConfig, {"model": model, "minutes": 2.0})
    assert found.data == DataConfig(
        *(None, "crops", (1.0, 0.7, 0.5, 0.35, 0.25), 0.5, (), True, 0, False, (), 0.05, 6.0)
    )
    assert found.objective == ObjectiveConfig("continuous", "paper", "mean", None, True, 0.0)
    assert found.optimizer == OptimizerConfig(2e-4, 0.9, 0.999, 1e-8, 5000, 1.0, 0.0, "constant")
    rest = (None, None, "score", 64, 1, False, 0.999, None, 2.0, 0, "auto", False, 50, 1000, 5000, 10000, 256, 16, 5.0)
    assert found == TrainingConfig(found.model, found.data, found.objective, found.optimizer, *rest)
    assert decode(ObservationConfig, {}) == ObservationConfig(0.15, 0.4, 0.15, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0)
    assert decode(DamageDrawing, {}) == DamageDrawing(0.3, (), 4)
