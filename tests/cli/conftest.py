"""The fixtures of `command`."""

from support.command import conditional as conditional
from support.command import loaded as loaded
from support.command import mask as mask
from support.command import model as model
from support.command import photo as photo
from support.command import scoreinv as scoreinv
from support.command import white_detector as white_detector
