"""How a run is set up: its model, the state that it goes on from, its pictures and its files."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from scoreinv.conditional.prior import trained_task
from scoreinv.models.config import AnyModel, ClassifierConfig
from scoreinv.networks.blocks import channels_last, freeze_norms, norms_learn
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.system.deferred import load_shapes
from scoreinv.system.devices import uses_bfloat16
from scoreinv.system.errors import InputError
from scoreinv.training.batches import Batch, BatchSource
from scoreinv.training.config import TrainingConfig
from scoreinv.training.distributed import World
from scoreinv.training.folder import RunFolder
from scoreinv.training.json_lines import JsonLines
from scoreinv.training.learners import Learner, learner_of
from scoreinv.training.pictures import Pictures, load_pictures, split
from scoreinv.training.state import SavedRun, TrainingState, load_state

_VALIDATION_SEED = 0  # of every run, so that runs can be compared


class BatchLoss(nn.Module):
    """The mean loss of a batch as a module of the network that is trained, whose gradients processes exchange."""

    def __init__(self, network: nn.Module, losses: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.losses = losses

    def forward(self, batch: Batch) -> Tensor:
        return self.losses(batch).mean()


@dataclass(frozen=True)
class Run:
    """What a run works with from its first step to its last.

    Attributes:
        config, folder, world: what it is told, where its files are, and the processes that share it.
        learner: how its model is trained.
        average: the model with the averaged weights, which is the run's result.
        state: what a step changes.
        loss: of a batch, a `BatchLoss`.
        batches: what each step trains on.
        held_out: pictures for validation, with their times and noise; None without any.
        about: what its states say of it.
        metrics: `metrics.jsonl`.
    """

    config: TrainingConfig
    folder: RunFolder
    world: World
    learner: Learner[Any]
    average: AnyModel
    state: TrainingState
    loss: nn.Module
    batches: BatchSource
    held_out: Batch | None
    about: SavedRun
    metrics: JsonLines

    def autocast(self) -> torch.autocast | nullcontext[None]:
        """The precision that inner layers are computed in, for the time of a block."""
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.about.bfloat16 else nullcontext()


def set_up(
    config: TrainingConfig,
    folder: RunFolder,
    world: World,
    *,
    resume: bool,
    overwrite: bool,
    init: AnyModel | None,
    tensorboard: bool,
) -> Run:
    """Arguments and errors as of `loop.train`; the folder is the run's own from then on."""
    folder.refuse_states(resume=resume)
    metrics = JsonLines(folder.metrics, folder.board if tensorboard and world.leads else None)
    learner = learner_of(config)
    model = initial_model(config, init).to(world.device)
    network = channels_last(learner.network(model)).train()
    fixed = nn.ModuleList(part for part in model.parts().values() if part is not network)
    # What is not trained is shared: a state that is restored is that of both.
    average: AnyModel = copy.deepcopy(model, {id(module): module for module in fixed.modules()}).eval()
    frozen = freeze_norms(network) if config.frozen_norms else 0
    _refuse_single_pixels(config, network, world)
    state = TrainingState(network, learner.network(average), _optimizer(config, network, world), fixed)
    if config.compile:
        _compile(network)
    loss = world.wrap(BatchLoss(network, partial(learner.losses, model)))

    saved = _restored(config, folder, state) if resume else None
    if config.frozen_norms and (not frozen or (init is None and saved is None)):
        raise InputError(
            "frozen_norms is for networks with batch norms that start from weights: give a model to start from"
        )
    if world.leads:
        folder.refuse_others(config, saved, resume=resume, overwrite=overwrite)
    pictures = _pictures(config, folder, world)
    about = _about(config, folder, world, saved, pictures, network)
    training, others = split(pictures, config.data)
    held_out = _held_out(config, others)
    if world.leads:
        folder.begin(config, resume=resume)
        metrics.keep_until(state.step)
    batches = BatchSource(config, training, config.batch_size, config.seed)
    return Run(config, folder, world, learner, average, state, loss, batches, held_out, about, metrics)


def _refuse_single_pixels(config: TrainingConfig, network: nn.Module, world: World) -> None:
    part = world.part(config.batch_size, config.accumulate)
    crops = (part.stop - part.start) // config.accumulate
    if crops == 1 and norms_learn(network) and config.model.image_size // vars(network)["stride"] <= 1:
        raise InputError(
            "batch norms take no statistics of a single crop that is a pixel in the end: "
            "raise image_size or batch_size, or lower accumulate"
        )


