"""Requests of the tasks from the query of a route, for one photograph and for many.

The functions are asynchronous, since FastAPI runs others in the few threads that encode photographs.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from scoreinv.operators.kernels import BlurKind, PointSpread
from scoreinv.tasks.requests import (
    DeblurRequest,
    DenoiseRequest,
    RestoreRequest,
    UpscaleRequest,
    noise_from_levels,
)


async def restore_request(
    inpaint: bool = True,
    tone: float | None = None,
    denoise: bool = True,
    colorize: bool = True,
    recolor: bool = False,
    saturation: float | None = None,
    keep_tint: bool = False,
    noise: float | None = None,
    keep_grain: float = 0.0,
    enlarge: int | None = None,
    sensitivity: float | None = None,
    seed: int = 0,
) -> RestoreRequest:
    """Return the request of a restoration."""
    return RestoreRequest(
        inpaint=inpaint,
        tone=tone,
        denoise=denoise,
        colorize=colorize,
        recolor=recolor,
        saturation=saturation,
        keep_tint=keep_tint,
        noise_std=noise_from_levels(noise),
        keep_grain=keep_grain,
        enlarge=enlarge,
        sensitivity=sensitivity,
        seed=seed,
        estimate="sample" if seed else None,  # later results are samples
    )


async def denoise_request(noise: float | None = None, keep_grain: float = 0.0) -> DenoiseRequest:
    """Return the request of noise removal."""
    return DenoiseRequest(noise_std=noise_from_levels(noise), keep_grain=keep_grain)


async def upscale_request(factor: int = 2, noise: float | None = None) -> UpscaleRequest:
    """Return the request of an enlargement."""
    return UpscaleRequest(factor=factor, noise_std=noise_from_levels(noise))


async def deblur_request(
    blur: BlurKind | None = None, size: float = 2.0, angle: float = 0.0, noise: float | None = None
) -> DeblurRequest:
    """Return the request of blur removal."""
    kernel = None if blur is None else PointSpread(blur, size, angle)
    return DeblurRequest(kernel=kernel, noise_std=noise_from_levels(noise))


Restoring = Annotated[RestoreRequest, Depends(restore_request)]
Denoising = Annotated[DenoiseRequest, Depends(denoise_request)]
Enlarging = Annotated[UpscaleRequest, Depends(upscale_request)]
Deblurring = Annotated[DeblurRequest, Depends(deblur_request)]
