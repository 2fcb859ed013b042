"""`scoreinv` and `python -m scoreinv` are the command line."""

from __future__ import annotations

import atexit
import gc
import sys


def main() -> int:
    """Run the command line on `sys.argv`; returns the exit status, also where Ctrl-C comes before its first lines."""
    atexit.register(gc.freeze)  # at its end Python would look for garbage in all of its memory, for half a second
    try:
        from scoreinv.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("scoreinv: interrupted\n")
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
