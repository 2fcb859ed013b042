"""Runs damaged inputs by the thousand, each bounded in time and memory, up to the first that gets through the fences.

    nice python tests/fuzz/fuzz.py tiffs --cases 50000 --seed 1
    python tests/fuzz/fuzz.py tiffs --seed 1 --first 1234 --keep FOLDER   # on from that case, whose input stays

A case makes a damaged input in an empty folder and has the library read it. It holds when it ends, in 2 s of processor
time and 1 GB of memory beyond what the library itself takes, with a result or a ScoreinvError, and nothing is written
to stderr and no foreign warning given. Cases are functions of (seed, number), so that each can be run alone.
"""

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
from collections.abc import Callable
from pathlib import Path

from scoreinv.system.errors import ScoreinvError

Case = Callable[[random.Random, Path], None]
"""Makes a damaged input in an empty folder and reads it; raises what the library raises."""

SECONDS, STILL = 2.0, 60.0
"""Of the processor, and of the clock: a case may read from a pipe, say, and wait without work."""
BYTES = 1_000_000_000
_LONGEST = 2000
"""Letters of a message."""


def fuzz(case: Case, seed: int, numbers: range, seconds: float | None = None, keep: Path | None = None) -> str:
    """Run cases in a process of their own; tells of the first that does not hold, and nothing where all do.

    seconds: start no new case after so many. keep: where the input of the last case stays.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        work = multiprocessing.get_context("fork").Process(
            target=_work, args=(case, seed, numbers, seconds, keep or scratch / "case", scratch / "report")
        )
        work.start()
        work.join()
        if not work.exitcode:
            return ""
        signalled = signal.Signals(-work.exitcode).name if work.exitcode < 0 else ""
        return f"{(scratch / 'report').read_text()}{signalled}"


def _work(case: Case, seed: int, numbers: range, seconds: float | None, folder: Path, report: Path) -> None:
    """Run the cases; the report has the number of each, and what is wrong with the one by which the process ends."""
    end = None if seconds is None else time.monotonic() + seconds
    logging.getLogger("scoreinv").handlers = [logging.NullHandler()]
    logging.getLogger("scoreinv").propagate = False
    _limit_memory()
    with report.open("w") as told, tempfile.TemporaryFile() as said:
        faulthandler.enable(told)
        for overdue in (signal.SIGPROF, signal.SIGALRM):
            faulthandler.register(overdue, told, all_threads=False, chain=True)  # says where, then ends the process
        os.dup2(said.fileno(), 2)
        for number in numbers:
            if end is not None and time.monotonic() > end:
                break
            told.seek(0)
            told.truncate()
            print(f"case {number} of seed {seed}", file=told, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.setitimer(signal.ITIMER_REAL, STILL)
            fault = _fault(case, random.Random(f"{seed}/{number}"), folder)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if not fault and said.seek(0, os.SEEK_END):
                said.seek(0)
                fault = f"wrote to stderr: {said.read().decode(errors='replace')}"
            if fault:
                print(fault, file=told, flush=True)
                os._exit(1)


def _fault(case: Case, generator: random.Random, folder: Path) -> str:
    """What went wrong; empty where nothing did."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            case(generator, folder)
        except ScoreinvError as error:
            if _lacks_memory(error) or len(str(error)) > _LONGEST:
                return f"a lack of memory, or so long a message: {traceback.format_exc()}"
        except BaseException:
            return traceback.format_exc()
    return f"{seen[0].category.__name__} of {seen[0].filename}: {seen[0].message}" if seen else ""


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether an error has a lack of memory among its causes."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _limit_memory() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux: time is bounded, memory is not
    soft = pages * os.sysconf("SC_PAGE_SIZE") + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> int:
    import damaged_pictures

    kinds = {"tiffs": damaged_pictures.a_tiff, "pictures": damaged_pictures.another}
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--keep", type=Path, help="folder for what the last case is given")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.cases)
    fault = fuzz(kinds[options.kind], options.seed, numbers, options.seconds, options.keep)
    print(fault or "all hold")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
