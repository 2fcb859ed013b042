"""Analysis of a picture: kind, borders, faces, edges, shadows, JPEG artefacts. Nothing here imports torch.

The names of `__init__.pyi` are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
