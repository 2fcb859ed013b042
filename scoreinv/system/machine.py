"""The machine: its memory, processors and devices, and the number format that it is fast in.

Limits are those of the machine and of the container that the process is in (Linux's control groups). Torch is imported
only where it is asked.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any, Literal

from scoreinv.system import waiting
from scoreinv.system.errors import SettingError

if TYPE_CHECKING:
    import torch

ENDING_SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals of this system that end a process: Ctrl-C, termination, loss of the terminal."""

# Memory

PIXELS_AT_ONCE = 1 << 17
"""Pixels that are evaluated together at most, in windows of one picture or in several.

Work that takes memory in proportion is cut by this number on every device, so that what it needs is known beforehand;
`pixels_at_once` is for work that may use what is free on the device.
"""

_FEWEST_AT_ONCE = 1 << 12
_MOST_ON_CPU, _MOST_AT_ONCE = 3 << 17, 1 << 21
"""The most for a CPU and for a GPU. Threads share out each operation, and small ones gain little by it: with a third of
these on two threads the nine windows of a 512x512 picture took a quarter more; with more they are no faster."""
_MOST_GIVEN_BACK = 15 << 14
"""The most for a CPU where memory is given back: no map of `photo` in float32 is then larger than `_LARGEST_KEPT`."""
_LARGEST_KEPT = (32 << 20) - (1 << 13)
"""Bytes of the largest block that the GNU C library keeps by itself, and that only once it has seen one freed."""
_BYTES_OF_A_PIXEL = 6000  # features of the paper's networks for CIFAR-10 in float32; `photo` takes a quarter

ALLOCATING = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
"""Variables by which users decide when the GNU C library gives memory back."""
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of mallopt(3)

_kept = False
"""Whether this process keeps what it frees."""


