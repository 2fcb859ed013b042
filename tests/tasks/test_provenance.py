"""Records of outcomes: their content, requests made from them, and repeated runs."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from support.formula_detector import FormulaDetector
from support.independent_pixels import prior
from support.small_model import save_small

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import Record, history_of, pixel_hash
from scoreinv.inputs.hints import KnownColours
from scoreinv.models.loading import LIBRARY, Models
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import InputError
from scoreinv.tasks.once import once
from scoreinv.tasks.provenance import (
    changes_of,
    hashes,
    request_of,
    settings_of,
    with_provenance,
)
from scoreinv.tasks.requests import (
    ColorizeRequest,
    DamageRequest,
    DeblurRequest,
    DenoiseRequest,
    InpaintRequest,
    Inputs,
    RestoreRequest,
    UpscaleRequest,
)
from scoreinv.tasks.rerun import differences, repeated, rerun
from scoreinv.tasks.table import BY_NAME, TASKS

PIXELS = np.random.default_rng(1).integers(60, 190, (24, 40, 3)).astype(np.uint8)
HOLE = np.zeros((24, 40), dtype=bool)
HOLE[8:13, 10:17] = True
WHITE = FormulaDetector(lambda pictures: 20 * (pictures.amin(1, keepdim=True) - 0.9))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("model") / "small.safetensors")


@pytest.mark.parametrize(
    "request_",
    [
        InpaintRequest(method="pc", start=float("inf"), steps=3, samples=2, seed=2**40),
        InpaintRequest(method="telea"),
        ColorizeRequest(saturation=1.5, whiten=True),
        DenoiseRequest(noise_std=0.1, orientations=4),
        UpscaleRequest(factor=3, downsampling="bicubic"),
        DeblurRequest(kernel=PointSpread("motion", 7.123456789, 30.0)),
        RestoreRequest(tone=0.5, crop_border=True, samples=2),
    ],
    ids=lambda request: type(request).__name__,
)
def test_requests_come_back(request_):
    task = next(task.name for task in TASKS if type(request_) is task.request)
    settings = json.loads(json.dumps(settings_of(request_)))
    again = request_of(Record(task, settings, {}, {}, ""))
    assert [getattr(again, each.name) for each in fields(again)] == [
        getattr(request_, each.name) for each in fields(request_)
    ]


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("select", {}),
        ("../inpaint", {}),
        ("inpaint", {"unknown": 1}),
        ("inpaint", {"seed": -1}),
        ("inpaint", {"samples": "3"}),
        ("deblur", {"kernel": {"sha256": "ab"}}),
        ("deblur", {"kernel": {"kind": "disk"}}),
        ("deblur", {"kernel": {"kind": "disk", "size": -1}}),
        ("deblur", {"kernel": 3}),
        ("upscale", {"factor": 100}),
    ],
)
def test_settings_that_no_request_has(task, settings):
    with pytest.raises(InputError):
        request_of(Record(task, settings, {}, {}, ""))


def test_masks_have_no_record():
    models = Models(damage=WHITE, machine=LIBRARY)
    inputs, request = Inputs(Picture(PIXELS)), DamageRequest()
    assert once(BY_NAME["damage"], inputs, request, models).provenance is None


def test_a_restoration_marks_its_fills(model):
    pixels = PIXELS.copy()
    pixels[HOLE] = 255
    inputs = Inputs(Picture(pixels), HOLE)
    request = RestoreRequest(denoise=False, colorize=False, tone=0)
    models = Models(inpaint=str(model), damage=WHITE, machine=LIBRARY)
    outcome = once(BY_NAME["restore"], inputs, request, models)
    mask = changes_of(outcome, inputs.picture, [outcome.image])
    assert np.array_equal(mask.pixels == 255, HOLE)
    assert not mask.pixels[~HOLE].any()
    (found,) = history_of(mask.metadata.xmp)
    assert (found.original, found.result) == (pixel_hash(inputs.picture), pixel_hash(outcome.image))
    assert b"DigitalSourceType" not in mask.metadata.xmp


def test_a_border_that_is_cut_off_alters_no_pixel():
    paper = np.full((100, 140, 3), 235, np.uint8)
    paper[20:80, 25:115] = np.random.default_rng(0).integers(0, 200, (60, 90, 3))
    steps = {"inpaint": False, "denoise": False, "colorize": False, "tone": 0}
    result = scoreinv.restore(paper, crop_border=True, detector=WHITE, **steps)
    record = result.provenance
    assert record.source_type is None
    top, left, height, width = record.box
    assert (height, width) == result.image.shape[:2]
    assert np.array_equal(result.image, paper[top : top + height, left : left + width])
    assert history_of(record.xmp()) == [record]


def test_a_run_repeats_to_the_bit(model):
    inputs, request = Inputs(Picture(PIXELS), HOLE), InpaintRequest(method="pc", steps=2, samples=2, seed=5)
    models = Models(inpaint=str(model), machine=LIBRARY)
    outcome = once(BY_NAME["inpaint"], inputs, request, models)
    for sample in outcome.samples:
        (record,) = history_of(with_provenance(outcome, sample).metadata.xmp)
        again = rerun(record, inputs, models)
        assert np.array_equal(repeated(again, record).pixels, sample.pixels)
        assert differences(record, again.provenance) == {}


def test_differences_are_named(model):
    inputs, request = Inputs(Picture(PIXELS), HOLE), InpaintRequest(method="biharmonic")
    record = once(BY_NAME["inpaint"], inputs, request, Models()).provenance
    assert set(record.software) == {"scoreinv", "numpy"}  # torch has no part in it
    earlier = {"method": "telea", "device": "cuda", "precision": "bfloat16"}
    older = replace(record, software=record.software | {"scoreinv": "0.1"}, **earlier)
    assert differences(older, record) == {
        "scoreinv": ("0.1", record.software["scoreinv"]),
        "method": ("telea", "biharmonic"),
        "device": ("cuda", "cpu"),
        "precision": ("bfloat16", record.precision),
    }
    other = replace(record, models={"inpaint": {"name": "photo", "sha256": "a"}})
    assert differences(other, record)["inpaint model"] == ("a", None)


def test_a_repetition_needs_the_same_inputs():
    inputs, request = Inputs(Picture(PIXELS), HOLE), InpaintRequest(method="biharmonic")
    outcome = once(BY_NAME["inpaint"], inputs, request, Models())
    record = outcome.provenance
    for wrong in (
        replace(inputs, picture=Picture(PIXELS[::-1].copy())),
        replace(inputs, hole=None),
        replace(inputs, hole=HOLE[::-1].copy()),
        replace(inputs, avoid=HOLE),
    ):
        with pytest.raises(InputError):
            rerun(record, wrong, Models())
    for number in (-1, 1):  # there is one sample
        with pytest.raises(InputError):
            repeated(outcome, replace(record, sample=number))


def test_the_hash_of_hints_is_of_their_strokes():
    def hash_of(rgb: np.ndarray) -> str:
        return hashes(Inputs(Picture(PIXELS), hints=KnownColours(rgb, HOLE)))["hints"]

    rgb = PIXELS / np.float32(255)
    assert hash_of(np.where(HOLE[..., None], rgb, 1)) == hash_of(rgb)
    assert hash_of(np.where(HOLE[..., None], 1, rgb)) != hash_of(rgb)


def test_the_hashes_of_references_are_those_of_their_pixels():
    photos = [Picture(PIXELS), Picture(PIXELS[::-1].copy())]
    assert hashes(Inputs(Picture(PIXELS), references=photos)) == {"references": list(map(pixel_hash, photos))}


def test_a_repetition_refuses_inputs_that_the_run_did_not_have():
    inputs, request, models = Inputs(Picture(PIXELS[..., 0])), ColorizeRequest(steps=2), Models(colorize=prior())
    outcome = once(BY_NAME["colorize"], inputs, request, models)
    with pytest.raises(InputError):
        rerun(outcome.provenance, replace(inputs, hints=KnownColours(PIXELS / np.float32(255), HOLE)), models)
    assert np.array_equal(rerun(outcome.provenance, inputs, models).image.pixels, outcome.image.pixels)
