"""What a run tells of itself: its progress and result, figures of held-out pictures, and sample grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from scoreinv.files import atomic_write
from scoreinv.imaging.sheet import contact_sheet
from scoreinv.models.config import AnyModel
from scoreinv.prior import ScorePrior
from scoreinv.samplers.dpmpp_2m import DPMpp2M
from scoreinv.samplers.rng import NoiseStream
from scoreinv.training.config import GRID_STEPS
from scoreinv.training.data.batches import Batch

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
