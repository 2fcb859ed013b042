"""The plug-in for GIMP 3."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from scoreinv.cli.options import Common
from scoreinv.cli.render import emit, notice, rehearse
from scoreinv.cli.serve import check_installed
from scoreinv.system.errors import ExistsError, InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.options import declared
from scoreinv.tasks.table import TASKS, Task, controls_of

UNUSED = ("seed", "device", "precision", "threads")
_NOT_IN_GIMP = ("enlarge", "exact")
"""Controls without effect in GIMP, where a restored layer keeps its size, and the selection masks the result."""
_SYSTEM_PYTHON = Path("/usr/bin/python3")


def install(common: Common) -> None:
    """Install the plug-in: Filters > Scoreinv fills, selects, restores, colours, enlarges.

    \b
    scoreinv gimp install   # then restart GIMP
    """
    check_installed()
    settings = _settings()
    if settings is None:
        raise InputError(
            "GIMP 3 has no settings here: install it (Debian 13: apt install gimp; else from gimp.org; not as Flatpak "
            "or Snap, which cannot run scoreinv), start it once, and run this again"
        )
    path = settings / "plug-ins" / "scoreinv" / "scoreinv.py"
    if path.exists() and not common.overwrite:
        raise ExistsError(f"{path}: exists: replace it")
    if common.dry_run:
        rehearse(common, {"output": str(path)}, f"would write {path}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(plugin(), encoding="utf-8")
        temporary.chmod(0o755)
    emit(common, {"output": str(path)})
    notice(common, f"wrote {path}: restart GIMP; the filters are in Filters > Scoreinv")


def plugin() -> str:
    """Return the text of the plug-in, which calls this installation of scoreinv.

    On Linux, GIMP runs with the system's Python, even if it is started in another environment.
    """
    text = (files("scoreinv") / "gimp" / "plugin.py").read_text("utf-8")
    text = text.replace('COMMAND = ["scoreinv"]', f"COMMAND = {[sys.executable, '-m', 'scoreinv']!r}")
    text = text.replace(
        "TASKS: dict[str, dict[str, Any]] = {}", f"TASKS = { {task.route: _described(task) for task in TASKS}!r}"
    )
    if sys.platform == "linux" and _SYSTEM_PYTHON.exists():
        text = text.replace("#!/usr/bin/env python3", f"#!{_SYSTEM_PYTHON}", 1)
    return text


def _described(task: Task) -> dict[str, Any]:
    """Return what the plug-in shows of a task."""
    options = ["strokes"] * ("hints" in task.takes) + ["shadow"] * (task.name == "select")
    if "samples" in task.settings and "factor" not in task.settings:  # an enlarged picture is one image
        options += ["results", "seed"]
    controls = [each for each in controls_of(declared(task.request)) if each["name"] not in _NOT_IN_GIMP]
    about = task.help.partition("\n")[0].strip()
    return {"menu": task.menu or task.name.capitalize(), "about": about, "options": options, "controls": controls}


def _settings() -> Path | None:
    """Return the folder of the settings of the newest GIMP 3; None if it was never started."""
    if own := os.environ.get("GIMP3_DIRECTORY"):
        return Path.home() / own
    if sys.platform == "darwin":
        root = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        root = Path(os.environ["APPDATA"])
    else:
        root = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folders = [folder for folder in (root / "GIMP").glob("3.*") if folder.suffix[1:].isdecimal()]
    return max(folders, key=lambda folder: int(folder.suffix[1:]), default=None)


PARTS = {"install": install}
