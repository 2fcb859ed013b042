"""Pictures given from Python, and results given back in kind: arrays, PIL images, tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from scoreinv.files.guard import guarded, reason
from scoreinv.files.read import decode_image
from scoreinv.files.write import to_pillow
from scoreinv.imaging.picture import Picture, picture_of_hole
from scoreinv.system.errors import InputError

_SLACK = 1e-6  # of float32 arithmetic on the caller's side


@dataclass(frozen=True)
class Form:
    """The kind that a caller's picture had, so that results are returned in it.

    Attributes:
        kind: "array", "pil" or "tensor".
        dims: of a tensor: 3 (CxHxW) or 4 (BxCxHxW).
        dtype: of the tensor.
        device: of the tensor.
    """

    kind: str
    dims: int = 0
    dtype: Any = None
    device: Any = None

    def pictures(self, pictures: Sequence[Picture]) -> Any:
        """Result pictures as the caller gave them: an array HxW(xC) of the same type, a PIL image, or a tensor."""
        if self.kind == "tensor":
            return self.maps([picture.pixels for picture in pictures])
        (picture,) = pictures
        return to_pillow(picture) if self.kind == "pil" else picture.pixels.copy()  # it may be the caller's own

    def maps(self, maps: Sequence[np.ndarray]) -> Any:
        """Float maps HxW or HxWxC, one a picture: a tensor where one was given, else the array itself."""
        if self.kind != "tensor":
            (single,) = maps
            return single
        import torch

        planes = [values if values.ndim == 3 else values[..., None] for values in maps]
        batch = torch.from_numpy(np.stack([np.moveaxis(values, -1, 0) for values in planes]))
        whole = not self.dtype.is_floating_point  # a map of floats has no place in such numbers
        batch = batch.to(device=self.device, dtype=batch.dtype if whole else self.dtype)
        return batch[0] if self.dims == 3 else batch

    def holes(self, holes: Sequence[np.ndarray]) -> Any:
        """Holes HxW bool, one a picture: as they are, a PIL image that is white there, or a tensor of 0 and 1."""
        if self.kind == "pil":
            return self.pictures([picture_of_hole(hole) for hole in holes])
        return self.maps([hole.astype(np.float32) for hole in holes] if self.kind == "tensor" else holes)

    def values(self, values: list[Any]) -> Any:
        """Values of any kind, one a picture: a list for a batch, else the value itself."""
        return values if self.dims == 4 else values[0]


def pictures_from_api(image: Any) -> tuple[list[Picture], Form]:
    """What a caller gave, as pictures: one, or for a tensor BxCxHxW one of each item.

    Args:
        image: array HxW, HxWx3 or HxWx4 of uint8, uint16 or float in [0, 1]; a PIL image of any mode (its orientation
            is applied); or a tensor CxHxW or BxCxHxW of the same types, with 1, 3 or 4 channels.

    Raises:
        InputError: another shape or type, NaN, or values out of range.
    """
    if isinstance(image, Image.Image):
        return [picture_from_pil(image, "the picture")], Form("pil")
    if is_tensor(image):
        pictures = pictures_from_tensor(image, "the picture")
        return pictures, Form("tensor", image.ndim, image.dtype, image.device)
    if isinstance(image, np.ndarray):
        return [picture_from_array(image, "the picture")], Form("array")
    remedy = ": read the file with PIL.Image.open" if isinstance(image, str | os.PathLike) else ""
    raise InputError(f"a picture is an array, a tensor or a PIL image, not {type(image).__name__}{remedy}")


def picture_from_pil(image: Image.Image, name: str) -> Picture:
    """A picture from a PIL image of any mode, which may not have been read from its file yet."""
    with guarded(name, "the PIL image cannot be decoded"):
        return decode_image(image, name)[0]


def picture_from_array(array: np.ndarray, name: str) -> Picture:
    """A checked picture from HxW, HxWx3 or HxWx4; `name` is what messages call it."""
    refuse_masked(array, name)
    array = np.asarray(array)  # not a matrix, whose rows have two dimensions themselves
    shape = "x".join(map(str, array.shape)) or "a scalar"
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"{name} is {shape}, and must be HxW, HxWx3 or HxWx4{layout_remedy(array.shape)}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
        raise InputError(f"{name} is {array.dtype}, and must be uint8, uint16 or float in [0, 1]")
    if array.dtype.kind == "f":
        _check_range(array, name)
    return Picture(array)


def refuse_masked(array: np.ndarray, name: str) -> None:
    """Raise InputError for an array with a mask, whose masked values would be taken for values."""
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array: pass .filled() of it, and what is masked as the mask")


def layout_remedy(shape: tuple[int, ...]) -> str:
    """What makes a picture of an array of this shape, to go at the end of an error; empty where nothing does."""
    if len(shape) == 4:
        return ": give the pictures of a batch one by one, or as a tensor BxCxHxW"
    if len(shape) == 3 and shape[2] == 1:
        return ": leave out the last axis, by [..., 0]"
    if len(shape) == 3 and shape[0] == 1:
        return ": leave out the first axis, by [0]"
    return ": put the channels last" if len(shape) == 3 and shape[0] in (3, 4) else ""


def pictures_from_tensor(tensor: Any, name: str) -> list[Picture]:
    """Checked pictures HxW, HxWx3 or HxWx4 from a tensor CxHxW or BxCxHxW."""
    refuse_nested(tensor, name)
    shape = "x".join(map(str, tensor.shape)) or "a scalar"
    if tensor.ndim not in (3, 4) or 0 in tensor.shape or tensor.shape[-3] not in (1, 3, 4):
        last = ": put the channels first" if tensor.ndim in (3, 4) and tensor.shape[-1] in (1, 3, 4) else ""
        raise InputError(f"{name} is {shape}, and a tensor must be CxHxW or BxCxHxW with 1, 3 or 4 channels{last}")
    batch = plain_values(tensor, name)
    if batch.dtype.kind == "f":
        _check_range(batch, name)
    batch = batch if batch.ndim == 4 else batch[None]
    items = [np.ascontiguousarray(np.moveaxis(item, 0, -1)) for item in batch]
    return [Picture(item[..., 0] if item.shape[2] == 1 else item) for item in items]


def refuse_nested(tensor: Any, name: str) -> None:
    """Raise InputError for a nested tensor, which has no shape."""
    if tensor.is_nested:
        raise InputError(f"{name} is a nested tensor: pass its pictures one by one")


def plain_values(tensor: Any, name: str) -> np.ndarray:
    """The values of a tensor, of uint8, uint16, float32 or float64; InputError for others, or none as they are."""
    try:
        values = tensor.detach().cpu()
        # NumPy has no bfloat16; the way back is exact
        half = values.is_floating_point() and values.element_size() < 4
        array: np.ndarray = (values.float() if half else values).numpy()
    except (RuntimeError, TypeError) as error:  # sparse ones, quantised ones, those of the meta device
        raise InputError(f"{name} is a tensor without plain values ({reason(error)})") from error
    if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
        raise InputError(f"{name} is {tensor.dtype}, and must be uint8, uint16 or floating-point in [0, 1]")
    return array


def is_tensor(value: Any) -> bool:
    """Whether a value is a torch tensor, found without importing torch."""
    return any(kind.__name__ == "Tensor" and kind.__module__ == "torch" for kind in type(value).__mro__)


def _check_range(values: np.ndarray, name: str) -> None:
    lowest, highest = float(values.min()), float(values.max())  # NaN if any value is
    if np.isnan(lowest) or np.isnan(highest):
        raise InputError(f"{name} has values that are not numbers (NaN)")
    if lowest < -_SLACK or highest > 1 + _SLACK:
        hint = ": divide by 255, or pass uint8" if 1 < highest <= 255 and lowest >= 0 else ""
        raise InputError(f"{name} has values from {lowest:.3g} to {highest:.3g}, and floats must be in [0, 1]{hint}")
