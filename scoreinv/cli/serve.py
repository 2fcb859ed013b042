"""`scoreinv serve`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from scoreinv.cli.options import Common
from scoreinv.cli.render import emit, rehearse
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.options import Setting, Whole
from scoreinv.system.terminal import say
from scoreinv.tasks.table import MODEL

UNUSED = ("seed", "overwrite")
PORT = 8421


def serve(
    *,
    host: Annotated[
        str | None,
        Setting("Address to listen on instead of loopback; requests then need the link's token.", metavar="ADDRESS"),
    ] = None,
    port: Annotated[int, Setting("Port to listen on; 0 picks a free one.", Whole(0, 65535), metavar="PORT")] = PORT,
    opened: Annotated[bool, Setting("Open the page in the browser.", option="--open/--no-open")] = True,
    tied: Annotated[bool, Setting("End when stdin ends, with the program that started it.", advanced=True)] = False,
    model: Annotated[str, Setting(MODEL, metavar="NAME|FILE", advanced=True)] = "photo",
    color_model: Annotated[str, Setting("Model that adds colour.", metavar="NAME|FILE", advanced=True)] = "scene",
    common: Common,
) -> None:
    """Open a page in the browser: select, fill, colour, restore and compare.

    \b
    scoreinv serve                            # opens the page in the browser
    scoreinv serve --host 0.0.0.0 --no-open   # for the network; the link has a token
    """
    check_installed()
    models = Models(inpaint=model, colorize=color_model, machine=common.machine)
    for role in ("inpaint", "colorize"):
        if (source := models.source(role)) is not None:
            source.check()

    from scoreinv.web.access import LOOPBACK, Access, listen
    from scoreinv.web.app import serve

    if tied:
        host = host or LOOPBACK  # a host means a token, which only the program that started this one gets
    with listen(host or LOOPBACK, port) as listener:
        access = Access.to(host, listener.getsockname()[1])
        record: dict[str, Any] = {"link": access.link}
        if common.dry_run:
            rehearse(common, record, f"would serve {access.link}")
            return
        with _announced(access.link) if host is None else nullcontext():
            emit(common, record)
            if tied:
                threading.Thread(target=_end_with_stdin, daemon=True).start()
            if not common.json:
                say(f"scoreinv: open {access.link} in a browser; Ctrl-C ends the server")
                if opened and _has_browser():  # opening it may take seconds
                    threading.Thread(target=webbrowser.open, args=(access.link,), daemon=True).start()
            serve(listener, models, access)


def check_installed() -> None:
    """Raise InputError if the web server is not installed."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise InputError("the web server is not installed: pip install 'scoreinv[web]'")


@contextmanager
def _announced(link: str) -> Iterator[None]:
    """Write the link for GIMP's plug-in, to a file that only this user can read, until the block ends."""
    path = Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache") / "scoreinv-serve.json"
    content = json.dumps({"link": link, "process": os.getpid()})
    with suppress(OSError, InputError):  # the page works without the file
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.touch(0o600)
            temporary.write_text(content, "utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text("utf-8") == content:  # else another server has written its own
                path.unlink()


def _end_with_stdin() -> None:
    """End the process at the end of stdin."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _has_browser() -> bool:
    """Return whether this machine can show the user a browser: not over SSH or without a screen."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
