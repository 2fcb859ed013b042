"""scoreinv: inverse-problem imaging with score-based generative models through SDEs.

    prior = scoreinv.load("photo")
    result = scoreinv.inpaint(image, mask, prior=prior, samples=4, seed=0)

    observation = scoreinv.guidance.Observation(scoreinv.operators.mask(observed), y, noise_std=0.1)
    solver = scoreinv.samplers.DPMpp2M(eta=1.0, steps=50)
    posterior = scoreinv.guidance.MMPS(prior, observation)

The names of `__init__.pyi` are imported when they are first used, so that importing scoreinv does not import torch.
"""

import sys

import lazy_loader

from scoreinv.system import errors as errors
from scoreinv.system.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

sys.modules[f"{__name__}.errors"] = errors
