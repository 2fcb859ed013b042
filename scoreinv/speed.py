"""How this machine evaluates a network fastest: in which number format, by how many threads.

A processor may have instructions that its virtual machine masks, or that are slower than those of float32, and two
threads of one core may be in each other's way. So both are measured, on the network itself and in some tenths of a
second, and the answer is kept in the user's cache folder for the next process: for this processor, version of torch and
network.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from scoreinv.cgroups import cores
from scoreinv.errors import InputError
from scoreinv.files import atomic_write
from scoreinv.networks.base import Network, NetworkConfig
from scoreinv.precision import GAIN

_log = logging.getLogger(__name__)

NumberFormat = Literal["float32", "bfloat16"]

_PIXELS = 1 << 14
"""Of a batch that is measured: of fewer, the number of operations counts and not their work."""
_LARGEST_SIDE = 64
_CONFINING = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables by which convolutions do without some of the processor's instructions."""
_ROUNDS = 3
_SECONDS = 0.25
"""After these no further round is begun."""


@dataclass(frozen=True)
class Speed:
    """What was found for a network.

    Attributes:
        precision, threads: what is fastest.
        float32_seconds, bfloat16_seconds: of a small batch, of processor time of all threads together.
        processor: where.
    """

    precision: NumberFormat
    threads: int
    float32_seconds: float
    bfloat16_seconds: float
    processor: str

    def __post_init__(self) -> None:
        if self.precision not in get_args(NumberFormat) or not isinstance(self.threads, int) or self.threads < 1:
            raise ValueError("no such speed")

    @property
    def reason(self) -> str:
        """Why, in words."""
        halves, fulls = (f"{1000 * value:.0f} ms" for value in (self.bfloat16_seconds, self.float32_seconds))
        return f"bfloat16 {halves} against float32 {fulls} of processor time for a small batch on {self.processor}"


def fastest(network: Network, side: int) -> Speed:
    """How this machine's CPU evaluates a float32 network of pictures of a side fastest, as kept or as measured now."""
    if (found := known(network.config)) is not None:
        return found
    speed, is_sure = measure(network, side)
    if is_sure:  # rounds that disagree are of a machine that is busy
        _keep(network.config, speed)
    return speed


def known(config: NetworkConfig) -> Speed | None:
    """What was found on this machine before; None where nothing was, or cannot be read."""
    with suppress(OSError, ValueError, TypeError, RuntimeError):
        return Speed(**json.loads(_place(config).read_text()))
    return None


def measure(network: Network, side: int) -> tuple[Speed, bool]:
    """What is fastest, and whether all rounds agree on it. Threads and random numbers of the process stay as they are.

    side: of the pictures that the network was made for.
    """
    threads = usable_threads()
    before = torch.get_num_threads()
    small = max(network.stride, min(side, _LARGEST_SIDE) // network.stride * network.stride)
    shape = (max(1, _PIXELS // small**2), network.channels, small, small)
    rough = copy.deepcopy(network)
    rough.set_precision(torch.bfloat16)
    try:
        torch.set_num_threads(threads)
        full, half = _rounds(_evaluation(network, shape), _evaluation(rough, shape), time.process_time)
        wins = [b < GAIN * f for f, b in zip(full, half, strict=True)]
        precision: NumberFormat = "bfloat16" if min(half) < GAIN * min(full) else "float32"
        sure = len(set(wins)) == 1
        if threads >= 4:
            best = rough if precision == "bfloat16" else network
            run = _evaluation(best, shape)
            all_of_them, some = _rounds(run, _with_threads(threads // 2, run), time.perf_counter)
            fewer = [b < GAIN * a for a, b in zip(all_of_them, some, strict=True)]
            threads = threads // 2 if all(fewer) else threads
    finally:
        torch.set_num_threads(before)
    return Speed(precision, threads, min(full), min(half), processor()), sure


def usable_threads() -> int:
    """As many threads as torch would take, or as a container allows where that is less.

    Torch counts the processors of the machine: by sixty-four threads in a container of two, work takes many times as
    long.
    """
    allowed = cores()
    return torch.get_num_threads() if allowed is None else max(1, min(torch.get_num_threads(), allowed))


def processor() -> str:
    """The processor's name, as the system tells it."""
    return _cpu_line("model name") or platform.processor() or platform.machine()


def _evaluation(network: Network, shape: tuple[int, ...]) -> Callable[[], object]:
    x, label = torch.zeros(shape), torch.full(shape[:1], 0.5)

    def evaluate() -> object:
        with torch.no_grad():
            return network(x, label)

    return evaluate


def _with_threads(count: int, evaluate: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            return evaluate()
        finally:
            torch.set_num_threads(before)

    return run


def _rounds(
    first: Callable[[], object], second: Callable[[], object], clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Seconds of each by turns, after a call of each that prepares it: one round at least.

    clock: that of the process tells formats apart beside other programs, that of the wall numbers of threads.
    """
    begun = time.perf_counter()
    found: tuple[list[float], list[float]] = ([], [])
    first()
    second()
    while len(found[0]) < _ROUNDS and (not found[0] or time.perf_counter() - begun < _SECONDS):
        for run, seconds in zip((first, second), found, strict=True):
            start = clock()
            run()
            seconds.append(clock() - start)
    return found


def _cpu_line(key: str) -> str:
    """What Linux says of the first processor under a key; empty elsewhere."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""


def _place(config: NetworkConfig) -> Path:
    """The file that keeps what is found for a network here; RuntimeError where a user has no home."""
    used = torch.backends.cpu.get_cpu_capability(), *(os.environ.get(name) for name in _CONFINING)
    machine = (processor(), _cpu_line("flags"), used, usable_threads(), torch.__version__)
    key = (*machine, type(config).__name__, repr(config))
    return _folder() / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.json"


def _folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    else:
        base = os.environ.get("XDG_CACHE_HOME")
    home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return (Path(base) if base else home) / "scoreinv" / "speed"


def _keep(config: NetworkConfig, speed: Speed) -> None:
    """Write it where the next process finds it; nothing where that cannot be."""
    record: dict[str, Any] = asdict(speed)
    try:
        place = _place(config)
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(place) as temporary:
            temporary.write_text(json.dumps(record) + "\n")
    except (OSError, RuntimeError, InputError) as error:
        _log.debug("the speed is not kept: %s", error)
