from .blur import picture_of_kernel as picture_of_kernel
from .hints import KnownColours as KnownColours
from .hints import read_hints as read_hints
from .hints import read_references as read_references
from .masks import dilate as dilate
from .masks import read_mask as read_mask
