from .devices import device_of as device_of
from .devices import true_float32 as true_float32
from .devices import uses_bfloat16 as uses_bfloat16
from .memory import keep_freed as keep_freed
from .threads import set_threads as set_threads
