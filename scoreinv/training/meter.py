"""Loss, speed and time of a run."""

from __future__ import annotations

import time

import torch
from torch import Tensor


class Meter:
    """Losses and speed since the last line of metrics, and the time of training over all resumptions."""

    def __init__(self, seconds_before: float) -> None:
        self.begin = time.monotonic() - seconds_before
        self.last_report = self.last_save = time.monotonic()
        self.loss = self.norm = torch.zeros(())
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

    def seconds(self) -> float:
        """Of training, over all resumptions."""
        return time.monotonic() - self.begin

    def mean_loss(self) -> Tensor:
        return self.total / self.steps

    def steps_per_second(self) -> float:
        return self.steps / max(self.busy, 1e-9)

    def due(self, interval: float) -> bool:
        now = time.monotonic()
        if now - self.last_report < interval:
            return False
        self.last_report = now
        return True

    def save_due(self, interval: float) -> bool:
        return time.monotonic() - self.last_save >= interval

    def saved(self) -> None:
        self.last_save = time.monotonic()
