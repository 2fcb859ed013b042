"""Training: the loop, losses, moving average, data and states; `train` is the entry point.

The names in `__init__.pyi` are imported on first use, because importing torch takes long.
"""

import lazy_loader

from scoreinv.system.moved import moved

_lazy_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = moved(__name__, {"RunFolder": "scoreinv.training.TrainingRun"}, others=_lazy_getattr)
