"""Requests of the photograph tasks: ranges, choices, and the way to other processes."""

import math
import pickle
from collections.abc import Iterator
from dataclasses import fields
from inspect import signature
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import SettingError
from scoreinv.system.options import Range, Setting, declared
from scoreinv.tasks.requests import (
    COLOR_SATURATION,
    ColorizeRequest,
    DamageRequest,
    DeblurRequest,
    DenoiseRequest,
    InpaintRequest,
    Request,
    RestoreRequest,
    SelectRequest,
    SolveRequest,
    UpscaleRequest,
    noise_from_levels,
)
from scoreinv.tasks.sampling_settings import LikelihoodSettings, RunEvaluationSettings, SamplerSettings

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
NOTHING: dict[str, Any] = {"inpaint": False, "tone": 0, "denoise": False, "colorize": False}
"""Settings of a restoration that turn off all steps that can be."""


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
    for name, value in [*wrong_values(request), *((name, -1) for name in ("seed", "grow") if hasattr(request, name))]
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
        (RestoreRequest, {"colorize": False, "recolor": True}, "recolor"),
        (RestoreRequest, {"colorize": False, "saturation": 1.0}, "saturation"),
        (RestoreRequest, NOTHING | {"keep_tint": True}, "keep_tint"),
        (InpaintRequest, {"method": "telea", "start": 0.5}, "start"),
        (InpaintRequest, {"method": "telea", "estimate": "mean"}, "estimate"),
        (ColorizeRequest, {"start": 0.5, "estimate": "mean"}, "estimate"),
        (SolveRequest, {"method": "dpir", "samples": 2}, "method"),
        (SolveRequest, {"method": "dpir", "estimate": "sample"}, "method"),
        (SolveRequest, {"orientations": 2, "estimate": "sample"}, "orientations"),
        (LikelihoodSettings, {"steps": 3, "rtol": 1e-3}, "rtol"),
        (SamplerSettings, {"corrector": "none", "corrector_steps": 1}, "corrector_steps"),
        (SamplerSettings, {"predictor": "none", "corrector_steps": 0}, "predictor"),
        (SamplerSettings, {"eta": 0.0, "churn": 0.0}, "eta"),
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
        (InpaintRequest(start=0.5), {"mask", "avoid"}, "avoid"),
    ],
)
def test_inputs_beside_the_picture_must_fit(request_: Request, given: set[Any], setting: str) -> None:
    request_.check_given(set())
    with pytest.raises(SettingError) as caught:
        request_.check_given(given)
    assert caught.value.setting == setting


def test_a_request_tells_the_size_of_its_result() -> None:
    picture = Picture(np.zeros((20, 30, 3), np.uint16))
    assert UpscaleRequest(factor=3).result_of(picture).size == (60, 90)
    assert RestoreRequest(enlarge=2).result_of(picture).size == (40, 60)
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


@pytest.mark.parametrize(
    ("request_", "given", "roles", "helpers"),
    [
        (InpaintRequest(), {"mask"}, ["inpaint"], []),
        (InpaintRequest(), set(), ["inpaint", "damage"], ["encoder"]),
        (InpaintRequest(method="telea"), {"mask"}, [], []),
        (InpaintRequest(method="telea"), set(), ["damage"], ["encoder"]),
        (ColorizeRequest(), set(), ["colorize"], ["places"]),
        (ColorizeRequest(), {"references"}, ["colorize"], ["places", "encoder"]),
        (ColorizeRequest(method="pc"), {"hints"}, ["colorize"], []),
        (DenoiseRequest(), set(), ["denoise", "noise"], []),
        (DenoiseRequest(noise_std=0.1), set(), ["denoise"], []),
        (DeblurRequest(), set(), ["denoise", "noise"], ["blur"]),
        (DeblurRequest(kernel=PointSpread("disk", 2.0)), set(), ["denoise", "noise"], []),
        (UpscaleRequest(), set(), ["upscale", "denoise", "noise"], []),
        (DamageRequest(), set(), ["damage"], ["encoder"]),
        (SelectRequest(), set(), [], []),
        (
            RestoreRequest(),
            set(),
            ["inpaint", "denoise", "noise", "colorize", "damage"],
            ["encoder", "tone", "scene", "places"],
        ),
        (
            RestoreRequest(enlarge=2, tone=0),
            {"mask"},
            ["inpaint", "denoise", "noise", "colorize", "upscale"],
            ["places"],
        ),
        (RestoreRequest(**NOTHING), {"hints"}, [], []),
    ],
)
def test_a_request_names_the_models_that_it_needs(
    request_: Request, given: set[Any], roles: list[str], helpers: list[str]
) -> None:
    assert request_.roles(given) == roles
    assert request_.helpers(given) == helpers


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, ["damage", "tint", "tone", "inpaint", "denoise", "colorize"]),
        ({"inpaint": False, "tone": 0}, ["tint", "denoise", "colorize"]),
        ({"keep_tint": True, "denoise": False}, ["damage", "tone", "inpaint", "colorize"]),
        (NOTHING | {"crop_border": True, "enlarge": 3}, ["border", "tint", "enlarge"]),
    ],
)
def test_the_steps_of_a_restoration(settings: dict[str, Any], steps: list[str]) -> None:
    assert RestoreRequest(**settings).steps == steps