def _compile(network: nn.Module) -> None:
    """Let torch compile the network, with its derivative, when it is first called; InputError without a compiler."""
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++", "cl"))):
        raise InputError("compile: torch needs a C++ compiler, and there is none here (on Debian: apt install g++)")
    load_shapes()
    network.compile()


def _optimizer(config: TrainingConfig, network: nn.Module, world: World) -> torch.optim.Adam:
    options = config.optimizer
    return torch.optim.AdamW(
        network.parameters(),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.epsilon,
        weight_decay=options.weight_decay,
        fused=world.device.type in ("cpu", "cuda"),
    )


def _restored(config: TrainingConfig, folder: RunFolder, state: TrainingState) -> SavedRun | None:
    """The last state, put in place; InputError when it is of another run, None when there is none."""
    saved = load_state(folder.states, state)
    if saved is None:
        return None
    before = saved.config.resume_key()
    if different := [name for name, value in config.resume_key().items() if value != before[name]]:
        raise InputError(f"{folder.path}: the run to resume differs in {', '.join(different)}: use another folder")
    return saved


def _pictures(config: TrainingConfig, folder: RunFolder, world: World) -> Pictures:
    """All pictures, which one process decodes and the others find in the cache."""
    with world.first_leads():
        pictures = load_pictures(config.data, config.drawn_side, config.model.network.channels, cache=folder.cache)
    if isinstance(config.model, ClassifierConfig) and pictures.classes != config.model.classes:
        raise InputError(
            f"{config.data.source}: its folders are {', '.join(pictures.classes) or 'no classes'}, and the "
            f"classifier's classes {', '.join(config.model.classes)}"
        )
    return pictures


def _about(
    config: TrainingConfig,
    folder: RunFolder,
    world: World,
    saved: SavedRun | None,
    pictures: Pictures,
    network: nn.Module,
) -> SavedRun:
    """What states say of this run: what the last one said, or what it begins with.

    Raises InputError when the pictures are others than those that the state was trained on.
    """
    if saved is None:
        # The processes must agree on it, and a resumed run with those before: `auto` is measured.
        bfloat16 = bool(world.agreed(float(uses_bfloat16(config.precision, world.device))))
        own = hashlib.sha256(json.dumps([config.resume_key(), pictures.digest]).encode())
        for value in network.state_dict().values():
            own.update(value.detach().cpu().contiguous().numpy())
        return SavedRun(config, own.hexdigest()[:16], pictures.digest, bfloat16, 0, 0.0)
    if saved.pictures != pictures.digest:
        raise InputError(
            f"{config.data.source or 'the built-in pictures'}: the pictures are not those that the run in "
            f"{folder.path} was trained on so far: put them back, or start another run from its model"
        )
    return replace(saved, config=config)


def _held_out(config: TrainingConfig, pictures: Pictures) -> Batch | None:
    """What a run is validated on."""
    count = config.validated_images
    if not len(pictures) or not count:
        return None
    batch = BatchSource(config, pictures, count, _VALIDATION_SEED).batch(0)
    if config.minutes is None:
        return batch
    # In random order: any part is fair.
    return batch.part(torch.randperm(count, generator=torch.Generator().manual_seed(_VALIDATION_SEED)))


def initial_model(config: TrainingConfig, init: AnyModel | None) -> AnyModel:
    """What a run starts from: weights drawn from its seed, or those of `init`; InputError for another network.

    Where the model has a network of chroma and `init` has none, that starts from the encoder and a fresh decoder.
    """
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(config.seed)
        model = config.model.build()
    if init is not None:
        if trained_task(init) is not None and config.observations is None:
            raise InputError("the model to start from takes observations: train a conditional model")
        parts = model.parts()
        try:
            for name, part in init.parts().items():
                parts[name].load_state_dict(part.state_dict())
        except (RuntimeError, KeyError) as error:
            raise InputError("the model to start from has another network than the one to train") from error
    for part in model.parts().values():
        if config.trained == "chroma" and isinstance(part, ChromaNetwork):
            part.train_last_stages()
    return model
