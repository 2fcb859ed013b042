"""What a training run is told, as frozen dataclasses with a JSON round trip."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.codec import decode, encode, in_file, read_json
from scoreinv.models.config import AnyConfig, ClassifierConfig, DetectorConfig, ModelConfig
from scoreinv.sdes import DDPM, VE
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

GRID_STEPS = 18
"""Evaluations of the network for each picture of a sample grid."""

STEP_EVALUATIONS = 3
"""Evaluations of the network in the time that a step takes."""

DAMAGE_SHARES = {
    "scratches": 0.19,
    "creases": 0.10,
    "folds": 0.11,
    "cracks": 0.08,
    "dust": 0.13,
    "rubbed": 0.08,
    "hairs": 0.06,
    "stains": 0.07,
    "torn": 0.05,
    "rips": 0.05,
    "writing": 0.04,
    "faded_border": 0.04,
    "film": 0.05,
    "specks": 0.05,
}
"""The kinds of damage, and how often they are drawn usually."""


@dataclass(frozen=True)
class DataConfig:
    """The pictures and what is drawn from them; the side of a drawn picture is `TrainingConfig.drawn_side`.

    Attributes:
        source: a folder (read recursively) or a zip file; None for the small built-in set of photographs.
        mode: `crops` of big pictures at several scales; whole pictures brought to size by `resize` (the shorter side
            becomes the drawn one; of a longer one a random part is taken); or `zooms`, squares of any size from
            `least_zoom` of the shorter side up to all of it, brought to size.
        scales: of the pictures that crops are taken from, at most 1; equally likely where the picture allows.
        least_zoom: of `zooms`, side of the smallest square, as a share of the picture's shorter side.
        shares: of folders of the source, how much of their pictures each pass takes, drawn anew: sets of few subjects
            need not crowd out the others. ((folder, share), ...), each share above 0, and 2 is each
            picture twice; of other folders all once.
        flip: mirror every second picture.
        shift: move each drawn picture by up to so many pixels both ways, reflected at its borders.
        dequantise: values (k + u) / 256 with u uniform on [0, 1) instead of k / 255.
        holdout: names of pictures (with or without their folder) that are kept for validation.
        holdout_fraction: share of the pictures kept for validation besides, chosen by a hash of their names.
        memory_gb: decoded pictures beyond this are kept in a memory-mapped file in the run's folder.
    """

    source: str | None = None
    mode: Literal["crops", "resize", "zooms"] = "crops"
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
        warmup: steps over which the learning rate rises linearly from 0.
        clip: largest norm of the whole gradient; 0 for none.
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
    """Denoising score matching; see `scoreinv.training.score_matching` for the formulas.

    Attributes:
        times: `continuous`, on [1e-5, 1]; or `discrete`, uniform on the grid of the SDE's `steps` times: SMLD
            on the VE SDE, DDPM on the DDPM chain.
        weighting: `paper` (unit weight on the noise prediction), `likelihood` (g^2 on the score; continuous times are
            drawn by importance), or `uniform` (unit weight on the output of an EDM-preconditioned network, in
            expectation); `residual`, for networks that take an observation: the error of each picture over that of the
            initial estimate it starts from, as decibels count it.
        reduction: over a picture's values: `mean`, or `sum` (halved, as in the paper).
        focus: mean and standard deviation of the logarithm of the noise levels sigma / alpha (of pictures on [-1, 1])
            that continuous times are drawn at (Karras et al. 2022, section 5); None: times are uniform. Not for the
            likelihood weighting, which is a bound of the likelihood over uniform times only.
        stratified: spread the times of a batch evenly (one uniform offset); less noise, same expectation.
        label_smoothing: of a classifier: so much of the probability that is aimed at is spread over all classes.
    """

    times: Literal["continuous", "discrete"] = "continuous"
    weighting: Literal["paper", "likelihood", "uniform", "residual"] = "paper"
    reduction: Literal["mean", "sum"] = "mean"
    focus: tuple[float, float] | None = None
    stratified: bool = True
    label_smoothing: float = 0.0

    removed_fields: ClassVar = ("sigma_data",)  # the preconditioning's own counts

    def __post_init__(self) -> None:
        check_settings(self, "objective.")
        require(0 <= self.label_smoothing < 1, "objective.label_smoothing must lie in [0, 1)")
        if self.focus is not None:
            check("the mean of objective.focus", self.focus[0], Number(-math.inf))
            check("the deviation of objective.focus", self.focus[1], Number(None))
            require(self.times == "continuous", "objective.focus is for continuous times")
            require(
                self.weighting != "likelihood",
                "objective.focus does not go with the likelihood weighting, whose times are drawn by importance",
            )


@dataclass(frozen=True)
class ObservationConfig:
    """What a conditional prior is shown of its training pictures: the share of each kind; they add up to 1.

    Attributes:
        nothing: the unconditional prior.
        holes: whole pixels lost: single ones, scratches, writing, strokes, boxes, borders, halves.
        gray: luma only.
        hints: luma, and chroma at a few places.
        damaged_gray: luma with holes, sometimes with chroma at a few places.
        refined: holes, and the whole picture at half the size: the step from one scale to the next finer one.
        other_films: of the pictures whose luma is shown, the share that gets one that another film made
            (`prints.on_other_film`).
        old_prints: of the rest of these, the share that is shown as an old print (`prints.on_old_print`).
        colour_films: of all pictures, the share that is shown in the colours of another film
            (`prints.on_colour_film`).

    What is observed is one of the first six, whose shares add up to 1.
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
        """Share of each kind of observation."""
        return {name: share for name, share in asdict(self).items() if not name.endswith(("films", "prints"))}


