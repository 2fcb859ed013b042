"""The fixtures of `command`."""

from command import conditional as conditional
from command import loaded as loaded
from command import mask as mask
from command import model as model
from command import photo as photo
from command import scoreinv as scoreinv
from command import white_detector as white_detector
