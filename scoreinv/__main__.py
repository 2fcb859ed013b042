"""`python -m scoreinv` is the command `scoreinv`."""

from scoreinv.cli.main import main

if __name__ == "__main__":
    main()
