"""What people come for: inpainting, colorization, restoration, generation, likelihood of pictures.

A file a task. Its function of the task's name takes arrays, PIL images or tensors and returns them; `*_picture` and
`*_pictures` do the same for a `Picture` and an object of `settings`, and command line and page call these.
A task brings a picture to the model's scale and range, wraps the prior in what is known, samples, and brings the result
back: known pixels are those of the picture, bit for bit.

The names of `__init__.pyi`, which commands and page take, are imported when they are first used: torch comes late.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
