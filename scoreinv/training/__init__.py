"""Training: learners, the loop, runs and their states, and data; `train` is the entry point.

The names in `__init__.pyi` are imported on first use, because importing torch takes long.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
