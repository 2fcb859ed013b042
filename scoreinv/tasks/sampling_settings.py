"""Settings of generation, of the likelihood and of run evaluations, checked when they are made. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from scoreinv.system.errors import SettingError
from scoreinv.system.options import ODE_RTOL, RTOL, STEPS, Number, Setting, Whole, check_settings

Sampler = Literal["pc", "ode", "multistep", "heun", "ddim"]
Predictor = Literal[
    "reverse_diffusion", "euler_maruyama", "ancestral", "ancestral_posterior", "probability_flow", "none"
]
Corrector = Literal["langevin", "annealed_langevin", "none"]

GENERATIVE_MODEL = "photo"
"""Bundled model for generation and interpolation."""

SAMPLER_STEPS: dict[Sampler, int] = {"multistep": 25, "heun": 18, "ddim": 50}
"""Times of the grid for new pictures; of `heun` as in its paper for CIFAR-10."""


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of generation; None means the model's recommendation, else the paper's setting for its SDE.

    If `sampler` is None, a setting that only one sampler has chooses it (`chosen`). The corrector is `langevin` if its
    steps or snr are given, or if the predictor is `none`. Predictors and correctors are those of Song et al. 2021,
    appendix D to G. Step sizes of `langevin` follow the norms of score and noise; those of `annealed_langevin` follow
    the noise level.
    """

    sampler: Annotated[
        Sampler | None,
        Setting(
            "pc: predictor-corrector, the paper's; ode: adaptive probability flow; multistep: DPM-Solver++, fast; "
            "heun: EDM's; ddim. "
            "(default: pc if settings were published with the model, else multistep)",
            advanced=True,
        ),
    ] = None
    steps: Annotated[
        int | None,
        Setting(
            "Steps of pc (default: as recommended with the model, else 1000), "
            + ", ".join(f"{name} (default: {steps})" for name, steps in SAMPLER_STEPS.items())
            + ".",
            STEPS,
            advanced=True,
        ),
    ] = None
    predictor: Annotated[
        Predictor | None,
        Setting(
            "Predictor step of pc; none leaves all to the corrector. "
            "(default: as recommended with the model, else the paper's for its SDE)",
            advanced=True,
        ),
    ] = None
    corrector: Annotated[
        Corrector | None,
        Setting(
            "How pc corrects: by steps that follow the norms of score and noise, or (annealed) the noise level. "
            "(default: as recommended with the model, else langevin for VE and none for others)",
            advanced=True,
        ),
    ] = None
    corrector_steps: Annotated[
        int | None, Setting("Steps of the corrector at each time. (default: 1)", Whole(0, 1000), advanced=True)
    ] = None
    snr: Annotated[
        float | None,
        Setting(
            "Signal-to-noise ratio of the corrector's steps. (default: as recommended with the model, else 0.16)",
            Number(None, 10.0),
            advanced=True,
        ),
    ] = None
    rtol: Annotated[
        float | None, Setting(f"Tolerance of ode, relative and absolute. (default: {ODE_RTOL:g})", RTOL, advanced=True)
    ] = None

    churn: Annotated[
        float | None,
        Setting(
            "Noise that heun adds in all, to forget its errors; about as much as it has steps. (default: 0)",
            Number(0.0, 1e6),
            advanced=True,
        ),
    ] = None
    eta: Annotated[
        float | None,
        Setting("Noise that ddim adds: 1 is ancestral sampling. (default: 0)", Number(0.0, 1.0), advanced=True),
    ] = None

    def __post_init__(self) -> None:
        check_settings(self)
        for setting in ("predictor", "corrector", "corrector_steps", "snr"):
            if getattr(self, setting) is not None and self.chosen not in (None, "pc"):
                raise SettingError(setting, f"belongs to the sampler pc, not to {self.chosen}")
        for setting, sampler in _OWNERS.items():
            if getattr(self, setting) is not None and self.chosen != sampler:
                raise SettingError(setting, f"belongs to the sampler {sampler}, not to {self.chosen}")
        if self.steps is not None and self.chosen == "ode":
            raise SettingError("steps", "do not go with the sampler ode, whose steps are adaptive")
        if self.corrector == "none":
            for setting in ("corrector_steps", "snr"):
                if getattr(self, setting):
                    raise SettingError(setting, "belongs to a corrector, and no corrector is asked for")
        if self.predictor == "none" and (self.corrector == "none" or self.corrector_steps == 0):
            raise SettingError("predictor", "none leaves the work to a corrector, and no corrector is asked for")

    @property
    def chosen(self) -> Sampler | None:
        """Return the chosen sampler, by name or by a setting that only it has; None: the model's default."""
        if self.sampler is not None:
            return self.sampler
        if any(value is not None for value in (self.predictor, self.corrector, self.corrector_steps, self.snr)):
            return "pc"
        return next((sampler for setting, sampler in _OWNERS.items() if getattr(self, setting) is not None), None)


_OWNERS: dict[str, Sampler] = {"rtol": "ode", "churn": "heun", "eta": "ddim"}
"""Settings that only one sampler has."""


Probe = Literal["rademacher", "gaussian"]

FIXED_STEPS = Setting(
    "Number of equal steps of the ODE solver, of four evaluations each; 16 suffice. (default: adaptive)", STEPS
)


@dataclass(frozen=True)
class RunEvaluationSettings:
    """Snapshots of a training run to evaluate, and what to measure.

    Attributes:
        from_, to: first and last step to evaluate; None: the run's.
        every: evaluate only steps that are multiples of this number.
        samples: number of samples of each snapshot.
        likelihood: number of held-out pictures for bits/dim.
        exact: solve the ODE of the likelihood adaptively, as in the paper.
    """

    from_: Annotated[int | None, Setting("Of a run: first step to evaluate.", Whole(), option="from")] = None
    to: Annotated[int | None, Setting("Of a run: last step to evaluate.", Whole())] = None
    every: Annotated[int, Setting("Of a run: only snapshots at multiples of this step.", Whole(1))] = 1
    samples: Annotated[
        int,
        Setting(
            "Of a run: number of samples drawn from each snapshot; 0 skips them.", Whole(0, 100_000), option="-n count"
        ),
    ] = 256
    likelihood: Annotated[
        int,
        Setting(
            "Of a run: number of held-out pictures whose bits/dim are computed; 0 skips them.",
            Whole(0, 100_000),
            option="likelihood",
        ),
    ] = 16
    exact: Annotated[
        bool, Setting("Of a run: bits/dim by the paper's adaptive solver, not 16 steps.", advanced=True)
    ] = False

    def __post_init__(self) -> None:
        check_settings(self)

    def includes(self, step: int) -> bool:
        """Return whether a snapshot is to be evaluated."""
        return (self.from_ or 0) <= step <= (step if self.to is None else self.to) and step % self.every == 0


@dataclass(frozen=True)
class LikelihoodSettings:
    """Settings of the likelihood; each draw of dequantisation and probe is unbiased."""

    repeats: Annotated[
        int, Setting("Draws of noise that are averaged; from 2 with a standard error.", Whole(1, 10_000))
    ] = 1
    steps: Annotated[int | None, FIXED_STEPS] = None
    rtol: Annotated[
        float | None, Setting(f"Tolerance of the adaptive solver. (default: {ODE_RTOL:g})", RTOL, advanced=True)
    ] = None
    probe: Annotated[Probe, Setting("Random vectors of the trace estimate.", advanced=True)] = "rademacher"
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)
        if self.steps is not None and self.rtol is not None:
            raise SettingError("rtol", "does not go with steps: the fixed grid has no tolerance")
