"""What a run can afford by the clock: how long it goes on with steps, and how many pictures it validates and draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from scoreinv.training.batches import Batch
from scoreinv.training.budget import Budget
from scoreinv.training.config import GRID_STEPS, TrainingConfig
from scoreinv.training.json_lines import JsonLines
from scoreinv.training.meter import Meter
from scoreinv.training.state import SavedRun

STRIDE = "validated_one_of"
"""The entry of the metrics that says of how many held-out pictures one was validated."""
_STEP_EVALUATIONS = 3
"""Evaluations of the network, of as many pictures, in the time that a step takes."""
_SAVED_BYTES = 20
"""For each weight: in the state itself, its average and two moments, and in the model's file."""
_REHEARSED = 16
"""Pictures at most by which validation and samples are measured before a run by the clock."""
_LEAST_VALIDATED, _LEAST_SAMPLES = 16, 4
"""Pictures that a run by the clock validates and draws, however little time it has."""
_BYTES_PER_SECOND = 1e8
"""What a plain disk takes at least, flushed."""
_RESERVE = 1.1
"""Of the seconds that the end is expected to take, so many times are kept for it."""


class Ending:
    """The end of a run: validation, samples and saving, within `minutes` where the run ends by them.

    Of a run that ends by steps alone, the end takes the time it takes, for as many pictures as configured.

    Arguments:
        config: the run.
        meter: what tells the time, and what a step takes.
        budget: what the parts of the end took so far.
        held_out: the pictures held out; None for none.
        weights: how many numbers the network has.
        stride: what it was before a resumption, by `last_stride`.

    Attributes:
        prepared: seconds from the call to the first step.
        stride: of how many held-out pictures one is validated; None before the first validation.
    """

    def __init__(
        self,
        config: TrainingConfig,
        meter: Meter,
        budget: Budget,
        *,
        held_out: Batch | None,
        weights: int,
        stride: int | None,
    ) -> None:
        self.config = config
        self.meter = meter
        self.budget = budget
        self.held_out = held_out
        self.weights = weights
        self.stride = stride
        self.prepared = meter.clock()

    def rehearse(
        self,
        validate: Callable[[Batch], object],
        evaluate_samples: Callable[[int], object],
        save: Callable[[], object],
    ) -> None:
        """Measure what a held-out picture, a sample and saving take here: the end is foretold from the first step on.

        A run whose preparing takes half of its time has few steps to learn it by, and the first of these are slow. So
        is the first evaluation of so many pictures, which is not measured.

        Arguments:
            validate: takes the held-out figures of pictures.
            evaluate_samples: one of the `GRID_STEPS` evaluations of the network that so many samples take.
            save: saves the run as it is, and measures it.
        """
        count = min(_REHEARSED, self.config.batch_size)
        if self.held_out is not None:
            few = self.held_out.part(slice(count))
            validate(few)
            with self.budget.rehearsed("validation", len(few.times)):
                validate(few)
        if self.config.sample_every:
            count = min(count, self.config.grid_images)
            evaluate_samples(count)
            with self.budget.rehearsed("samples", count / GRID_STEPS):
                evaluate_samples(count)
        save()
        self.prepared = self.meter.clock()

    def elapsed(self, more: float = 0.0) -> float:
        """Share of the time for steps that is over, so many seconds later; 0 where the run ends by steps.

        The end is left out of it, but steps have half of what preparing has left at least, and a tenth of all.
        """
        if self.config.minutes is None:
            return 0.0
        whole = 60 * self.config.minutes
        least = max((whole - self.prepared) / 2, whole / 10)
        return (self.meter.seconds() + more) / max(whole - self.seconds(), self.prepared + least)

    def seconds(self) -> float:
        """What validation, samples and saving will take at the end."""
        parts = {"validation": self._each("validation") * self._validated_count}
        if self.config.sample_every:
            parts["samples"] = self._each("samples") * self.grid_images()
        saving = self.budget.of({"saving": _SAVED_BYTES * self.weights / _BYTES_PER_SECOND})
        return _RESERVE * (self.budget.of(parts) + 2 * saving)

    def validated(self) -> Batch | None:
        """The held-out pictures that the run has time for, of all times, and the same ones from now on."""
        if self.held_out is None:
            return None
        self.stride = self._afforded_stride(len(self.held_out.times))
        return self.held_out.part(slice(None, None, self.stride))

    def grid_images(self) -> int:
        """Samples that are drawn while the run goes on."""
        return self._afforded(self.config.grid_images, self._each("samples"), _LEAST_SAMPLES)

    def last_images(self) -> int:
        """Samples at the end: of a run by the clock as many as the time before saving allows, and one at least."""
        wanted, costs = self.config.grid_images, self.budget.costs
        if self.config.minutes is None:
            return wanted
        left = max(60 * self.config.minutes - self.meter.seconds() - costs["saving"], 0.0)
        each = self._each("samples")
        if "samples" in costs:
            each = costs["samples"] / self.grid_images()
        elif "validation" in costs:  # as this was slower or faster than foretold, samples will be
            each *= costs["validation"] / (self._each("validation") * self._validated_count)
        return wanted if each * wanted <= left else max(1, int(left / each))

    def _each(self, what: Literal["validation", "samples"]) -> float:
        """Seconds for each picture of a part of the end: as rehearsed, else by the steps; 0 before the first step."""
        evaluations = self._measures if what == "validation" else GRID_STEPS
        by_steps = evaluations * self.meter.step_seconds / _STEP_EVALUATIONS / self.config.batch_size
        return self.budget.each.get(what, by_steps)

    def _afforded(self, wanted: int, each: float, least: int) -> int:
        """So many pictures, but of a run by the clock no more than a tenth of its time pays for.

        each: seconds for each picture; 0 where they are not known.
        """
        if self.config.minutes is None or not each:
            return wanted
        return min(wanted, max(int(0.1 * 60 * self.config.minutes / each), least))

    def _afforded_stride(self, count: int) -> int:
        """Of how many of the held-out pictures the run has time for one: once it has validated, always the same."""
        if self.stride is not None:
            return self.stride
        return -(-count // self._afforded(count, self._each("validation"), _LEAST_VALIDATED))

    @property
    def _measures(self) -> int:
        """Evaluations for each held-out picture: of what is known of it, and of nothing."""
        given = self.config.observations is not None and self.config.trained == "score"
        return 2 if given else 1

    @property
    def _validated_count(self) -> int:
        """How many held-out pictures the run validates."""
        if self.held_out is None:
            return 0
        count = len(self.held_out.times)
        return -(-count // self._afforded_stride(count))


def last_stride(config: TrainingConfig, saved: SavedRun | None, metrics: JsonLines) -> int | None:
    """What the stride was before a resumption by which the run does not end otherwise; None: no such."""
    if saved is None or (saved.config.steps, saved.config.minutes) != (config.steps, config.minutes):
        return None
    found = [line.get(STRIDE) for line in metrics.read()]
    return next((stride for stride in reversed(found) if type(stride) is int and stride > 0), None)
