"""Wrappers of a prior: conditions, grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x), and two that are none.

`Clipped` keeps the estimates within the range of pictures, and `Tiled` makes them through windows.
"""

from scoreinv.guidance.base import GivenObservation as GivenObservation
from scoreinv.guidance.base import LikelihoodGuidance as LikelihoodGuidance
from scoreinv.guidance.classifier import ClassifierGuidance as ClassifierGuidance
from scoreinv.guidance.conditioned import Conditioned as Conditioned
from scoreinv.guidance.diffpir import DiffPIR as DiffPIR
from scoreinv.guidance.dps import DPS as DPS
from scoreinv.guidance.mmps import MMPS as MMPS
from scoreinv.guidance.pigdm import PiGDM as PiGDM
from scoreinv.guidance.replacement import ConstrainedPC as ConstrainedPC
from scoreinv.guidance.solvers.ddrm import DDRM as DDRM
from scoreinv.guidance.solvers.dpir import DPIR as DPIR
from scoreinv.guidance.solvers.posterior_flow import PosteriorFlow as PosteriorFlow
from scoreinv.prior import Clipped as Clipped
from scoreinv.windows.tiled import Tiled as Tiled
