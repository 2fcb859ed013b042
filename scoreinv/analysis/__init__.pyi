from .leftovers import find_leftover as find_leftover
from .shadows import propose_shadow as propose_shadow
