"""True float32 on GPUs, which round it to TF32 by default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import torch

_lock = Lock()
_inside = 0
_before: list[tuple[Any, str, Any]] = []


@contextmanager
def true_float32() -> Iterator[None]:
    """Switch TF32 off until the block ends: on CUDA torch computes convolutions with a 10-bit mantissa by default.

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
    """Yield the settings that decide on TF32: (holder, name, present value)."""
    backends: Any = torch.backends  # parts of which are made at run time, unknown to type hints
    cudnn, products, mkldnn = backends.cudnn, backends.cuda.matmul, backends.mkldnn
    places = [(cudnn, "allow_tf32"), (products, "allow_tf32")]
    if hasattr(cudnn, "conv"):  # torch 2.9 has settings of another kind besides, and both count
        newer = (cudnn.conv, cudnn.rnn, products, mkldnn.conv, mkldnn.matmul)
        places += [(holder, "fp32_precision") for holder in newer]
    for holder, name in places:
        with suppress(RuntimeError):  # the older kind cannot be read where the newer has been set
            yield holder, name, getattr(holder, name)
