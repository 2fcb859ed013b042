"""scoreinv: inverse-problem imaging with score-based generative models through SDEs.

    prior = scoreinv.load("photo")
    result = scoreinv.inpaint(image, mask, prior=prior, samples=4, seed=0)

    solver = scoreinv.samplers.DPMpp2M(eta=1.0, steps=50)
    posterior = scoreinv.guidance.MMPS(prior, scoreinv.operators.mask(observed), y, noise_std=0.1)

The names below are imported when they are first used, so that importing scoreinv does not import torch.
"""

from __future__ import annotations

from importlib import import_module

from scoreinv.version import __version__ as __version__

TYPE_CHECKING = False  # as type checkers know it; typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from scoreinv import errors as errors
    from scoreinv import guidance as guidance
    from scoreinv import kernels as kernels
    from scoreinv import operators as operators
    from scoreinv import samplers as samplers
    from scoreinv import sdes as sdes
    from scoreinv.likelihood import Likelihood as Likelihood
    from scoreinv.likelihood import bits_per_dim as bits_per_dim
    from scoreinv.likelihood import decode as decode
    from scoreinv.likelihood import encode as encode
    from scoreinv.models.catalogue import load as load
    from scoreinv.models.catalogue import load_classifier as load_classifier
    from scoreinv.models.catalogue import load_damage_detector as load_damage_detector
    from scoreinv.models.model_file import save as save
    from scoreinv.tasks.colorize import Colorized as Colorized
    from scoreinv.tasks.colorize import colorize as colorize
    from scoreinv.tasks.find_damage import find_damage as find_damage
    from scoreinv.tasks.generate import generate as generate
    from scoreinv.tasks.inpaint import inpaint as inpaint
    from scoreinv.tasks.latents import interpolate as interpolate
    from scoreinv.tasks.linear import solve as solve
    from scoreinv.tasks.old_photos import RestoredPhoto as RestoredPhoto
    from scoreinv.tasks.old_photos import restore as restore
    from scoreinv.tasks.results import Drawn as Drawn
    from scoreinv.tasks.results import Restored as Restored
    from scoreinv.tasks.rows import Colorizer as Colorizer
    from scoreinv.tasks.rows import Inpainter as Inpainter
    from scoreinv.tasks.rows import Restorer as Restorer

_HOMES = {
    "load": "scoreinv.models.catalogue",
    "load_classifier": "scoreinv.models.catalogue",
    "load_damage_detector": "scoreinv.models.catalogue",
    "save": "scoreinv.models.model_file",
    "inpaint": "scoreinv.tasks.inpaint",
    "colorize": "scoreinv.tasks.colorize",
    "find_damage": "scoreinv.tasks.find_damage",
    "generate": "scoreinv.tasks.generate",
    "bits_per_dim": "scoreinv.likelihood",
    "interpolate": "scoreinv.tasks.latents",
    "solve": "scoreinv.tasks.linear",
    "restore": "scoreinv.tasks.old_photos",
    "encode": "scoreinv.likelihood",
    "decode": "scoreinv.likelihood",
    "Restored": "scoreinv.tasks.results",
    "Colorized": "scoreinv.tasks.colorize",
    "RestoredPhoto": "scoreinv.tasks.old_photos",
    "Drawn": "scoreinv.tasks.results",
    "Likelihood": "scoreinv.likelihood",
    "Inpainter": "scoreinv.tasks.rows",
    "Colorizer": "scoreinv.tasks.rows",
    "Restorer": "scoreinv.tasks.rows",
}

_ELSEWHERE = {
    "denoise": "scoreinv.Restorer",
    "upscale": "scoreinv.Restorer",
    "deblur": "scoreinv.Restorer",
    "sample": "scoreinv.generate",
    "train": "`from scoreinv.training.loop import train`",
}
"""What does the work of commands that have no function of their name."""

_ROOMS = ("errors", "guidance", "kernels", "operators", "samplers", "sdes")

__all__ = ["__version__", *_HOMES, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"scoreinv.{name}")
    if name not in _HOMES:
        remedy = f": {_ELSEWHERE[name]} does that" if name in _ELSEWHERE else ""
        raise AttributeError(f"module 'scoreinv' has no attribute {name!r}{remedy}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
