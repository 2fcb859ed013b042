"""Priors conditioned on an observation or a class y: grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x).

Each condition wraps a prior and is itself a prior, so every sampler can draw from it. Priors whose networks were
trained with observations are in `conditional`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
