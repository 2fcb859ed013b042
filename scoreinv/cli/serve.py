"""`scoreinv serve`: a page in the browser for all that is done with one photograph."""

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

from scoreinv.cli.damage import DETECTOR
from scoreinv.cli.loading import Detector, Model
from scoreinv.cli.options import Common, RestorerOption, advanced, option
from scoreinv.cli.report import emit, rehearse
from scoreinv.models.photo_models import PhotoModels
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.terminal import say

EXAMPLES = """
  scoreinv serve                            # opens the page in the browser
  scoreinv serve --host 0.0.0.0 --no-open   # for the network: the link has a token
"""
UNUSED = ("seed", "overwrite")
PORT = 8421
MODELS = "photo", "scene"  # what fills and what colours, by default: they are bundled
DENOISER = "denoiser"  # what removes noise of old photographs


def serve(
    *,
    host: Annotated[
        str | None,
        option(
            metavar="ADDRESS", help="Address to listen on instead of loopback; requests then need the link's token."
        ),
    ] = None,
    port: Annotated[int, option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = PORT,
    opened: Annotated[bool, option("--open/--no-open", help="Open the page in the browser.")] = True,
    tied: Annotated[bool, advanced(help="End when stdin does, and so with the program that started it.")] = False,
    model: RestorerOption = MODELS[0],
    color_model: Annotated[str, advanced(metavar="NAME|FILE", help="Model of colours.")] = MODELS[1],
    common: Common,
) -> None:
    """Open a page in the browser: point at what to remove, fill, colour, restore and compare."""
    check_installed()
    fill, colours = Model(model, common), Model(color_model, common)
    damage, denoise = Detector(DETECTOR, common), Model(DENOISER, common)
    if (model, color_model) != MODELS or common.device != "auto":  # else there is no need to load torch now
        fill.check()
        colours.check()

    from scoreinv.web.access import LOOPBACK, Access, listen
    from scoreinv.web.app import serve

    if tied:
        host = host or LOOPBACK  # with a token: only the program that started it asks
    with listen(host or LOOPBACK, port) as listener:
        access = Access.to(host, listener.getsockname()[1])
        record: dict[str, Any] = {"link": access.link}
        if common.dry_run:
            rehearse(common, record, f"would serve {access.link}")
            return
        with _told(access.link) if host is None else nullcontext():
            emit(common, record)
            if tied:
                threading.Thread(target=_end_with_stdin, daemon=True).start()
            if not common.json:
                say(f"scoreinv: open {access.link} in a browser; Ctrl-C ends it")
                if opened and _sees_a_browser():  # which may take its time
                    threading.Thread(target=webbrowser.open, args=(access.link,), daemon=True).start()
            models = PhotoModels(damage.load, fill.load, denoise.load, colours.load)
            serve(listener, models, access)


def check_installed() -> None:
    """Raise InputError where the web server is not installed."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise InputError("serve needs a web server, which is not installed: pip install 'scoreinv[web]'")


@contextmanager
def _told(link: str) -> Iterator[None]:
    """Tell GIMP's plug-in of this server until the block ends, in a file that only this user can read and write."""
    path = Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache") / "scoreinv-serve.json"
    content = json.dumps({"link": link, "process": os.getpid()})
    with suppress(OSError, InputError):  # the page is served all the same
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.touch(0o600)
            temporary.write_text(content, "utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text("utf-8") == content:  # else another has told of itself since
                path.unlink()


def _end_with_stdin() -> None:
    """Wait for the end of stdin, and end the process then."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _sees_a_browser() -> bool:
    """Whether who started this sees a browser of this machine: not from another one, nor without a screen."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
