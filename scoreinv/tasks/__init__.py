"""Tasks: inpainting, colorization, restoration, generation, likelihood.

There is one file per task. The function named after the task accepts and returns arrays, PIL images or tensors;
`*_picture` and `*_pictures` do the same for a `Picture` and a request, for the command line and the page. A task
converts a picture to the model's scale and range, conditions the prior on the observation, samples, and converts the
result back. Known pixels stay bit-identical.

The names of `__init__.pyi` are imported on first use, since torch is slow to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