@pytest.mark.parametrize(
    ("settings", "estimated", "decided"),
    [
        ({}, True, ("dpir", 3)),
        ({}, False, ("dpir", 30)),
        ({"samples": 2}, True, ("diffpir", 8)),
        ({"samples": 2}, False, ("mmps", 36)),
        ({"method": "dps"}, True, ("dps", 300)),
        ({"method": "dps"}, False, ("dps", 300)),
        ({"method": "pc", "steps": 5}, False, ("pc", 5)),
    ],
)
def test_methods_and_steps_that_a_user_leaves_open(settings: dict[str, Any], estimated: bool, decided: object) -> None:
    assert SolveRequest(**settings).method_and_steps(from_estimate=estimated) == decided


@pytest.mark.parametrize(
    ("request_", "estimate", "results", "mean"),
    [
        (InpaintRequest(samples=3), "sample", 3, False),
        (InpaintRequest(samples=3, estimate="mean"), "mean", 1, False),
        (InpaintRequest(estimate="mean"), "mean", 1, True),
        (ColorizeRequest(samples=2), "sample", 2, False),
        (ColorizeRequest(), None, 1, False),
        (RestoreRequest(samples=2), "sample", 2, False),
        (RestoreRequest(), None, 1, False),
        (SolveRequest(), "mean", 1, True),
        (SolveRequest(samples=2), "sample", 2, False),
        (SolveRequest(method="mmps"), "sample", 1, False),
        (DamageRequest(), "sample", 1, False),
    ],
)
def test_estimates_and_numbers_of_results(request_: Request, estimate: str | None, results: int, mean: bool) -> None:
    assert (request_.estimate, request_.results, request_.mean) == (estimate, results, mean)


@pytest.mark.parametrize(
    ("request_", "conditional", "expected"),
    [
        (InpaintRequest(), True, ("conditioned", 10, "detail")),
        (InpaintRequest(), False, ("pc", 30, "sample")),
        (InpaintRequest(start=0.5, steps=7), True, ("pc", 7, "sample")),
        (InpaintRequest(samples=2, estimate="mean"), True, ("conditioned", 10, "sample")),
        (ColorizeRequest(), True, ("conditioned", 15, "mean")),
        (ColorizeRequest(estimate="sample"), True, ("conditioned", 15, "sample")),
        (ColorizeRequest(method="pc"), True, ("pc", 30, "sample")),
        (ColorizeRequest(method="conditioned"), False, ("conditioned", 15, "mean")),
    ],
)
def test_how_a_model_samples(request_: InpaintRequest | ColorizeRequest, conditional: bool, expected: object) -> None:
    sampling = request_.sampling(conditional=conditional)
    assert (sampling.method, sampling.steps, sampling.estimate) == expected
    assert sampling.mean == (sampling.estimate == "mean")
    if isinstance(request_, ColorizeRequest):
        strongest = {hinted: request_.saturation_of(sampling, hinted=hinted) for hinted in (False, True)}
        assert strongest == {False: COLOR_SATURATION if sampling.method == "conditioned" else 1, True: 1}


def test_the_ends_of_ranges_are_allowed() -> None:
    assert (noise_from_levels("0"), noise_from_levels(255)) == (0, 1)
    for noise_std in (0.0, 1.0):
        assert DenoiseRequest(noise_std=noise_std).noise_std == noise_std
    read = get_args(get_type_hints(InpaintRequest, include_extras=True)["start"])[1].read
    assert [read(text) for text in (None, "prior", "0.5")] == [None, math.inf, 0.5]
    for text in ("inf", "nan", "much"):
        with pytest.raises(SettingError):
            read(text)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({}, range(10)), ({"from_": 2, "to": 6}, range(2, 7)), ({"every": 3}, (0, 3, 6, 9)), ({"to": 0}, (0,))],
)
def test_the_snapshots_that_are_evaluated(settings: dict[str, int], steps: object) -> None:
    chosen = RunEvaluationSettings(**settings)
    assert [step for step in range(10) if chosen.includes(step)] == list(steps)


@pytest.mark.parametrize(
    ("function", "request_type", "others"),
    [
        (scoreinv.inpaint, InpaintRequest, {"sensitivity", "grow"}),  # `grow` of the function enlarges the mask
        (scoreinv.colorize, ColorizeRequest, set()),
        (scoreinv.restore, RestoreRequest, set()),
        (scoreinv.denoise, DenoiseRequest, {"method"}),
        (scoreinv.upscale, UpscaleRequest, set()),
        (scoreinv.deblur, DeblurRequest, {"orientations"}),
        (scoreinv.solve, SolveRequest, set()),
        (scoreinv.find_damage, DamageRequest, set()),
        (scoreinv.select, SelectRequest, set()),
    ],
)
def test_the_python_functions_have_the_settings_and_defaults_of_the_requests(function, request_type, others) -> None:
    parameters = signature(function).parameters
    defaults = {each.name: each.default for each in declared(request_type)}
    assert {name: parameters[name].default for name in defaults.keys() - others} == {
        name: value for name, value in defaults.items() if name not in others
    }
