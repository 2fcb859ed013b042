"""Runs damaged inputs by the thousand, each bounded in time and memory, and tells which got through the fences.

This folder: `harness.py` runs cases and is their command line, `mutations.py` damages bytes and JSON, and of each kind
of input X `fuzz_X.py` makes the cases and `test_fuzz_X.py` runs a few seconds of them. By hand, for hours:

    nice python tests/fuzz/fuzz_models.py --cases 50000 --seed 1
    python tests/fuzz/fuzz_models.py --seed 1 --case 1234 --keep FOLDER      # one case again, and what it was given

A case makes a damaged input in an empty folder and has the library read it. It holds when it ends, in 2 s of processor
time and 1 GB of memory beyond what the library itself takes, with a result or a ScoreinvError, and nothing is written
to stderr and no foreign warning given. Cases are functions of (seed, number), so that each can be run alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from scoreinv.errors import ScoreinvError

Case = Callable[[random.Random, Path], None]
"""Makes a damaged input in an empty folder and reads it; raises what the library raises."""

SECONDS = 2.0
BYTES = 1_000_000_000
_STILL = 60.0
"""Seconds of waiting without work, of a case that reads from a pipe, say."""


@dataclass(frozen=True)
class Fault:
    """A case that did not hold.

    Attributes:
        case: its number.
        kind: what happened and where, the same for all cases that fail alike.
        details: a traceback, or what was written to stderr.
    """

    case: int
    kind: str
    details: str


def fuzz(case: Case, *, seed: int, numbers: range, seconds: float | None = None) -> Iterator[Fault | None]:
    """Run cases in a process of their own, anew after each that ends it; yields each one's fault or None.

    seconds: start no new case after so many.
    """
    end = None if seconds is None else time.monotonic() + seconds
    done, before = 0, -1
    with tempfile.TemporaryDirectory() as folder:
        while before < done < len(numbers):
            before = done
            for fault in _one_process(case, seed, numbers[done:], end, Path(folder)):
                done += 1
                yield fault


def _one_process(case: Case, seed: int, numbers: range, end: float | None, folder: Path) -> Iterator[Fault | None]:
    """Run cases until all are done, time is over, or one of them ends the process; yields as `fuzz` does."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_work, args=(case, seed, numbers, end, folder, sender), daemon=True
    )
    process.start()
    sender.close()
    done = 0
    try:
        while _tells(receiver, process.pid):
            yield receiver.recv()
            done += 1
    except EOFError:
        process.join()
        if process.exitcode:
            yield _death(numbers[done], process.exitcode, folder / "stderr")
    else:
        process.kill()
        process.join()
        yield Fault(numbers[done], f"stands still for {_STILL:g} s", "")


def _tells(receiver: Connection, pid: int) -> bool:
    """Wait for a message from a process; False where it has stood still, and not only waited for its turn."""
    while not receiver.poll(0):
        before = _ticks(pid)
        if not receiver.poll(_STILL) and _ticks(pid) == before:
            return False
    return True


def _ticks(pid: int) -> int:
    """What a process has worked so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _work(case: Case, seed: int, numbers: range, end: float | None, folder: Path, sender: Connection) -> None:
    stderr = os.open(folder / "stderr", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(stderr, 2)
    faulthandler.enable(2)
    logging.getLogger("scoreinv").handlers = [logging.NullHandler()]
    logging.getLogger("scoreinv").propagate = False
    faulthandler.register(signal.SIGPROF, all_threads=False, chain=True)  # says where, then ends the process
    _limit_memory()
    for number in numbers:
        if end is not None and time.monotonic() > end:
            break
        inputs = folder / "case"
        shutil.rmtree(inputs, ignore_errors=True)
        inputs.mkdir()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        kind, details = _run(case, random.Random(f"{seed}/{number}"), inputs)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if os.fstat(2).st_size:
            kind, details = kind or "wrote to stderr", details + (folder / "stderr").read_text(errors="replace")
            os.truncate(2, 0)
        sender.send(Fault(number, kind, details) if kind else None)
    sender.close()
    os._exit(0)


def _run(case: Case, generator: random.Random, folder: Path) -> tuple[str, str]:
    """What went wrong, in short and at length; empty where nothing did."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            case(generator, folder)
        except ScoreinvError as error:
            if _memory(error):
                return f"out of memory: {_place(error)}", traceback.format_exc()
            if len(str(error)) > 2000:
                return f"a message of more than 2000 characters: {_place(error)}", str(error)[:4000]
        except BaseException as error:
            return f"{type(error).__name__}: {_place(error)}", traceback.format_exc()
    if seen:
        return f"{seen[0].category.__name__} of {Path(seen[0].filename).name}", str(seen[0].message)
    return "", ""


def _memory(error: BaseException | None) -> bool:
    """Whether an error has a lack of memory among its causes."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "scoreinv" in frame.filename and "/fuzz/" not in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


def _limit_memory() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux: time is bounded, memory is not
    soft = pages * os.sysconf("SC_PAGE_SIZE") + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _death(number: int, status: int, stderr: Path) -> Fault:
    details = stderr.read_text(errors="replace")
    where = next((line.strip() for line in details.splitlines() if "scoreinv/" in line), "")
    if status == -signal.SIGPROF:
        return Fault(number, f"takes over {SECONDS:g} s", f"{where}\n{details}")
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return Fault(number, f"ends the process: {name}", f"{where}\n{details}")


def main(case: Case) -> int:
    """The command line of a fuzzer; the exit status is 1 when a case did not hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--case", type=int, help="run this one only, in this process, and show its traceback")
    parser.add_argument("--keep", type=Path, help="folder for what --case is given")
    options = parser.parse_args()
    if options.case is not None:
        folder = options.keep or Path(tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        case(random.Random(f"{options.seed}/{options.case}"), folder)
        return 0
    kinds: Counter[str] = Counter()
    done = 0
    for fault in fuzz(case, seed=options.seed, numbers=range(options.cases), seconds=options.seconds):
        done += 1
        if fault is not None:
            if not kinds[fault.kind]:
                sys.stdout.write(f"case {fault.case}: {fault.kind}\n{fault.details}\n")
                sys.stdout.flush()
            kinds[fault.kind] += 1
    sys.stdout.write(f"{done} cases of seed {options.seed}, {sum(kinds.values())} faults of {len(kinds)} kinds\n")
    for kind, count in kinds.most_common():
        sys.stdout.write(f"{count:6d}  {kind}\n")
    return 1 if kinds or not done else 0
