"""`scoreinv models list` and `scoreinv models show NAME`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from scoreinv.cli.common import Settings, common_options

app = typer.Typer(help="The models that are there, and what they are.", no_args_is_help=True)


@app.command("list")
@common_options
def list_models(settings: Settings) -> None:
    """List the bundled models and the names of the paper's published ones (for `convert --config`)."""
    from scoreinv.checkpoints.catalogue import bundled_names, locate
    from scoreinv.checkpoints.published import PUBLISHED

    models = [{"name": name, "kind": "bundled", "file": str(locate(name))} for name in bundled_names()]
    models += [{"name": name, "kind": "published settings"} for name in PUBLISHED]
    if settings.json:
        sys.stdout.write(json.dumps({"models": models}) + "\n")
        return
    width = max(len(model["name"]) for model in models)
    for model in models:
        sys.stdout.write(f"{model['name']:<{width}}  {model['kind']}\n")


@app.command("show")
@common_options
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bundled model, a model file, or a published name.")],
    settings: Settings,
) -> None:
    """Show a model's configuration, its parameters and how it was trained."""
    record = _published(name) or _model_file(name)
    if settings.json:
        sys.stdout.write(json.dumps({"models": [record]}) + "\n")
        return
    for key, value in record.items():
        sys.stdout.write(f"{key}: {value if isinstance(value, str | int) else json.dumps(value, indent=2)}\n")


def _published(name: str) -> dict[str, Any] | None:
    from dataclasses import asdict

    from scoreinv.checkpoints.published import PUBLISHED

    if name not in PUBLISHED:
        return None
    model = PUBLISHED[name]
    settings = {key: value for key, value in asdict(model).items() if key != "config"}
    return {"name": name, "kind": "published settings", "config": model.config.to_dict(), "settings": settings}


def _model_file(name: str) -> dict[str, Any]:
    from scoreinv.checkpoints.catalogue import load, locate
    from scoreinv.checkpoints.files import read_metadata

    path = locate(name)
    config, notes = read_metadata(path)
    parameters = sum(p.numel() for p in load(name).network.parameters())
    return {
        "name": name,
        "kind": "model",
        "file": str(path),
        "parameters": parameters,
        "config": config.to_dict(),
        "notes": notes,
    }
