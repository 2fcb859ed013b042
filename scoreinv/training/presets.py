"""Training configurations: the paper's models by their published names, and small models for a plain computer."""

from __future__ import annotations

from dataclasses import replace

import torch

from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.config import ClassifierConfig, DetectorConfig, FillConfig, ModelConfig
from scoreinv.models.foreign.published import has_discrete_times, published
from scoreinv.networks.classifiers import WideResNetConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.sdes import SDE, VE
from scoreinv.system.errors import InputError
from scoreinv.training.config import TrainingConfig
from scoreinv.training.data.pictures import DataConfig, load_pictures
from scoreinv.training.fitting import OptimizerConfig
from scoreinv.training.learners import ClassifierLearner, ConditionalLearner, DamageLearner, ScoreLearner

PAPER_DATA = DataConfig(mode="center", holdout_fraction=0.0)
"""Central squares without held-out pictures: the paper evaluates on separate sets."""

CPU_SIZE = 32
"""Default side of the pictures on a processor. A step takes a ninth of the time of one at 64 pixels."""

_COMPARED_PIXELS = 2**24  # limit of memory for the estimate of sigma_max

_FOCUS = (-1.2, 1.2)
"""Mean and standard deviation of ln sigma in training (Karras et al. 2022, table 1), for pictures on [-1, 1]."""

_SMALL_NETWORK = NCSNppConfig(
    width=64,
    multipliers=(1, 2, 2, 2),
    blocks=1,
    attention_levels=(3,),
    fir_kernel=None,
    progressive_input="none",
    fourier_scale=1.0,
    dropout=0.0,
    patch=2,
)


def paper_training(name: str, data: DataConfig = PAPER_DATA) -> TrainingConfig:
    """Return the paper's training of a published model; raise CheckpointError with the names if it is unknown."""
    model = published(name)
    is_ve, side = isinstance(model.sde, VE), model.image_size
    return TrainingConfig(
        model=model,
        data=data,
        learner=ScoreLearner(
            times="discrete" if has_discrete_times(model) else "continuous",
            reduction="sum" if is_ve and name != "ve/ffhq_ncsnpp_continuous" else "mean",
            stratified=False,
        ),
        batch_size={32: 128, 256: 64, 1024: 8}[side],
        ema_decay=0.999 if is_ve and side < 1024 else 0.9999,
        steps=2_400_001 if side > 32 else 950_001 if "_deep_" in name else 1_300_001,
        snapshot_every=50_000,
    )


def conditional_training(sde: SDE, data: DataConfig) -> TrainingConfig:
    """Return `small_training` for a network that takes an observation: a narrower second level, twice the blocks."""
    run = small_training(sde, data)
    preconditioning = ResidualPreconditioning()
    network = replace(
        _SMALL_NETWORK, condition_channels=preconditioning.condition_channels, multipliers=(1, 1, 2, 2), blocks=2
    )
    return replace(
        run,
        model=FillConfig(network, sde, preconditioning, image_size=64),
        learner=ConditionalLearner(focus=(-0.5, 2.0)),
        optimizer=replace(run.optimizer, learning_rate=1e-3),
    )


def classifier_training(sde: SDE, data: DataConfig, classes: tuple[str, ...]) -> TrainingConfig:
    """Return the training of a noisy classifier: a wide residual network (WRN-16-4), at 32 pixels."""
    return TrainingConfig(
        model=ClassifierConfig(WideResNetConfig(classes=len(classes)), sde, classes),
        data=replace(data, mode="resize", shift=4, dequantise=True),
        learner=ClassifierLearner(focus=(0.0, 2.0)),
        optimizer=OptimizerConfig(learning_rate=1.5e-3, warmup=500, weight_decay=0.05, anneal="cosine"),
        steps=30_000,
        validation_images=1000,
        snapshot_every=0,
    )


def damage_training(data: DataConfig) -> TrainingConfig:
    """Return the training of a damage detector, on crops of 160 pixels at scales 1 and 0.6, with synthetic damage."""
    return TrainingConfig(
        model=DetectorConfig(DetectorNetworkConfig((16, 32, 80, 160), coarse_width=256, regions=16)),
        data=replace(data, scales=(1.0, 0.6)),
        learner=DamageLearner(),
        optimizer=OptimizerConfig(learning_rate=2e-3, beta2=0.99, warmup=50, weight_decay=0.01, anneal="cosine"),
        batch_size=6,
        ema_decay=0.995,
        steps=10_000,
        validate_every=500,
        validation_images=128,
        snapshot_every=0,
    )


def small_training(sde: SDE, data: DataConfig, size: int = 64) -> TrainingConfig:
    """Return the training of a prior with EDM preconditioning and EDM's noise levels.

    Up to `CPU_SIZE` pixels 1.2 million weights learn central squares; beyond, 7 million weights with a pixel-unshuffle
    stem learn crops.
    """
    network, optimizer = _SMALL_NETWORK, OptimizerConfig(learning_rate=5e-4, warmup=500, anneal="cosine")
    if size <= CPU_SIZE:
        network = replace(network, width=16, multipliers=(1, 2, 4, 4), patch=1)
        data, optimizer = replace(data, mode="center"), replace(optimizer, learning_rate=3e-3, warmup=200)
    return TrainingConfig(
        model=ModelConfig(network, sde, EDM(), image_size=size),
        data=data,
        learner=ScoreLearner(weighting="uniform", focus=_FOCUS),
        optimizer=optimizer,
        batch_size=16,
        steps=20_000,
        sample_every=2000,
        snapshot_every=0,
    )


def continued_training(start: ModelConfig, sde: SDE, data: DataConfig, size: int | None = None) -> TrainingConfig:
    """Return `small_training` for a start from a model with EDM preconditioning, at the paper's learning rate.

    The network takes a noise level instead of a time, so the SDE may differ from that of the model `start`.
    """
    run = small_training(sde, data, size or start.image_size)
    model = replace(start, sde=sde, image_size=size or start.image_size, sampler=None)
    return replace(run, model=model, optimizer=replace(run.optimizer, learning_rate=OptimizerConfig().learning_rate))


def with_estimated_sigma_max(config: TrainingConfig, count: int = 1000) -> TrainingConfig:
    """Return the configuration with the VE SDE's sigma_max estimated from the data (Song & Ermon 2020, technique 1).

    It is the largest Euclidean distance between two of `count` random pictures (or crops), including held-out ones, in
    the model's range, so that the noise connects all pictures. Fewer are compared if they are large.

    Raises InputError for another SDE than VE, or if all pictures are alike.
    """
    model = config.model
    if not isinstance(model.sde, VE):
        raise InputError("sigma_max is estimated for the VE SDE only")
    count = max(2, min(count, _COMPARED_PIXELS // config.drawn_side**2))
    pictures = load_pictures(config.data, config.drawn_side, model.network.channels, limit=count)
    images = config.source(pictures, count, config.seed).images(0, range(count))
    sigma_max = round(torch.nn.functional.pdist(images.flatten(1)).max().item(), 1)
    if not sigma_max > model.sde.sigma_min:
        where = config.data.source or "the built-in pictures"
        raise InputError(f"{where}: sigma_max cannot be estimated, because all pictures are alike: give a number")
    return replace(config, model=replace(model, sde=replace(model.sde, sigma_max=sigma_max)))
