"""Models that are evaluated in bfloat16, and where float32 has to have all its digits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from threading import Lock
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from scoreinv.errors import InputError

_lock = Lock()
_inside = 0
_before: list[tuple[Any, str, Any]] = []


class Autocasting(nn.Module):
    """A model in float32 that computes the layers which gain by it in bfloat16, where it is asked to.

    Attributes:
        kind: what it is, in messages.
        precision: torch.float32 or torch.bfloat16, as asked for last.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.precision = torch.float32

    def to(self, *args: torch.device | torch.dtype | str) -> Self:  # type: ignore[override]  # it takes less on purpose
        """Move to a device, or to a dtype of evaluation, float32 or bfloat16; raises InputError for another dtype.

        In bfloat16 there is a first derivative only.
        """
        for target in args:
            if isinstance(target, torch.dtype):
                if target not in (torch.float32, torch.bfloat16):
                    raise InputError(f"{self.kind} is evaluated in float32 or bfloat16, not in {target}")
                self.precision = target
            else:
                super().to(device=target)
        return self

    def autocast(self, x: Tensor) -> AbstractContextManager[object]:
        """The context in which to evaluate what is given x."""
        if self.precision != torch.bfloat16:
            return nullcontext()  # a training loop may have a context of its own
        return torch.autocast(x.device.type, torch.bfloat16)


@contextmanager
def true_float32() -> Iterator[None]:
    """No TF32 until the block ends: on CUDA torch computes convolutions with 10 bits of the mantissa by default.

    An adaptive solver takes such rounding for the solution's own unevenness, and a latent code moves by 0.03. The
    settings are torch's own, of the whole process; they are put back when the last of several blocks has ended.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _before.extend(_settings())
            for holder, name, value in _before:
                setattr(holder, name, "ieee" if isinstance(value, str) else False)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for holder, name, value in _before:
                    setattr(holder, name, value)
                _before.clear()


def _settings() -> Iterator[tuple[Any, str, Any]]:
    """What says whether torch uses TF32, and the present value."""
    backends: Any = torch.backends  # parts of which are made at run time, unknown to type hints
    cudnn, products, mkldnn = backends.cudnn, backends.cuda.matmul, backends.mkldnn
    places = [(cudnn, "allow_tf32"), (products, "allow_tf32")]
    if hasattr(cudnn, "conv"):  # torch 2.9 has settings of another kind besides, and both count
        newer = (cudnn.conv, cudnn.rnn, products, mkldnn.conv, mkldnn.matmul)
        places += [(holder, "fp32_precision") for holder in newer]
    for holder, name in places:
        with suppress(RuntimeError):  # the older kind cannot be read where the newer has been set
            yield holder, name, getattr(holder, name)
