from .boxes import Box as Box
from .boxes import crop as crop
from .tiled import Tiled as Tiled
