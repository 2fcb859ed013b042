"""Entry point of the commands `scoreinv` and `python -m scoreinv`."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

from scoreinv.cli.main import main as run
from scoreinv.system.threads import limit_blas, sleep_when_idle


def main() -> int:
    """Run `cli.main.main`, then end the process without unloading torch, which would take an eighth of a second.

    Exit functions registered by other modules run first.
    """
    status: int | None = None  # None: the shell asked for completions

    def end_process() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        if status is not None:
            os._exit(status)

    limit_blas()
    sleep_when_idle()
    atexit.register(end_process)  # registered first, so called last
    status = run()
    return status


if __name__ == "__main__":
    sys.exit(main())
