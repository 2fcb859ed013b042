"""Pictures in the rows of a table: callables that Ray Data, Dask and Spark map over batches of them.

They are pickled as their settings alone; the model is loaded by the first row that a process does, and stays for all
that the process does with it, whoever unpickled it how often. Each row is done by itself: its result does not depend on
how rows are cut into batches, and its noise comes from the seed as if it were the only one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from scoreinv.checks import check_choice, check_noise_share, check_whole, shown
from scoreinv.errors import InputError, ScoreinvError, SettingError
from scoreinv.imaging.masks import DEFAULT_THRESHOLD, check_mask_settings
from scoreinv.kernels import normalised
from scoreinv.models.bundled import bundled_model, names_bundled
from scoreinv.options import (
    COLOUR_STEPS,
    Device,
    Downsampling,
    Estimate,
    FillMethod,
    GrayWeights,
    Method,
    Precision,
    RestorationMethod,
)
from scoreinv.tasks.settings import Colours, ConditionalSampling, FillSettings, RestorationSampling

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored, TaskCallback

Batch = dict[str, np.ndarray]
"""Columns by name, of equal lengths. A column of pictures is NxHxW(xC), or an object array of HxW(xC)."""

MODELS = 4
"""Models that a process keeps."""

_COLUMNS = ("image", "result", "name", "mask", "hints")
"""Settings that name a column, of those that have them."""
_OPTIONAL = ("name", "hints")
"""Those of a column that there need not be."""
_loading = Lock()


@dataclass(frozen=True, eq=False)
class _OnRows(ABC):
    """What is done for each row.

    Attributes:
        model: name or file of the model.
        image: name of the column of pictures: arrays HxW, HxWx3 or HxWx4 of uint8, uint16 or float in [0, 1].
        result: name of the column that is added. It holds arrays of the pictures' type: each result, or where several
            samples are asked for all of them, SxHxW(xC).
        name: name of a column that tells rows apart (a path, a key), for errors; they count rows within a batch.
        device, precision: of the network, in each process. `auto` is the first of cuda, mps and cpu that is there, and
            bfloat16 where CUDA has it, or a convolution on the processor is faster in it.
    """

    model: str | Path | None = None
    _: KW_ONLY
    image: str = "image"
    result: str = "result"
    name: str | None = None
    device: Device = "auto"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        check_choice("device", self.device, get_args(Device))
        check_choice("precision", self.precision, get_args(Precision))
        for setting in (setting for setting in _COLUMNS if hasattr(self, setting)):
            column = getattr(self, setting)
            if not (isinstance(column, str) or (column is None and setting in _OPTIONAL)):
                raise SettingError(setting, f"must be the name of a column, not {shown(column)}")
        if not isinstance(self.model, str | Path | None):
            raise SettingError("model", f"must be the name or file of a model, not {shown(self.model)}")
        if self.model is not None and names_bundled(self.model):
            bundled_model(str(self.model))  # paths may be those of other machines

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the results.

        Raises:
            InputError: a column is missing, or the picture of a row is wrong; the text names the row.
            CheckpointError: there is no such model.
            SettingError: there is no such device.
        """
        for column in self._columns:
            if column not in batch:
                raise InputError(f"the batch has no column {column!r}, but {', '.join(map(str, batch))}")
        images = batch[self.image]
        for column in self._columns:
            if len(batch[column]) != len(images):
                raise InputError(f"column {column!r} has {len(batch[column])} rows, and {self.image!r} {len(images)}")
        if len(images):
            self._prior()  # what is wrong with model or device is of no row
        results = [self._row_result(batch, number) for number in range(len(images))]
        return {**batch, self.result: _as_column(results, images) if results else self._no_results(images)}

    def _no_results(self, images: np.ndarray) -> np.ndarray:
        """A column without rows, as wide as others are."""
        if images.dtype.hasobject or images.ndim < 3:
            return images
        several = (self._results,) if self._results > 1 else ()
        return np.empty((0, *several, *self._shape(images.shape[1:])), images.dtype)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the result of a picture HxW(xC) of this shape."""
        return shape

    def _row_result(self, batch: Batch, number: int) -> np.ndarray:
        try:
            restored = self._restored({column: batch[column][number] for column in self._columns})
        except ScoreinvError as error:
            key = "" if self.name is None else f" ({batch[self.name][number]})"
            kind = InputError if isinstance(error, InputError) else ScoreinvError
            raise kind(f"row {number} of the batch{key}: {error}") from error
        return np.stack(restored.samples) if self._results > 1 else np.asarray(restored.image)

    @abstractmethod
    def _prior(self) -> ScorePrior | None:
        """The model, loaded; None where the work needs none."""

    def _loaded(self, usual: str) -> ScorePrior:
        """The model that is asked for, or the usual one."""
        with _loading:  # threads of Dask would load it once each
            return _load(self.model or usual, self.device, self.precision)

    @property
    def _columns(self) -> list[str]:
        """The columns that are read."""
        return [self.image, *([] if self.name is None else [self.name])]

    @property
    @abstractmethod
    def _results(self) -> int:
        """How many pictures are asked for."""

    @abstractmethod
    def _restored(self, row: Mapping[str, Any]) -> Restored[Any]:
        """The result of a row."""


@dataclass(frozen=True, eq=False)
class Inpainter(_OnRows):
    """Fill the holes of the pictures of a batch.

        scoreinv.Inpainter("photo", seed=0)({"image": images, "mask": masks})["result"]
        table.map_batches(scoreinv.Inpainter, fn_constructor_kwargs={"seed": 0}, compute=pool)  # of Ray Data

    Attributes:
        model: None: `photo`, or no model where the method is a classical one.
        mask: name of the column of masks, of bool, uint8, uint16 or float in [0, 1], of their pictures' sizes.
        method, steps, start, samples, seed, estimate, mask_threshold, invert, grow: as for `scoreinv.inpaint`.

    Raises:
        InputError: a setting is wrong, when it is made.
    """

    mask: str = "mask"
    method: FillMethod | None = None
    steps: int | None = None
    start: float | None = None
    samples: int = 1
    seed: int = 0
    estimate: Estimate = "sample"
    mask_threshold: float = DEFAULT_THRESHOLD
    invert: bool = False
    grow: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mask_settings(self.mask_threshold, self.invert, self.grow)
        if self._settings.classical is not None and self.model is not None:
            raise SettingError("model", f"does not go with {self.method}, which needs none")

    def _prior(self) -> ScorePrior | None:
        return None if self._settings.classical is not None else self._loaded("photo")

    @property
    def _settings(self) -> FillSettings:
        return FillSettings(**_sampling_of(self))

    @property
    def _results(self) -> int:
        return self._settings.results

    @property
    def _columns(self) -> list[str]:
        return [*super()._columns, self.mask]

    def _restored(self, row: Mapping[str, Any]) -> Restored[Any]:
        from scoreinv.tasks.inpaint import inpaint

        return inpaint(
            row[self.image],
            row[self.mask],
            prior=self._prior(),
            **_sampling_of(self),
            mask_threshold=self.mask_threshold,
            invert=self.invert,
            grow=self.grow,
        )


@dataclass(frozen=True, eq=False)
class Colorizer(_OnRows):
    """Colour the grey pictures of a batch.

        scoreinv.Colorizer(temperature=0.5)({"image": grays})["result"]

    Attributes:
        model: None: `scene`.
        hints: name of a column of pictures with alpha whose colours are taken where they are opaque; None for none.
        gray_weights, method, steps, start, samples, seed, estimate, keep_color, saturation, temperature, whiten: as for
            `scoreinv.colorize`.

    Raises:
        InputError: a setting is wrong, when it is made.
    """

    hints: str | None = None
    gray_weights: GrayWeights = "rec601"
    method: Method | None = None
    steps: int | None = None
    start: float | None = None
    samples: int = 1
    seed: int = 0
    estimate: Estimate = "sample"
    keep_color: bool = False
    saturation: float | None = None
    temperature: float | None = None
    whiten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        colours = Colours(self.gray_weights, self.keep_color, self.saturation, self.temperature, self.whiten)
        colours.check_with(self._sampling.resolved(COLOUR_STEPS, conditional=True))

    def _prior(self) -> ScorePrior:
        return self._loaded("scene")

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape if len(shape) == 3 else (*shape, 3)

    @property
    def _sampling(self) -> ConditionalSampling:
        return ConditionalSampling(**_sampling_of(self))

    @property
    def _results(self) -> int:
        return self._sampling.results

    @property
    def _columns(self) -> list[str]:
        return [*super()._columns, *([] if self.hints is None else [self.hints])]

    def _restored(self, row: Mapping[str, Any]) -> Restored[Any]:
        from scoreinv.tasks.colorize import colorize

        return colorize(
            row[self.image],
            prior=self._prior(),
            gray_weights=self.gray_weights,
            **_sampling_of(self),
            hints=None if self.hints is None else row[self.hints],
            keep_color=self.keep_color,
            saturation=self.saturation,
            temperature=self.temperature,
            whiten=self.whiten,
        )


@dataclass(frozen=True, eq=False)
class Restorer(_OnRows):
    """Remove from the pictures of a batch the blur of a kernel, enlarge them by a factor, or remove noise alone.

        scoreinv.Restorer()({"image": noisy})["result"]
        scoreinv.Restorer(factor=2)({"image": small})["result"]
        scoreinv.Restorer(kernel=kernels.motion(15, 30))({"image": blurred})["result"]

    Attributes:
        model: None: `denoiser`.
        kernel: (h, w) of at least 0, in rows and columns: the blur; None for none.
        factor: how many times as large results are, at least 2; None: as large as the pictures.
        downsampling: how the large picture would be reduced to the given one.
        noise_std: standard deviation of the noise, in [0, 1] units. None: estimated from each picture, but 0 for one
            that is enlarged.
        estimate: None: `mean`, or `sample` where several are asked for or the method draws samples.
        method, steps, samples, seed, orientations: as for `scoreinv.solve`; noise alone has one method.

    Raises:
        InputError: a setting is wrong, when it is made.
    """

    kernel: np.ndarray | None = None
    factor: int | None = None
    downsampling: Downsampling = "area"
    noise_std: float | None = None
    method: RestorationMethod | None = None
    steps: int | None = None
    samples: int = 1
    seed: int = 0
    estimate: Estimate | None = None
    orientations: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel is not None:
            normalised(self.kernel, "the kernel")
        if self.factor is not None:
            check_whole("factor", self.factor, 2)
        check_choice("downsampling", self.downsampling, get_args(Downsampling))
        if self.noise_std is not None:
            check_noise_share(self.noise_std)
        sampling = self._sampling
        if self.kernel is not None and self.factor is not None:
            raise SettingError("factor", "does not go with a kernel: do one after the other")
        if self.factor is None and self.downsampling != "area":
            raise SettingError("downsampling", "belongs to a factor")
        noise_alone = self.kernel is None and self.factor is None
        if noise_alone and self.method is not None:
            raise SettingError("method", "belongs to a kernel or a factor: noise alone is removed in one way")
        if noise_alone and self.steps is not None and sampling.is_direct_mean:
            raise SettingError("steps", "are for samples: the mean without noise takes one evaluation")
        if not noise_alone and self.orientations > 1:
            raise SettingError("orientations", "belong to noise alone, without a kernel or a factor")

    def _prior(self) -> ScorePrior:
        return self._loaded("denoiser")

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width, *channels = shape
        factor = self.factor or 1
        return (factor * height, factor * width, *channels)

    @property
    def _sampling(self) -> RestorationSampling:
        return RestorationSampling(
            self.method,
            self.steps,
            self.samples,
            self.seed,
            self.estimate or RestorationSampling.usual_estimate(self.samples, self.method),
            orientations=self.orientations,
        )

    @property
    def _results(self) -> int:
        return self._sampling.results

    def _restored(self, row: Mapping[str, Any]) -> Restored[Any]:
        from scoreinv.imaging.arrays import pictures_from_api
        from scoreinv.tasks.results import restore_each

        pictures, form = pictures_from_api(row[self.image])
        prior = self._prior()
        return restore_each(pictures, form, lambda number, share: self._restore(pictures[number], prior, share), None)

    def _restore(self, picture: Picture, prior: ScorePrior, share: TaskCallback) -> Restored[Picture]:
        from scoreinv.imaging.noise import estimate_noise
        from scoreinv.tasks.restoration import deblur_picture, denoise_picture, has_noise, unchanged, upscale_picture

        if self.factor is not None:
            noise = self.noise_std or 0.0
            return upscale_picture(picture, self.factor, self.downsampling, noise, prior, self._sampling, share)
        noise = estimate_noise(picture) if self.noise_std is None else self.noise_std
        if self.kernel is not None:
            return deblur_picture(picture, normalised(self.kernel, "the kernel"), noise, prior, self._sampling, share)
        if self.noise_std is None and not has_noise(picture, noise, prior):
            return unchanged(picture, self._sampling)
        return denoise_picture(picture, noise, prior, self._sampling, share)


def _sampling_of(rows: Inpainter | Colorizer) -> dict[str, Any]:
    """How the results of rows are drawn, by the names that `inpaint` and `colorize` have for it."""
    return {name: getattr(rows, name) for name in ("method", "steps", "start", "samples", "seed", "estimate")}


@lru_cache(maxsize=MODELS)
def _load(model: str | Path, device: Device, precision: Precision) -> ScorePrior:
    import torch

    from scoreinv.machine import uses_bfloat16
    from scoreinv.models.catalogue import load
    from scoreinv.tasks.common import device_of

    place = torch.device(device_of(device))
    return load(model).to(place, torch.bfloat16 if uses_bfloat16(precision, place) else torch.float32)


def _as_column(results: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    """Results as a column of the kind that the pictures' is: one array, or an array of arrays."""
    if isinstance(images, np.ndarray) and not images.dtype.hasobject:
        return np.stack(results)
    column = np.empty(len(results), dtype=object)
    for number, result in enumerate(results):  # a slice would take arrays of one shape for more dimensions
        column[number] = result
    return column
