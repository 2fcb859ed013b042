"""The task `evaluate` for the kept snapshots of a training run: held-out loss, bits/dim and samples of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scoreinv.files.write import write_picture
from scoreinv.imaging.picture import Picture
from scoreinv.models.model_file import read_metadata, read_model
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.files import remove_leftovers
from scoreinv.system.progress import part, parts
from scoreinv.tasks.bits_per_dim import pictures_bits_per_dim, standard_error
from scoreinv.tasks.generate import generate
from scoreinv.tasks.sampling_settings import LikelihoodSettings, RunEvaluationSettings
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.data.pictures import Pictures, load_pictures
from scoreinv.training.data.pictures import split as split_pictures
from scoreinv.training.metrics import evaluate, held_out_batch
from scoreinv.training.run import TrainingRun

_FAST_STEPS = 16
"""Steps of the likelihood's fixed grid; within 0.005 bits/dim of the adaptive solver."""
_AT_ONCE = 64


@dataclass(frozen=True)
class Snapshot:
    """A model that a run has written.

    Attributes:
        path: the model's file.
        step: number of finished training steps.
        run: identifier of the run.
    """

    path: Path
    step: int
    run: str


def snapshot_in(path: Path) -> Snapshot:
    """Return the snapshot in a file; a run in progress replaces its last model by later ones."""
    notes = read_metadata(path)[1]
    return Snapshot(path, notes["step"], notes["run"])


def snapshots_of(run: TrainingRun, settings: RunEvaluationSettings) -> list[Snapshot]:
    """Return the chosen snapshots and the last model of a run, by step; raise InputError if there are none."""
    found: dict[int, Snapshot] = {}
    for path in (run.model, *sorted(run.snapshots.glob("step-*.safetensors"))):
        if path.is_file():
            snapshot = snapshot_in(path)
            found[snapshot.step] = snapshot
    chosen = [found[step] for step in sorted(found) if settings.includes(step)]
    if not chosen:
        steps = f", but of the steps {', '.join(map(str, sorted(found)))}" if found else ""
        raise InputError(f"{run.path}: holds no snapshots of those steps{steps}")
    return chosen


@dataclass(frozen=True)
class RunEvaluation:
    """The evaluation of a run's snapshots, all on the same held-out pictures, draws and noise.

    Attributes:
        run: the training run.
        settings: the snapshots and measures.
        device: the device to compute on.
    """

    run: TrainingRun
    settings: RunEvaluationSettings
    device: str

    @cached_property
    def config(self) -> TrainingConfig:
        return read_config(self.run.config)

    @cached_property
    def held_out(self) -> Pictures:
        """The pictures that the run does not train on; none if it holds out none."""
        config = self.config
        pictures = load_pictures(config.data, config.drawn_side, config.model.network.channels, cache=self.run.cache)
        return split_pictures(pictures, config.data)[1]

    def measure(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return held-out loss and bits/dim of a snapshot, and draw its missing samples to `samples_of`.

        A figure is missing if the run holds out no pictures, or if the model is no prior.

        Raises:
            InputError: the snapshot or the run's pictures cannot be read.
        """
        config, settings = self.config, self.settings
        model = read_model(snapshot.path).to(torch.device(self.device))
        found: dict[str, Any] = {}
        measuring, drawing = parts([max(1, settings.likelihood), max(1, settings.samples)])
        if len(self.held_out) and config.validation_images:
            batch = held_out_batch(config, self.held_out, config.validation_images)
            measures = partial(config.learner.measures, model)
            means = evaluate(measures, batch, batch_size=config.batch_size, device=self.device)
            found |= {f"{name}_loss" if name == "validation" else name: value.mean for name, value in means.items()}
        if not isinstance(model, ScorePrior):
            return found
        if len(self.held_out) and settings.likelihood:
            likelihood = LikelihoodSettings(steps=None if settings.exact else _FAST_STEPS)
            pictures = list(self.real(self.held_out, settings.likelihood))
            with measuring:
                densities = pictures_bits_per_dim(pictures, model, likelihood)
            values = [density.bits_per_dim for density in densities]
            found |= {"bits_per_dim": float(np.mean(values)), "standard_error": standard_error(values)}
        with drawing:
            self._draw(model, self.samples_of(snapshot))
        return found

    def samples_of(self, snapshot: Snapshot) -> Path:
        """Return the folder of a snapshot's samples; models of another run have other folders."""
        return self.run.evaluation / snapshot.run / f"step-{snapshot.step:09d}"

    def real(self, pictures: Pictures, count: int) -> Iterator[Picture]:
        """Yield pictures of 8 bits, drawn as in training without dequantisation.

        Mode `center` draws one square of a picture, so there are at most as many as pictures.
        """
        low, high = self.config.model.data_range
        if self.config.data.mode == "center":
            count = min(count, len(pictures))
        config = replace(self.config, data=replace(self.config.data, dequantise=False))
        for number, first in enumerate(range(0, count, _AT_ONCE)):
            images = held_out_batch(config, pictures, _AT_ONCE, number).images[: count - first]
            pixels = ((images - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8)
            yield from map(_picture, pixels.permute(0, 2, 3, 1).numpy())

    def write_real(self, reference: str | None) -> list[str]:
        """Write the real pictures for the comparison, and return their paths.

        Args:
            reference: a folder of photographs of any size, each drawn at least once; None: as many held-out pictures as
                samples.

        Raises InputError if the folder has no readable picture, or if the run holds out none.
        """
        pictures, count = self.held_out, self.settings.samples
        if reference is not None:
            data = replace(self.config.data, source=reference, holdout=(), shares=())
            channels = self.config.model.network.channels
            pictures = load_pictures(data, self.config.drawn_side, channels, cache=self.run.evaluation)
            count = max(count, len(pictures))
        elif not len(pictures):
            raise SettingError("reference", f"is needed: {self.run.path} holds out no pictures to compare samples with")
        return _write(self.run.evaluation / "real", self.real(pictures, count), 0)

    def _draw(self, prior: ScorePrior, folder: Path) -> None:
        count = self.settings.samples
        remove_leftovers(folder)
        done = len(list(folder.glob("*.png")))
        starts = range(done, count, _AT_ONCE)
        for number, first in enumerate(starts):
            with part(number, len(starts)):
                images = generate(prior, min(_AT_ONCE, count - first), first=first).images
            pixels = (images * 255).round().astype(np.uint8)
            _write(folder, map(_picture, pixels), first)


def _picture(pixels: np.ndarray) -> Picture:
    """Return the picture with pixels HxWx1 or HxWx3."""
    return Picture(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _write(folder: Path, pictures: Iterable[Picture], first: int) -> list[str]:
    """Write pictures with numbers from `first`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, picture in enumerate(pictures, first):
        paths.append(str(folder / f"{number:06d}.png"))
        write_picture(paths[-1], picture, overwrite=True)
    return paths
