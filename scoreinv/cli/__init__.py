"""The command line: reads files, calls tasks, writes files. One file a command; no mathematics.

Nothing heavy (torch, numpy, Pillow, rich) is imported before a command runs, so that `--help` answers at once.
"""
