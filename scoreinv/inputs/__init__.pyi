from .hints import KnownColours as KnownColours
from .hints import gives_colours as gives_colours
from .hints import read_hints as read_hints
from .hints import read_reference as read_reference
from .masks import dilate as dilate
from .masks import read_mask as read_mask
