"""Tasks over the rows of a table: callables that Ray Data, Dask and Spark map over batches of them.

They are pickled as their settings alone; the model is loaded by the first row that a process does, and stays for all
that the process does with it, whoever unpickled it how often. Each row is done by itself: its result does not depend on
how rows are cut into batches, and its noise comes from the seed as if it were the only one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from scoreinv.defaults import MASK_THRESHOLD
from scoreinv.errors import InputError, ScoreinvError, SettingError
from scoreinv.imaging.masks import check_mask_settings
from scoreinv.kernels import normalised
from scoreinv.models.catalogue import bundled_file
from scoreinv.options import Device, Downsampling, Precision, Whole, check, check_noise_share
from scoreinv.tasks.settings import ColourSettings, DenoiseSettings, FillSettings, LinearSettings
from scoreinv.text import shown

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored

Batch = dict[str, np.ndarray]
"""Columns by name, of equal lengths. A column of pictures is NxHxW(xC), or an object array of HxW(xC)."""

_MODELS = 4
"""Models that a process keeps."""
_loading = Lock()


def _taken(others: dict[str, Any]) -> dict[str, Any]:
    """The options of `OnRows`, taken out of others."""
    return {name: others.pop(name) for name in ("result", "name", "device", "precision") if name in others}


class OnRows:
    """A task, done for each row of a batch.

    Args:
        task: a function of a module, which is called with the values of `columns`, the settings, and `prior`.
        model: name or file of the model; None: the task takes no `prior`.
        columns: of each argument of the task that a row gives, the name of its column. Those of pictures hold arrays
            HxW, HxWx3 or HxWx4 of uint8, uint16 or float in [0, 1].
        settings: further arguments of the task, the same for all rows.
        results: how many pictures the task gives for one: where they are several all samples are taken, SxHxW(xC).
        factor: how many times as large results are.
        channels: of results for pictures that have none.
        result: name of the column that is added. It holds arrays of the pictures' type.
        name: name of a column that tells rows apart (a path, a key), for errors; they count rows within a batch.
        device, precision: of the network, in each process. `auto` is the first of cuda, mps and cpu that is there, and
            bfloat16 where CUDA has it, or a convolution on the processor is faster in it.
    """

    def __init__(
        self,
        task: Callable[..., Restored[Any]],
        model: str | Path | None,
        columns: Mapping[str, str],
        settings: Mapping[str, Any],
        results: int = 1,
        *,
        factor: int = 1,
        channels: tuple[int, ...] = (),
        result: str = "result",
        name: str | None = None,
        device: Device = "auto",
        precision: Precision = "float32",
    ) -> None:
        check("device", device, get_args(Device))
        check("precision", precision, get_args(Precision))
        for setting, column in {**columns, "result": result, "name": "" if name is None else name}.items():
            if not isinstance(column, str):
                raise SettingError(setting, f"must be the name of a column, not {shown(column)}")
        if not isinstance(model, str | Path | None):
            raise SettingError("model", f"must be the name or file of a model, not {shown(model)}")
        if model is not None:
            bundled_file(model)  # paths may be those of other machines
        self.task, self.model, self.columns, self.settings, self.results = task, model, columns, settings, results
        self.factor, self.channels = factor, channels
        self.result, self.name, self.device, self.precision = result, name, device, precision

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the results.

        Raises:
            InputError: a column is missing, or the picture of a row is wrong; the text names the row.
            CheckpointError: there is no such model.
            SettingError: there is no such device.
        """
        image, *others = [*self.columns.values(), *([] if self.name is None else [self.name])]
        for column in (image, *others):
            if column not in batch:
                raise InputError(f"the batch has no column {column!r}, but {', '.join(map(str, batch))}")
        images = batch[image]
        for column in others:
            if len(batch[column]) != len(images):
                raise InputError(f"column {column!r} has {len(batch[column])} rows, and {image!r} {len(images)}")
        if not len(images):
            return {**batch, self.result: self._no_results(images)}
        prior = {}
        if self.model is not None:  # what is wrong with model or device is of no row
            with _loading:  # threads of Dask would load it once each
                prior["prior"] = _load(self.model, self.device, self.precision)
        results = []
        for row in range(len(images)):
            given = {argument: batch[column][row] for argument, column in self.columns.items()}
            try:
                restored = self.task(**given, **self.settings, **prior)
            except ScoreinvError as error:
                key = "" if self.name is None else f" ({batch[self.name][row]})"
                kind = InputError if isinstance(error, InputError) else ScoreinvError
                raise kind(f"row {row} of the batch{key}: {error}") from error
            results.append(np.stack(restored.samples) if self.results > 1 else np.asarray(restored.image))
        if isinstance(images, np.ndarray) and not images.dtype.hasobject:
            return {**batch, self.result: np.stack(results)}
        objects = np.empty(len(results), dtype=object)
        for number, result in enumerate(results):  # a slice would take arrays of one shape for more dimensions
            objects[number] = result
        return {**batch, self.result: objects}

    def _no_results(self, images: np.ndarray) -> np.ndarray:
        """A column without rows, as wide as others are."""
        if images.dtype.hasobject or images.ndim < 3:
            return images
        height, width, *channels = images.shape[1:]
        size = (self.factor * height, self.factor * width, *(channels or self.channels))
        return np.empty((0, *([self.results] if self.results > 1 else []), *size), images.dtype)


