"""The fixtures of `command`."""

from command import loaded as loaded
from command import mask as mask
from command import model as model
from command import photo as photo
from command import scoreinv as scoreinv
