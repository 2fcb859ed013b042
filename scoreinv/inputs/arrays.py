"""Conversion between the caller's pictures (arrays, PIL images, tensors) and `Picture`."""

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
from scoreinv.imaging.picture import Picture, check_float_range, picture_of_hole
from scoreinv.system.errors import InputError


@dataclass(frozen=True)
class Form:
    """The form of a caller's picture, in which results are returned.

    Attributes:
        kind: "array", "pil" or "tensor".
        dims: number of axes of a tensor: 3 (CxHxW) or 4 (BxCxHxW).
        dtype, device: type and device of a tensor.
    """

    kind: str
    dims: int = 0
    dtype: Any = None
    device: Any = None

    def pictures(self, pictures: Sequence[Picture]) -> Any:
        """Convert result pictures to an array HxW(xC) of the same type, a PIL image, or a tensor."""
        if self.kind == "tensor":
            return self.maps([picture.pixels for picture in pictures])
        (picture,) = pictures
        return to_pillow(picture) if self.kind == "pil" else picture.pixels.copy()  # never the caller's own array

    def maps(self, maps: Sequence[np.ndarray]) -> Any:
        """Convert float maps HxW or HxWxC, one per picture, to a tensor or an array."""
        if self.kind != "tensor":
            (single,) = maps
            return single
        import torch

        planes = [values if values.ndim == 3 else values[..., None] for values in maps]
        batch = torch.from_numpy(np.stack([np.moveaxis(values, -1, 0) for values in planes]))
        whole = not self.dtype.is_floating_point  # integers cannot hold a float map
        batch = batch.to(device=self.device, dtype=batch.dtype if whole else self.dtype)
        return batch[0] if self.dims == 3 else batch

    def holes(self, holes: Sequence[np.ndarray]) -> Any:
        """Convert holes HxW bool, one per picture, to arrays, a PIL image (white = hole), or a tensor of 0 and 1."""
        if self.kind == "pil":
            return self.pictures([picture_of_hole(hole) for hole in holes])
        return self.maps([hole.astype(np.float32) for hole in holes] if self.kind == "tensor" else holes)

    def values(self, values: list[Any]) -> Any:
        """Return one value per picture: a list for a batch, else the single value."""
        return values if self.dims == 4 else values[0]


def pictures_from_api(image: Any) -> tuple[list[Picture], Form]:
    """Convert the caller's image to pictures (one, or one per item of a tensor BxCxHxW), and return its form.

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
    raise InputError(f"a picture must be an array, a tensor or a PIL image, not {type(image).__name__}{remedy}")


def picture_from_pil(image: Image.Image, name: str) -> Picture:
    """Convert a PIL image of any mode, which may be lazily loaded."""
    with guarded(name, "the PIL image cannot be decoded"):
        return decode_image(image, name)[0]


def picture_from_array(array: np.ndarray, name: str) -> Picture:
    """Check and convert an array HxW, HxWx3 or HxWx4; `name` is its name in messages."""
    refuse_masked(array, name)
    array = np.asarray(array)  # rows of a np.matrix are two-dimensional
    shape = "x".join(map(str, array.shape)) or "a scalar"
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"{name} is {shape}, but must be HxW, HxWx3 or HxWx4{layout_remedy(array.shape)}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
        raise InputError(f"{name} is {array.dtype}, but must be uint8, uint16 or float in [0, 1]")
    if array.dtype.kind == "f":
        check_float_range(array, name)
    return Picture(array)


def refuse_masked(array: np.ndarray, name: str) -> None:
    """Raise InputError for a masked array, since its masked values would count."""
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array: pass array.filled(), and its mask as the mask")


def layout_remedy(shape: tuple[int, ...]) -> str:
    """Return the remedy for an array of a wrong shape, as the end of an error message; empty if there is none."""
    if len(shape) == 4:
        return ": pass the pictures of a batch one by one, or as a tensor BxCxHxW"
    if len(shape) == 3 and shape[2] == 1:
        return ": drop the last axis with [..., 0]"
    if len(shape) == 3 and shape[0] == 1:
        return ": drop the first axis with [0]"
    return ": put the channels last" if len(shape) == 3 and shape[0] in (3, 4) else ""


def pictures_from_tensor(tensor: Any, name: str) -> list[Picture]:
    """Check a tensor CxHxW or BxCxHxW and convert it to pictures HxW, HxWx3 or HxWx4."""
    refuse_nested(tensor, name)
    shape = "x".join(map(str, tensor.shape)) or "a scalar"
    if tensor.ndim not in (3, 4) or 0 in tensor.shape or tensor.shape[-3] not in (1, 3, 4):
        last = ": put the channels first" if tensor.ndim in (3, 4) and tensor.shape[-1] in (1, 3, 4) else ""
        raise InputError(f"{name} is {shape}, but a tensor must be CxHxW or BxCxHxW with 1, 3 or 4 channels{last}")
    batch = plain_values(tensor, name)
    if batch.dtype.kind == "f":
        check_float_range(batch, name)
    batch = batch if batch.ndim == 4 else batch[None]
    items = [np.ascontiguousarray(np.moveaxis(item, 0, -1)) for item in batch]
    return [Picture(item[..., 0] if item.shape[2] == 1 else item) for item in items]


def refuse_nested(tensor: Any, name: str) -> None:
    """Raise InputError for a nested tensor, which has no shape."""
    if tensor.is_nested:
        raise InputError(f"{name} is a nested tensor: pass its pictures one by one")


def plain_values(tensor: Any, name: str) -> np.ndarray:
    """Return a tensor's values as uint8, uint16, float32 or float64; raise InputError for other types and layouts."""
    try:
        values = tensor.detach().cpu()
        # NumPy has no bfloat16; the conversion to float32 and back is exact.
        half = values.is_floating_point() and values.element_size() < 4
        array: np.ndarray = (values.float() if half else values).numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised or meta tensors
        raise InputError(f"{name} is a tensor without plain values ({reason(error)})") from error
    if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
        raise InputError(f"{name} is {tensor.dtype}, but must be uint8, uint16 or floating-point in [0, 1]")
    return array


def is_tensor(value: Any) -> bool:
    """Return whether a value is a torch tensor, without importing torch."""
    return any(kind.__name__ == "Tensor" and kind.__module__ == "torch" for kind in type(value).__mro__)
