"""Model files: scoreinv's own format, the published `.pth` checkpoints, and the catalogue of named models.

The names of `__init__.pyi` are imported on first use, so that commands start without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
