"""Parts shared by the programs of bundled models: command-line options, photographs and the fit of a network."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scoreinv.system.files import MODEL_FILE, PRETRAINED
from scoreinv.training.fitting import OptimizerConfig, TrainingState, descend


def arguments(about: str, model: str, *folders: str, **numbers: float) -> ArgumentParser:
    """Return the parser of the program of a bundled model: folders, numbers with their defaults, seed and output."""
    parser = ArgumentParser(description=about.splitlines()[0])
    for name in folders:
        parser.add_argument(name, type=Path)
    for name, value in {**numbers, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("-o", "--output", type=Path, default=PRETRAINED / model / MODEL_FILE)
    return parser


def photographs(folder: Path, model: str | None = None) -> list[Path]:
    """Return the picture files of a folder and its subfolders, except those that a bundled model holds out."""
    held_out = set() if model is None else set((PRETRAINED / model / "held_out.txt").read_text().split())
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [path for path in files if path.stem not in held_out]


def fit(
    parameters: Iterable[Any],
    draw_loss: Callable[[], Tensor],
    steps: int,
    rate: float,
    *,
    warmup: int = 1,
    weight_decay: float = 1e-2,
    ema: float = 0.0,
    clip: float = 0.0,
) -> None:
    """Minimise a random loss by AdamW; print its mean over every 500 steps.

    Args:
        parameters: parameters to train, or groups of them; their final values are their moving average.
        draw_loss: returns the loss of a step.
        rate: learning rate, after a linear warm-up of `warmup` steps; it falls to 0 along a cosine.
        weight_decay: decoupled from the gradient, relative to the rate.
        ema: decay of the moving average; 0 for none.
        clip: largest norm of the gradient; 0 for no clipping.
    """
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=weight_decay)
    trained = nn.ParameterList(value for group in optimizer.param_groups for value in group["params"])
    state = TrainingState(trained, deepcopy(trained), optimizer, nn.ModuleList())

    def add_gradients(step: int) -> Tensor:
        loss = draw_loss()
        loss.backward()
        return loss.detach()

    options = OptimizerConfig(warmup=warmup, clip=clip, anneal="cosine")
    losses: list[float] = []
    for loss, _ in descend(state, add_gradients, options, ema, lambda: state.step / steps):
        losses.append(loss.item())
        if state.step % 500 == 0 or state.step == steps:
            print(f"step {state.step}: loss {sum(losses) / len(losses):.3f}", flush=True)
            losses.clear()
    trained.load_state_dict(state.average.state_dict())
