"""Ready training configurations: the paper's models by their published names, and a small one for a plain computer."""

from __future__ import annotations

from scoreinv.checkpoints.config import ModelConfig
from scoreinv.checkpoints.published import published
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.prior import EDM
from scoreinv.sdes import SDE
from scoreinv.training.config import DataConfig, ObjectiveConfig, OptimizerConfig, TrainingConfig


def paper_training(name: str, data: DataConfig) -> TrainingConfig:
    """A published model trained as in the paper; raises CheckpointError listing the names when there is none such."""
    model = published(name)
    return TrainingConfig(
        model=model.config,
        data=data,
        objective=ObjectiveConfig(
            times="continuous" if model.continuous else "discrete", reduction=model.reduction, stratified=False
        ),
        optimizer=OptimizerConfig(),
        batch_size=model.batch_size,
        ema_decay=model.ema_decay,
        steps=model.iterations,
    )


def small_training(sde: SDE, data: DataConfig) -> TrainingConfig:
    """Crops of 64 pixels, a network of 7 million weights with a pixel-unshuffle stem, EDM preconditioning."""
    network = NCSNppConfig(
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
    return TrainingConfig(
        model=ModelConfig(network, sde, EDM(), (-1.0, 1.0), 64),
        data=data,
        objective=ObjectiveConfig(weighting="uniform"),
        optimizer=OptimizerConfig(learning_rate=5e-4, warmup=500, anneal="cosine"),
        batch_size=32,
        steps=10_000,
        validate_every=500,
        sample_every=1000,
        snapshot_every=0,
    )
