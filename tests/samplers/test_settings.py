"""Settings of samplers and guidance are checked when they are made, and callbacks when sampling begins."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from support.mixture import SDES, SHAPE, gaussian

from scoreinv.guidance import DDRM, DPIR, ClassifierGuidance, PosteriorFlow
from scoreinv.samplers import (
    DDIM,
    ODE,
    PC,
    Ancestral,
    DPMpp2M,
    EulerMaruyama,
    Heun,
    NoiseStream,
    ReverseDiffusion,
    Sampler,
)
from scoreinv.system.errors import InputError, SettingError

Y = torch.zeros(1, *SHAPE).double()
WRONG: list[Callable[[], object]] = [
    *(partial(sampler, steps=steps) for sampler in (PC, DPMpp2M, Heun) for steps in (0, -1, 2.5, True)),
    *(partial(sampler, times=times) for sampler in (PC, DPMpp2M, Heun) for times in ((1.0, -0.1), (1.5,), ("1",))),
    *(partial(kind, eta=eta) for kind in (EulerMaruyama, ReverseDiffusion, DDIM, DPMpp2M) for eta in (-0.1, 1.1, "1")),
    *(partial(ODE, **{name: value}) for name in ("rtol", "atol") for value in (0.0, -1, math.inf, "small")),
    *(
        partial(Heun, **wrong)
        for wrong in ({"s_churn": -1}, {"s_tmin": -1}, {"s_tmin": 2, "s_tmax": 1}, {"s_tmax": "1"})
    ),
    *(partial(sampler, s_noise=0) for sampler in (Heun, DPMpp2M)),
    *(partial(PC, **wrong) for wrong in ({"corrector_steps": -1}, {"snr": -0.1}, {"snr": math.nan})),
    partial(Ancestral, "best"),
    *(partial(DDRM, **wrong) for wrong in ({"steps": 0}, {"eta": 2}, {"eta_b": -1})),
    *(partial(DPIR, **wrong) for wrong in ({"steps": 0}, {"strength": 0})),
    *(partial(PosteriorFlow, Y, torch.eye(3), **wrong) for wrong in ({"steps": 0}, {"reach": (-1.0,)})),
    partial(ClassifierGuidance, gaussian(SDES["ve"]), lambda x, t: x, 0, -1),
    partial(ClassifierGuidance, gaussian(SDES["ve"]), lambda x, t: x, 0, math.nan),
]


@pytest.mark.parametrize("make", WRONG, ids=lambda make: f"{make.func.__name__}-{make.args[2:]}-{make.keywords}")
def test_wrong_settings_are_refused_when_they_are_made(make: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize(
    "sampler",
    [PC(steps=2), DPMpp2M(steps=2), Heun(steps=2), ODE(), DDRM(), DPIR(), PosteriorFlow(Y, torch.eye(3))],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_callback_must_be_a_function(sampler: Sampler) -> None:
    with pytest.raises(SettingError, match="callback must be a function"):
        sampler.sample(gaussian(SDES["ve"]), (1, *SHAPE), rng=NoiseStream(0, 1, dtype=torch.float64), callback="bar")
