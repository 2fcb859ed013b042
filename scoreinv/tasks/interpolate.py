"""The task `interpolate`: interpolate two pictures in latent space (Song et al. 2021, section 4.3, D.4)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.prior import ScorePrior
from scoreinv.samplers.ode import decode, encode
from scoreinv.sdes import TRAINING_START
from scoreinv.system.errors import InputError
from scoreinv.system.options import GRAY_LEVELS, Number, Whole, check
from scoreinv.system.progress import Callback, parts, running
from scoreinv.tasks.common import Model, check_sides, colours_for, finite, in_batches, model_of, to_arrays, to_tensor
from scoreinv.tasks.denoise import written
from scoreinv.tasks.outcome import Drawn, ImageLike
from scoreinv.tasks.sampling_settings import GENERATIVE_MODEL

_log = logging.getLogger(__name__)
_MOST_ERROR = 1.0
"""Mean absolute error of the ends, in grey levels, above which a warning proposes more steps."""


def interpolate(
    a: ImageLike,
    b: ImageLike,
    count: int = 8,
    *,
    prior: Model | None = None,
    temperature: float = 1.0,
    steps: int | None = None,
    rtol: float = 1e-5,
    callback: Callback | None = None,
    progress: bool = False,
) -> Drawn[list[ImageLike]]:
    """Encode pictures a and b, interpolate their latent codes along an arc (`slerp`), and decode them.

        result = scoreinv.interpolate(a, b, 8, prior=scoreinv.load("cifar10"))
        result.images

    At temperature 1 the first and last results are a and b, up to the solver's error. Results have the alpha of a.
    Reported evaluations include the encoding.

    Args:
        a, b: array HxW, HxWx3 or HxWx4, PIL image, or tensor CxHxW of uint8, uint16 or floats in [0, 1], of
            one size whose sides are multiples of the model's stride.
        count: number of pictures, including both ends.
        prior: the model, its name or its file; None: `photo`.
        temperature: factor of the codes before decoding; pictures are smoother below 1.
        steps: steps of a fixed grid, four evaluations each; 16 suffice. None: adaptive RK45.
        rtol: tolerance of RK45, relative and absolute.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture or setting.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model returned values that are not finite.
    """
    model = model_of(prior, GENERATIVE_MODEL)
    starts, form = pictures_from_api(a)
    ends, _ = pictures_from_api(b)
    if len(starts) != 1 or len(ends) != 1:
        raise InputError(f"interpolation is between two single pictures, not between {len(starts)} and {len(ends)}")
    first: Picture = starts[0]
    with running("interpolating", callback, progress=progress):
        result = interpolate_pictures(first, ends[0], model, count, temperature=temperature, steps=steps, rtol=rtol)
    # A picture of mode L cannot hold the colours of the other one.
    frame = first.colorized(first.rgb()) if first.is_gray_mode and not ends[0].is_gray_mode else first
    colours = [np.broadcast_to(image, (*first.size, 3)) for image in result.images]
    return Drawn([form.pictures([written(frame, rgb)]) for rgb in colours], result.nfe)


def interpolate_pictures(
    first: Picture,
    second: Picture,
    prior: ScorePrior,
    count: int,
    *,
    temperature: float = 1.0,
    steps: int | None = None,
    rtol: float = 1e-5,
) -> Drawn[np.ndarray]:
    """Interpolate two `Picture`s; see `interpolate`."""
    check("count", count, Whole(2))
    check("temperature", temperature, Number(0))
    if first.size != second.size:
        raise InputError(
            f"the pictures are {first.width}x{first.height} and {second.width}x{second.height}, and must have one size"
        )
    check_sides(first, prior)
    x = prior.to_model(to_tensor([colours_for(end, prior.channels) for end in (first, second)], prior.device))
    encoding, decoding = parts([2, count])
    with encoding:
        ends = encode(prior, x, steps=steps, rtol=rtol, atol=rtol)
    images: list[np.ndarray] = []
    evaluations = int(ends.nfe.sum())
    with decoding:
        for batch, part in in_batches(np.linspace(0, 1, count).tolist(), first.height * first.width):
            z = slerp(ends.z[0], ends.z[1], batch)
            with part:
                result = decode(
                    prior, z, temperature=temperature, end=TRAINING_START, steps=steps, rtol=rtol, atol=rtol
                )
            images += to_arrays(prior.to_image(finite(result.x0)))
            evaluations += int(result.nfe.sum())
    error = np.abs([images[0], images[-1]] - np.stack(to_arrays(prior.to_image(x)))).mean() * GRAY_LEVELS
    if temperature == 1 and error > _MOST_ERROR:
        _log.warning("the ends differ from their pictures by %.0f grey levels: 16 steps suffice", error)
    return Drawn(np.stack(images), round(evaluations / count))


def slerp(a: Tensor, b: Tensor, fractions: Sequence[float] | np.ndarray) -> Tensor:
    """Return points (N, C, H, W) on the arc from a to b (C, H, W), one for each fraction f in [0, 1].

        (sin((1 - f) w) a + sin(f w) b) / sin w,      w the angle between a and b (Shoemake 1985)

    Codes keep the norm of noise, unlike on a straight line. Parallel codes define no arc, so they are interpolated
    linearly.
    """
    start, end = a.flatten().cpu().double(), b.flatten().cpu().double()
    f = torch.as_tensor(np.asarray(fractions), dtype=torch.float64)[:, None]
    cosine = torch.dot(start, end) / (start.norm() * end.norm()).clamp(min=1e-300)
    angle = cosine.clamp(-1, 1).acos()
    if angle.sin() < 1e-6:
        path = (1 - f) * start + f * end
    else:
        path = (((1 - f) * angle).sin() * start + (f * angle).sin() * end) / angle.sin()
    return path.reshape(-1, *a.shape).to(a)
