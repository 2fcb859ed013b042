from .opencv import load_opencv as load_opencv
from .picture import Picture as Picture
from .picture import picture_of_hole as picture_of_hole
from .sheet import contact_sheet as contact_sheet
from .sheet import deviation_map as deviation_map
from .sheet import sheet_size as sheet_size
