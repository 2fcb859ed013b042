"""The commands of `scoreinv`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import cache

import typer

from scoreinv.cli import (
    colorize,
    convert,
    damage,
    deblur,
    denoise,
    evaluate,
    inpaint,
    interpolate,
    likelihood,
    models,
    restore,
    sample,
    serve,
    train,
    upscale,
)
from scoreinv.cli.command import VersionOption, command
from scoreinv.cli.defaults import read_defaults
from scoreinv.cli.pages import CommandPage, GroupPage

COMPLETE = "_SCOREINV_COMPLETE"
"""The variable by which a shell asks for completions."""
PICTURES, MODELS = "Pictures", "Models"
"""The panels of the commands."""

app = typer.Typer(
    name="scoreinv",
    cls=GroupPage,
    help="Restore pictures by score-based generative models: fill holes, add colour, sample, train.\n\n"
    "  scoreinv inpaint photo.png --mask mask.png\n"
    "  scoreinv colorize gray.jpg",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _add(name: str, function: Callable[..., None], panel: str, examples: str, unused: Collection[str] = ()) -> None:
    whole = command(function, name, unused=unused, examples=examples)
    app.command(name, cls=CommandPage, rich_help_panel=panel)(whole)


_add("restore", restore.restore, PICTURES, restore.EXAMPLES)
_add("inpaint", inpaint.inpaint, PICTURES, inpaint.EXAMPLES)
_add("colorize", colorize.colorize, PICTURES, colorize.EXAMPLES)
_add("damage", damage.damage, PICTURES, damage.EXAMPLES)
_add("denoise", denoise.denoise, PICTURES, denoise.EXAMPLES)
_add("upscale", upscale.upscale, PICTURES, upscale.EXAMPLES)
_add("deblur", deblur.deblur, PICTURES, deblur.EXAMPLES)
_add("serve", serve.serve, PICTURES, serve.EXAMPLES, serve.UNUSED)
_add("sample", sample.sample, MODELS, sample.EXAMPLES)
_add("interpolate", interpolate.interpolate, MODELS, interpolate.EXAMPLES, interpolate.UNUSED)
_add("train", train.train, MODELS, train.EXAMPLES)
_add("likelihood", likelihood.likelihood, MODELS, likelihood.EXAMPLES)
_add("evaluate", evaluate.evaluate, MODELS, evaluate.EXAMPLES, evaluate.UNUSED)
_add("convert", convert.convert, MODELS, convert.EXAMPLES, convert.UNUSED)
app.add_typer(models.app, name="models", rich_help_panel=MODELS)


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


@cache
def _command() -> typer.core.TyperGroup:
    whole = typer.main.get_command(app)  # with the options of completion, which `get_group` leaves out
    assert isinstance(whole, typer.core.TyperGroup)
    return whole


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit status, and lets errors of the command and of its options pass."""
    if COMPLETE in os.environ:
        _command().main([], prog_name="scoreinv")  # tells the shell, and exits
    asks = not {"-h", "--help", "--help-all", "--version"}.isdisjoint(arguments)  # also with a wrong file of defaults
    try:
        defaults = {} if asks else read_defaults(_command())
        # Not by `main` of the command, which reports interruptions in its own way.
        with _command().make_context("scoreinv", list(arguments), default_map=defaults) as context:
            _command().invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
