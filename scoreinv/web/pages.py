"""The files of the page, read once: what is not among them cannot be asked for, whatever the path says."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@cache
def page_files() -> dict[str, tuple[str, bytes]]:
    """Media type and content of each file, by its name."""
    folder = files("scoreinv.web") / "static"
    return {
        file.name: (TYPES[file.name.rpartition(".")[2]], file.read_bytes())
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in TYPES
    }
