"""The task `generate`: new pictures from the prior, of a class if a classifier knows it (Song et al. 2021, 4, I.1)."""

from __future__ import annotations

import logging
from numbers import Integral

import numpy as np

from scoreinv.guidance import ClassifierGuidance
from scoreinv.guidance.classifier import Classifier
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.prior import Clipped, Prior, RecommendedSampler, ScorePrior
from scoreinv.samplers import (
    DDIM,
    ODE,
    PC,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    EulerMaruyama,
    Heun,
    Langevin,
    NoiseStream,
    NoPredictor,
    ReverseDiffusion,
    karras_times,
)
from scoreinv.samplers import Sampler as Solver
from scoreinv.samplers.base import Stepper
from scoreinv.sdes import DDPM, VE
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.memory import pixels_at_once
from scoreinv.system.options import GUIDANCE, SEED, Whole, check
from scoreinv.system.text import shown
from scoreinv.tasks.callbacks import Callback, for_sampler, running, split
from scoreinv.tasks.common import Model, finite, model_of, to_arrays
from scoreinv.tasks.outcome import Drawn
from scoreinv.tasks.settings import SAMPLER_STEPS, Corrector, Predictor, Sampler, SamplerSettings

_log = logging.getLogger(__name__)

_LONGEST_NUMBER = 10
"""Most digits of a class's number; Python does not read thousands of them."""

_FEW_PC_STEPS = 100
"""Steps of `pc` below which noise is seen: with `cifar10` 30 grey levels in 20 steps, 14 in 50, 8 in 100; 5 are due."""


