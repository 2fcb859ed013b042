"""Deprecated: `scoreinv.training.loop`."""

from scoreinv.training.loop import train as train
