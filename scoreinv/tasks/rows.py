"""Tasks over the rows of a table: callables that Ray Data, Dask and Spark map over batches of them.

They are pickled as their settings alone; the model is loaded by the first row that a process does, and stays for all
that the process does with it, whoever unpickled it how often. Each row is done by itself: its result does not depend on
how rows are cut into batches, and its noise comes from the seed as if it were the only one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from scoreinv.inputs.masks import check_mask_settings
from scoreinv.models.catalogue import bundled_file
from scoreinv.operators.kernels import normalised
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.options import MASK_THRESHOLD, Device, Precision, Whole, check, check_noise_share
from scoreinv.system.threads import yield_to_load
from scoreinv.tasks.settings import ColourSettings, DenoiseSettings, Downsampling, FillSettings, LinearSettings

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored

Batch = dict[str, np.ndarray]
"""Columns by name, of equal lengths. A column of pictures is NxHxW(xC), or an object array of HxW(xC)."""

_loading = Lock()


class OnRows(ABC):
    """A task, done for each row of a batch.

    Args:
        settings: of the task; where they ask for several pictures, all samples are taken, SxHxW(xC).
        model: name or file of the model; None: the task needs none.
        columns: names of those that the task takes; the first is of pictures, arrays HxW, HxWx3 or HxWx4 of uint8,
            uint16 or float in [0, 1].
        result: name of the column that is added. It holds arrays of the pictures' type.
        name: name of a column that tells rows apart (a path, a key), for errors; they count rows within a batch.
        device, precision: of the network, in each process. `auto` is the first of cuda, mps and cpu that is there, and
            bfloat16 where CUDA has it, or a convolution on the processor is faster in it.

    Raises:
        InputError: a setting is wrong, or no bundled model has that name.
    """

    def __init__(
        self,
        settings: FillSettings | ColourSettings | LinearSettings,
        model: str | Path | None,
        columns: list[str],
        result: str,
        name: str | None,
        device: Device,
        precision: Precision,
    ) -> None:
        check("device", device, get_args(Device))
        check("precision", precision, get_args(Precision))
        if model is not None:
            bundled_file(model)  # paths may be those of other machines
        self.several = settings.results > 1
        self.model, self.device, self.precision = model, device, precision
        self.columns, self.result, self.name = columns, result, name

    @abstractmethod
    def restored(self, image: np.ndarray, *others: np.ndarray, prior: ScorePrior | None) -> Restored[Any]:
        """What the task makes of the entries of its columns in a row; prior: the model, of a task that needs one."""

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the results.

        Raises:
            InputError: a column is missing, or the picture of a row is wrong; the text names the row.
            CheckpointError: there is no such model.
            SettingError: there is no such device.
        """
        for column in self.columns if self.name is None else [*self.columns, self.name]:
            if column not in batch:
                raise InputError(f"the batch has no column {column!r}, but {', '.join(map(str, batch))}")
        images, prior = batch[self.columns[0]], None
        if not len(images):
            return {**batch, self.result: images}
        if self.model is not None:  # what is wrong with model or device is of no row
            with _loading:  # threads of Dask would load it once each
                prior = _load(self.model, self.device, self.precision)
        results = []
        for number in range(len(images)):
            try:
                with yield_to_load():
                    restored = self.restored(*(batch[column][number] for column in self.columns), prior=prior)
            except ScoreinvError as error:
                key = "" if self.name is None else f" ({batch[self.name][number]})"
                kind = InputError if isinstance(error, InputError) else ScoreinvError
                raise kind(f"row {number} of the batch{key}: {error}") from error
            results.append(np.stack(restored.samples) if self.several else np.asarray(restored.image))
        if isinstance(images, np.ndarray) and not images.dtype.hasobject:
            return {**batch, self.result: np.stack(results)}
        objects = np.empty(len(results), dtype=object)
        for number, result in enumerate(results):  # a slice would take arrays of one shape for more dimensions
            objects[number] = result
        return {**batch, self.result: objects}


