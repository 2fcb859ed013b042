"""What a run tells of itself: `metrics.jsonl` and TensorBoard, figures of held-out pictures, and sample grids."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.files import atomic_write
from scoreinv.imaging.sheet import contact_sheet
from scoreinv.models.config import AnyModel
from scoreinv.prior import ScorePrior
from scoreinv.samplers.dpmpp_2m import DPMpp2M
from scoreinv.samplers.rng import NoiseStream
from scoreinv.training.batches import Batch
from scoreinv.training.config import GRID_STEPS

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_log = logging.getLogger(__name__)

_BINS = 8  # of times, in which held-out figures are told


@dataclass(frozen=True)
class TrainProgress:
    """What a callback is told, about twice a second.

    Attributes:
        step: steps done.
        begun: steps done before this call, which it goes on from.
        images: pictures trained on.
        fraction: of the run that is done.
        loss: of the last step.
        images_per_second: over the last moments.
        seconds_left: an estimate.
    """

    step: int
    begun: int
    images: int
    fraction: float
    loss: float
    images_per_second: float
    seconds_left: float


TrainCallback = Callable[[TrainProgress], bool | None]
"""By returning False it ends the run with `Cancelled`; its state is saved first."""


@dataclass(frozen=True)
class HeldOut:
    """A figure over held-out pictures.

    Attributes:
        mean: over all of them.
        times: middle of each bin of times.
        by_time: mean of the figure in each bin; None for a bin without pictures.
    """

    mean: float
    times: tuple[float, ...]
    by_time: tuple[float | None, ...]


@dataclass(frozen=True)
class TrainResult:
    """A run that has ended.

    Attributes:
        trained: the prior or classifier with the averaged weights, in evaluation mode.
        model: the file that they are in.
        steps, images: done in all, over all resumptions.
        seconds: spent, likewise.
        loss: mean of the last line of metrics; None when no step was done.
        validation: held-out loss of the averaged weights; None without held-out pictures.
        baseline_loss: held-out loss of knowing nothing of the pictures, likewise.
        samples: the file of the last samples; None where none were drawn.
        precision: that the network's inner layers were computed in, `float32` or `bfloat16`.
    """

    trained: AnyModel
    model: Path
    steps: int
    images: int
    seconds: float
    loss: float | None
    validation: HeldOut | None
    baseline_loss: float | None
    samples: Path | None
    precision: str


class JsonLines:
    """A file of JSON objects, each with a whole number `step`, that survives kills, full disks and damage.

    A line cut short or damaged is dropped when the file is mended. A line that cannot be written is lost with a
    warning: it never ends the run.

    Args:
        path: the file.
        board: folder for TensorBoard, which shows the numbers of the lines; None for none.

    Raises:
        InputError: TensorBoard is wanted and not installed.
    """

    def __init__(self, path: Path, board: Path | None = None) -> None:
        if board is not None:
            try:
                import torch.utils.tensorboard  # noqa: F401
            except ImportError as error:
                raise InputError("TensorBoard is not installed: pip install 'scoreinv[tensorboard]'") from error
        self.path = path
        self._failed = False
        self._board = board
        self._writer: SummaryWriter | None = None

    def read(self) -> list[dict[str, Any]]:
        """All readable lines; none when there is no file."""
        return [line for line in map(_parsed, self._lines()) if line is not None]

    def keep_until(self, step: int) -> None:
        """Mend the file: drop what is damaged, and the lines of later steps, which a resumed run writes again.

        The board begins anew with the lines that are kept.
        """
        lines = self._lines()
        kept = [line for line in map(_parsed, lines) if line is not None and line["step"] <= step]
        damaged = sum(_parsed(line) is None for line in lines[:-1])  # the last may have been cut short by a kill
        if damaged:
            _log.warning("%s: %d damaged lines are dropped", self.path, damaged)
        try:
            with atomic_write(self.path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
            if self._board is not None:
                from torch.utils.tensorboard import SummaryWriter

                for path in self._board.glob("events.out.tfevents.*"):
                    path.unlink()
                # A server that shows the folder forgets, by `purge_step`, what it has read of the files before.
                self._writer = SummaryWriter(str(self._board), purge_step=0)
        except OSError as error:
            _log.warning("%s: cannot be written: %s", self.path, error)
        for line in kept:
            self._show(line)

    def append(self, line: dict[str, Any]) -> None:
        # What a full disk has left of the line before must not swallow this one.
        begin = "\n" if self._failed else ""
        try:
            with self.path.open("a") as file:
                file.write(f"{begin}{json.dumps(line)}\n")
        except OSError as error:
            if not self._failed:
                _log.warning("%s: lines are lost: %s", self.path, error)
            self._failed = True
        self._show(line)

    def _show(self, line: dict[str, Any]) -> None:
        if self._writer is None:
            return
        try:
            for name, value in _scalars(line):
                self._writer.add_scalar(name, value, line["step"])
            self._writer.flush()
        except OSError as error:  # a full disk: the file has what is missing on the board, for the next resumption
            _log.warning("%s: nothing more is written: %s", self._board, error)
            self._writer = None

    def _lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        try:
            return [line for line in self.path.read_bytes().splitlines() if line.strip()]
        except OSError as error:
            _log.warning("%s: cannot be read: %s", self.path, error)
            return []


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None for one that is damaged."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and type(value.get("step")) is int else None


def _scalars(line: dict[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a line by name, those of an entry of several as `entry/name`; not the step, nor what is a list."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{within}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield f"{within}{name}", value


@torch.no_grad()
def evaluate(
    measures: Callable[[Batch], dict[str, Tensor]],
    data: Batch,
    *,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    enough: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, HeldOut], int]:
    """Each measure over `data` and by time: two values differ by the weights only, since the noise is fixed.

    Args:
        measures: values (B,) of a batch's pictures, by name.
        data: a `BatchSource.batch` of a fixed seed and step.
        batch_size: pictures that are evaluated at once.
        device: to evaluate on.
        enough: asked after each batch; by True the pictures so far are all.

    Returns:
        The figures, and of how many pictures they are.
    """
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(data.times), batch_size):
        parts.append(measures(data.part(slice(start, start + batch_size)).to(device)))
        if enough():
            break
    values = {name: torch.cat([part[name].cpu().double() for part in parts]) for name in parts[0]}
    count = len(next(iter(values.values())))
    bin_of = (data.times[:count] * _BINS).long().clamp(0, _BINS - 1)
    middles = tuple((number + 0.5) / _BINS for number in range(_BINS))
    found = {}
    for name, value in values.items():
        members = [value[bin_of == number] for number in range(_BINS)]
        means = tuple(part.mean().item() if len(part) else None for part in members)
        found[name] = HeldOut(value.mean().item(), middles, means)
    return found, count


def write_samples(path: Path, prior: ScorePrior, count: int, seed: int) -> None:
    """A PNG of `count` samples of the training size in rows, drawn by DPM-Solver++ in few steps from a fixed seed.

    Raises OSError when it cannot be written.
    """
    shape = (count, prior.channels, prior.image_size, prior.image_size)
    noise = NoiseStream(seed, count, device=prior.device)
    samples = prior.to_image(DPMpp2M(steps=GRID_STEPS).sample(prior, shape, rng=noise).x0)
    pixels = (samples.nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    buffer = BytesIO()
    Image.fromarray(contact_sheet(pixels)).save(buffer, "PNG")
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
