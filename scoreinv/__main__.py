"""`python -m scoreinv` is the command line."""

import sys

from scoreinv.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
