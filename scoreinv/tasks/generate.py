"""The task `generate`: sample the prior, or a class of it by classifier guidance (Song et al. 2021, 4, I.1)."""

from __future__ import annotations

import logging
from numbers import Integral

import numpy as np

from scoreinv import samplers
from scoreinv.guidance import ClassifierGuidance
from scoreinv.guidance.classifier import Classifier
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.prior import Clipped, Prior, RecommendedSampler, ScorePrior
from scoreinv.samplers import PC
from scoreinv.samplers import Sampler as Solver
from scoreinv.samplers.pc import Predictor as SamplerPredictor
from scoreinv.sdes import DDPM, VE
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.memory import pixels_at_once
from scoreinv.system.options import GUIDANCE, SEED, Whole, check
from scoreinv.system.progress import Callback, running
from scoreinv.system.text import shown
from scoreinv.tasks.common import Model, finite, in_batches, model_of, to_arrays
from scoreinv.tasks.outcome import Drawn
from scoreinv.tasks.sampling_settings import (
    GENERATIVE_MODEL,
    SAMPLER_STEPS,
    Corrector,
    Predictor,
    Sampler,
    SamplerSettings,
)

_log = logging.getLogger(__name__)

_TOO_MANY_DIGITS = 10
"""Number of digits from which a name is no class index; Python refuses to parse thousands."""

_FEW_PC_STEPS = 100
"""Steps of `pc` below which noise is visible. Its level with `cifar10`: 30 grey levels after 20 steps, 14 after 50, 8
after 100; pictures have 5."""


