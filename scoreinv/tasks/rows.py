"""Tasks on rows of a table: callables that Ray Data, Dask and Spark map over batches.

Only their settings are pickled. The first row in a process loads the model for all callables of the process. Rows are
independent: a result depends neither on batching nor on other rows, and each row's noise is keyed by the seed alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, get_args

import numpy as np

from scoreinv import tasks
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.blur import as_kernel
from scoreinv.inputs.masks import as_holes, check_mask_settings
from scoreinv.models.catalogue import bundled_file
from scoreinv.models.loading import Machine, Models, Role
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.options import MASK_THRESHOLD, Device, Precision, check
from scoreinv.system.threads import yield_to_load
from scoreinv.tasks.outcome import Outcome, in_form
from scoreinv.tasks.requests import (
    ColorizeRequest,
    DeblurRequest,
    DenoiseRequest,
    Downsampling,
    InpaintRequest,
    Inputs,
    SolveRequest,
    UpscaleRequest,
)

Batch = dict[str, np.ndarray]
"""Columns by name, of equal lengths. A column of pictures is NxHxW(xC), or an object array of HxW(xC)."""


class OnRows(ABC):
    """A task applied to each row of a batch.

    Args:
        request: settings of the task; if it has several `results`, each row gets all of them, SxHxW(xC).
        models: names or files of the models.
        role: the model of the task; None if it needs none.
        columns: names of the input columns; the first has pictures, arrays HxW, HxWx3 or HxWx4 of uint8, uint16 or
            float in [0, 1].
        result: name of the added column, which has arrays of the pictures' dtype.
        name: column that identifies rows in errors, such as a path or a key; None: rows are counted.

    Raises InputError if a setting is wrong, or no bundled model has that name.
    """

    def __init__(
        self, request: Any, models: Models, role: Role | None, columns: list[str], result: str, name: str | None
    ) -> None:
        check("device", models.machine.device, get_args(Device))
        check("precision", models.machine.precision, get_args(Precision))
        if role is not None:
            bundled_file(getattr(models, role))  # paths may be those of other machines
        self.several = request.results > 1
        self.request, self.models, self.role = request, models, role
        self.columns, self.result, self.name = columns, result, name

    @abstractmethod
    def run(self, picture: Picture, *others: np.ndarray) -> Outcome[Picture]:
        """Run the task on a picture and the entries of the other columns in its row."""

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the results.

        Raises:
            InputError: a column is missing, or the picture of a row is wrong; the message names the row.
            CheckpointError: the model does not exist.
            SettingError: the device is absent.
        """
        for column in self.columns if self.name is None else [*self.columns, self.name]:
            if column not in batch:
                raise InputError(f"the batch has no column {column!r}, but {', '.join(map(str, batch))}")
        images = batch[self.columns[0]]
        if not len(images):
            return {**batch, self.result: images}
        if self.role is not None and (source := self.models.source(self.role)) is not None:
            source.load()  # outside the loop, since errors of model or device do not concern a row
        results = []
        for number in range(len(images)):
            try:
                image, *others = (batch[column][number] for column in self.columns)
                (picture,), form = pictures_from_api(image)
                with yield_to_load():
                    outcome = in_form([self.run(picture, *others)], form)
            except ScoreinvError as error:
                key = "" if self.name is None else f" ({batch[self.name][number]})"
                kind = InputError if isinstance(error, InputError) else ScoreinvError
                raise kind(f"row {number} of the batch{key}: {error}") from error
            results.append(np.stack(outcome.samples) if self.several else np.asarray(outcome.image))
        if isinstance(images, np.ndarray) and not images.dtype.hasobject:
            return {**batch, self.result: np.stack(results)}
        objects = np.empty(len(results), dtype=object)
        for number, result in enumerate(results):  # slice assignment would broadcast equal shapes
            objects[number] = result
        return {**batch, self.result: objects}


