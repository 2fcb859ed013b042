"""The plug-in for GIMP 3."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from scoreinv.cli.options import Common
from scoreinv.cli.render import emit, notice, rehearse
from scoreinv.cli.serve import check_installed
from scoreinv.system.errors import ExistsError, InputError
from scoreinv.system.files import atomic_write

UNUSED = ("seed", "device", "precision", "threads")
_NAMES = ("gimp-3.0", "gimp-3", "gimp", "gimp-console-3.0", "gimp-console")
_PLACES = ("/Applications/GIMP.app/Contents/MacOS/gimp", "C:/Program Files/GIMP 3/bin/gimp-console-3.0.exe")
"""Paths of GIMP's own installers, on systems that do not find it by name."""
_HOW = (
    "install GIMP 3 (Debian 13: apt install gimp; else from gimp.org; not as Flatpak or Snap, which cannot run "
    "scoreinv), and run this again"
)
_SYSTEM_PYTHON = Path("/usr/bin/python3")


def install(common: Common) -> None:
    """Install the plug-in: Filters > Scoreinv fills selections, restores, colours, denoises.

    \b
    scoreinv gimp install   # then restart GIMP
    """
    check_installed()
    version = max(_versions(), default=None)
    if version is None:
        raise InputError(f"GIMP was not found: {_HOW}")
    if version < (3, 0):
        raise InputError(f"GIMP {version[0]}.{version[1]} is installed, but the plug-in needs GIMP 3: {_HOW}")
    path = _settings(version) / "plug-ins" / "scoreinv" / "scoreinv.py"
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
    if sys.platform == "linux" and _SYSTEM_PYTHON.exists():
        text = text.replace("#!/usr/bin/env python3", f"#!{_SYSTEM_PYTHON}", 1)
    return text


def _versions() -> Iterator[tuple[int, int]]:
    """Yield the versions of installed GIMPs."""
    for place in filter(None, [*map(shutil.which, _NAMES), *(place for place in _PLACES if Path(place).exists())]):
        with suppress(OSError, subprocess.TimeoutExpired):
            answer = subprocess.run([place, "--version"], capture_output=True, text=True, check=False, timeout=60)
            if found := re.search(r"version (\d+)\.(\d+)", answer.stdout):
                yield int(found[1]), int(found[2])


def _settings(version: tuple[int, int]) -> Path:
    """Return the folder of GIMP's settings."""
    if own := os.environ.get("GIMP3_DIRECTORY"):
        return Path.home() / own
    if sys.platform == "darwin":
        root = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        root = Path(os.environ["APPDATA"])
    else:
        root = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return root / "GIMP" / f"{version[0]}.{version[1]}"


PARTS = {"install": install}
