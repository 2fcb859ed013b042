"""Pictures: samples, colour, metadata, regions. Nothing here imports torch.

The names of `__init__.pyi` are imported on first use, to keep the help fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
