"""New pictures from the prior, of a class where a classifier is given (Song et al. 2021, section 4, appendix I.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np

from scoreinv.classifier import NoiseClassifier
from scoreinv.errors import InputError
from scoreinv.guidance import ClassifierGuidance, Clipped
from scoreinv.guidance.classifier import Classifier
from scoreinv.prior import Prior, RecommendedSampler, ScorePrior
from scoreinv.samplers import ODE, PC, Ancestral, EulerMaruyama, Multistep, NoiseStream, ReverseDiffusion
from scoreinv.sdes import DDPM, VE
from scoreinv.tasks.common import PIXELS_AT_ONCE, Share, TaskCallback, Told, finite, to_arrays

Sampler = Literal["pc", "ode", "multistep"]

MULTISTEP_STEPS = 25


@dataclass(frozen=True)
class GenerationResult:
    """New pictures.

    Attributes:
        images: NxHxWxC float32 in [0, 1].
        nfe: evaluations of the network for each picture, on average.
    """

    images: np.ndarray
    nfe: int


def generate(
    prior: ScorePrior,
    count: int,
    *,
    sampler: Sampler | None = None,
    steps: int | None = None,
    seed: int = 0,
    classifier: Classifier | None = None,
    label: int | str | None = None,
    guidance: float | None = None,
    first: int = 0,
    callback: TaskCallback | None = None,
) -> GenerationResult:
    """Draw `count` pictures of the model's own size; picture i of a seed is the same whatever the count.

    Arguments:
        sampler: `pc` with the settings recommended with the model, else the paper's for its SDE (`recommended`), `ode`
            (adaptive probability flow), or `multistep` (DPM-Solver++, good in 25 evaluations). None: `default_sampler`.
        steps: of `pc` (as recommended, else 1000) and `multistep` (25); the ODE chooses its own.
        classifier, label, guidance: see `ClassifierGuidance`; a label by name or number, see `class_index`. No guidance
            given is what is recommended with a `NoiseClassifier`, 1 with others.
        first: number of the first picture: 3 and 4 are the first two of `first=3`.
        callback: told of progress; may stop the work.

    Raises InputError for settings that are not such, Cancelled when the callback stopped, and ScoreinvError when the
    model gives values that are not finite.
    """
    if count < 1:
        raise InputError(f"at least one picture must be asked for, not {count}")
    if (classifier is None) != (label is None):
        raise InputError("a class needs a classifier and a label")
    if guidance is not None and not 0 <= guidance < math.inf:
        raise InputError(f"guidance must be a number of at least 0, not {guidance}")
    if isinstance(classifier, NoiseClassifier):
        _check_match(classifier, prior)
        label = class_index(classifier, label)
        guidance = classifier.guidance if guidance is None else guidance
    elif isinstance(label, str):
        raise InputError(f"a class by its name, {label!r}, needs a classifier that has names (`NoiseClassifier`)")
    sampler = sampler or default_sampler(prior)
    solver = make_sampler(prior, sampler, steps)
    target: Prior = prior
    if classifier is not None:
        target = ClassifierGuidance(prior, classifier, label, 1.0 if guidance is None else guidance)
    if sampler == "pc" and recommended(prior).clip:
        target = Clipped(target)
    return draw_pictures(prior, target, solver, count, seed, first, callback)


def draw_pictures(
    prior: ScorePrior,
    target: Prior,
    solver: PC | ODE | Multistep,
    count: int,
    seed: int = 0,
    first: int = 0,
    callback: TaskCallback | None = None,
) -> GenerationResult:
    """`count` draws by any sampler from `target`, the prior or what it is wrapped in, as many at once as memory allows.

    Raises Cancelled when the callback stopped, and ScoreinvError when the model gives values that are not finite.
    """
    side = prior.image_size
    at_once = max(1, PIXELS_AT_ONCE // side**2)
    share = Share(callback, count)
    images: list[np.ndarray] = []
    evaluations = 0
    for done in range(0, count, at_once):
        batch = min(at_once, count - done)
        share.begin(batch)
        noise = NoiseStream(seed, batch, first + done, device=prior.device)
        result = solver.sample(target, (batch, prior.channels, side, side), noise=noise, callback=Told(share))
        images += to_arrays(prior.to_image(finite(result.x0)))
        evaluations += int(result.nfe.sum())
    return GenerationResult(np.stack(images), round(evaluations / count))


def class_index(classifier: NoiseClassifier, name: str | int) -> int:
    """The label of a class by its name, or by its number from 0; InputError with the names when there is none such."""
    if name in classifier.classes:
        return classifier.classes.index(name)
    number = int(name) if isinstance(name, str) and name.isdecimal() else name
    if isinstance(number, Integral) and 0 <= number < len(classifier.classes):
        return int(number)
    raise InputError(f"there is no class {name!r}; the classifier's are: {', '.join(classifier.classes)}")


def _check_match(classifier: NoiseClassifier, prior: ScorePrior) -> None:
    """Raise InputError unless the classifier knows the states that the prior's sampler goes through."""
    if not classifier.guides:
        raise InputError("this classifier knows clean pictures only: it can judge, not guide")
    ours = (prior.sde, prior.data_range, prior.channels)
    if (classifier.sde, classifier.data_range, classifier.network.channels) != ours:
        raise InputError("the classifier was trained for states of another SDE, range or number of channels")
    if prior.image_size % classifier.network.stride:
        raise InputError(f"the classifier needs sides that are multiples of {classifier.network.stride}")


def default_sampler(prior: ScorePrior) -> Sampler:
    """`pc` for a model that was published with settings of it, else the fast one."""
    return "multistep" if prior.sampler is None else "pc"


def make_sampler(prior: ScorePrior, sampler: Sampler, steps: int | None) -> PC | ODE | Multistep:
    """The sampler of a name with its settings for the prior; InputError for one that there is not."""
    if sampler == "pc":
        settings = recommended(prior)
        return PC(
            predictor=_PREDICTORS[settings.predictor],
            corrector_steps=0 if settings.corrector == "none" else 1,
            snr=settings.snr,
            steps=settings.steps if steps is None else steps,
        )
    if sampler == "ode":
        if steps is not None:
            raise InputError("the ODE sampler chooses its steps by itself")
        return ODE()
    if sampler == "multistep":
        return Multistep(steps=MULTISTEP_STEPS if steps is None else steps)
    raise InputError(f"unknown sampler {sampler!r}: choose pc, ode or multistep")


def recommended(prior: ScorePrior) -> RecommendedSampler:
    """What is recommended with the model, or else the paper's for its SDE (Song et al. 2021, appendix G)."""
    if prior.sampler is not None:
        return prior.sampler
    if isinstance(prior.sde, VE):
        return RecommendedSampler("reverse_diffusion", "langevin")
    return RecommendedSampler("ancestral" if isinstance(prior.sde, DDPM) else "euler_maruyama")


_PREDICTORS = {
    "reverse_diffusion": ReverseDiffusion(),
    "euler_maruyama": EulerMaruyama(),
    "ancestral": Ancestral(),
    "ancestral_posterior": Ancestral("posterior"),
}
