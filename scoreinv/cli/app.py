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
from scoreinv.cli.common import VersionOption, common_options

app = typer.Typer(
    name="scoreinv",
    help="Restore pictures by score-based generative models: fill holes, add colour, sample, train.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("inpaint")(common_options(inpaint.inpaint))
app.command("colorize")(common_options(colorize.colorize))
app.command("denoise")(common_options(denoise.denoise))
app.command("upscale")(common_options(upscale.upscale))
app.command("deblur")(common_options(deblur.deblur))
app.command("sample")(common_options(sample.sample))
app.command("interpolate")(common_options(interpolate.interpolate))
app.command("train")(common_options(train.train))
app.command("likelihood")(common_options(likelihood.likelihood))
app.command("evaluate")(common_options(evaluate.evaluate))
app.command("convert")(common_options(convert.convert))
app.add_typer(models.app, name="models")


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


@cache
def _command() -> typer.core.TyperGroup:
    return typer.main.get_command(app)


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit status, and raises what the command or the reading of its line raises."""
    try:
        # Not by `main` of the command, which has its own ways to tell of an interruption.
        with _command().make_context("scoreinv", list(arguments)) as context:
            _command().invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
