"""Configuration of a training run: frozen dataclasses, stored as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.codec import decode, encode, in_file, read_json
from scoreinv.models.config import AnyConfig, ClassifierConfig, ColourConfig, DetectorConfig, FillConfig, PriorConfig
from scoreinv.sdes import DDPM, VE
from scoreinv.system.errors import InputError
from scoreinv.system.options import (
    BATCH_SIZE,
    LEARNING_RATE,
    TRAINING_MINUTES,
    TRAINING_STEPS,
    Number,
    Whole,
    check,
    check_settings,
    require,
)
from scoreinv.training.data.synthetic_damage import DamageDrawing


@dataclass(frozen=True)
class DataConfig:
    """Training pictures, and how crops are drawn from them; `TrainingConfig.drawn_side` is the side of a crop.

    Attributes:
        source: a folder (read recursively), a zip file, a TFRecord file of pictures, or LSUN's LMDB; None for the small
            built-in set of photographs.
        mode: `crops` of large pictures at several scales; `resize`, whole pictures with the shorter side resized to the
            drawn one, and a random part of the longer side; `zooms`, random squares from `least_zoom` of the shorter
            side up to all of it, resized; or `center`, the central square, resized, as in the reference implementation.
        scales: of the pictures to crop, at most 1; equally likely if the picture is large enough.
        least_zoom: side of the smallest square of `zooms`, as a share of the picture's shorter side.
        shares: share of a folder's pictures in each pass, drawn again for each pass, so that large sets of few subjects
            do not crowd out others: ((folder, share), ...). A share of 2 takes each picture twice; the default is 1.
        flip: mirror half of the pictures.
        shift: largest shift of a drawn picture in both directions, in pixels, reflected at its borders.
        dequantise: values (k + u) / 256 with u uniform on [0, 1) instead of k / 255.
        holdout: pictures to keep for validation: their paths in the source, file names, or file names without suffix.
        holdout_fraction: share of further pictures to keep for validation, chosen by a hash of their names.
        memory_gb: beyond this size, the decoded pictures in the run's folder are memory-mapped.
    """

    source: str | None = None
    mode: Literal["crops", "resize", "zooms", "center"] = "crops"
    scales: tuple[float, ...] = (1.0, 0.7, 0.5, 0.35, 0.25)
    least_zoom: Annotated[float, Number(None, 1.0)] = 0.5
    shares: tuple[tuple[str, float], ...] = ()
    flip: bool = True
    shift: Annotated[int, Whole(0, 1000)] = 0
    dequantise: bool = False
    holdout: tuple[str, ...] = ()
    holdout_fraction: float = 0.05
    memory_gb: Annotated[float, Number(None)] = 6.0

    removed_fields: ClassVar = ("detail_candidates", "crops")

    def __post_init__(self) -> None:
        check_settings(self, "data.")
        require(all(0 < share <= 1000 for _, share in self.shares), "data.shares must lie in (0, 1000]")
        require(len(dict(self.shares)) == len(self.shares), "data.shares names a folder twice")
        require(self.source != "", "data.source is empty: name a folder or a zip file, or leave it out")
        require(bool(self.scales) and all(0 < scale <= 1 for scale in self.scales), "data.scales must lie in (0, 1]")
        require(0 <= self.holdout_fraction < 1, "data.holdout_fraction must lie in [0, 1)")


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
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: Annotated[float, Number(None)] = 1e-8
    warmup: Annotated[int, Whole(0)] = 5000
    clip: Annotated[float, Number(0)] = 1.0
    weight_decay: Annotated[float, Number(0)] = 0.0
    anneal: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        check_settings(self, "optimizer.")
        require(0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, "optimizer.beta1 and beta2 must lie in [0, 1)")


@dataclass(frozen=True)
class ObjectiveConfig:
    """Denoising score matching; `scoreinv.training.losses` has the formulas.

    Attributes:
        times: `continuous`, on [1e-5, 1]; or `discrete`, uniform on the grid of the SDE's `steps` times: SMLD
            on the VE SDE, DDPM on the DDPM chain.
        weighting: `paper` (unit weight on the noise prediction), `likelihood` (g^2 on the score, with continuous times
            drawn by importance), `uniform` (unit weight on the output of an EDM-preconditioned network, in
            expectation); or `residual`, for networks that take an observation: each picture's error, relative to that
            of its initial estimate.
        reduction: over a picture's values: `mean`, or `sum` (halved, as in the paper).
        focus: mean and standard deviation of the logarithm of the noise levels sigma / alpha (for pictures on [-1, 1])
            of continuous times (Karras et al. 2022, section 5); None: uniform times. Not for the likelihood weighting,
            which bounds the likelihood over uniform times only.
        stratified: spread the times of a batch evenly (one uniform offset), for less variance.
        label_smoothing: for a classifier: share of the target probability that is spread over all classes.
    """

    times: Literal["continuous", "discrete"] = "continuous"
    weighting: Literal["paper", "likelihood", "uniform", "residual"] = "paper"
    reduction: Literal["mean", "sum"] = "mean"
    focus: tuple[float, float] | None = None
    stratified: bool = True
    label_smoothing: float = 0.0

    removed_fields: ClassVar = ("sigma_data",)  # the loss takes the preconditioning's

    def __post_init__(self) -> None:
        check_settings(self, "objective.")
        require(0 <= self.label_smoothing < 1, "objective.label_smoothing must lie in [0, 1)")
        if self.focus is not None:
            check("the mean of objective.focus", self.focus[0], Number(-math.inf))
            check("the deviation of objective.focus", self.focus[1], Number(None))
            require(self.times == "continuous", "objective.focus is for continuous times")
            if self.weighting == "likelihood":
                raise InputError("objective.focus does not go with the likelihood weighting, which draws its times")


@dataclass(frozen=True)
class ObservationConfig:
    """Observations of training pictures for a conditional prior: shares of six kinds, and of films and prints.

    The shares of the first six attributes add up to 1.

    Attributes:
        nothing: the unconditional prior.
        holes: missing pixels: single ones, scratches, writing, strokes, boxes, borders, halves.
        gray: luma only.
        hints: luma, and chroma in a few places.
        damaged_gray: luma with holes, sometimes with chroma in a few places.
        refined: holes, and the whole picture at half the size, for refining a coarser result.
        other_films: of the pictures with observed luma, the share with the luma of another film
            (`prints.on_other_film`).
        old_prints: of the rest of these, the share on an old print (`prints.on_old_print`).
        colour_films: of all pictures, the share in the colours of another film (`prints.on_colour_film`).
    """

    nothing: float = 0.15
    holes: float = 0.4
    gray: float = 0.15
    hints: float = 0.1
    damaged_gray: float = 0.1
    refined: float = 0.1
    other_films: Annotated[float, Number(0, 1)] = 0.0
    old_prints: Annotated[float, Number(0, 1)] = 0.0
    colour_films: Annotated[float, Number(0, 1)] = 0.0

    def __post_init__(self) -> None:
        shares = self.kinds.values()
        require(all(share >= 0 for share in shares), "observations: shares must not be negative")
        require(abs(sum(shares) - 1) < 1e-6, f"observations: shares must add up to 1, not {sum(shares):g}")
        check_settings(self, "observations.")

    @property
    def kinds(self) -> dict[str, float]:
        """Return the share of each kind of observation."""
        return {name: getattr(self, name) for name in ("nothing", "holes", "gray", "hints", "damaged_gray", "refined")}


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training run. It needs `steps` or `minutes`, and ends at whichever is reached first.

    Attributes:
        model: a prior, a classifier of noisy pictures, or a damage detector.
        data, optimizer: see their classes.
        objective: see its class. A classifier uses only the settings of times and the label smoothing; a damage
            detector uses none.
        observations: for a conditional prior; None for the others.
        damage: for a damage detector; None for the others.
        trained: network of a prior to train: `score`, or the `chroma` network, which estimates mean colours.
        batch_size: pictures of a step, over all processes.
        accumulate: number of parts that a batch is computed in, to save memory. Gradients are those of the whole batch,
            to rounding, except that batch norms (unless frozen) normalise each part.
        frozen_norms: batch norms keep the statistics of the initial weights and normalise by them, as in evaluation.
            Statistics of small batches are inaccurate, and a network trained on them is less accurate in evaluation.
        ema_decay: of the moving average of the weights, after its warm-up min(decay, (1 + n) / (10 + n)).
        steps: number of training steps.
        minutes: training time, over all resumptions, without loading pictures before the first step.
        seed: of weights, pictures, noise and dropout.
        precision: of the network's inner layers; `auto` is bfloat16 on CUDA devices that support it, and on processors
            on which it is measured to be faster.
        compile: compile the network by `torch.compile`, which takes minutes and makes steps faster. Weights are the
            same to rounding, and files the same.
        log_every, validate_every, sample_every, snapshot_every: steps between lines of metrics, held-out losses, sample
            grids and kept snapshots; 0 for none.
        validation_images: number of held-out crops for the validation loss; 0 for none.
        samples: number of pictures in a sample grid.
        save_minutes: time between training states.
    """

    model: AnyConfig
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    observations: ObservationConfig | None = None
    damage: DamageDrawing | None = None
    trained: Literal["score", "chroma"] = "score"
    batch_size: Annotated[int, BATCH_SIZE] = 64
    accumulate: int = 1
    frozen_norms: bool = False
    ema_decay: float = 0.999
    steps: Annotated[int | None, TRAINING_STEPS] = None
    minutes: Annotated[float | None, TRAINING_MINUTES] = None
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    log_every: Annotated[int, Whole(0)] = 50
    validate_every: Annotated[int, Whole(0)] = 1000
    sample_every: Annotated[int, Whole(0)] = 5000
    snapshot_every: Annotated[int, Whole(0)] = 10000
    validation_images: Annotated[int, Whole(0, BATCH_SIZE.most)] = 256
    samples: Annotated[int, Whole(1, 1000)] = 16
    save_minutes: Annotated[float, Number(0)] = 5.0

    def __post_init__(self) -> None:
        check_settings(self)
        model, objective, conditional = self.model, self.objective, self.observations is not None
        if self.steps is None and self.minutes is None:
            raise InputError("a training run needs steps or minutes")
        if not 1 <= self.accumulate <= self.batch_size or self.batch_size % self.accumulate:
            raise InputError(f"accumulate must divide the batch of {self.batch_size} evenly")
        if not 0 <= self.ema_decay < 1:
            raise InputError("ema_decay must lie in [0, 1)")
        if self.trained == "chroma" and not (isinstance(model, ColourConfig) and model.chroma):
            raise InputError("trained: chroma needs a model with a chroma network")
        if conditional != (self.residual is not None):
            raise InputError("a conditional prior needs observations, and no other model takes them")
        if isinstance(model, DetectorConfig) != (self.damage is not None):
            raise InputError("a damage detector needs damage, and no other model takes it")
        if isinstance(model, DetectorConfig) and model.network.second and not self.frozen_norms:
            raise InputError("a detector with second levels needs frozen_norms: the first levels stay fixed")
        if objective.times == "discrete" and not isinstance(model.sde, VE | DDPM | None):
            raise InputError("discrete times need the VE SDE (SMLD) or the DDPM chain (DDPM)")
        if isinstance(model, PriorConfig) and (objective.weighting == "residual") != conditional:
            raise InputError("a conditional prior needs the residual weighting, and no other prior takes it")
        if isinstance(model, ClassifierConfig) and objective.weighting == "likelihood":
            raise InputError("a classifier has no likelihood weighting: leave objective.weighting out")

    @property
    def residual(self) -> ResidualPreconditioning | None:
        """Return the preconditioning of a conditional prior; None for other models."""
        return self.model.preconditioning if isinstance(self.model, FillConfig) else None

    @property
    def encoder_scale(self) -> int:
        """Return the size of the encoder's luma relative to the picture; 0 without an encoder."""
        return self.model.encoder_scale if isinstance(self.model, ColourConfig) else 0

    @property
    def drawn_side(self) -> int:
        """Return the side of drawn pictures, in pixels: that of the finest luma which the model takes."""
        luma_scale = 1 if self.residual is None else self.residual.luma_scale
        return self.model.image_size * max(luma_scale, self.encoder_scale)

    def resume_key(self) -> dict[str, Any]:
        """Return the entries that a resumed run must not change.

        They exclude the length of the run, its reports, the location of the pictures and the use of memory.
        """
        entries = {name: value for name, value in encode(self).items() if name not in _CHANGEABLE}
        data = {name: value for name, value in entries["data"].items() if name not in _CHANGEABLE}
        return entries | {"data": data}


def read_config(path: Path) -> TrainingConfig:
    """Read a configuration from a JSON file; raise InputError naming the file and the fault."""
    data = read_json(path)
    with in_file(path):
        return decode(TrainingConfig, data)


_CHANGEABLE = {
    *("source", "memory_gb", "accumulate", "compile", "steps", "minutes", "validation_images", "samples"),
    *("log_every", "validate_every", "sample_every", "snapshot_every", "save_minutes"),
}
"""Entries of a configuration and its data that a resumed run may change."""
