"""The log of metrics survives kills, and held-out figures have closed forms."""

from __future__ import annotations

import json
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.gaussian import GaussianPrior, standard_normal
from support.small_runs import tiny_run

from scoreinv.sdes import VE
from scoreinv.system.errors import InputError
from scoreinv.training.data.batches import TIMES, stream
from scoreinv.training.learners import NoisyBatch, ScoreLearner
from scoreinv.training.loop import train
from scoreinv.training.metrics import MetricsLog, evaluate

needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra 'tensorboard'")


def test_damaged_metrics_are_mended(tmp_path: Path) -> None:
    """Whatever a line holds, those before and after it stay."""
    log = MetricsLog(tmp_path / "metrics.jsonl")
    damage = [b"\xff\xfe\x00", b"[1, 2]", b'{"loss": 3}', b'{"step": "4"}', b"[" * 100_000, b"null"]
    whole = [b'{"step": %d}' % step for step in range(len(damage) + 1)]
    lines = [line for pair in zip(whole, damage, strict=False) for line in pair]
    log.path.write_bytes(b"\n".join([*lines, whole[-1], b'{"ste']))
    log.begin(5)
    assert log.path.read_text() == "".join(f'{{"step": {step}}}\n' for step in range(6))


def shown(out: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars that TensorBoard finds, by name: (step, value) in the order in which they are written."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


@pytest.mark.slow
@needs_tensorboard
def test_it_shows_the_metrics_and_goes_on_with_them(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(tiny_run(folder, steps=8), out)
    assert not (out / "tensorboard").exists()
    train(tiny_run(folder, steps=12), out, resume=True, tensorboard=True)  # what came before is shown too
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    losses = [(line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines if "loss" in line]
    assert [step for step, _ in losses] == [4, 8, 12]
    assert shown(out)["loss"] == losses
    assert "validation/mean" in shown(out)


def test_without_tensorboard(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'scoreinv\[tensorboard\]'"):
        train(tiny_run(folder, steps=4), tmp_path / "out", tensorboard=True)
    assert not (tmp_path / "out").exists()


def test_held_out_loss_by_noise_level_is_the_closed_form() -> None:
    prior = GaussianPrior(VE(0.01, 50.0), 0.1, 0.25)
    count, shape = 400, (400, 1, 16, 16)
    times = ScoreLearner().draw_times(prior.sde, (-1.0, 1.0), count, stream(0, TIMES, 0))
    x0 = prior.mean + prior.variance**0.5 * standard_normal(shape, 5)
    data = NoisyBatch(x0, times, standard_normal(shape, 6))

    measures = partial(ScoreLearner().measures, prior)
    result = evaluate(measures, data, batch_size=150)["validation"]
    least = prior.least_loss(times)
    assert result.mean == pytest.approx(least.mean().item(), rel=0.02)
    assert result.times == tuple((number + 0.5) / 8 for number in range(8))
    for number, value in enumerate(result.by_time):
        members = (times * 8).long().clamp(max=7) == number
        assert value == pytest.approx(least[members].mean().item(), rel=0.04)
    again = evaluate(measures, data, batch_size=400)["validation"]
    assert again.mean == pytest.approx(result.mean, rel=1e-6)
