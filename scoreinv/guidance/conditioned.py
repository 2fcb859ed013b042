"""Conditioning by a network that was trained with observations as input (`conditional`)."""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.guidance.observation import GivenObservation, Observation
from scoreinv.operators import ObservedComponents
from scoreinv.operators.pixelwise import rotated
from scoreinv.prior import Prior, layers
from scoreinv.system.errors import InputError


def refusal(prior: Prior, observation: Observation) -> str | None:
    """Return None if `given` takes the prior and the observation, or else the reason of the refusal."""
    *wrappers, inner = layers(prior)
    if any(isinstance(wrapper, GivenObservation) for wrapper in wrappers):
        return "this prior is given an observation: compose the operators of both into one observation"
    if not isinstance(inner, ConditionalPrior):
        return (
            "this model was trained without observations: use constrained sampling (method pc), or a model trained by "
            "conditional training"
        )
    operator, fits = observation.operator, False
    if isinstance(operator, ObservedComponents) and operator.basis is not None:
        fits = torch.allclose(operator.basis.cpu().double(), inner.preconditioning.basis, atol=1e-5)
    elif isinstance(operator, ObservedComponents):
        fits = bool((operator.observed == operator.observed[:, :1]).all())
    if not fits:
        return (
            f"this model takes observations of whole pixels, or of luma and chroma by the {inner.gray_weights} "
            "weights: use constrained sampling (method pc) for others"
        )
    return "this model takes observations without noise" if observation.noise_std else None


def given(prior: Prior, observation: Observation) -> Conditioned:
    """Return the prior given an observation, for a model that was trained to take it, also in windows (`Tiled`).

    Raises InputError with the reason of `refusal`.
    """
    if reason := refusal(prior, observation):
        raise InputError(reason)
    *_, inner = layers(prior)
    assert isinstance(inner, ConditionalPrior)
    assert isinstance(observation.operator, ObservedComponents)
    estimates = observation.coarse, observation.fine, observation.features
    return Conditioned(prior, observation, inner.maps(observation.operator, observation.y, *estimates))


class Conditioned(GivenObservation):
    """A conditional prior given an observation: grad log p_t(x | y) by one evaluation of the network.

    y is an input of the network, so the only approximation is the network's, and a few steps of any sampler draw from
    p(x0 | y). At sigma_max its prediction (`denoise`) is the posterior mean E[x0 | y]. The observed components of the
    prediction equal y.

    Args:
        prior: a `ConditionalPrior`, or one in a wrapper.
        maps: `ConditionalPrior.maps` of the observation.
    """

    def __init__(self, prior: Prior, observation: Observation, maps: tuple[Tensor, ...]) -> None:
        super().__init__(prior, observation)
        self.maps = maps

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        return self.prior.noise(x, t, *self.maps, *maps)

    def expected_error(self, x0: Tensor, t: Tensor) -> Tensor:
        """Return `ConditionalPrior.expected_error` given the observation."""
        return self._inner.expected_error(x0, t, *self.maps)

    def initial_picture(self) -> Tensor:
        """Return the mean of the initial estimate as a picture in the model's range."""
        return self.to_model((rotated(self.maps[0], self._inner.preconditioning.basis.T) + 1) / 2)

    @property
    def _inner(self) -> ConditionalPrior:
        *_, inner = layers(self.prior)
        assert isinstance(inner, ConditionalPrior)
        return inner
