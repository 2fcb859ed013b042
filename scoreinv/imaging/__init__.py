"""Pictures and masks outside the network: files, arrays, colour, regions. Nothing here imports torch.

The names of `__init__.pyi`, which commands and page take, are imported when they are first used: no help waits for
them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