def generate(
    prior: Model,
    count: int,
    *,
    sampler: Sampler | Solver | None = None,
    steps: int | None = None,
    predictor: Predictor | None = None,
    corrector: Corrector | None = None,
    corrector_steps: int | None = None,
    snr: float | None = None,
    rtol: float | None = None,
    churn: float | None = None,
    eta: float | None = None,
    seed: int = 0,
    classifier: Classifier | None = None,
    label: int | str | None = None,
    guidance: float | None = None,
    first: int = 0,
    callback: Callback | None = None,
    progress: bool = False,
) -> Drawn[np.ndarray]:
    """Draw `count` pictures of the model's own size; picture i of a seed is the same whatever the count.

        result = scoreinv.generate(scoreinv.load("cifar10"), 16, seed=0)
        result.images

    Args:
        prior: the model, or its name or file.
        count: how many pictures are drawn.
        sampler: `pc` (the paper's), `ode` (adaptive probability flow), `multistep` (DPM-Solver++), `heun` (EDM's) or
            `ddim`. None: `pc` where settings were published with the model, else `multistep`. A sampler of
            `scoreinv.samplers`, or of one's own, has its settings itself.
        steps: of the sampler. None: 25 for `multistep`, 18 for `heun`, 50 for `ddim`, and for `pc` what was published
            with the model, else 1000.
        predictor, corrector, corrector_steps, snr: the parts of `pc`, by their names, and the signal-to-noise ratio of
            its corrector. None: as published with the model, or else the paper's for its SDE.
        rtol: tolerance of `ode`; None: 1e-5.
        churn: noise that `heun` adds in all; None: 0.
        eta: noise that `ddim` adds, from 0 to 1; None: 0.
        seed: the same one gives the same pictures; each has its own noise.
        classifier: of noisy pictures, as `scoreinv.load_classifier` gives it, which steers to a class.
        label: name or number of that class.
        guidance: strength of the classifier: 1 is exact. None: what is recommended with it, else 1.
        first: number of the first picture: 3 and 4 are the first two of `first=3`.
        callback: called with the share of the work that is done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or a line now and then where that is no terminal.

    Raises:
        InputError: a wrong setting, or settings that do not go together.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model gave values that are not finite.
    """
    name, own = (sampler, None) if sampler is None or isinstance(sampler, str) else (None, sampler)
    settings = SamplerSettings(
        sampler=name,
        steps=steps,
        predictor=predictor,
        corrector=corrector,
        corrector_steps=corrector_steps,
        snr=snr,
        rtol=rtol,
        churn=churn,
        eta=eta,
    )
    if own is not None and (isinstance(own, type) or not callable(getattr(own, "sample", None))):
        raise SettingError("sampler", f"must be a name or a sampler of scoreinv.samplers, not {shown(own)}")
    if own is not None and settings != SamplerSettings():
        raise SettingError("sampler", f"has its settings itself: give them to {type(own).__name__}")
    model = model_of(prior)
    check("count", count, Whole(1))
    check("seed", seed, SEED)
    check("first", first, Whole())
    target = _guided(model, classifier, label, guidance)
    solver = make_sampler(model, settings) if own is None else own
    if isinstance(solver, PC) and recommended(model).clip:
        target = Clipped(target)
    side = model.image_size
    at_once = max(1, pixels_at_once(model.device) // side**2)
    batches = [min(at_once, count - done) for done in range(0, count, at_once)]
    images: list[np.ndarray] = []
    evaluations = 0
    with running("sampling", callback, progress=progress) as told:
        for batch, part in zip(batches, split(told, batches), strict=True):
            noise = NoiseStream(seed, batch, first + len(images), device=model.device)
            result = solver.sample(target, (batch, model.channels, side, side), rng=noise, callback=for_sampler(part))
            images += to_arrays(model.to_image(finite(result.x0)))
            evaluations += int(result.nfe.sum())
    return Drawn(np.stack(images), round(evaluations / count))


def _guided(prior: ScorePrior, classifier: Classifier | None, label: int | str | None, guidance: float | None) -> Prior:
    """The prior of a class; InputError where classifier, label and guidance do not go together."""
    if (classifier is None) != (label is None):
        raise InputError("a class needs a classifier and a label")
    if classifier is not None and not callable(classifier):
        raise SettingError("classifier", f"must be one as scoreinv.load_classifier gives it, not {shown(classifier)}")
    if guidance is not None:
        check("guidance", guidance, GUIDANCE)
    if classifier is None or label is None:
        return prior
    if isinstance(classifier, NoiseClassifier):
        _check_match(classifier, prior)
        index = class_index(classifier, label)
        scale = classifier.guidance if guidance is None else guidance
        return ClassifierGuidance(prior, classifier, index, scale)
    if isinstance(label, str):
        raise InputError(f"a class by its name, {label!r}, needs a classifier that has names (`NoiseClassifier`)")
    check("label", label, Whole())
    return ClassifierGuidance(prior, classifier, label, 1.0 if guidance is None else guidance)


def class_index(classifier: NoiseClassifier, name: str | int) -> int:
    """The label of a class, given its name or its number from 0; InputError, with all names, where there is none."""
    if name in classifier.classes:
        return classifier.classes.index(name)
    number = int(name) if isinstance(name, str) and name.isdecimal() and len(name) < _LONGEST_NUMBER else name
    if isinstance(number, Integral) and 0 <= number < len(classifier.classes):
        return int(number)
    raise InputError(f"there is no class {shown(name)}; the classifier's are: {', '.join(classifier.classes)}")


def _check_match(classifier: NoiseClassifier, prior: ScorePrior) -> None:
    """Raise InputError unless the classifier knows the states that the prior's sampler goes through."""
    if not classifier.guides:
        raise InputError("this classifier knows clean pictures only: it can judge, not guide")
    ours = (prior.sde, prior.data_range, prior.channels)
    if (classifier.sde, classifier.data_range, classifier.network.channels) != ours:
        raise InputError("the classifier was trained for states of another SDE, range or number of channels")
    place = next(classifier.parameters()).device
    if place != prior.device:
        raise InputError(f"the classifier is on {place}, and the model on {prior.device}: classifier.to(prior.device)")
    if prior.image_size % classifier.network.stride:
        raise InputError(f"the classifier needs sides that are multiples of {classifier.network.stride}")


def default_sampler(prior: ScorePrior) -> Sampler:
    """The default sampler: `pc` for a model that was published with settings of it, else `multistep`."""
    return "multistep" if prior.sampler is None else "pc"


def make_sampler(prior: ScorePrior, settings: SamplerSettings) -> Solver:
    """The sampler that is asked for; settings that are not given are those recommended for the prior."""
    name = settings.asked or default_sampler(prior)
    if name == "ode":
        return ODE() if settings.rtol is None else ODE(settings.rtol, settings.rtol)
    if name in SAMPLER_STEPS:
        steps = SAMPLER_STEPS[name] if settings.steps is None else settings.steps
        if name == "heun":
            return Heun(settings.churn or 0.0, steps=steps)
        if name == "ddim":
            return PC(DDIM(settings.eta or 0.0), corrector_steps=0, steps=steps, spacing=karras_times)
        return DPMpp2M(steps=steps)
    known = recommended(prior)
    if settings.steps is not None and settings.steps < _FEW_PC_STEPS:
        _log.warning(
            "pc leaves noise in the pictures in fewer than %d steps, and %d are asked for: take more, or the sampler "
            "multistep, whose default is %d",
            _FEW_PC_STEPS,
            settings.steps,
            SAMPLER_STEPS["multistep"],
        )
    wanted = settings.snr is not None or settings.corrector_steps or settings.predictor == "none"
    corrector = settings.corrector or ("langevin" if wanted else known.corrector)
    steps = 1 if settings.corrector_steps is None else settings.corrector_steps
    return PC(
        predictor=_PREDICTORS[settings.predictor or known.predictor],
        corrector=AnnealedLangevin() if corrector == "annealed_langevin" else Langevin(),
        corrector_steps=0 if corrector == "none" else steps,
        snr=known.snr if settings.snr is None else settings.snr,
        steps=known.steps if settings.steps is None else settings.steps,
    )


def recommended(prior: ScorePrior) -> RecommendedSampler:
    """What is recommended with the model, or else the paper's for its SDE (Song et al. 2021, appendix G)."""
    if prior.sampler is not None:
        return prior.sampler
    if isinstance(prior.sde, VE):
        return RecommendedSampler("reverse_diffusion", "langevin")
    return RecommendedSampler("ancestral" if isinstance(prior.sde, DDPM) else "euler_maruyama")


_PREDICTORS: dict[Predictor, Stepper] = {
    "reverse_diffusion": ReverseDiffusion(),
    "euler_maruyama": EulerMaruyama(),
    "ancestral": Ancestral(),
    "ancestral_posterior": Ancestral("posterior"),
    "probability_flow": ReverseDiffusion(eta=0.0),
    "none": NoPredictor(),
}
