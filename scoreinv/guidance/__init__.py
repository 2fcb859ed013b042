"""Priors conditioned on an observation or a class y: grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x).

    given(prior, Observation(operator, y))            a network that was trained with observations
    MMPS(prior, Observation(operator, y, noise_std))  any network; likewise the other conditions

Each condition wraps a prior and is itself a prior, so every sampler can draw from it. The solvers `DDRM` and `DPIR`
are samplers of a `GivenObservation`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
