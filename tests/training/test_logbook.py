"""The learning rate, and runs by the clock: they end in time, with as many pictures as that pays for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_runs import tiny_run

from scoreinv.training import logbook
from scoreinv.training.config import OptimizerConfig
from scoreinv.training.data.batches import Batch
from scoreinv.training.distributed import World
from scoreinv.training.loop import learning_rate, train
from scoreinv.training.losses import ScoreLearner
from scoreinv.training.setup import BatchLoss

pytestmark = pytest.mark.usefixtures("single_thread")


def test_learning_rate_warms_up_and_anneals() -> None:
    options = OptimizerConfig(learning_rate=0.1, warmup=4)
    rates = [learning_rate(options, step, step / 10) for step in range(10)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, *[0.1] * 7])
    cosine = replace(options, warmup=0, anneal="cosine")
    assert [learning_rate(cosine, 0, f) for f in (0, 0.5, 1)] == pytest.approx([0.1, 0.05, 0], abs=1e-12)


def test_the_fraction_that_is_over_is_by_steps_or_by_time_whichever_is_more(tmp_path: Path) -> None:
    def fraction(step: int, seconds: float, **ends: float | None) -> float:
        config, world = replace(tiny_run(tmp_path), **ends), World(0, 1, torch.device("cpu"))
        run: Any = SimpleNamespace(config=config, world=world, state=SimpleNamespace(step=step), held_out=None)
        return logbook.Logbook(run, lambda: seconds).fraction()

    assert [fraction(10**6, seconds, steps=None, minutes=1.0) for seconds in (0, 45, 90)] == [0, 0.75, 1]
    assert [fraction(step, 1e9, steps=100) for step in (0, 50, 100, 101)] == [0, 0.5, 1, 1]
    assert [fraction(step, seconds, steps=100, minutes=1.0) for step, seconds in ((50, 6), (10, 45))] == [0.5, 0.75]


class _WorkClock:
    """A clock that goes on only by what is done.

    Args:
        loading: seconds before the first step.
        step, validation, samples, saving: seconds of a step, of each picture that is validated or drawn, of each save.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        loading: float,
        step: float,
        validation: float,
        samples: float,
        saving: float,
    ) -> None:
        self.now = loading
        self.validated = 0

        def slowly(place: object, name: str, seconds: Callable[..., float]) -> None:
            part = getattr(place, name)

            def slow(*arguments: object, **more: object) -> object:
                self.now += seconds(*arguments)
                return part(*arguments, **more)

            monkeypatch.setattr(place, name, slow)

        def of_validation(learner: object, model: object, batch: Batch) -> float:
            self.validated += len(batch.times)
            return validation * len(batch.times)

        slowly(BatchLoss, "forward", lambda loss, batch: step)
        slowly(ScoreLearner, "measures", of_validation)
        slowly(logbook, "write_samples", lambda path, prior, count, seed: samples * count)
        slowly(logbook, "save_state", lambda folder, state, about: saving)

    def __call__(self) -> float:
        return self.now


@pytest.mark.slow
def test_a_run_by_the_clock_ends_within_a_tenth_of_its_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading, validation, samples and saving included: preparing takes half of it, an evaluation as long as a step."""
    config = replace(tiny_run(folder), steps=None, minutes=0.5, validate_every=10**6, sample_every=10**6)
    clock = _WorkClock(monkeypatch, loading=15.0, step=0.25, validation=0.03, samples=0.5, saving=0.7)
    result = train(replace(config, validation_images=256, samples=16), tmp_path / "out", clock=clock)
    assert clock.now == pytest.approx(30, rel=0.1)
    assert result.seconds == clock.now
    assert clock.validated >= 16
    assert result.samples is not None
    assert result.baseline_loss == pytest.approx(1.0, abs=0.9)


@pytest.mark.slow
def test_a_resumed_run_validates_the_same_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast its steps are by then; so what knowing nothing comes to is one figure of the run."""
    config = replace(tiny_run(folder), steps=None, minutes=1.0, validate_every=10**6, validation_images=200)
    slow = _WorkClock(monkeypatch, loading=1.0, step=2.0, validation=0.1, samples=0.0, saving=0.0)
    first = train(config, tmp_path / "out", clock=slow)
    assert 16 <= slow.validated < 200
    monkeypatch.undo()
    fast = _WorkClock(monkeypatch, loading=1.0, step=0.1, validation=0.001, samples=0.0, saving=0.0)
    again = train(replace(config, minutes=1.1), tmp_path / "out", resume=True, clock=fast)
    assert fast.validated == slow.validated
    assert again.baseline_loss == first.baseline_loss