def generate(
    prior: Model | None,
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
    """Draw `count` pictures of the model's image size; picture i of a seed does not depend on the count.

        result = scoreinv.generate(scoreinv.load("cifar10"), 16, seed=0)
        result.images

    Args:
        prior: the model, its name or its file; None: `photo`.
        count: number of pictures.
        sampler: `pc` (the paper's), `ode` (adaptive probability flow), `multistep` (DPM-Solver++), `heun` (EDM's) or
            `ddim`; or a sampler object, such as those of `scoreinv.samplers`. None: `pc` if settings were published
            with the model, else `multistep`.
        steps: steps of the sampler. None: 25 for `multistep`, 18 for `heun`, 50 for `ddim`; for `pc` the published
            number, else 1000.
        predictor, corrector, corrector_steps, snr: the parts of `pc`, by name, and the corrector's signal-to-noise
            ratio. None: the published ones of the model, else the paper's for its SDE.
        rtol: tolerance of `ode`; None: 1e-5.
        churn: total noise added by `heun`; None: 0.
        eta: noise added by `ddim`, from 0 to 1; None: 0.
        seed: the same seed draws the same pictures; each has its own noise.
        classifier: noise-conditional classifier for guidance, such as one from `scoreinv.load_classifier`.
        label: name or index of the class.
        guidance: scale of the classifier's gradient; 1 is exact. None: the classifier's recommendation, else 1.
        first: index of the first picture; with `first=3`, the results are pictures 3, 4, ... of the seed.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong setting, or settings that do not fit together.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model returned values that are not finite.
    """
    name, given = (sampler, None) if sampler is None or isinstance(sampler, str) else (None, sampler)
    settings = SamplerSettings(name, steps, predictor, corrector, corrector_steps, snr, rtol, churn, eta)
    if given is not None and (isinstance(given, type) or not callable(getattr(given, "sample", None))):
        raise SettingError("sampler", f"must be a name or a sampler of scoreinv.samplers, not {shown(given)}")
    if given is not None and settings != SamplerSettings():
        raise SettingError("sampler", f"is an object with its own settings: give them to {type(given).__name__}")
    model = model_of(prior, GENERATIVE_MODEL)
    check("count", count, Whole(1))
    check("seed", seed, SEED)
    check("first", first, Whole())
    target = _guided(model, classifier, label, guidance)
    solver = make_sampler(model, settings) if given is None else given
    if isinstance(solver, PC) and recommended(model).clip:
        target = Clipped(target)
    side, images, evaluations = model.image_size, list[np.ndarray](), 0
    with running("sampling", callback, progress=progress):
        for numbers, part in in_batches(range(first, first + count), side**2, pixels_at_once(model.device)):
            noise = samplers.NoiseStream(seed, len(numbers), numbers[0], device=model.device)
            shape = (len(numbers), model.channels, side, side)
            with part:
                result = solver.sample(target, shape, rng=noise)
            images += to_arrays(model.to_image(finite(result.x0)))
            evaluations += int(result.nfe.sum())
    return Drawn(np.stack(images), round(evaluations / count))


def _guided(prior: ScorePrior, classifier: Classifier | None, label: int | str | None, guidance: float | None) -> Prior:
    """Return the prior of a class; raise InputError if classifier, label and guidance do not fit together."""
    if (classifier is None) != (label is None):
        raise InputError("a class needs a classifier and a label")
    if classifier is not None and not callable(classifier):
        raise SettingError("classifier", f"must be one from scoreinv.load_classifier, not {shown(classifier)}")
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
        raise InputError(f"the class name {label!r} needs a classifier with names (`NoiseClassifier`)")
    check("label", label, Whole())
    return ClassifierGuidance(prior, classifier, label, 1.0 if guidance is None else guidance)


def class_index(classifier: NoiseClassifier, name: str | int) -> int:
    """Return the index of a class given its name or index; raise InputError listing all names if there is none."""
    if name in classifier.classes:
        return classifier.classes.index(name)
    number = int(name) if isinstance(name, str) and name.isdecimal() and len(name) < _TOO_MANY_DIGITS else name
    if isinstance(number, Integral) and 0 <= number < len(classifier.classes):
        return int(number)
    raise InputError(f"no class is named {shown(name)}; the classes are: {', '.join(classifier.classes)}")


def _check_match(classifier: NoiseClassifier, prior: ScorePrior) -> None:
    """Raise InputError unless the classifier was trained for the prior's noisy states."""
    if not classifier.guides:
        raise InputError("this classifier was trained on clean pictures only: it can evaluate, not guide")
    ours = (prior.sde, prior.data_range, prior.channels)
    if (classifier.sde, classifier.data_range, classifier.network.channels) != ours:
        raise InputError("the classifier was trained for states of another SDE, range or number of channels")
    device = next(classifier.parameters()).device
    if device != prior.device:
        raise InputError(f"the classifier is on {device}, and the model on {prior.device}: classifier.to(prior.device)")
    if prior.image_size % classifier.network.stride:
        raise InputError(f"the classifier needs sides that are multiples of {classifier.network.stride}")


def default_sampler(prior: ScorePrior) -> Sampler:
    """Return `pc` if its settings were published with the model, else `multistep`."""
    return "multistep" if prior.sampler is None else "pc"


def make_sampler(prior: ScorePrior, settings: SamplerSettings) -> Solver:
    """Return the sampler of the settings; missing ones are those recommended for the prior."""
    name = settings.chosen or default_sampler(prior)
    if name == "ode":
        return samplers.ODE() if settings.rtol is None else samplers.ODE(settings.rtol, settings.rtol)
    if name in SAMPLER_STEPS:
        steps = SAMPLER_STEPS[name] if settings.steps is None else settings.steps
        if name == "heun":
            return samplers.Heun(settings.churn or 0.0, steps=steps)
        if name == "ddim":
            return PC(samplers.DDIM(settings.eta or 0.0), corrector_steps=0, steps=steps, spacing=samplers.karras_times)
        return samplers.DPMpp2M(steps=steps)
    defaults = recommended(prior)
    if settings.steps is not None and settings.steps < _FEW_PC_STEPS:
        _log.warning(
            "pc leaves visible noise with fewer than %d steps (%d given): use more, or the sampler multistep, whose "
            "default is %d",
            _FEW_PC_STEPS,
            settings.steps,
            SAMPLER_STEPS["multistep"],
        )
    needs_corrector = settings.snr is not None or settings.corrector_steps or settings.predictor == "none"
    corrector = settings.corrector or ("langevin" if needs_corrector else defaults.corrector)
    steps = 1 if settings.corrector_steps is None else settings.corrector_steps
    return PC(
        predictor=_PREDICTORS[settings.predictor or defaults.predictor],
        corrector=samplers.AnnealedLangevin() if corrector == "annealed_langevin" else samplers.Langevin(),
        corrector_steps=0 if corrector == "none" else steps,
        snr=defaults.snr if settings.snr is None else settings.snr,
        steps=defaults.steps if settings.steps is None else settings.steps,
    )


def recommended(prior: ScorePrior) -> RecommendedSampler:
    """Return the settings published with the model, else the paper's for its SDE (Song et al. 2021, appendix G)."""
    if prior.sampler is not None:
        return prior.sampler
    if isinstance(prior.sde, VE):
        return RecommendedSampler("reverse_diffusion", "langevin")
    return RecommendedSampler("ancestral" if isinstance(prior.sde, DDPM) else "euler_maruyama")


_PREDICTORS: dict[Predictor, SamplerPredictor] = {
    "reverse_diffusion": samplers.ReverseDiffusion(),
    "euler_maruyama": samplers.EulerMaruyama(),
    "ancestral": samplers.Ancestral(),
    "ancestral_posterior": samplers.Ancestral("posterior"),
    "probability_flow": samplers.ReverseDiffusion(eta=0.0),
    "none": samplers.NoPredictor(),
}
