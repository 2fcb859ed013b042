"""Requests of the photograph tasks: ranges, choices, and the way to other processes."""

import math
import pickle
from collections.abc import Iterator
from dataclasses import fields
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from scoreinv.imaging.picture import Picture
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import SettingError
from scoreinv.system.options import Range, Setting
from scoreinv.tasks.requests import (
    ColorizeRequest,
    DamageRequest,
    DeblurRequest,
    DenoiseRequest,
    InpaintRequest,
    Request,
    RestoreRequest,
    UpscaleRequest,
    noise_from_levels,
)

REQUESTS: list[type[Request]] = [
    InpaintRequest,
    ColorizeRequest,
    RestoreRequest,
    DenoiseRequest,
    UpscaleRequest,
    DeblurRequest,
    DamageRequest,
]
GIVEN: dict[type[Request], dict[str, Any]] = {
    InpaintRequest: {"method": "pc", "start": math.inf, "samples": 3, "seed": 7},
    ColorizeRequest: {"saturation": 2.0, "keep_color": True, "gray_weights": "average"},
    RestoreRequest: {"tone": 0.5, "noise_std": 0.1, "sensitivity": 0.2, "keep_steps": True},
    DenoiseRequest: {"noise_std": 0.1, "orientations": 8},
    UpscaleRequest: {"factor": 3, "downsampling": "bicubic", "orientations": 4},
    DeblurRequest: {"kernel": PointSpread("motion", 9, 30), "method": "mmps", "steps": 4},
    DamageRequest: {"sensitivity": 0.9, "grow": 0},
}


def wrong_values(request: type[Request]) -> Iterator[tuple[str, object]]:
    """Yield values outside the declared range or choices of each field, and of the wrong type."""
    for name, hint in get_type_hints(request, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        kind, setting = get_args(hint)[:2]
        members = [member for member in get_args(kind) if member is not NoneType]
        plain = members[0] if NoneType in get_args(kind) else kind
        if isinstance(setting, Setting) and isinstance(setting.range, Range):
            allowed = setting.range
            yield from ((name, "2"), (name, math.nan), (name, True))
            yield name, 0 if allowed.least is None else allowed.least - 1
            if allowed.most < math.inf:
                yield name, allowed.most + 1
            if allowed.kind is int:
                yield name, allowed.least + 0.5
        elif get_origin(plain) is Literal:
            yield from ((name, "magic"), (name, 1))
        elif kind is bool:
            yield from ((name, 1), (name, "yes"))
        elif name == "noise_std":
            yield from ((name, -0.1), (name, 1.5), (name, math.nan), (name, "0.1"))
        elif name == "start":
            yield from ((name, 0), (name, -math.inf), (name, "prior"))


WRONG = [
    pytest.param(request, name, value, id=f"{request.__name__} {name} {value!r}")
    for request in REQUESTS
    for name, value in [*wrong_values(request), *([("seed", -1)] if hasattr(request, "seed") else [])]
]


@pytest.mark.parametrize(("request_type", "name", "value"), WRONG)
def test_a_value_out_of_range_is_refused_when_the_request_is_made(request_type, name, value) -> None:
    with pytest.raises(SettingError) as caught:
        request_type(**{name: value})
    assert caught.value.setting == name


@pytest.mark.parametrize("request_type", REQUESTS)
def test_a_request_can_be_sent_to_another_process(request_type: type[Request]) -> None:
    for settings in ({}, GIVEN[request_type]):
        request = request_type(**settings)
        again = pickle.loads(pickle.dumps(request))
        assert [getattr(again, field.name) for field in fields(again)] == [
            getattr(request, field.name) for field in fields(request)
        ]
        assert all(getattr(again, name) == value for name, value in settings.items())


def test_a_kernel_as_an_array_can_be_sent_to_another_process() -> None:
    kernel = np.full((3, 3), 1 / 9)
    again = pickle.loads(pickle.dumps(DeblurRequest(kernel=kernel)))
    np.testing.assert_array_equal(again.kernel, kernel)


@pytest.mark.parametrize(
    ("request_type", "settings", "setting"),
    [
        (InpaintRequest, {"method": "conditioned", "start": 0.5}, "start"),
        (InpaintRequest, {"method": "pc", "estimate": "mean"}, "estimate"),
        (InpaintRequest, {"method": "telea", "samples": 2}, "samples"),
        (InpaintRequest, {"method": "biharmonic", "steps": 2}, "steps"),
        (ColorizeRequest, {"method": "pc", "estimate": "mean"}, "estimate"),
        (DenoiseRequest, {"steps": 3}, "steps"),
        (DenoiseRequest, {"samples": 2, "orientations": 2}, "orientations"),
        (DenoiseRequest, {"orientations": 3}, "orientations"),
        (UpscaleRequest, {"method": "dpir"}, "method"),
        (UpscaleRequest, {"steps": 3}, "steps"),
        (UpscaleRequest, {"samples": 2, "orientations": 2}, "orientations"),
        (DeblurRequest, {"method": "mmps", "estimate": "mean"}, "estimate"),
        (RestoreRequest, {"denoise": False, "noise_std": 0.1}, "noise_std"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(request_type, settings, setting) -> None:
    with pytest.raises(SettingError) as caught:
        request_type(**settings)
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    ("request_", "given", "setting"),
    [
        (InpaintRequest(sensitivity=0.3), {"mask"}, "sensitivity"),
        (InpaintRequest(method="pc"), {"mask", "avoid"}, "avoid"),
        (InpaintRequest(method="telea"), {"mask", "avoid"}, "avoid"),
        (InpaintRequest(estimate="mean"), {"mask", "avoid"}, "avoid"),
        (RestoreRequest(inpaint=False), {"mask"}, "mask"),
        (RestoreRequest(sensitivity=0.3), {"mask"}, "sensitivity"),
        (RestoreRequest(colorize=False), {"hints"}, "hints"),
    ],
)
def test_what_is_given_beside_the_picture_must_fit(request_: Request, given: set[Any], setting: str) -> None:
    request_.check_given(set())
    with pytest.raises(SettingError) as caught:
        request_.check_given(given)
    assert caught.value.setting == setting


def test_a_request_tells_the_size_of_its_result() -> None:
    picture = Picture(np.zeros((20, 30, 3), np.uint16))
    assert UpscaleRequest(factor=3).result_of(picture).size == (60, 90)
    mask = DamageRequest().result_of(picture)
    assert (mask.size, mask.mode, mask.pixels.dtype) == ((20, 30), "L", np.uint8)
    assert RestoreRequest().result_of(picture) is picture
    with pytest.raises(ValueError, match="the kernel is 25x25"):
        DeblurRequest(kernel=np.ones((25, 25))).result_of(picture)


def test_front_ends_give_noise_in_grey_levels() -> None:
    assert noise_from_levels("25.5") == pytest.approx(0.1)
    assert noise_from_levels(None) is None
    for wrong in ("-1", "256", "nan", "much"):
        with pytest.raises(SettingError, match="0 to 255"):
            noise_from_levels(wrong)
