"""The end of a run by the clock: in time, whatever it takes, and with as many pictures as that pays for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gaussian import write_noise_pictures
from small_runs import tiny_run

from scoreinv.training import run as training_run
from scoreinv.training.batches import Batch
from scoreinv.training.budget import Budget
from scoreinv.training.config import GRID_STEPS, TrainingConfig
from scoreinv.training.ending import Ending
from scoreinv.training.learners import ScoreLearner
from scoreinv.training.meter import Meter
from scoreinv.training.training_loop import train

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_noise_pictures(tmp_path / "data", 12, 8, 0.6, 0.1)
    return tmp_path / "data"


class _SetClock:
    """A clock that is set by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _ending(config: TrainingConfig, clock: _SetClock, *, held_out: int = 0, weights: int = 0) -> Ending:
    """Of a run that is prepared by now; held-out pictures are empty."""
    pictures = torch.zeros(held_out, 0)
    batch = Batch(pictures, torch.zeros(held_out), pictures, None) if held_out else None
    return Ending(config, Meter(clock), Budget(clock), held_out=batch, weights=weights, stride=None)


def test_the_time_for_steps_leaves_out_the_end(tmp_path: Path) -> None:
    """A minute: 10^8 weights take 20 seconds to save, twice, and a tenth more is kept; steps have 27 seconds at least.

    So they end 33 seconds after the call, 6 of which were preparing; or 11 before the minute, once saving took 5.
    """
    clock = _SetClock(6.0)
    ending = _ending(replace(tiny_run(tmp_path), steps=None, minutes=1.0), clock, weights=10**8)
    assert ending.seconds() == pytest.approx(44.0)
    clock.now = 11.0
    assert ending.elapsed() == pytest.approx(11 / 33)
    assert ending.elapsed(22.0) == pytest.approx(1.0)
    ending.budget.costs["saving"] = 5.0
    assert ending.elapsed() == pytest.approx(11 / 49)


def test_pictures_take_a_tenth_of_the_time_each(tmp_path: Path) -> None:
    """Six seconds: at 0.06 each for 100 of 250 held-out pictures, one of three then; the same ones ever after."""
    clock = _SetClock(0.0)
    config = replace(tiny_run(tmp_path), steps=None, minutes=1.0, sample_every=10, samples=16)
    ending = _ending(config, clock, held_out=250)
    budget = ending.budget
    budget.each |= {"validation": 0.06, "samples": 0.9}
    assert ending.seconds() == pytest.approx(1.1 * (84 * 0.06 + 6 * 0.9))
    validated = ending.validated()
    assert validated is not None
    assert len(validated.times) == 84
    budget.each["validation"] = 1e-6
    again = ending.validated()
    assert again is not None
    assert len(again.times) == 84
    budget.costs["saving"] = 5.0
    clock.now = 51.0
    assert (ending.grid_images(), ending.last_images()) == (6, 4)
    clock.now = 45.0
    assert (ending.grid_images(), ending.last_images()) == (6, 11)  # what is left over goes to samples
    budget.costs["validation"] = 2 * 84e-6  # twice what was foretold
    assert ending.last_images() == 5
    budget.each["samples"] = 100.0
    assert (ending.grid_images(), ending.last_images()) == (4, 1)


def test_a_run_by_steps_takes_the_pictures_that_are_configured(tmp_path: Path) -> None:
    config = replace(tiny_run(tmp_path, steps=10**4), sample_every=10, samples=16)
    ending = _ending(config, _SetClock(0.0), held_out=250)
    ending.budget.each |= {"validation": 1e3, "samples": 1e3}
    validated = ending.validated()
    assert validated is not None
    assert (len(validated.times), ending.grid_images(), ending.last_images()) == (250, 16, 16)
    assert ending.elapsed(1e6) == 0.0


