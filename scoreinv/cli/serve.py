"""`scoreinv serve`: a page in the browser on which holes are painted and filled."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any

import typer

from scoreinv.cli.command import Settings
from scoreinv.cli.damage import FINDER
from scoreinv.cli.messages import emit, rehearse
from scoreinv.cli.options import RestorerOption
from scoreinv.cli.pages import ADVANCED
from scoreinv.cli.runtime import FinderSession, Session
from scoreinv.cli.streams import say
from scoreinv.errors import InputError

EXAMPLES = """
  scoreinv serve                  # open the link that it shows
  scoreinv serve --host 0.0.0.0   # for the network: the link has a token
"""
UNUSED = ("seed", "overwrite")
PORT = 8421
MODELS = "photo", "scene"
"""What fills and what colours, by default: they are bundled."""
DENOISER = "denoiser"
"""What removes noise of old photographs."""


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address to listen on instead of loopback; requests then need the link's token.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = PORT,
    model: RestorerOption = MODELS[0],
    color_model: Annotated[
        str,
        typer.Option("--color-model", metavar="NAME|FILE", help="Model of colours.", rich_help_panel=ADVANCED),
    ] = MODELS[1],
    settings: Settings,
) -> None:
    """Show a page in the browser to paint holes on, find damage, fill, colour and compare."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise InputError("serve needs a web server, which is not installed: pip install 'scoreinv[web]'")
    fill, colours = Session(model, settings), Session(color_model, settings)
    damage, denoise = FinderSession(FINDER, settings), Session(DENOISER, settings)
    if (model, color_model) != MODELS or settings.device != "auto":  # else there is no need to load torch now
        fill.check()
        colours.check()

    from scoreinv.web.access import LOOPBACK, Access, listen
    from scoreinv.web.app import serve
    from scoreinv.web.work import Models

    with listen(host or LOOPBACK, port) as listener:
        access = Access.to(host, listener.getsockname()[1])
        record: dict[str, Any] = {"link": access.link}
        if settings.dry_run:
            rehearse(settings, record, f"would serve {access.link}")
            return
        emit(settings, record)
        if not settings.json:
            say(f"scoreinv: open {access.link} in a browser; Ctrl-C ends it")
        models = Models(lambda: fill.prior, lambda: colours.prior, lambda: damage.finder, lambda: denoise.prior)
        serve(listener, models, access)
