from .boxes import Box as Box
from .boxes import crop as crop
from .ensemble import SelfEnsemble as SelfEnsemble
from .tiled import Tiled as Tiled
