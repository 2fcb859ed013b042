"""The command line: reads files, calls tasks, writes files. One file per command, without mathematics.

Slow packages (torch, numpy, Pillow, rich) are imported only when a command runs, to keep `--help` fast.
"""
