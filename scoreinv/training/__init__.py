"""Training: the loop, losses, moving average, pictures, states. The way in is `loop.train`.

The names of `__init__.pyi`, which commands take, are imported when they are first used: torch comes late.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
