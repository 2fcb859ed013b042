"""Processes under torchrun: each trains on its part of every batch; the first writes files and makes decisions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from scoreinv.system.errors import InputError


@dataclass(frozen=True)
class World:
    """The processes of a run: the rank of this one, their number, and the device of this one."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and decides when to stop."""
        return self.rank == 0

    def part(self, batch_size: int, accumulate: int = 1) -> slice:
        """Return this process's part of a batch.

        Raises InputError unless the batch divides evenly among the processes, and each part into `accumulate` parts.
        """
        if batch_size % (self.size * accumulate):
            among = f"{self.size} processes" + (f", in {accumulate} parts each" if accumulate > 1 else "")
            raise InputError(f"a batch of {batch_size} cannot be shared out evenly among {among}")
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def agreed(self, value: float) -> float:
        """Return the first process's value in all processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(tensor, src=0)
        return tensor.item()

    @contextmanager
    def first_leads(self) -> Iterator[None]:
        """Run the block in the first process before the others, which can then read its files."""
        if not self.leads:
            self.agreed(0)
        yield
        if self.leads:
            self.agreed(0)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value


@contextmanager
def process_group(device: torch.device) -> Iterator[World]:
    """Join the process group that torchrun's environment describes, for the duration of the block."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    # Decisions are exchanged on the CPU. The timeout covers hours of decoding pictures in the first process.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
    try:
        yield World(dist.get_rank(), size, device)
        dist.barrier()  # a process that exits while the first still writes results is aborted
    finally:
        dist.destroy_process_group()