@dataclass(frozen=True)
class DamageDrawing:
    """How a damage detector is shown its training pictures; see `scoreinv.training.synthetic_damage`.

    Attributes:
        undamaged: share of the pictures that get none.
        often: kinds of damage that are drawn more or less often than usual, and how many times: ((kind, times), ...).
        most: kinds of a picture at most.
    """

    undamaged: Annotated[float, Number(0, 1)] = 0.3
    often: tuple[tuple[str, float], ...] = ()
    most: Annotated[int, Whole(1, 4)] = 4

    def __post_init__(self) -> None:
        check_settings(self, "damage.")
        for kind, times in self.often:
            check("a kind of damage.often", kind, tuple(DAMAGE_SHARES))
            require(0 <= times <= 1000, f"damage.often of {kind} must lie in [0, 1000]")
        require(len(dict(self.often)) == len(self.often), "damage.often names a kind twice")
        drawn = sum(dict(self.often).get(kind, 1.0) > 0 for kind in DAMAGE_SHARES)
        require(drawn >= self.most, f"damage.often leaves {drawn} kinds: damage.most must be no more")

    @property
    def shares(self) -> dict[str, float]:
        """How often each kind is drawn; they add up to 1."""
        weights = {kind: share * dict(self.often).get(kind, 1.0) for kind, share in DAMAGE_SHARES.items()}
        return {kind: weight / sum(weights.values()) for kind, weight in weights.items()}


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run.

    Attributes:
        model: what is trained: a prior, a classifier of noisy pictures, or a damage detector.
        data, objective, optimizer: see there; of a classifier the objective's times and label smoothing only, of a
            damage detector nothing of the objective.
        observations: what a conditional prior is shown; None for the others.
        damage: what a damage detector is shown; None for the others.
        trained: of a prior, its `score` network; or the network that tells it the mean `chroma` of grey pictures.
        batch_size: pictures a step, over all processes.
        accumulate: parts of a step's batch that are done one after the other, for less memory; their gradients add up
            to those of the whole batch, to rounding; but batch norms that are not frozen take each part's statistics.
        frozen_norms: batch norms keep the statistics of the weights that the run starts from, and normalise by them, as
            when the model works. Those of a batch of a few pictures are of these pictures: a network that learns with
            them is a little wrong without.
        ema_decay: of the moving average of the weights, after its warm-up min(decay, (1 + n) / (10 + n)).
        steps, minutes: the run ends at whichever is reached first; one of them must be given.
        seed: of weights, pictures, noise and dropout.
        precision: of the network's inner layers; `auto` is bfloat16 where CUDA has it, or a processor is
            measured to be faster in it.
        compile: the network's steps are compiled by `torch.compile`, which takes minutes, and then less time each; the
            weights are the same to rounding, and so are the files.
        log_every, validate_every, sample_every, snapshot_every: steps between lines of metrics, held-out losses, sample
            grids and kept snapshots; 0 for none.
        validation_images: held-out pictures (crops) that the validation loss is taken over, at most.
        samples: pictures of a sample grid, at most. A run of few steps takes fewer of both, so that each costs a tenth
            of the training (but no fewer than 32 and 4); so does one of few minutes, as it goes on.
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
        require(
            self.trained == "score" or (isinstance(self.model, ModelConfig) and self.model.chroma),
            "only a model with a network of chroma can have that trained",
        )
        require(self.steps is not None or self.minutes is not None, "a training run needs steps or minutes")
        require(
            1 <= self.accumulate <= self.batch_size and self.batch_size % self.accumulate == 0,
            f"accumulate must divide the batch of {self.batch_size} evenly",
        )
        require(0 <= self.ema_decay < 1, "ema_decay must lie in [0, 1)")
        require(
            (self.observations is None) == (self.residual is None),
            "a conditional prior is trained with observations, and no other is",
        )
        require(
            (self.damage is None) != isinstance(self.model, DetectorConfig),
            "a damage detector is trained with damage, and no other is",
        )
        objective, model = self.objective, self.model
        require(
            self.frozen_norms or not isinstance(model, DetectorConfig) or not model.network.second,
            "second levels are trained with frozen_norms: the other levels stay what they are",
        )
        require(
            objective.times != "discrete" or model.sde is None or isinstance(model.sde, VE | DDPM),
            "discrete times need the VE SDE (SMLD) or the DDPM chain (DDPM)",
        )
        require(
            not isinstance(model, ModelConfig)
            or (objective.weighting == "residual") == (self.observations is not None),
            "the residual weighting and a network that takes observations need each other",
        )
        require(
            not isinstance(model, ClassifierConfig) or objective.weighting != "likelihood",
            "a classifier has no likelihood weighting: leave objective.weighting out",
        )

    @property
    def residual(self) -> ResidualPreconditioning | None:
        """How the network of a conditional prior is read; None for the other models."""
        return self.model.residual if isinstance(self.model, ModelConfig) else None

    @property
    def encoder_scale(self) -> int:
        """How many times larger than the picture its luma is shown to the encoder; 0: not at all."""
        return self.model.encoder_scale if isinstance(self.model, ModelConfig) else 0

    @property
    def drawn_side(self) -> int:
        """Side of the pictures that are drawn, in pixels: the model's, or that of the finest luma it is shown."""
        luma_scale = 1 if self.residual is None else self.residual.luma_scale
        return self.model.image_size * max(luma_scale, self.encoder_scale)

    @property
    def validated_images(self) -> int:
        """Held-out pictures that this run is validated on: of one that ends by steps a tenth of what they cost pays."""
        if self.steps is None:
            return self.validation_images
        return min(self.validation_images, max(32, STEP_EVALUATIONS * self.steps * self.batch_size // 10))

    @property
    def grid_images(self) -> int:
        """Pictures of this run's sample grids, likewise."""
        if self.steps is None:
            return self.samples
        return min(self.samples, max(4, STEP_EVALUATIONS * self.steps * self.batch_size // (10 * GRID_STEPS)))

    def resume_key(self) -> dict[str, Any]:
        """Return the options that a resumed run must share: all but its length, reports, data folder and memory."""
        entries = {name: value for name, value in encode(self).items() if name not in _FREE}
        data = {name: value for name, value in entries["data"].items() if name not in _FREE}
        return entries | {"data": data}


def read_config(path: Path) -> TrainingConfig:
    """The run that a JSON file describes; raises InputError naming the file, and what is wrong with it."""
    data = read_json(path)
    with in_file(path):
        return decode(TrainingConfig, data)


_FREE = frozenset(
    {
        "source",
        "memory_gb",
        "accumulate",
        "compile",
        "steps",
        "minutes",
        "log_every",
        "validate_every",
        "sample_every",
        "snapshot_every",
        "validation_images",
        "samples",
        "save_minutes",
    }
)
"""Entries of a configuration, and of its data, in which a resumed run may differ."""
