"""Windows: the evaluation of a model on overlapping parts of a large picture. `boxes` and `placement` need no torch.

The names of `__init__.pyi` are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
