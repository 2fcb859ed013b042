"""The machine: its memory and cores, and the number format in which it evaluates a network fastest.

Limits are those of the machine and of the container that the process is in (Linux's control groups). Torch is imported
only where it is asked.
"""

from __future__ import annotations

import copy
import ctypes
import hashlib
import json
import logging
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from scoreinv.errors import InputError, SettingError
from scoreinv.files import atomic_write

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

ENDING_SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals of this system that end a process: Ctrl-C, termination, loss of the terminal."""

# Memory

PIXELS_AT_ONCE = 1 << 17
"""Pixels that are evaluated together at most, in windows of one picture or in several: on a CPU more are no faster.

Work that takes memory in proportion is cut by this number on every device, so that what it needs is known beforehand;
`pixels_at_once` is for work that may use what is free on the device.
"""

_FEWEST_AT_ONCE = 1 << 12
_MOST_AT_ONCE = 1 << 21
"""The most for a GPU."""
_BYTES_OF_A_PIXEL = 6000
"""Features of the paper's networks for CIFAR-10 in float32; `photo` takes a quarter."""

ALLOCATING = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
"""Variables by which users decide when the GNU C library gives memory back."""
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""

_kept = False
"""Whether this process keeps what it frees."""


def pixels_at_once(device: torch.device) -> int:
    """Return how many pixels to evaluate together: enough to keep the device busy, within half of its free memory."""
    if device.type == "cuda":
        import torch

        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # for the next, by torch
        free, most = torch.cuda.mem_get_info(device)[0] + kept, _MOST_AT_ONCE
    else:
        free, most = available_bytes() or sys.maxsize, PIXELS_AT_ONCE
    return max(_FEWEST_AT_ONCE, min(most, free // 2 // _BYTES_OF_A_PIXEL))


def available_bytes() -> int | None:
    """Return the memory that machine and container leave this process; None if the system tells neither."""
    if _kept:
        ctypes.CDLL(None).malloc_trim(0)  # what is kept is no shortage
    free = container_limits()[0]
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = min(free, next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    return None if math.isinf(free) else int(free)


def shortage(needed: int) -> str | None:
    """Say how much memory is needed and free if it does not suffice; None if it does, or if nobody knows."""
    free = available_bytes()
    if free is None or needed <= free:
        return None
    return f"takes about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"


def keep_freed() -> None:
    """Let this process keep the memory that it frees, for what it allocates next, unless the user has decided.

    By default the GNU C library gives large blocks back to the system, which has to clear their pages when they are
    taken again: a step of training, which frees all that it has allocated, spent a tenth of its time on that, and
    filling scratches a sixteenth. The process holds on to the most that it has taken. Other C libraries are left as
    they are.
    """
    global _kept
    if sys.platform != "linux" or any(name in os.environ for name in ALLOCATING):
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # no other has it
        library.mallopt(_TRIM_THRESHOLD, -1)
        library.mallopt(_MMAP_MAX, 0)
        _kept = True


# Processors and containers

OPENMP = "OMP_NUM_THREADS"
"""The variable by which users decide how many threads there are."""
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which users decide how threads wait: of OpenMP, of GNU's runtime, of Intel's and LLVM's."""
_TURNS = "3000"
"""Turns of GNU's runtime before a waiting thread sleeps, of ten to fifty nanoseconds each. Beside a process that keeps
one of two cores busy, jobs take 1.4 times as long as with none, and with 10,000 twice as long."""

_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUP_FILES = {
    "memory.max": "memory.limit_in_bytes",
    "memory.current": "memory.usage_in_bytes",
    "memory.stat": "memory.stat",
    "cpu.max": "cpu.cfs_quota_us",
    "cpu.period": "cpu.cfs_period_us",
}
"""Files of control groups in version 2, which has quota and period in one, and in version 1."""


def usable_threads() -> int:
    """Return the threads that torch would take, or fewer if the container allows fewer.

    Torch counts the processors of the machine: by sixty-four threads in a container of two, work takes many times as
    long.
    """
    import torch

    return max(1, int(min(torch.get_num_threads(), container_limits()[1])))


def wait_briefly() -> None:
    """Let torch's threads sleep soon while they wait, unless the user has decided; call it before torch is imported.

    By default they spin for long, which keeps a processor from whatever else runs on it: beside other work the same job
    took four to eight times as long. Where they sleep at once, waking them is most of a small operation: alone on two
    cores fills took one and a half times as long as with so many turns.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ["GOMP_SPINCOUNT"] = _TURNS  # GNU's runtime takes it before the policy; others sleep at once


def set_threads(count: int | None) -> None:
    """Bound torch's CPU threads for this process: by a count, or (None) by what its container allows.

    A number that the user has given to OpenMP stands.
    """
    import torch

    if count is not None:
        torch.set_num_threads(count)
    elif OPENMP not in os.environ and usable_threads() < torch.get_num_threads():
        torch.set_num_threads(usable_threads())


def container_limits() -> tuple[float, float]:
    """Return bytes of memory and number of processors that the container leaves this process; inf where it sets none.

    They are the least of this process's control group and its parents, of Linux, in version 2 or version 1.
    """
    memory = processors = math.inf
    lines: list[str] = []
    with suppress(OSError):
        lines = _MEMBERSHIP.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)  # version 2 names no controllers
        root = _GROUPS / controllers
        group = root / path.lstrip("/")  # a container may see its own group as the root, whatever its name says
        for folder in (folder for folder in (group, *group.parents) if folder.is_relative_to(root)):
            found: dict[str, list[str]] = {}
            for names in _GROUP_FILES.items():
                for name in names:
                    with suppress(OSError):
                        found[names[0]] = (folder / name).read_text().split()
            most, used, stat = (found.get(name, []) for name in ("memory.max", "memory.current", "memory.stat"))
            if most and used and most[0].isdigit():
                pages = dict(zip(stat[::2], stat[1::2], strict=False))
                files = pages.get("inactive_file", 0)  # pages of files are taken back when memory is wanted
                memory = min(memory, max(0, int(most[0]) - int(used[0]) + int(files)))
            quota, period = (*found.get("cpu.max", []), *found.get("cpu.period", []), "max", "max")[:2]
            if quota.isdigit() and period.isdigit():
                processors = min(processors, max(1, math.ceil(int(quota) / int(period))))
    return memory, processors


def processor() -> tuple[str, str]:
    """Return the processor's name and, on Linux, the instructions that it has."""
    found = {}
    with suppress(OSError):
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")
        for line in first.splitlines():
            name, _, value = line.partition(":")
            found[name.strip()] = value.strip()
    return found.get("model name") or platform.processor() or platform.machine(), found.get("flags", "")


# The fastest number format and number of threads
#
# A processor may have instructions that its virtual machine masks, or that are slower than those of float32, and two
# threads of one core may be in each other's way. So both are measured, on the network itself and in some tenths of a
# second, and the answer is kept in the user's cache folder: for this processor, version of torch and network.

NumberFormat = Literal["float32", "bfloat16"]

_GAIN = 0.8
"""Share of float32's time that bfloat16 may take: with fewer digits it must be clearly faster."""
_PIXELS = 1 << 14
"""Pixels of the measured batch: with fewer, the number of operations counts and not their work."""
_LARGEST_SIDE = 64
_CONFINING = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables by which convolutions do without some of the processor's instructions."""
_ROUNDS = 3
_SECONDS = 0.25
"""After these no further round is begun."""


@dataclass(frozen=True)
class Speed:
    """The fastest number format and number of threads for a network.

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

    @property
    def reason(self) -> str:
        """Why, in words."""
        halves, fulls = (f"{1000 * value:.0f} ms" for value in (self.bfloat16_seconds, self.float32_seconds))
        return f"bfloat16 {halves} against float32 {fulls} of processor time for a small batch on {self.processor}"


def fastest(network: Any, side: int) -> Speed:
    """Return how the CPU evaluates a float32 `Network` fastest on pictures of a side, cached or measured now."""
    if (found := known_speed(network.config)) is not None:
        return found
    speed, is_sure = measure(network, side)
    if is_sure:  # rounds that disagree are of a machine that is busy
        try:
            file = _cache_file(network.config)
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as temporary:
                temporary.write_text(json.dumps(asdict(speed)) + "\n")
        except (OSError, RuntimeError, InputError) as error:
            _log.debug("the speed is not kept: %s", error)
    return speed


def known_speed(config: object) -> Speed | None:
    """Return the cached result for a network of these options; None if there is none that can be read."""
    with suppress(OSError, ValueError, TypeError, RuntimeError):
        found = Speed(**json.loads(_cache_file(config).read_text()))
        if found.precision in get_args(NumberFormat) and isinstance(found.threads, int) and found.threads >= 1:
            return found
    return None


def _cache_file(config: object) -> Path:
    """Return the file for a network on this machine in the user's cache; raises RuntimeError if there is no home."""
    import torch

    used = torch.backends.cpu.get_cpu_capability(), *(os.environ.get(name) for name in _CONFINING)
    key = (*processor(), used, usable_threads(), torch.__version__, type(config).__name__, repr(config))
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    folder = (Path(base) if base else home) / "scoreinv" / "speed"
    return folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.json"


def measure(network: Any, side: int) -> tuple[Speed, bool]:
    """Measure what is fastest, and whether all rounds agree. Threads and random numbers of the process are kept.

    side: of the pictures that the network was made for.
    """
    import torch

    threads, before = usable_threads(), torch.get_num_threads()
    small = max(network.stride, min(side, _LARGEST_SIDE) // network.stride * network.stride)
    x = torch.zeros(max(1, _PIXELS // small**2), network.channels, small, small)
    rough = copy.deepcopy(network)
    rough.set_precision(torch.bfloat16)

    def evaluate(what: Any, count: int) -> None:
        torch.set_num_threads(count)
        with torch.no_grad():
            what(x, torch.full((len(x),), 0.5))

    try:
        # The time of the process tells formats apart beside other programs, that of the wall numbers of threads.
        full, half = _rounds(partial(evaluate, network, threads), partial(evaluate, rough, threads), time.process_time)
        wins = {b < _GAIN * f for f, b in zip(full, half, strict=True)}
        precision: NumberFormat = "bfloat16" if min(half) < _GAIN * min(full) else "float32"
        if threads >= 4:
            best = rough if precision == "bfloat16" else network
            pair = partial(evaluate, best, threads), partial(evaluate, best, threads // 2)
            fewer = [b < _GAIN * a for a, b in zip(*_rounds(*pair, time.perf_counter), strict=True)]
            threads = threads // 2 if all(fewer) else threads
    finally:
        torch.set_num_threads(before)
    return Speed(precision, threads, min(full), min(half), processor()[0]), len(wins) == 1


def device_of(choice: Literal["auto", "cpu", "cuda", "mps"]) -> str:
    """The device to use; `auto` takes CUDA, then MPS, then the CPU. Raises SettingError where it is absent."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if choice == "auto":
        return next(name for name, there in present.items() if there)
    if not present[choice]:
        available = ", ".join(name for name, there in present.items() if there)
        raise SettingError("device", f"{choice}: there is none here (available: {available})")
    return choice


def uses_bfloat16(precision: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Decide whether inner layers are computed in bfloat16: if asked for, or (`auto`) if that is faster.

    On a CPU a convolution is measured, once a process: for work that no network was measured for.
    """
    import torch

    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _convolves_faster_in_bfloat16()


@cache
def _convolves_faster_in_bfloat16() -> bool:
    """Measure what networks mostly do: a 3x3 convolution of 64 features."""
    import torch

    x, weight = torch.ones(4, 64, 32, 32), torch.ones(64, 64, 3, 3)
    tensors = [value.contiguous(memory_format=torch.channels_last) for value in (x, weight)]
    full = partial(torch.nn.functional.conv2d, *tensors, padding=1)
    half = partial(torch.nn.functional.conv2d, *(value.bfloat16() for value in tensors), padding=1)
    full_seconds, half_seconds = _rounds(full, half, time.perf_counter)
    return min(half_seconds) < _GAIN * min(full_seconds)


def _rounds(
    first: Callable[[], object], second: Callable[[], object], clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Time two functions by turns, after a first call of each: at least one round."""
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
