"""Samplers of the reverse process: predictor-corrector, probability-flow ODE, DPM-Solver++, EDM's Heun sampler.

Each is a frozen dataclass of settings with a method `sample` (`Sampler`); those on a time grid are generators of states
(`GridSampler.states`). The predictors and correctors of `PC` have a `step` instead. Samplers work with any prior and
never see an observation; the solvers of `guidance` do.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
