"""`scoreinv` and `python -m scoreinv` are the command line, in a process of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

from scoreinv.cli.main import main as run
from scoreinv.system.threads import limit_blas


def main() -> int:
    """`cli.main.main`, after which the process ends without taking torch apart, which takes an eighth of a second.

    What others have registered for the end is done before.
    """
    status: int | None = None  # None: the shell asked for completions

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        if status is not None:
            os._exit(status)

    limit_blas()
    atexit.register(leave)  # the first of all, and so the last that is called
    status = run()
    return status


if __name__ == "__main__":
    sys.exit(main())