def pixels_at_once(device: torch.device) -> int:
    """Return how many pixels to evaluate together: enough to keep the device busy, within half of its free memory."""
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # for the next, by torch
        free, most = torch.cuda.mem_get_info(device)[0] + kept, _MOST_AT_ONCE
    else:
        most = _MOST_ON_CPU if _kept else _MOST_GIVEN_BACK
        if not _kept:
            torch.empty(_LARGEST_KEPT, dtype=torch.uint8, device="cpu")  # freed at once, untouched
        free = available_bytes(enough=2 * _BYTES_OF_A_PIXEL * most) or sys.maxsize
    return max(_FEWEST_AT_ONCE, min(most, free // 2 // _BYTES_OF_A_PIXEL))


def available_bytes(enough: float = math.inf) -> int | None:
    """Return the memory that machine and container leave this process; None if the system tells neither.

    enough: what is asked for. Where less is free, this process gives back what it has kept: that is no shortage.
    """
    free = _free_bytes()
    if _kept and free < enough:
        ctypes.CDLL(None).malloc_trim(0)
        free = _free_bytes()
    return None if math.isinf(free) else int(free)


def _free_bytes() -> float:
    """The memory that is free for this process now; inf where nothing tells."""
    free = container_limits()[0]
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = min(free, next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    return free


def shortage(needed: int) -> str | None:
    """Say how much memory is needed and free if it does not suffice; None if it does, or if nobody knows."""
    free = available_bytes(enough=needed)
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

OPENMP = "OMP_NUM_THREADS"  # the variable by which users decide how many threads there are
_TRIAL, _TRIALS = 0.025, 4  # seconds that each number of threads is tried for, and how often where they are alike
_PAYING = 1.2
"""How many times as much several threads have to do as one, to be taken although they spin: on idle cores two do 1.8
times as much, beside other work a fraction."""
_ANEW = 60.0  # seconds after which this is measured anew, as other work comes and goes

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


_log = logging.getLogger(__name__)
_paid: tuple[float, bool] = -math.inf, True
"""When several threads were last tried, and whether they did more than one."""
_counting = Lock()
_alone: dict[int, int] = {}
"""How many threads torch had before, by the Python threads that are within `one_thread`."""


@contextmanager
def threads_that_pay() -> Iterator[None]:
    """Let torch take one thread until the block ends, where its threads spin and several do no more than one.

    So it is beside other work: each waits for the others, some of which have no processor, and spins meanwhile. What
    would help is logged.
    """
    global _paid
    import torch

    count = torch.get_num_threads()
    if not waiting.spinning or count == 1:
        yield
        return
    if time.monotonic() - _paid[0] > _ANEW:
        told = not _paid[1]
        _paid = time.monotonic(), _several_do_more(count)
        if not (_paid[1] or told):
            _log.warning(
                "torch was imported before scoreinv, and beside other work its threads hinder each other: one is taken "
                "(import scoreinv first, or set OMP_WAIT_POLICY=PASSIVE and GOMP_SPINCOUNT=%s)",
                waiting.TURNS,
            )
    with nullcontext() if _paid[1] else one_thread():
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch take one thread until the block ends: several share out sums, whose last bits then differ.

    The number is of the thread that sets it, and of those that begin to use torch afterwards: what enters such a block
    beside another gets back what that has found.
    """
    import torch

    mine = get_ident()
    if mine in _alone:
        yield
        return
    with _counting:
        _alone[mine] = count = next(iter(_alone.values()), torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _counting:
            torch.set_num_threads(count)
            del _alone[mine]


def _several_do_more(count: int) -> bool:
    """Whether so many threads do clearly more than one in the same time, of small operations as networks have."""
    import torch

    x, weight = torch.ones(1, 64, 32, 32), torch.ones(64, 64, 3, 3)
    done, taken = {1: 0, count: 0}, {1: 0.0, count: 0.0}
    try:
        for _ in range(_TRIALS):
            for threads in done:
                torch.set_num_threads(threads)
                torch.nn.functional.conv2d(x, weight, padding=1)  # which wakes them
                begun = time.perf_counter()
                while (now := time.perf_counter()) < begun + _TRIAL:
                    torch.nn.functional.conv2d(x, weight, padding=1)
                    done[threads] += 1
                taken[threads] += now - begun
            gain = done[count] * taken[1] / (done[1] * taken[count])
            if not _PAYING / 1.2 < gain < _PAYING * 1.2:
                break
    finally:
        torch.set_num_threads(count)
    return gain > _PAYING


def set_threads(count: int | None) -> None:
    """Bound torch's CPU threads for this process: by a count, or (None) by what its container allows.

    Torch counts the processors of the machine: by sixty-four threads in a container of two, work takes many times as
    long. A number that the user has given to OpenMP stands.
    """
    import torch

    if count is None and OPENMP not in os.environ:
        count = int(min(torch.get_num_threads(), container_limits()[1]))
    if count is not None:
        torch.set_num_threads(count)


def processors() -> int:
    """Return how many processors machine and container leave this process."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(min(here, container_limits()[1]))


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


# Devices and number formats


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


_GAIN = 0.6
"""Share of float32's time that a convolution in bfloat16 may take. Networks do more besides: `photo` and `cifar10` then
take four fifths, and with fewer digits it must be clearly faster."""
_ROUNDS = 4


@cache
def uses_bfloat16(precision: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Decide whether inner layers are computed in bfloat16: if asked for, or (`auto`) if that is clearly faster.

    On a CPU this is measured in some hundredths of a second, by what networks mostly do, a 3x3 convolution: the
    processor may have instructions that its virtual machine masks, or that are slower than those of float32.
    """
    import torch

    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    clock = time.perf_counter if sys.platform == "win32" else time.process_time  # the same beside other programs
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = (
            torch.ones(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
            for shape in ((4, 64, 32, 32), (64, 64, 3, 3))
        )
        rounds = []
        for _ in range(_ROUNDS):
            begun = clock()
            torch.nn.functional.conv2d(x, weight, padding=1)
            rounds.append(clock() - begun)
        seconds.append(min(rounds[1:]))  # the first prepares the kernel
    return seconds[1] < _GAIN * seconds[0]


_tf32 = Lock()
_inside = 0
_before: list[tuple[Any, str, Any]] = []


@contextmanager
def true_float32() -> Iterator[None]:
    """Switch TF32 off until the block ends: on CUDA torch computes convolutions with a 10-bit mantissa by default.

    An adaptive solver takes such rounding for the solution's own unevenness, and a latent code moves by 0.03. The
    settings are torch's own, of the whole process; they are put back when the last of several blocks has ended.
    """
    global _inside
    import torch

    backends: Any = torch.backends  # parts of which are made at run time, unknown to type hints
    cudnn, products, mkldnn = backends.cudnn, backends.cuda.matmul, backends.mkldnn
    places = [(cudnn, "allow_tf32"), (products, "allow_tf32")]
    if hasattr(cudnn, "conv"):  # torch 2.9 has settings of another kind besides, and both count
        newer = (cudnn.conv, cudnn.rnn, products, mkldnn.conv, mkldnn.matmul)
        places += [(holder, "fp32_precision") for holder in newer]
    with _tf32:
        if _inside == 0:
            for holder, name in places:
                with suppress(RuntimeError):  # the older kind cannot be read where the newer has been set
                    _before.append((holder, name, getattr(holder, name)))
            for holder, name, value in _before:
                setattr(holder, name, "ieee" if isinstance(value, str) else False)
        _inside += 1
    try:
        yield
    finally:
        with _tf32:
            _inside -= 1
            if _inside == 0:
                for holder, name, value in _before:
                    setattr(holder, name, value)
                _before.clear()