class Inpainter(OnRows):
    """Fill the holes of the pictures of a batch.

        scoreinv.Inpainter("photo", seed=0)({"image": images, "mask": masks})["result"]
        table.map_batches(scoreinv.Inpainter, fn_constructor_kwargs={"seed": 0}, compute=pool)  # Ray Data

    Args:
        model: name or file; None: `photo`, or none for a classical method.
        mask: name of the column of masks.
        mask_threshold, invert, grow: see `scoreinv.inpaint`.
        image, result, name: columns, see `OnRows`.
        device, precision: of the network, in each process; `auto` takes the fastest.
        settings: `method`, `steps`, `start`, `samples`, `seed`, `estimate` and `exact`, see `scoreinv.inpaint`.
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
        request = InpaintRequest(**settings)
        check_mask_settings(mask_threshold, invert, grow)
        if model is not None and request.classical is not None:
            raise SettingError("model", f"does not go with {request.method}, which needs none")
        models = Models(inpaint="photo" if model is None else model, machine=Machine(device, precision))
        super().__init__(request, models, "inpaint" if request.classical is None else None, [image, mask], result, name)
        self.mask_settings: dict[str, Any] = {"threshold": mask_threshold, "invert": invert, "grow": grow}

    def run(self, picture: Picture, *others: np.ndarray) -> Outcome[Picture]:
        (hole,) = as_holes(others[0], [picture.size], **self.mask_settings)
        return tasks.inpaint_picture(Inputs(picture, hole), self.request, self.models)


class Colorizer(OnRows):
    """Colour the grey pictures of a batch.

        scoreinv.Colorizer(saturation=1.2)({"image": grays})["result"]

    Args:
        model: name or file.
        hints: name of a column of pictures with alpha, whose opaque pixels give colours; None: none.
        image, result, name: columns, see `OnRows`.
        device, precision: of the network, in each process; `auto` takes the fastest.
        settings: `method`, `steps`, `start`, `samples`, `seed`, `estimate`, `gray_weights`, `keep_color`, `saturation`
            and `whiten`, see `scoreinv.colorize`.
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
        request, models = ColorizeRequest(**settings), Models(colorize=model, machine=Machine(device, precision))
        super().__init__(request, models, "colorize", [image] if hints is None else [image, hints], result, name)

    def run(self, picture: Picture, *others: np.ndarray) -> Outcome[Picture]:
        from scoreinv.tasks.colorize import hints_for  # needs torch

        (hints,) = hints_for(others[0] if others else None, 1)
        return tasks.colorize_picture(Inputs(picture, hints=hints), self.request, self.models)


class Restorer(OnRows):
    """Remove blur from the pictures of a batch, enlarge them, or remove noise.

        scoreinv.Restorer()({"image": noisy})["result"]
        scoreinv.Restorer(factor=2)({"image": small})["result"]
        scoreinv.Restorer(kernel=kernels.motion(15, 30))({"image": blurred})["result"]

    Args:
        model: name or file; None: the bundled one.
        prior: name or file of the model that draws the samples of an enlargement; None: the bundled one.
        kernel: the blur, as for `scoreinv.deblur`; None: none.
        factor: of the enlargement, 2 to 4; None: none.
        downsampling: the kernel that would reduce the large picture to the given one.
        noise_std: standard deviation of the noise, in [0, 1]. None: estimated from each picture.
        image, result, name: columns, see `OnRows`.
        device, precision: of the network, in each process; `auto` takes the fastest.
        settings: `method`, `steps`, `samples`, `seed`, `estimate` and `orientations`.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        prior: str | Path | None = None,
        kernel: PointSpread | np.ndarray | str | None = None,
        factor: int | None = None,
        downsampling: Downsampling | None = None,
        noise_std: float | None = None,
        image: str = "image",
        result: str = "result",
        name: str | None = None,
        device: Device = "auto",
        precision: Precision = "float32",
        **settings: Any,
    ) -> None:
        if kernel is not None and factor is not None:
            raise SettingError("factor", "does not go with a kernel: do one after the other")
        if factor is None and downsampling is not None:
            raise SettingError("downsampling", "needs a factor")
        if factor is None and prior is not None:
            raise SettingError("prior", "needs a factor: otherwise the model draws the samples")
        request: SolveRequest
        if factor is not None:
            kind: Downsampling = "area" if downsampling is None else downsampling
            request = UpscaleRequest(factor=factor, downsampling=kind, noise_std=noise_std, **settings)
        elif kernel is not None:
            request = DeblurRequest(kernel=as_kernel(kernel), noise_std=noise_std, **settings)
        else:
            request = DenoiseRequest(noise_std=noise_std, **settings)
        role = request.roles(())[0]
        named = {key: name for key, name in (("denoise", prior), (role, model)) if name is not None}
        models = Models(**named, machine=Machine(device, precision))
        super().__init__(request, models, role, [image], result, name)

    def run(self, picture: Picture, *others: np.ndarray) -> Outcome[Picture]:
        if isinstance(self.request, UpscaleRequest):
            return tasks.upscale_picture(Inputs(picture), self.request, self.models)
        if isinstance(self.request, DeblurRequest):
            return tasks.deblur_picture(Inputs(picture), self.request, self.models)
        return tasks.denoise_picture(Inputs(picture), self.request, self.models)
