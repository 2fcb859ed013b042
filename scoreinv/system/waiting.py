"""How torch's threads wait for each other, which is decided before torch is imported.

By itself, so that importing scoreinv takes no time.
"""

from __future__ import annotations

import os
import sys

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which users decide how threads wait: of OpenMP, of GNU's runtime, of Intel's and LLVM's."""
TURNS = "3000"
"""Turns of GNU's runtime before a waiting thread sleeps, of ten to fifty nanoseconds each. Beside a process that keeps
one of two cores busy, jobs take 1.4 times as long as with none, and with 10,000 twice as long."""
spinning = False
"""Whether torch was there before its threads could be told to sleep while they wait."""


def wait_briefly() -> None:
    """Let torch's threads sleep soon while they wait, unless the user has decided; called when scoreinv is imported.

    By default they spin for long, which keeps a processor from whatever else runs on it: beside other work the same job
    took four to eight times as long. Where they sleep at once, waking them is most of a small operation: alone on two
    cores fills took one and a half times as long as with so many turns. The runtime asks for this once, when it is
    loaded with torch: where that has happened, `machine.threads_that_pay` does what can be done.
    """
    global spinning
    if any(name in os.environ for name in VARIABLES):
        return
    if "torch" in sys.modules:
        spinning = True
        return
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["GOMP_SPINCOUNT"] = TURNS  # GNU's runtime takes it before the policy; others sleep at once
