"""Tasks on rows of a table: callables that Ray Data, Dask and Spark map over batches.

Only their settings are pickled. The first row in a process loads the model for all callables of the process. Rows are
independent: a result depends neither on batching nor on other rows, and each row's noise is keyed by the seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.blur import as_kernel
from scoreinv.inputs.masks import as_holes, check_mask_settings
from scoreinv.models.catalogue import bundled_file
from scoreinv.models.loading import Machine, Models
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.options import MASK_THRESHOLD, Device, Precision, check
from scoreinv.system.threads import yield_to_load
from scoreinv.tasks.once import in_form, once
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.requests import (
    ColorizeRequest,
    DeblurRequest,
    DenoiseRequest,
    Downsampling,
    Given,
    InpaintRequest,
    Inputs,
    Request,
    SolveRequest,
    UpscaleRequest,
)
from scoreinv.tasks.table import BY_NAME

Batch = dict[str, np.ndarray]
"""Columns by name, of equal lengths. A column of pictures is NxHxW(xC), or an object array of HxW(xC)."""


class OnRows:
    """A task on each row of a batch.

        scoreinv.tasks.rows.OnRows("restore", RestoreRequest(colorize=False), Models())({"image": images})["result"]

    Args:
        task: its name.
        request: settings of the task; if it has several `results`, each row gets all of them, SxHxW(xC).
        models: names or files of the models.
        image: name of the column of pictures, arrays HxW, HxWx3 or HxWx4 of uint8, uint16 or float in [0, 1].
        inputs: columns of the task's other inputs, `mask` and `hints`.
        result: name of the added column, which has arrays of the pictures' dtype.
        name: column that identifies rows in errors, such as a path or a key; None: rows are counted.
        masks: options of `scoreinv.inputs.masks.as_holes`.

    Raises InputError if a setting is wrong, or no bundled model has that name.
    """

    def __init__(
        self,
        task: str,
        request: Request,
        models: Models,
        *,
        image: str = "image",
        inputs: Mapping[Given, str] | None = None,
        result: str = "result",
        name: str | None = None,
        masks: Mapping[str, Any] | None = None,
    ) -> None:
        check("device", models.machine.device, get_args(Device))
        check("precision", models.machine.precision, get_args(Precision))
        self.inputs, self.mask_settings = dict(inputs or {}), dict(masks or {})
        self.role = next(iter(request.roles(self.inputs.keys())), None)
        if self.role is not None:
            bundled_file(getattr(models, self.role))  # paths may be those of other machines
        self.several = request.results > 1
        self.task, self.request, self.models = task, request, models
        self.image, self.result, self.name = image, result, name

    def run(self, picture: Picture, others: Mapping[Given, Any]) -> Outcome[Picture]:
        """Run the task on a picture and the other inputs of its row."""
        hole = hints = None
        if "mask" in others:
            (hole,) = as_holes(others["mask"], [picture.size], **self.mask_settings)
        if "hints" in others:
            from scoreinv.tasks.colorize import hints_for  # needs torch

            (hints,) = hints_for(others["hints"], 1)
        return once(BY_NAME[self.task], Inputs(picture, hole, hints=hints), self.request, self.models)  # type: ignore[no-any-return]

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the results.

        Raises:
            InputError: a column is missing, or the picture of a row is wrong; the message names the row.
            CheckpointError: the model does not exist.
            SettingError: the device is absent.
        """
        for column in (self.image, *self.inputs.values(), *([] if self.name is None else [self.name])):
            if column not in batch:
                raise InputError(f"the batch has no column {column!r}, but {', '.join(map(str, batch))}")
        images = batch[self.image]
        if not len(images):
            return {**batch, self.result: images}
        if self.role is not None and (source := self.models.source(self.role)) is not None:
            source.load()  # outside the loop, since errors of model or device do not concern a row
        results = []
        for number in range(len(images)):
            try:
                (picture,), form = pictures_from_api(images[number])
                others = {given: batch[column][number] for given, column in self.inputs.items()}
                with yield_to_load():
                    outcome = in_form([self.run(picture, others)], form)
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
        masks = {"threshold": mask_threshold, "invert": invert, "grow": grow}
        columns: dict[Given, str] = {"mask": mask}
        super().__init__("inpaint", request, models, image=image, inputs=columns, result=result, name=name, masks=masks)


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
        columns: dict[Given, str] = {} if hints is None else {"hints": hints}
        super().__init__("colorize", request, models, image=image, inputs=columns, result=result, name=name)


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
            task = "upscale"
            request = UpscaleRequest(factor=factor, downsampling=kind, noise_std=noise_std, **settings)
        elif kernel is not None:
            task, request = "deblur", DeblurRequest(kernel=as_kernel(kernel), noise_std=noise_std, **settings)
        else:
            task, request = "denoise", DenoiseRequest(noise_std=noise_std, **settings)
        named = {"denoise": prior, request.roles(())[0]: model}
        models = Models(
            **{role: each for role, each in named.items() if each is not None}, machine=Machine(device, precision)
        )
        super().__init__(task, request, models, image=image, result=result, name=name)
