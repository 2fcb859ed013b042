"""`scoreinv convert SRC -o OUT`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scoreinv import files, models
from scoreinv.cli.options import Common
from scoreinv.cli.render import emit, notice, rehearse, warn
from scoreinv.models.catalogue import HUB_PREFIX, configuration, full_name, load, locate
from scoreinv.system.errors import InputError
from scoreinv.system.files import check_writable, remove_leftovers
from scoreinv.system.options import Setting

UNUSED = ("seed", "device", "precision", "threads")


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="Checkpoint of the reference implementation (.pth), folder of diffusers, or hf:NAME."
        ),
    ],
    output: Annotated[str, Setting("Model file to write (.safetensors).", metavar="OUT", option="-o --output")],
    common: Common,
    config: Annotated[
        str | None,
        Setting(
            "Configuration of a .pth: a name of models list, or the reference implementation's configuration as JSON, "
            "with the sections model, data and training.",
            metavar="FILE|NAME",
        ),
    ] = None,
    ema: Annotated[
        bool, Setting("Convert the averaged weights of a .pth, or the raw ones.", option="--ema/--raw")
    ] = True,
) -> None:
    """Convert a published model to a model file, without executing its code.

    \b
    scoreinv convert model.pth --config ve/cifar10_ncsnpp -o own.safetensors
    """
    on_hub = source.startswith(HUB_PREFIX)
    folder = on_hub or Path(source).is_dir()
    if not folder:
        files.check_file(source)
    if folder and (config is not None or not ema):
        raise InputError(f"{source}: has its configuration and one set of weights: leave out --config and --raw")
    if not folder and config is None:
        raise InputError(f"{source}: needs --config: a name of `scoreinv models list`, or its configuration as JSON")
    if Path(output).suffix != ".safetensors":
        raise InputError(f"{output}: end the output's name in .safetensors")
    check_writable(Path(output), overwrite=common.overwrite, makes_folder=True)
    place = source if on_hub else Path(source)  # a folder's bare name would mean a bundled model

    if common.dry_run:
        if config is not None:
            models.read_official_config(config)
        elif not on_hub:
            configuration(locate(place))
        rehearse(common, {"input": source, "outputs": [output]}, f"{source}: would be written to {output}")
        return
    if config is None:
        path = locate(place)
        prior, notes = load(path), {"source": full_name(source, path)}
    else:
        from scoreinv.models.foreign.published import with_other_times

        official = models.read_official_config(config)
        prior = models.load_official(Path(source), official, ema=ema)
        if others := with_other_times(official):
            warn(
                f"{source}: has the tensors of continuous and of discrete times: if samples are noise, "
                f"--config {config} is wrong; the others are {', '.join(others)}"
            )
        notes = {"source": Path(source).name, "config": config, "weights": "ema" if ema else "raw"}
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(Path(output).parent)
    models.save(prior, output, notes=notes)
    emit(common, {"input": source, "output": output, "outputs": [output], "parameters": prior.weights})
    notice(common, f"{output} ({prior.weights:,} parameters)")
