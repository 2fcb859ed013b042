"""The command line looks for no garbage among the modules that stay, and still does among what its work leaves."""

from __future__ import annotations

import subprocess
import sys


def told(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_torch_is_imported_without_a_collection():
    code = (
        "import gc; from scoreinv.cli.runtime import import_torch; gc.collect(); found = []; "
        "gc.callbacks.append(lambda phase, info: found.append(phase)); import_torch(); seen = len(found); "
        "import sys; print(seen, 'torch' in sys.modules, gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    assert told(code) == ["0", "True", "True", "True"]


def test_whoever_has_switched_collection_off_keeps_it_off():
    code = "import gc; gc.disable(); from scoreinv.cli.runtime import import_torch as run; run(); print(gc.isenabled())"
    assert told(code) == ["False"]


def test_garbage_of_later_is_still_collected():
    code = (
        "import gc, weakref; from scoreinv.cli.runtime import import_torch; import_torch()\n"
        "class Cycle: pass\n"
        "cycle = Cycle(); cycle.own = cycle; left = weakref.ref(cycle); del cycle; gc.collect(); print(left() is None)"
    )
    assert told(code) == ["True"]


def test_no_garbage_is_looked_for_at_the_end():
    code = (
        "import atexit, gc, sys; sys.argv = ['scoreinv', '--version']\n"
        "from scoreinv.__main__ import main; main(); before = gc.get_freeze_count(); atexit._run_exitfuncs()\n"
        "print(gc.get_freeze_count() > before + 1000)"
    )
    assert told(code)[-1] == "True"
