"""How far a run is, by steps or by time, and the learning rate that follows from it."""

from __future__ import annotations

import math

from scoreinv.training.config import OptimizerConfig, TrainingConfig
from scoreinv.training.distributed import World

_PICTURES_SHARE = 0.05


class Schedule:
    """How far the run is, by steps, or by time where the run ends by time.

    The last validation, the last samples and saving are done within the run's minutes. Steps have half of what loading
    leaves at least, and a tenth of all.

    Attributes:
        whole: seconds of the whole run; infinite where steps alone end it.
        pictures_seconds: what validation may take of them, and samples as much.
        begun: the run's second at which steps began.
        costs: seconds that validation, samples and saving take: as the last did; before, validation and samples have
            their share of the time.
    """

    def __init__(self, config: TrainingConfig, world: World, *, validates: bool) -> None:
        self.config, self.world = config, world
        self.whole = math.inf if config.minutes is None else 60 * config.minutes
        self.pictures_seconds = _PICTURES_SHARE * self.whole
        self.begun = 0.0
        self.costs = {
            "saving": 0.0,
            "validation": self.pictures_seconds if validates else 0.0,
            "samples": self.pictures_seconds if config.sample_every else 0.0,
        }

    def fraction(self, step: int, seconds: float) -> float:
        """How much of the run is over, from 0 to 1 (no step is left), after so many steps and seconds of it."""
        by_steps = step / self.config.steps if self.config.steps else 0.0
        by_time = 0.0 if self.config.minutes is None else self.world.agreed(self._passed(seconds))
        return min(max(by_steps, by_time), 1.0)

    def _passed(self, seconds: float) -> float:
        """Share of the time for steps that is over after so many seconds of a run by the clock."""
        least = max((self.whole - self.begun) / 2, self.whole / 10)
        end = self.costs["validation"] + self.costs["samples"] + 2 * self.costs["saving"]
        return seconds / max(self.whole - end, self.begun + least)


def learning_rate(config: OptimizerConfig, step: int, fraction: float) -> float:
    """Of a step (from 0): linear warm-up to the full rate, constant or annealed by the fraction that is done."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    annealed = 0.5 * (1 + math.cos(math.pi * fraction)) if config.anneal == "cosine" else 1.0
    return config.learning_rate * warm * annealed
