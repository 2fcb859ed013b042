"""Names of `scoreinv.operators.kernels` in 0.2, importable until 0.4."""

from scoreinv.system.moved import moved

_NAMES = ("LARGEST", "BlurKind", "PointSpread", "disk", "gaussian", "motion", "normalised")
__getattr__ = moved(__name__, {name: f"scoreinv.operators.kernels.{name}" for name in _NAMES})
