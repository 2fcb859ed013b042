"""What the front doors are given, of wrong kinds and out of range: an error that is a sentence."""

import math

import numpy as np
import pytest
import torch

import scoreinv
from scoreinv.operators import mask
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.options import SEED, STEPS
from scoreinv.system.text import shown
from scoreinv.tasks.requests import InpaintRequest

PICTURE, MASK = np.zeros((8, 8)), np.eye(8, dtype=bool)
WHOLE = mask(torch.ones(1, 1, 8, 8))


@pytest.fixture(scope="module")
def prior() -> ScorePrior:
    return scoreinv.load("cifar10")


@pytest.fixture(scope="module")
def x(prior: ScorePrior) -> torch.Tensor:
    return torch.zeros(1, 3, 32, 32)


WRONG: dict[str, object] = {
    "prior": object(),
    "steps": STEPS.most + 1,
    "samples": 2.5,
    "seed": SEED.most + 1,
    "estimate": "median",
    "method": ["pc"],
    "start": -math.inf,
    "callback": "print",
}
WRONG_FLOW = {"prior": "photo", "steps": True, "rtol": math.nan, "atol": "4", "callback": 1}
WRONG_OF = {
    "inpaint": WRONG | {"mask_threshold": 1, "grow": None, "invert": 1},
    "colorize": WRONG | {"gray_weights": "rec2020", "saturation": -1, "keep_color": 1, "whiten": 1},
    "solve": {key: value for key, value in WRONG.items() if key != "start"}
    | {"noise_std": -0.1, "operator": abs, "orientations": 3},
    "generate": {
        "prior": object(),
        "count": 0,
        "sampler": "magic",
        "steps": 0,
        "predictor": "euler",
        "corrector": "annealed",
        "corrector_steps": -1,
        "snr": 0,
        "rtol": 1,
        "churn": 1e7,
        "eta": 1.1,
        "seed": None,
        "first": -1,
        "callback": 1,
    },
    "interpolate": {"prior": object(), "count": 1, "temperature": -1, "steps": 2.5, "rtol": "4", "callback": 1},
    "bits_per_dim": WRONG_FLOW | {"probe": "rademacher"},
    "encode": WRONG_FLOW,
    "decode": WRONG_FLOW | {"temperature": math.inf, "end": [0.1]},
}
DOORS = [(door, setting, value) for door, wrong in WRONG_OF.items() for setting, value in wrong.items()]


@pytest.mark.parametrize(("door", "setting", "value"), DOORS, ids=shown)
def test_a_wrong_setting_is_named(door, setting, value, prior, x):
    call = {
        "inpaint": lambda prior=prior, **more: scoreinv.inpaint(PICTURE, MASK, prior=prior, **more),
        "colorize": lambda prior=prior, **more: scoreinv.colorize(PICTURE, prior=prior, **more),
        "solve": lambda prior=prior, operator=WHOLE, **more: scoreinv.solve(operator, PICTURE, prior=prior, **more),
        "generate": lambda prior=prior, count=1, **more: scoreinv.generate(prior, count, **more),
        "interpolate": lambda prior=prior, **more: scoreinv.interpolate(PICTURE, PICTURE, prior=prior, **more),
        "bits_per_dim": lambda prior=prior, **more: scoreinv.bits_per_dim(prior, x, **more),
        "encode": lambda prior=prior, **more: scoreinv.encode(prior, x, **more),
        "decode": lambda prior=prior, **more: scoreinv.decode(prior, x, **more),
    }[door]
    with pytest.raises(SettingError) as caught:
        call(**{setting: value})
    assert caught.value.setting == setting
    assert str(caught.value).startswith(f"{setting} ")


@pytest.mark.parametrize("value", ["photo.png", None, 3, [[0.5]], b"\x89PNG", np.zeros(8), np.array(["a"]), {}])
def test_values_that_are_no_pictures_are_refused(value, prior):
    for call in (
        lambda: scoreinv.inpaint(value, MASK, prior=prior),
        lambda: scoreinv.inpaint(PICTURE, value, prior=prior),
        lambda: scoreinv.colorize(value, prior=prior),
        lambda: scoreinv.solve(WHOLE, value, prior=prior),
        lambda: scoreinv.interpolate(value, PICTURE, prior=prior),
        lambda: scoreinv.interpolate(PICTURE, value, prior=prior),
        lambda: scoreinv.bits_per_dim(prior, value),
        lambda: scoreinv.encode(prior, value),
        lambda: scoreinv.decode(prior, value),
    ):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampler": "ode", "steps": 5}, "steps do not go with the sampler ode"),
        ({"sampler": "multistep", "snr": 0.1}, "snr belongs to the sampler pc, not to multistep"),
        ({"sampler": "pc", "rtol": 1e-3}, "rtol belongs to the sampler ode, not to pc"),
        ({"sampler": "ddim", "churn": 1}, "churn belongs to the sampler heun, not to ddim"),
        ({"sampler": "heun", "eta": 1}, "eta belongs to the sampler ddim, not to heun"),
        ({"corrector": "none", "snr": 0.1}, "snr belongs to a corrector"),
        ({"predictor": "none", "corrector": "none"}, "predictor none leaves the work to a corrector"),
        ({"predictor": "none", "corrector_steps": 0}, "predictor none leaves the work to a corrector"),
        ({"label": 1}, "a class needs a classifier and a label"),
        ({"classifier": "cifar10-classifier", "label": 1}, "classifier must be one from scoreinv.load_classifier"),
        ({"classifier": lambda x, t: x, "label": 1.5}, "label must be a whole number"),
        ({"classifier": lambda x, t: x, "label": 1, "guidance": "2"}, "guidance must be a number"),
    ],
)
def test_settings_that_do_not_go_together(settings, said, prior):
    with pytest.raises(InputError, match="^" + said):
        scoreinv.generate(prior, 1, **settings)


def test_one_sample_of_pc_is_no_mean():
    with pytest.raises(SettingError, match=r"^estimate mean with the method pc needs 2 samples"):
        InpaintRequest(estimate="mean").sampling(conditional=False)