class Inpainter(OnRows):
    """Fill the holes of the pictures of a batch.

        scoreinv.Inpainter("photo", seed=0)({"image": images, "mask": masks})["result"]
        table.map_batches(scoreinv.Inpainter, fn_constructor_kwargs={"seed": 0}, compute=pool)  # of Ray Data

    Args:
        model: name or file. None: `photo`, or no model where the method is a classical one.
        mask: name of the column of masks.
        mask_threshold, invert, grow: as for `scoreinv.inpaint`.
        image, result, name, device, precision: see `OnRows`.
        settings: `method`, `steps`, `start`, `samples`, `seed` and `estimate` of `scoreinv.inpaint`.
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
        result: str = "result",
        name: str | None = None,
        device: Device = "auto",
        precision: Precision = "float32",
        **settings: Any,
    ) -> None:
        filling = FillSettings(**settings)
        check_mask_settings(mask_threshold, invert, grow)
        if filling.classical is None:
            model = "photo" if model is None else model
        elif model is not None:
            raise SettingError("model", f"does not go with {filling.classical}, which needs none")
        super().__init__(filling, model, [image, mask], result, name, device, precision)
        self.settings = settings | {"mask_threshold": mask_threshold, "invert": invert, "grow": grow}

    def restored(self, image: np.ndarray, *others: np.ndarray, prior: ScorePrior | None) -> Restored[Any]:
        from scoreinv.tasks.inpaint import inpaint

        return inpaint(image, *others, prior=prior, **self.settings)


class Colorizer(OnRows):
    """Colour the grey pictures of a batch.

        scoreinv.Colorizer(saturation=1.2)({"image": grays})["result"]

    Args:
        model: name or file.
        hints: name of a column of pictures with alpha whose colours are taken where they are opaque; None for none.
        image, result, name, device, precision: see `OnRows`.
        settings: the other settings of `scoreinv.colorize`.
    """

    def __init__(
        self,
        model: str | Path = "scene",
        *,
        image: str = "image",
        hints: str | None = None,
        result: str = "result",
        name: str | None = None,
        device: Device = "auto",
        precision: Precision = "float32",
        **settings: Any,
    ) -> None:
        colours = ColourSettings(**settings)
        super().__init__(colours, model, [image] if hints is None else [image, hints], result, name, device, precision)
        self.settings = settings

    def restored(self, image: np.ndarray, *others: np.ndarray, prior: ScorePrior | None) -> Restored[Any]:
        from scoreinv.tasks.colorize import colorize

        assert prior is not None
        return colorize(image, prior=prior, hints=others[0] if others else None, **self.settings)


class Restorer(OnRows):
    """Remove from the pictures of a batch the blur of a kernel, enlarge them by a factor, or remove noise alone.

        scoreinv.Restorer()({"image": noisy})["result"]
        scoreinv.Restorer(factor=2)({"image": small})["result"]
        scoreinv.Restorer(kernel=kernels.motion(15, 30))({"image": blurred})["result"]

    Args:
        model: name or file.
        kernel: (h, w) of at least 0, in rows and columns: the blur; None for none.
        factor: how many times as large results are, at least 2; None: as large as the pictures.
        downsampling: how the large picture would be reduced to the given one.
        noise_std: standard deviation of the noise, in [0, 1] units. None: estimated from each picture, but 0 for one
            that is enlarged.
        image, result, name, device, precision: see `OnRows`.
        settings: `method`, `steps`, `samples`, `seed`, `estimate` and `orientations` of `LinearSettings`; noise alone
            has one method.
    """

    def __init__(
        self,
        model: str | Path = "denoiser",
        *,
        kernel: np.ndarray | None = None,
        factor: int | None = None,
        downsampling: Downsampling = "area",
        noise_std: float | None = None,
        image: str = "image",
        result: str = "result",
        name: str | None = None,
        device: Device = "auto",
        precision: Precision = "float32",
        **settings: Any,
    ) -> None:
        self.kernel = None if kernel is None else normalised(kernel, "the kernel")
        alone = kernel is None and factor is None
        self.settings = DenoiseSettings(**settings) if alone else LinearSettings(**settings)
        if factor is not None:
            check("factor", factor, Whole(2))
        check("downsampling", downsampling, get_args(Downsampling))
        if noise_std is not None:
            check_noise_share(noise_std)
        if kernel is not None and factor is not None:
            raise SettingError("factor", "does not go with a kernel: do one after the other")
        if factor is None and downsampling != "area":
            raise SettingError("downsampling", "belongs to a factor")
        if self.settings.orientations > 1 and not alone:
            raise SettingError("orientations", "belong to noise alone, without a kernel or a factor")
        super().__init__(self.settings, model, [image], result, name, device, precision)
        self.factor, self.downsampling, self.noise_std = factor, downsampling, noise_std

    def restored(self, image: np.ndarray, *others: np.ndarray, prior: ScorePrior | None) -> Restored[Any]:
        from scoreinv.analysis.noise import estimate_noise, noise_under_blur
        from scoreinv.inputs.arrays import pictures_from_api
        from scoreinv.tasks.denoise import denoise_picture, has_noise, unchanged
        from scoreinv.tasks.linear import deblur_picture, upscale_picture
        from scoreinv.tasks.results import as_given

        assert prior is not None
        (picture,), form = pictures_from_api(image)
        noise = self.noise_std
        if noise is None:
            estimate = estimate_noise if self.kernel is None else noise_under_blur
            noise = 0.0 if self.factor is not None else estimate(picture)
        if self.factor is not None:
            restored = upscale_picture(picture, self.factor, self.downsampling, noise, prior, self.settings)
        elif self.kernel is not None:
            restored = deblur_picture(picture, self.kernel, noise, prior, self.settings)
        elif self.noise_std is None and not has_noise(picture, noise, prior):
            restored = unchanged(picture, self.settings)
        else:
            restored = denoise_picture(picture, noise, prior, self.settings)
        return as_given([restored], form)


@lru_cache(maxsize=4)
def _load(model: str | Path, device: Device, precision: Precision) -> ScorePrior:
    import torch

    from scoreinv.models.catalogue import load
    from scoreinv.system.devices import device_of, uses_bfloat16

    place = torch.device(device_of(device))
    return load(model).to(place, torch.bfloat16 if uses_bfloat16(precision, place) else torch.float32)
