"""The training algorithm: AdamW, and the exponential moving average (EMA) of the weights, which is the model.

`descend` is the loop of every training: `train` runs it with batches and files, programs that make a bundled model
(`pretrained/fitting.py`) with a random loss alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from scoreinv.system.options import BELOW_ONE, LEARNING_RATE, Number, Whole, check_settings

_MOMENTS = ("exp_avg", "exp_avg_sq")
_COUNT = "step"  # Adam's name for the number of updates of a parameter


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam as in the paper (Song et al. 2021, appendix H).

    Attributes:
        learning_rate, beta1, beta2, epsilon: of Adam.
        warmup: steps of linear warm-up of the learning rate.
        clip: largest norm of the whole gradient; 0 for no clipping.
        weight_decay: decoupled from the gradient (Loshchilov & Hutter 2019).
        anneal: `constant`, or `cosine` from the full rate at the start to 0 at the end of the run.
    """

    learning_rate: Annotated[float, LEARNING_RATE] = 2e-4
    beta1: Annotated[float, BELOW_ONE] = 0.9
    beta2: Annotated[float, BELOW_ONE] = 0.999
    epsilon: Annotated[float, Number(None)] = 1e-8
    warmup: Annotated[int, Whole(0)] = 5000
    clip: Annotated[float, Number(0)] = 1.0
    weight_decay: Annotated[float, Number(0)] = 0.0
    anneal: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        check_settings(self, "optimizer.")


@dataclass
class TrainingState:
    """Everything that a training step changes, and the weights that it does not.

    Attributes:
        network: the weights in training.
        average: the same network with the moving average of the weights.
        optimizer: Adam over the network's parameters.
        fixed: the parts of the model that are not trained.
        step: number of steps done.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Adam
    fixed: nn.Module
    step: int = 0

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Modules by the prefix of their tensors' names."""
        return {"network": self.network, "average": self.average, "fixed": self.fixed}

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the state by name."""
        found = {
            f"{part}.{name}": value
            for part, module in self.parts.items()
            for name, value in module.state_dict().items()
        }
        for name, parameter in self.network.named_parameters():
            moments = self.optimizer.state.get(parameter, {})
            found |= {f"{key}.{name}": moments[key] for key in (*_MOMENTS, _COUNT) if key in moments}
        return found

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Load tensors into the existing modules and their memory layout."""
        for part, module in self.parts.items():
            prefix = f"{part}."
            values = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(values)
        for name, parameter in self.network.named_parameters():
            if not any(f"{key}.{name}" in tensors for key in _MOMENTS):
                continue
            # The fused kernel reads raw memory: moments need the layout of their parameter.
            saved = {key: tensors[f"{key}.{name}"].view(parameter.shape) for key in _MOMENTS}
            moments = {key: torch.empty_like(parameter).copy_(value) for key, value in saved.items()}
            count = tensors[f"{_COUNT}.{name}"].to(parameter.device)  # lower than `step` after steps without gradient
            self.optimizer.state[parameter] = {_COUNT: count, **moments}
        self.step = step


def descend(
    state: TrainingState,
    add_gradients: Callable[[int], Tensor],
    options: OptimizerConfig,
    ema: float,
    fraction: Callable[[], float],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Train by AdamW; yield the loss and the norm of the gradient before clipping after each step.

    Args:
        state: changed by each step; the learning rates of its optimizer are those after the warm-up.
        add_gradients: adds the gradients of a step (from 0) to the parameters, and returns its loss.
        options: warm-up, clipping and annealing; the optimizer has the others.
        ema: decay of the moving average of the weights.
        fraction: returns the completed fraction of the training, which ends at 1.
    """
    rates = [group["lr"] for group in state.optimizer.param_groups]
    while (done := fraction()) < 1:
        for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
            group["lr"] = learning_rate(rate, options, state.step, done)
        loss = add_gradients(state.step)
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), options.clip or math.inf)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        update_average(state.average, state.network, state.step, ema)
        yield loss, norm


def learning_rate(rate: float, options: OptimizerConfig, step: int, fraction: float) -> float:
    """Return the learning rate of a step (from 0): linear warm-up, then constant, or cosine in the fraction done."""
    warm = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
    annealed = 0.5 * (1 + math.cos(math.pi * fraction)) if options.anneal == "cosine" else 1.0
    return rate * warm * annealed


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, update: int, decay: float) -> None:
    """Update the moving average: average += (1 - decay_n) (network - average), for the n-th update, n from 1.

    decay_1 = 0, so the first update copies the network; then decay_n = min(decay, (1 + n) / (10 + n)), as in the
    reference implementation. Buffers are averaged, too, to keep frozen embeddings; integer buffers are copied.
    """
    decay = min(decay, (1 + update) / (10 + update)) if update > 1 else 0.0
    for kept, current in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(current, 1 - decay)
        else:
            kept.copy_(current)
