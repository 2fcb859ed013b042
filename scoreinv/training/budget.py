"""The clock of a run, and what the parts of its end take by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Clock = Callable[[], float]
"""Seconds since the run was asked for."""


def started() -> Clock:
    """A clock that begins now."""
    begun = time.monotonic()
    return lambda: time.monotonic() - begun


class Budget:
    """What validation, samples and saving cost: as they were last measured, and before that as expected.

    Arguments:
        clock: by which they are measured.

    Attributes:
        costs: seconds of each part that was done, as it was last.
        each: seconds for each picture of a part, as it was rehearsed.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.costs: dict[str, float] = {}
        self.each: dict[str, float] = {}

    @contextmanager
    def measured(self, what: str) -> Iterator[None]:
        """What the block does is this part of the end."""
        begun = self.clock()
        yield
        self.costs[what] = self.clock() - begun

    @contextmanager
    def rehearsed(self, what: str, pictures: float) -> Iterator[None]:
        """What the block does is this part of the end, of so many pictures."""
        begun = self.clock()
        yield
        self.each[what] = (self.clock() - begun) / pictures

    def of(self, expected: Mapping[str, float]) -> float:
        """Seconds for these parts together, each by its expected seconds as long as it was not measured."""
        return sum(self.costs.get(what, seconds) for what, seconds in expected.items())
