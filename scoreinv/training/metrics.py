"""Measurements of a run: progress and result, the log of metrics, held-out losses and sample grids."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from scoreinv.imaging.sheet import contact_sheet
from scoreinv.models.config import AnyModel
from scoreinv.prior import ScorePrior
from scoreinv.samplers.dpmpp_2m import DPMpp2M
from scoreinv.samplers.rng import NoiseStream
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.progress import report
from scoreinv.training.config import TrainingConfig
from scoreinv.training.data.batches import Batch
from scoreinv.training.data.pictures import Pictures

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_BINS = 8  # of times, for held-out figures
_VALIDATION_SEED = 0
_GRID_STEPS = 18  # network evaluations for each sample of a grid


@dataclass(frozen=True)
class TrainProgress:
    """The progress of a run, for a callback.

    Attributes:
        step: number of steps done.
        begun: step from which this call started.
        images: number of training pictures so far.
        fraction: completed fraction of the run.
        loss: of the last step.
        images_per_second: mean speed since this call started.
        seconds: training time so far, over all resumptions.
        seconds_left: estimated time left.
    """

    step: int
    begun: int
    images: int
    fraction: float
    loss: float
    images_per_second: float
    seconds: float
    seconds_left: float


TrainCallback = Callable[[TrainProgress], bool | None]
"""Returning False saves the state and ends the run with `Cancelled`."""


@dataclass(frozen=True)
class HeldOut:
    """A figure of held-out pictures: its mean, the centres of bins of times, and the mean in each (None if empty)."""

    mean: float
    times: tuple[float, ...]
    by_time: tuple[float | None, ...]


@dataclass(frozen=True)
class TrainResult:
    """The result of a run.

    Attributes:
        trained: the model with averaged weights, in evaluation mode.
        model: its file.
        steps, images, seconds: totals over all resumptions.
        loss: training loss in the last line of metrics; None if no step was done.
        validation: held-out loss of the averaged weights; None without held-out pictures.
        baseline_loss: held-out loss of a prediction that ignores the pictures; None without held-out pictures.
        useful: whether the held-out loss is well below the baseline (`Learner.useful`); None for classifiers, and
            without held-out pictures.
        samples: file of the last sample grid; None if there is none.
        precision: of the network's inner layers, `float32` or `bfloat16`.
    """

    trained: AnyModel
    model: Path
    steps: int
    images: int
    seconds: float
    loss: float | None
    validation: HeldOut | None
    baseline_loss: float | None
    useful: bool | None
    samples: Path | None
    precision: str


class MetricsLog:
    """A file of JSON objects, each with a `step`; damaged lines are dropped when a run is resumed.

    Args:
        path: the file.
        tensorboard: folder for the same numbers in TensorBoard's format; None for none.

    Raises:
        InputError: TensorBoard is wanted, but not installed.
    """

    def __init__(self, path: Path, tensorboard: Path | None = None) -> None:
        if tensorboard is not None:
            try:
                import torch.utils.tensorboard  # noqa: F401
            except ImportError as error:
                raise InputError("TensorBoard is not installed: pip install 'scoreinv[tensorboard]'") from error
        self.path, self.tensorboard = path, tensorboard
        self._writer: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        """Delete damaged lines and those after `step`, which a resumed run writes again; fill TensorBoard's folder."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        kept = [line for line in map(_parsed, lines) if line is not None and line["step"] <= step]
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        if self.tensorboard is not None:
            from torch.utils.tensorboard import SummaryWriter

            for path in self.tensorboard.glob("events.out.tfevents.*"):
                path.unlink()
            # purge_step makes a running server forget the deleted files.
            self._writer = SummaryWriter(str(self.tensorboard), purge_step=0)
        for line in kept:
            self._show(line)

    def append(self, line: dict[str, Any]) -> None:
        """Write a line; raise OSError if that fails."""
        with self.path.open("a") as file:
            file.write(f"{json.dumps(line)}\n")
        self._show(line)

    def close(self) -> None:
        """End TensorBoard's thread."""
        if self._writer is not None:
            self._writer.close()

    def _show(self, line: dict[str, Any]) -> None:
        if self._writer is not None:
            for name, value in _scalars(line):
                self._writer.add_scalar(name, value, line["step"])
            self._writer.flush()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the object of a line; None if it is damaged."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and type(value.get("step")) is int else None


def _scalars(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line by name, nested ones as `entry/name`, except the step."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield f"{prefix}{name}", value


def held_out_batch(config: TrainingConfig, held_out: Pictures, count: int, number: int = 0) -> Any:
    """Return held-out pictures with times and noise that are the same for all runs, so that they can be compared.

    Args:
        count: pictures in a batch.
        number: index of the batch; consecutive batches go through all held-out pictures before one comes again.
    """
    return config.learner.draw(config.source(held_out, count, _VALIDATION_SEED), number, range(count))


@torch.no_grad()
def evaluate(
    measures: Callable[[Any], dict[str, Tensor]],
    data: Batch,
    *,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> dict[str, HeldOut]:
    """Return the mean of each measure over held-out pictures, in all and by time.

    Args:
        measures: returns values (B,) of a batch's pictures, by name.
        data: a batch of a fixed seed and step, so that two values differ by the weights only.
        batch_size: pictures that are evaluated together.
        device: to evaluate on.
    """
    parts = []
    for start in range(0, len(data.times), batch_size):
        report(start / len(data.times))
        parts.append(measures(data.part(slice(start, start + batch_size)).to(device)))
    values = {name: torch.cat([part[name].cpu().double() for part in parts]) for name in parts[0]}
    bin_of = (data.times * _BINS).long().clamp(0, _BINS - 1)
    centres = tuple((number + 0.5) / _BINS for number in range(_BINS))
    found = {}
    for name, value in values.items():
        members = [value[bin_of == number] for number in range(_BINS)]
        means = tuple(part.mean().item() if len(part) else None for part in members)
        found[name] = HeldOut(value.mean().item(), centres, means)
    return found


def write_samples(path: Path, prior: ScorePrior, count: int, seed: int) -> None:
    """Write a PNG grid of samples, drawn by DPM-Solver++ from a fixed seed; raises OSError, or Cancelled."""
    shape = (count, prior.channels, prior.image_size, prior.image_size)
    noise = NoiseStream(seed, count, device=prior.device)
    samples = prior.to_image(DPMpp2M(steps=_GRID_STEPS).sample(prior, shape, rng=noise).x0)
    pixels = (samples.nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as temporary:
        Image.fromarray(contact_sheet(pixels)).save(temporary, "PNG")
