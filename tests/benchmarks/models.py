"""Models as the commands evaluate them."""

import torch

import scoreinv
from scoreinv.prior import ScorePrior
from scoreinv.system.devices import uses_bfloat16


def load_fast(model: str) -> ScorePrior:
    """In bfloat16 where the processor computes in it."""
    bfloat16 = uses_bfloat16("auto", torch.device("cpu"))
    return scoreinv.load(model).to(torch.bfloat16 if bfloat16 else torch.float32)
