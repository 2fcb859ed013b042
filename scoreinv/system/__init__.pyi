from .machine import device_of as device_of
from .machine import keep_freed as keep_freed
from .machine import one_thread as one_thread
from .machine import set_threads as set_threads
from .machine import true_float32 as true_float32
from .machine import uses_bfloat16 as uses_bfloat16