class Inpainter(OnRows):
    """Fill the holes of the pictures of a batch.

        scoreinv.Inpainter("photo", seed=0)({"image": images, "mask": masks})["result"]
        table.map_batches(scoreinv.Inpainter, fn_constructor_kwargs={"seed": 0}, compute=pool)  # of Ray Data

    Args:
        model: name or file. None: `photo`, or no model where the method is a classical one.
        image, mask: names of the columns of pictures and masks.
        mask_threshold, invert, grow: as for `scoreinv.inpaint`.
        others: `result`, `name`, `device` and `precision` of `OnRows`, and `method`, `steps`, `start`, `samples`,
            `seed` and `estimate` of `scoreinv.inpaint`.

    Raises:
        InputError: a setting is wrong.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        image: str = "image",
        mask: str = "mask",
        mask_threshold: float = MASK_THRESHOLD,
        invert: bool = False,
        grow: int = 0,
        **others: Any,
    ) -> None:
        rows = _taken(others)
        filling = FillSettings(**others)
        check_mask_settings(mask_threshold, invert, grow)
        if filling.classical is not None and model is not None:
            raise SettingError("model", f"does not go with {filling.classical}, which needs none")
        usual = None if filling.classical is not None else "photo"
        columns = {"image": image, "mask": mask}
        reading = {"mask_threshold": mask_threshold, "invert": invert, "grow": grow}
        super().__init__(
            _inpaint,
            usual if model is None else model,
            columns,
            asdict(filling) | reading,
            filling.results,
            **rows,
        )


class Colorizer(OnRows):
    """Colour the grey pictures of a batch.

        scoreinv.Colorizer(temperature=0.5)({"image": grays})["result"]

    Args:
        model: name or file. None: `scene`.
        image: name of the column of pictures.
        hints: name of a column of pictures with alpha whose colours are taken where they are opaque; None for none.
        others: `result`, `name`, `device` and `precision` of `OnRows`, and the other settings of `scoreinv.colorize`.

    Raises:
        InputError: a setting is wrong.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        image: str = "image",
        hints: str | None = None,
        **others: Any,
    ) -> None:
        rows = _taken(others)
        colours = ColourSettings(**others)
        super().__init__(
            _colorize,
            "scene" if model is None else model,
            {"image": image} if hints is None else {"image": image, "hints": hints},
            asdict(colours),
            colours.results,
            channels=(3,),
            **rows,
        )


