"""Loss, speed and time of a run."""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.training.budget import Clock


class Meter:
    """Losses and speed since the last line of metrics, and the time of training over all resumptions.

    Arguments:
        clock: what tells the time.
        seconds_before: of training, before this resumption.
        begun: when training began, by the clock.
    """

    def __init__(self, clock: Clock, seconds_before: float = 0.0, begun: float = 0.0) -> None:
        self.clock = clock
        self.begin = begun - seconds_before
        self.last_report = self.last_save = clock()
        self.loss = self.norm = torch.zeros(())
        self.step_seconds = 0.0
        self.next_window()

    def next_window(self) -> None:
        self.total = torch.zeros(())
        self.steps = 0
        self.busy = 0.0

    def add(self, loss: Tensor, norm: Tensor, seconds: float) -> None:
        self.loss, self.norm = loss, norm
        self.total = self.total + loss
        self.steps += 1
        self.busy += seconds
        self.step_seconds = self.busy / self.steps

    def seconds(self) -> float:
        """Of training, over all resumptions."""
        return self.clock() - self.begin

    def mean_loss(self) -> Tensor:
        return self.total / self.steps

    def steps_per_second(self) -> float:
        return self.steps / max(self.busy, 1e-9)

    def due(self, interval: float) -> bool:
        now = self.clock()
        if now - self.last_report < interval:
            return False
        self.last_report = now
        return True

    def save_due(self, interval: float) -> bool:
        return self.clock() - self.last_save >= interval

    def saved(self) -> None:
        self.last_save = self.clock()