class _WorkClock:
    """A clock that goes on only by what is done.

    Arguments:
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
        self.last = 0

        def slowly(place: object, name: str, seconds: Callable[..., float]) -> None:
            part = getattr(place, name)

            def slow(*arguments: object, **more: object) -> object:
                self.now += seconds(*arguments)
                return part(*arguments, **more)

            monkeypatch.setattr(place, name, slow)

        def of_validation(measures: object, data: Batch) -> float:
            self.last = len(data.times)
            return validation * self.last

        slowly(training_run._Loss, "forward", lambda loss, batch: step)
        slowly(training_run, "evaluate", of_validation)
        slowly(ScoreLearner, "write_samples", lambda learner, path, count: samples * count)
        slowly(ScoreLearner, "rehearse_samples", lambda learner, count: samples * count / GRID_STEPS)
        slowly(training_run, "save_state", lambda folder, state, about: saving)

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("minutes", "every", "images", "seconds"),
    [
        (3.0, 10**6, 16, {"loading": 20.0, "step": 2.0, "validation": 0.08, "samples": 1.5, "saving": 2.0}),
        (0.5, 10**6, 256, {"loading": 4.0, "step": 0.8, "validation": 0.033, "samples": 0.6, "saving": 0.2}),
        (0.5, 10**6, 256, {"loading": 4.0, "step": 0.8, "validation": 0.055, "samples": 1.0, "saving": 0.5}),
        # What steps of a short run do not tell: preparing takes half of it, and an evaluation as long as a step.
        (0.5, 10**6, 256, {"loading": 15.0, "step": 0.25, "validation": 0.03, "samples": 0.5, "saving": 0.7}),
        (0.5, 10**6, 256, {"loading": 8.0, "step": 0.5, "validation": 0.1, "samples": 1.0, "saving": 1.5}),
        (3.0, 10, 16, {"loading": 5.0, "step": 1.0, "validation": 0.6, "samples": 0.0, "saving": 5.0}),
        (30.0, 100, 256, {"loading": 60.0, "step": 3.0, "validation": 0.4, "samples": 5.0, "saving": 5.0}),
    ],
    ids=["expected", "short", "slower", "late", "dear", "measured", "long"],
)
def test_a_run_by_the_clock_ends_within_a_tenth_of_its_time(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    minutes: float,
    every: int,
    images: int,
    seconds: dict[str, float],
) -> None:
    """Loading, validation, samples and saving included."""
    config = replace(tiny_run(folder), steps=None, minutes=minutes, validate_every=every, sample_every=every)
    clock = _WorkClock(monkeypatch, **seconds)
    result = train(replace(config, validation_images=images, samples=16), tmp_path / "out", clock=clock)
    assert clock.now == pytest.approx(60 * minutes, rel=0.1)
    assert result.seconds == clock.now
    assert 16 <= clock.last <= images
    assert result.ignorant_loss == pytest.approx(1.0, abs=0.9)
    assert (tmp_path / "out/schedule.jsonl").read_text().startswith('{"step": 0, ')


@pytest.mark.parametrize(("loading", "steps"), [(20.0, (13, 15)), (100.0, (5, 7))])
def test_steps_have_half_of_what_preparing_leaves_and_a_tenth_of_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loading: float, steps: tuple[int, int]
) -> None:
    """Whatever the end takes; the first saving, 12 seconds, is of preparing."""
    clock = _WorkClock(monkeypatch, loading=loading, step=1.0, validation=0.0, samples=0.0, saving=12.0)
    config = replace(tiny_run(folder), steps=None, minutes=1.0, validate_every=10**6)
    least, most = steps
    assert least <= train(config, tmp_path / "out", clock=clock).steps <= most


def test_a_resumed_run_validates_the_same_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast its steps are by then; so what knowing nothing comes to is one figure of the run."""
    config = replace(tiny_run(folder), steps=None, minutes=1.0, validate_every=10**6, validation_images=200)
    slow = _WorkClock(monkeypatch, loading=1.0, step=2.0, validation=0.1, samples=0.0, saving=0.0)
    first = train(config, tmp_path / "out", clock=slow)
    assert 16 <= slow.last < 200
    monkeypatch.undo()
    fast = _WorkClock(monkeypatch, loading=1.0, step=0.01, validation=0.001, samples=0.0, saving=0.0)
    again = train(config, tmp_path / "out", resume=True, clock=fast)
    assert fast.last == slow.last
    assert again.ignorant_loss == first.ignorant_loss
    other = train(replace(config, minutes=1.02), tmp_path / "out", resume=True, clock=fast)
    assert fast.last == 200
    assert other.ignorant_loss != first.ignorant_loss