class Restorer(OnRows):
    """Remove from the pictures of a batch the blur of a kernel, enlarge them by a factor, or remove noise alone.

        scoreinv.Restorer()({"image": noisy})["result"]
        scoreinv.Restorer(factor=2)({"image": small})["result"]
        scoreinv.Restorer(kernel=kernels.motion(15, 30))({"image": blurred})["result"]

    Args:
        model: name or file. None: `denoiser`.
        kernel: (h, w) of at least 0, in rows and columns: the blur; None for none.
        factor: how many times as large results are, at least 2; None: as large as the pictures.
        downsampling: how the large picture would be reduced to the given one.
        noise_std: standard deviation of the noise, in [0, 1] units. None: estimated from each picture, but 0 for one
            that is enlarged.
        image: name of the column of pictures.
        others: `result`, `name`, `device` and `precision` of `OnRows`, and `method`, `steps`, `samples`, `seed`,
            `estimate` and `orientations` of `LinearSettings`; noise alone has one method.

    Raises:
        InputError: a setting is wrong.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        kernel: np.ndarray | None = None,
        factor: int | None = None,
        downsampling: Downsampling = "area",
        noise_std: float | None = None,
        image: str = "image",
        **others: Any,
    ) -> None:
        rows = _taken(others)
        kernel = None if kernel is None else normalised(kernel, "the kernel")
        how = DenoiseSettings(**others) if kernel is None and factor is None else LinearSettings(**others)
        if factor is not None:
            check("factor", factor, Whole(2))
        check("downsampling", downsampling, get_args(Downsampling))
        if noise_std is not None:
            check_noise_share(noise_std)
        if kernel is not None and factor is not None:
            raise SettingError("factor", "does not go with a kernel: do one after the other")
        if factor is None and downsampling != "area":
            raise SettingError("downsampling", "belongs to a factor")
        if how.orientations > 1 and not isinstance(how, DenoiseSettings):
            raise SettingError("orientations", "belong to noise alone, without a kernel or a factor")
        observed = {"kernel": kernel, "factor": factor, "downsampling": downsampling, "noise_std": noise_std}
        super().__init__(
            _restore,
            "denoiser" if model is None else model,
            {"image": image},
            observed | {"how": how},
            how.results,
            factor=factor or 1,
            **rows,
        )


def _inpaint(image: np.ndarray, mask: np.ndarray, **settings: Any) -> Restored[Any]:
    from scoreinv.tasks.inpaint import inpaint

    return inpaint(image, mask, **settings)


def _colorize(image: np.ndarray, **settings: Any) -> Restored[Any]:
    from scoreinv.tasks.colorize import colorize

    return colorize(image, **settings)


def _restore(
    image: np.ndarray,
    kernel: np.ndarray | None,
    factor: int | None,
    downsampling: Downsampling,
    noise_std: float | None,
    how: LinearSettings,
    prior: ScorePrior,
) -> Restored[Any]:
    from scoreinv.imaging.arrays import pictures_from_api
    from scoreinv.imaging.noise import estimate_noise
    from scoreinv.tasks.denoise import denoise_picture, has_noise, unchanged
    from scoreinv.tasks.linear import deblur_picture, upscale_picture
    from scoreinv.tasks.results import as_given

    (picture,), form = pictures_from_api(image)
    noise = noise_std
    if noise is None:
        noise = 0.0 if factor is not None else estimate_noise(picture)
    if factor is not None:
        restored = upscale_picture(picture, factor, downsampling, noise, prior, how)
    elif kernel is not None:
        restored = deblur_picture(picture, kernel, noise, prior, how)
    elif noise_std is None and not has_noise(picture, noise, prior):
        restored = unchanged(picture, how)
    else:
        restored = denoise_picture(picture, noise, prior, how)
    return as_given([restored], form)


@lru_cache(maxsize=_MODELS)
def _load(model: str | Path, device: Device, precision: Precision) -> ScorePrior:
    import torch

    from scoreinv.machine import device_of, uses_bfloat16
    from scoreinv.models.catalogue import load

    place = torch.device(device_of(device))
    return load(model).to(place, torch.bfloat16 if uses_bfloat16(precision, place) else torch.float32)
