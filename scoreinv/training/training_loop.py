"""Deprecated: `train` is in `scoreinv.training.loop`."""

from scoreinv.training.loop import check_run, train

__all__ = ["check_run", "train"]
