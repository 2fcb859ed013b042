"""The `scoreinv` command: its sub-commands, and how every way to end becomes an exit status.

0 done; 1 a failure; 2 usage or bad input, nothing computed; 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import traceback

import typer

from scoreinv.cli import colorize, convert, evaluate, inpaint, interpolate, likelihood, models, sample, train
from scoreinv.cli.common import VersionOption, common_options
from scoreinv.cli.failures import describe, exit_status
from scoreinv.cli.runtime import wait_passively

INTERRUPTED = 130

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


def main() -> int:
    """Run the command line on `sys.argv`; returns the exit status."""
    wait_passively()
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    _show_warnings(logging.ERROR if "--quiet" in arguments else logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files may be no UTF-8: their bytes are kept
    command = typer.main.get_command(app)
    try:
        result = command(args=arguments, prog_name="scoreinv", standalone_mode=False)
        sys.stdout.flush()
        status = result if isinstance(result, int) else 0
        # Some versions of typer turn Ctrl-C into a status themselves.
        return _fail("interrupted", INTERRUPTED) if status == INTERRUPTED else status
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`scoreinv ... | head`): what is left has nowhere to go.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        message = describe(error)
        if "--json" in arguments:
            source = getattr(error, "source", None)
            record = ({"input": source} if source else {}) | {"error": message}
            with contextlib.suppress(OSError):
                sys.stdout.write(json.dumps(record) + "\n")
                sys.stdout.flush()
        # Without arguments the help has been shown, and there is nothing to add.
        return _fail(f"error: {message}", exit_status(error)) if message else exit_status(error)


def _show_warnings(level: int) -> None:
    """Show what the package logs on stderr, from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("scoreinv: %(message)s"))
    logger = logging.getLogger("scoreinv")
    logger.handlers = [handler]
    logger.setLevel(level)


def _fail(message: str, status: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"scoreinv: {message}\n")
        sys.stderr.flush()
    return status
