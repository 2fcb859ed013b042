"""Names of `scoreinv.system` in 0.2, importable until 0.4."""

from scoreinv.system.moved import moved

_NAMES = ("device_of", "keep_freed", "set_threads", "true_float32", "uses_bfloat16")
__getattr__ = moved(__name__, {name: f"scoreinv.system.{name}" for name in _NAMES})
