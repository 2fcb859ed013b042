"""Options that several commands share. Imports neither torch nor numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from scoreinv.models.loading import Machine
from scoreinv.system.options import SEED, Device, Precision, Setting, Whole
from scoreinv.tasks.table import MODEL

THREADS = Whole(1, 1024)
PREFIX = "SCOREINV"
"""Prefix of the environment variables that set options."""

ModelOption = Annotated[str, Setting(MODEL, metavar="NAME|FILE")]


@dataclass(frozen=True)
class Common:
    """Options of every command.

    Attributes:
        seed: None: 0, except for `train`, whose configuration has a seed.
        dry_run: check the inputs and print what would be written.
        quiet: print neither progress nor information; warnings and errors stay.
        json: print JSON lines on stdout.
        debug: print tracebacks.
    """

    seed: Annotated[int | None, Setting("Seed of the noise. (default: 0)", SEED)] = None
    overwrite: Annotated[bool, Setting("Replace existing files.")] = False
    dry_run: Annotated[bool, Setting("Check the inputs and list the files that would be written.")] = False
    quiet: Annotated[bool, Setting("Show only warnings and errors.", option="--quiet/--no-quiet -q")] = False
    verbose: Annotated[bool, Setting("Show what was chosen, and why.", option="--verbose/--no-verbose -v")] = False
    device: Annotated[Device, Setting("Device to compute on.", advanced=True)] = "auto"
    precision: Annotated[
        Precision, Setting("Number format of networks; auto: bfloat16 if it is faster.", advanced=True)
    ] = "auto"
    threads: Annotated[int | None, Setting("CPU threads. (default: chosen by the load)", THREADS, advanced=True)] = None
    json: Annotated[bool, Setting("Print one JSON object per input on stdout.", advanced=True)] = False
    debug: Annotated[bool, Setting("Show tracebacks.", advanced=True)] = False

    @property
    def machine(self) -> Machine:
        """The device, precision and threads of models."""
        return Machine(self.device, self.precision, self.threads)
