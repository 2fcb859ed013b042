"""Several processes under torchrun: each takes its part of every batch; the first writes files and decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from scoreinv.system.errors import InputError


@dataclass(frozen=True)
class World:
    """The processes of this run: this one's number, how many there are, and the device that it computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and decides when to stop."""
        return self.rank == 0

    def part(self, batch_size: int, parts: int = 1) -> slice:
        """This process's part of the global batch; raises InputError when it cannot be shared out evenly.

        parts: into which each process divides its own again.
        """
        if batch_size % (self.size * parts):
            divided = f"{self.size} processes" + (f", in {parts} parts each" if parts > 1 else "")
            raise InputError(f"a batch of {batch_size} cannot be shared out evenly among {divided}")
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def agreed(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(tensor, src=0)
        return tensor.item()

    @contextmanager
    def first_leads(self) -> Iterator[None]:
        """The block is gone through by the first process, then by the others, which find what it has written."""
        if not self.leads:
            self.agreed(0)
        yield
        if self.leads:
            self.agreed(0)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over the processes, in all of them."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        return DistributedDataParallel(module) if self.size > 1 else module

    @staticmethod
    def alone(module: nn.Module) -> AbstractContextManager[None]:
        """A wrapped module whose gradients stay with this process, until those of all are exchanged at once."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


@contextmanager
def processes(device: torch.device) -> Iterator[World]:
    """The world that torchrun's environment describes (one process without it), for the time of the block."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    # Decisions are exchanged between the processors' memories, whatever the gradients travel by.
    # They wait for the first also while it decodes all pictures, which may take hours.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
    try:
        yield World(dist.get_rank(), size, device)
        # Some of those that ended while the first still wrote the results were aborted at their exit.
        dist.barrier()
    finally:
        dist.destroy_process_group()
