"""How far a run is, and the learning rate that follows from it."""

from __future__ import annotations

import math
from typing import Any

from scoreinv.training.config import OptimizerConfig, TrainingConfig
from scoreinv.training.distributed import World
from scoreinv.training.json_lines import JsonLines

_BLOCK = 20


class Schedule:
    """The fraction of the run that is done, by steps, or by time where the run ends by time.

    Elapsed time is no function of the step, so a fraction that depends on it is fixed for blocks of steps and recorded
    before it is used: a run that is killed and resumed goes over the same steps with the same learning rates.
    """

    def __init__(self, config: TrainingConfig, record: JsonLines, world: World) -> None:
        self.config = config
        self.world = world
        self.record = record
        self.recorded = {line["step"]: line["fraction"] for line in record.read() if _is_fraction(line.get("fraction"))}
        self.block = -1
        self.block_fraction = 0.0

    def fraction(self, step: int, elapsed: float) -> float:
        """Between 0 and 1, at a step (from 0) that begins when this share of the time for steps is over."""
        limits = [step / self.config.steps] if self.config.steps else []
        if self.config.minutes is not None:
            limits.append(self._by_time(step - step % _BLOCK, elapsed))
        return min(max(limits), 1.0)

    def _by_time(self, block: int, elapsed: float) -> float:
        if block != self.block:
            self.block, self.block_fraction = block, self.world.agreed(self.recorded.get(block, elapsed))
            if self.world.leads and block not in self.recorded:
                self.record.append({"step": block, "fraction": self.block_fraction})
        return self.block_fraction


def _is_fraction(value: Any) -> bool:
    return isinstance(value, int | float) and value >= 0


def learning_rate(config: OptimizerConfig, step: int, fraction: float) -> float:
    """Of a step (from 0): linear warm-up to the full rate, constant or annealed by the fraction that is done."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    annealed = 0.5 * (1 + math.cos(math.pi * fraction)) if config.anneal == "cosine" else 1.0
    return config.learning_rate * warm * annealed
