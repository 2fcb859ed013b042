"""SDEs of a user's own in model files, which name them and never run what they name.

A file holds the name of the class, for people, and the process's alpha and sigma at some times. Whoever loads it gives
the SDE, and is told where it is another process than the model was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scoreinv.checkpoints.validation import cut
from scoreinv.checks import require
from scoreinv.errors import CheckpointError
from scoreinv.sdes import SDE

OWN = "custom"
"""What files call an SDE that none of theirs is."""
_TIMES = (0.1, 0.5, 1.0)
_DIGITS = 9
"""Of alpha and sigma in files: those that processors agree on."""


@dataclass(frozen=True)
class NamedSDE(SDE):
    """An SDE that a file names; it stands for the one that has to be given, and cannot compute.

    Attributes:
        class_name: `module:class`.
        marginal: alpha and sigma at the times 0.1, 0.5 and 1.
    """

    class_name: str
    marginal: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        require(0 < len(self.class_name) <= 1000, "class_name must be a text of at most 1000 letters")
        require(len(self.marginal) == len(_TIMES), f"marginal must be {len(_TIMES)} pairs of alpha and sigma")

    @classmethod
    def of(cls, sde: SDE) -> NamedSDE:
        """What files keep of an SDE; InputError for one that is none."""
        kind = type(sde)
        t = torch.tensor(_TIMES, dtype=torch.float64)
        pairs = torch.stack([sde.alpha(t).expand(t.shape), sde.sigma(t).expand(t.shape)], 1).tolist()
        for time, (alpha, _) in zip(_TIMES, pairs, strict=True):
            require(alpha > 0, f"{kind.__name__}: alpha({time:g}) is {alpha:g}, and must be above 0 up to t = 1")
        levels = [sigma / alpha for alpha, sigma in pairs]
        require(0 < levels[0] < levels[1] < levels[2], f"{kind.__name__}: sigma / alpha must grow from t = 0 to t = 1")
        rounded = tuple((float(f"{alpha:.{_DIGITS}g}"), float(f"{sigma:.{_DIGITS}g}")) for alpha, sigma in pairs)
        return cls(f"{kind.__module__}:{kind.__qualname__}", rounded)

    @property
    def sampling_end(self) -> float:
        raise self.missing()

    @property
    def prior_std(self) -> float:
        raise self.missing()

    def alpha(self, t: Tensor) -> Tensor:
        raise self.missing()

    def sigma(self, t: Tensor) -> Tensor:
        raise self.missing()

    def missing(self) -> CheckpointError:
        """What is wrong where the SDE itself is not given."""
        return CheckpointError(
            f"has an SDE of somebody's own, {cut(self.class_name)}: give it in Python, by the argument sde"
        )

    def matched(self, given: SDE) -> SDE:
        """The SDE that was given; CheckpointError unless it is the one that is named.

        Its class may have moved to another module. Its alpha and sigma must be the same, up to a millionth.
        """
        found = NamedSDE.of(given)
        if found.class_name.partition(":")[2] != self.class_name.partition(":")[2]:
            raise CheckpointError(
                f"has the SDE {cut(self.class_name)}, and {found.class_name} was given: give that one"
            )
        for t, here, there in zip(_TIMES, found.marginal, self.marginal, strict=True):
            for name, one, other in zip(("alpha", "sigma"), here, there, strict=True):
                if abs(one - other) > 1e-6 * abs(other):
                    raise CheckpointError(
                        f"was trained on {cut(self.class_name)} of {name}({t:g}) = {other:g}, and that of the one "
                        f"given is {one:g}: give it the same parameters"
                    )
        return given


def given_sde(path: Path, stored: SDE, given: SDE | None) -> SDE:
    """The SDE of a file: the stored one, or the one that was given where the file only names it.

    Raises CheckpointError, naming the file, where it is missing, another, or not asked for.
    """
    try:
        if isinstance(stored, NamedSDE):
            if given is None:
                raise stored.missing()
            return stored.matched(given)
        if given is not None and given != stored:
            raise CheckpointError(f"has its SDE with it, {stored}: leave out the argument sde")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return stored
