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
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.data.pictures import DataConfig
from scoreinv.training.data.synthetic_damage import DamageDrawing
from scoreinv.training.fitting import OptimizerConfig
from scoreinv.training.learners import (
    ChromaLearner,
    ClassifierLearner,
    ConditionalLearner,
    DamageLearner,
    Learner,
    ObservationConfig,
    ScoreLearner,
)
from scoreinv.training.presets import (
    classifier_training,
    conditional_training,
    continued_training,
    damage_training,
    paper_training,
    small_training,
)


def damage(**entries: object) -> dict:
    return {"learner": {"name": "damage", "damage": entries}}


def observations(**entries: object) -> dict:
    return {"learner": {"name": "conditional", "observations": entries}}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_make_a_whole_configuration(name: str) -> None:
    config = paper_training(name, DataConfig("pictures", mode="resize"))
    assert decode(TrainingConfig, json.loads(json.dumps(encode(config)))) == config
    assert (config.learner.times == "continuous") == ("continuous" in name)
    assert config.optimizer == OptimizerConfig(2e-4, 0.9, 0.999, 1e-8, warmup=5000, clip=1.0)


def test_the_bundled_configurations_and_those_of_version_0_1_are_read() -> None:
    found = {str(path.relative_to(PRETRAINED)): read_config(path) for path in PRETRAINED.glob("*/*.json")}
    assert isinstance(found["scene/chroma.json"].learner, ChromaLearner)
    assert type(found["scene/training.json"].learner) is ConditionalLearner
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
        ({"objective": {}}, "no entry objective"),
        ({"data": {"scales": [2.0]}}, "scales"),
        ({"data": {"shares": [["a", 0.5], ["a", 2.0]]}}, "names a folder twice"),
        ({"data": {"shares": [["a", 0.0]]}}, "data.shares must lie in"),
        ({"data": {"source": ""}}, "data.source is empty"),
        ({"data": {"holdout_fraction": 1.0}}, "data.holdout_fraction must be from 0 to 0.999999"),
        ({"data": {"memory_gb": float("nan")}}, "memory_gb"),
        ({"optimizer": {"beta1": 1.0}}, "optimizer.beta1 must be"),
        ({"ema_decay": 1.0}, "ema_decay must be"),
        ({"accumulate": 3}, "accumulate must divide the batch of 16 evenly"),
        ({"learner": {"name": "score", "weighting": "residual"}}, "weighting"),
        ({"learner": {"name": "score", "times": "discrete", "focus": [0.0, 1.0]}}, "focus is for continuous times"),
        ({"learner": {"name": "score", "focus": [0.0, -1.0]}}, "focus"),
        ({"learner": {"name": "score", "weighting": "likelihood", "focus": [0.0, 1.0]}}, "focus does not go with"),
        ({"learner": {"name": "score", "times": "discrete"}}, "discrete times need the VE SDE"),
        ({"learner": {"name": "classifier", "label_smoothing": 1.0}}, "learner.label_smoothing must be"),
        ({"learner": {"name": "conditional"}}, "ConditionalLearner does not train this ModelConfig"),
        ({"learner": {"name": "chroma"}}, "ChromaLearner does not train this ModelConfig"),
        ({"learner": {"name": "damage"}}, "DamageLearner does not train this ModelConfig"),
        (damage(often=[["rust", 2.0]]), "a kind of damage.often must be"),
        (damage(often=[["dust", -1.0]]), "damage.often of dust must lie in"),
        (damage(often=[["dust", 1.0], ["dust", 2.0]]), "names a kind twice"),
        (damage(often=[[kind, 0.0] for kind in DamageDrawing().shares]), "leaves 0 kinds"),
        (observations(nothing=-0.1, holes=0.65), "shares must not be negative"),
        (observations(holes=0.5), "shares must add up to 1, not 1.1"),
    ],
)
def test_bad_configurations_name_the_entry(change: dict, message: str) -> None:
    data = encode(small_training(VP(), DataConfig())) | change
    if data["model"] is None:
        del data["model"]
    with pytest.raises(InputError, match=message):
        decode(TrainingConfig, data)


RUNS = {
    "score": (small_training(VP(), DataConfig()), 0.5),
    "conditional": (conditional_training(VE(), DataConfig()), 0.95),
    "classifier": (classifier_training(VP(), DataConfig(), ("a", "b")), None),
    "damage": (damage_training(DataConfig()), 0.5),
}


KEPT = {"focus": (0.1, 0.2), "stratified": False}
SHARES = {"nothing": 0.25, "holes": 0.75, "gray": 0, "hints": 0, "damaged_gray": 0, "refined": 0}
SHOWN = ObservationConfig(**SHARES)


@pytest.mark.parametrize(
    ("kind", "objective", "entries", "learner"),
    [
        ("score", {"weighting": "uniform"}, {}, ScoreLearner(**KEPT, weighting="uniform", reduction="sum")),
        (
            "conditional",
            {"weighting": "residual"},
            {"observations": SHARES},
            ConditionalLearner(**KEPT, reduction="sum", observations=SHOWN),
        ),
        ("classifier", {"label_smoothing": 0.1}, {}, ClassifierLearner(**KEPT, label_smoothing=0.1)),
        ("damage", {}, {"damage": {"most": 2}}, DamageLearner(DamageDrawing(most=2))),
    ],
)
def test_files_of_released_versions_are_read(kind: str, objective: dict, entries: dict, learner: Learner) -> None:
    """They describe the learner in `objective`, `observations`, `damage` and `trained`, or leave it out."""
    run = RUNS[kind][0]
    former = {"observations": None, "damage": None, "trained": "score"} | entries
    former["objective"] = {"weighting": "paper", "reduction": "sum", "sigma_data": 0.5, "label_smoothing": 0.0}
    former["objective"] |= {name: list(value) if name == "focus" else value for name, value in KEPT.items()} | objective
    data = {name: value for name, value in encode(run).items() if name != "learner"}
    assert decode(TrainingConfig, data | former) == replace(run, learner=learner)
    if not entries:
        assert decode(TrainingConfig, data).learner == type(learner)()


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


def test_entries_that_runs_leave_out_have_the_values_of_released_ones() -> None:
    model = {"network": {}, "sde": {"name": "ve"}, "preconditioning": {"name": "edm"}}
    found = decode(TrainingConfig, {"model": model, "minutes": 2.0})
    assert found.data == DataConfig(
        *(None, "crops", (1.0, 0.7, 0.5, 0.35, 0.25), 0.5, (), True, 0, False, (), 0.05, 6.0)
    )
    assert found.learner == ScoreLearner("continuous", None, True, "paper", "mean")
    assert found.optimizer == OptimizerConfig(2e-4, 0.9, 0.999, 1e-8, 5000, 1.0, 0.0, "constant")
    rest = (64, 1, False, 0.999, None, 2.0, 0, "auto", False, 50, 1000, 5000, 10000, 256, 16, 5.0)
    assert found == TrainingConfig(found.model, found.data, found.learner, found.optimizer, *rest)
    assert decode(ObservationConfig, {}) == ObservationConfig(0.15, 0.4, 0.15, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0)
    assert decode(DamageDrawing, {}) == DamageDrawing(0.3, (), 4)
