from .shadows import propose_shadow as propose_shadow
