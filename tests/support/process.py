"""`scoreinv serve` as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes import default_signals


@contextmanager
def started(folder: Path, *words: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the link that it shows; its folder is `here`, that of its temporary files `temporary`.

    Where it tells of itself is `runtime`.
    """
    (folder / "temporary").mkdir()
    (folder / "here").mkdir()
    (folder / "runtime").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "scoreinv", "serve", "--port", "0", "--json", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder / "here",
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "temporary"), "XDG_RUNTIME_DIR": str(folder / "runtime")},
        preexec_fn=default_signals if os.name == "posix" else None,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["link"]
    finally:
        process.kill()
        process.communicate()
