"""`scoreinv` and `python -m scoreinv` are the command line."""

from __future__ import annotations

import sys

from scoreinv.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
