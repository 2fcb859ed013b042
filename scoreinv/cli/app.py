"""The commands of `scoreinv`."""

from __future__ import annotations

from functools import cache

import typer

from scoreinv.cli import (
    colorize,
    convert,
    deblur,
    denoise,
    evaluate,
    inpaint,
    interpolate,
    likelihood,
    models,
    sample,
    train,
    upscale,
)
from scoreinv.cli.command import VersionOption, command

app = typer.Typer(
    name="scoreinv",
    help="Restore pictures by score-based generative models: fill holes, add colour, sample, train.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("inpaint")(command(inpaint.inpaint))
app.command("colorize")(command(colorize.colorize))
app.command("denoise")(command(denoise.denoise))
app.command("upscale")(command(upscale.upscale))
app.command("deblur")(command(deblur.deblur))
app.command("sample")(command(sample.sample))
app.command("interpolate")(command(interpolate.interpolate))
app.command("train")(command(train.train))
app.command("likelihood")(command(likelihood.likelihood))
app.command("evaluate")(command(evaluate.evaluate))
app.command("convert")(command(convert.convert))
app.add_typer(models.app, name="models")


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


@cache
def _command() -> typer.core.TyperGroup:
    return typer.main.get_group(app)


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit status, and lets errors of the command and of its options pass."""
    try:
        # Not by `main` of the command, which reports interruptions in its own way.
        with _command().make_context("scoreinv", list(arguments)) as context:
            _command().invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
