from .leftovers import find_leftover as find_leftover
from .noise import estimate_noise as estimate_noise
from .noise import noise_under_blur as noise_under_blur
from .shadows import propose_shadow as propose_shadow
