"""Networks that take an observation: `prior.given(Observation(operator, y))` is again a prior."""

from scoreinv.conditional.observation import Observation as Observation
