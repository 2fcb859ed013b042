"""The machine and the process: threads, memory, devices, files, terminal, options and errors.

Programs may call `scoreinv.system.keep_freed()`, `set_threads` and `uses_bfloat16`; the rest is internal.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
