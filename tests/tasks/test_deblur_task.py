"""What has blurred a photograph is told, or refused, and taken away."""

import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import fftconvolve
from support.analytic import gaussian_colour_prior
from support.independent_pixels import HEIGHT, MEAN, STD, WIDTH, apply, noisy, operator_of, prior, truth
from support.shaken import SHAKE, leaves

import scoreinv
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.blur import kernel_from_text
from scoreinv.models.loading import Models
from scoreinv.operators import kernels, pad_observation, photographed, valid_blur
from scoreinv.operators.kernels import PointSpread
from scoreinv.operators.tones import linear, srgb
from scoreinv.system.errors import InputError, SettingError
from scoreinv.tasks.deblur import (
    blurred_detail,
    check_detail,
    deblur_picture,
    find_blur,
    kernel_notes,
    remove_blur,
    result_notes,
)
from scoreinv.tasks.requests import MEAN_STEPS, DeblurRequest, Inputs
from scoreinv.windows.transforms import crop

LINEAR = Metadata(bytes(128) + struct.pack(">I4sII4s4xI", 1, b"gTRC", 144, 12, b"curv", 0))
"""A profile whose values are light."""
PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def photo(name: str, side: int = 320) -> np.ndarray:
    """The middle of a held-out photograph, grey."""
    image = Image.open(PHOTOS / f"{name}.jpg").convert("L")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255


def blurred(values: np.ndarray, blur: PointSpread, noise: float = 0.007) -> Picture:
    """As a file has it: light is blurred."""
    knots = np.linspace(0, 1, len(srgb().light))
    light = fftconvolve(np.interp(values, knots, srgb().light), blur.kernel(), mode="valid")
    seen = np.interp(light, srgb().light, knots)
    seen = seen + noise * np.random.default_rng(0).standard_normal(seen.shape)
    return Picture(np.rint(255 * seen.clip(0, 1)).astype(np.uint8))


@pytest.mark.parametrize(
    "truth", [PointSpread("disk", 4), PointSpread("gaussian", 2), PointSpread("motion", 12, 60)], ids=str
)
def test_a_blur_is_told(truth):
    found = find_blur(blurred(photo("facade"), truth)).likeliest
    assert found.kind == truth.kind
    assert found.size == pytest.approx(truth.size, rel=0.15)
    assert abs((found.angle - truth.angle + 90) % 180 - 90) <= 8


@pytest.mark.parametrize("name", ["facade", "moose"])
@pytest.mark.parametrize("angle", [30, 150])
def test_a_movement_is_refined_by_its_likelihood(name, angle):
    found = find_blur(blurred(photo(name), PointSpread("motion", 15, angle))).likeliest
    assert found.size == pytest.approx(15, rel=0.05)
    assert abs(found.angle - angle) <= 2


@pytest.mark.parametrize("quality", [50, 75])
def test_the_noise_of_a_jpeg_suits_its_error(quality):
    """At the mean of its steps detail was lost, and at the error of luma alone colours are sharpened."""
    box, file, kernel = (300, 180, 444, 324), io.BytesIO(), PointSpread("gaussian", 1.5)
    sharp = np.asarray(Image.open(PHOTOS / "facade.jpg").convert("RGB").crop(box), np.float32) / 255
    image = np.dstack([blurred(channel, kernel, 0).pixels for channel in np.moveaxis(sharp, -1, 0)])
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    stored = Image.open(file)
    margin = (144 - image.shape[0]) // 2
    truth = 255 * sharp[margin:-margin, margin:-margin]
    error = float(np.std((np.asarray(stored).astype(float) - image) @ [0.299, 0.587, 0.114])) / 255
    steps = float(np.mean(stored.quantization[0])) / 12**0.5 / 255
    results = [scoreinv.deblur(stored, kernel=kernel, noise_std=level).image for level in (None, error, steps)]
    ours, at_error, at_steps = (float(np.square(result - truth).mean()) for result in results)
    assert ours < 0.98 * at_error
    assert ours < 0.85 * at_steps


def test_a_kernel_in_the_commands_spelling():
    image = photo("lake")[:32, :32]
    found = [scoreinv.deblur(image, kernel=each, noise_std=0.02) for each in ("disk:1", PointSpread("disk", 1))]
    np.testing.assert_array_equal(found[0].image, found[1].image)


def test_a_wrong_kernel_is_doubted():
    picture = blurred(photo("lake"), PointSpread("motion", 15, 150))
    (note,) = kernel_notes(picture, PointSpread("motion", 15, 30))
    assert (note.code, note.level) == ("kernel_misfit", "warning")
    better = kernel_from_text(note.values["better"])
    assert better.size == pytest.approx(15, rel=0.05)
    assert abs(better.angle - 150) <= 2
    (note,) = kernel_notes(picture, kernels.motion(15, 30))
    assert (note.code, note.values["better"]) == ("kernel_misfit", "mirrored")
    assert kernel_notes(picture, PointSpread("motion", 15, 150)) == []
    assert kernel_notes(picture, kernels.motion(15, 150)) == []
    (note,) = kernel_notes(Picture(np.rint(255 * photo("lake")).astype(np.uint8)), PointSpread("disk", 4))
    assert note.code == "looks_sharp"


def test_a_shake_that_is_turned_is_doubted_and_its_result_does_not_explain_the_photograph():
    seen = fftconvolve(leaves(172), SHAKE, mode="valid")
    picture = Picture(np.rint(255 * seen.clip(0, 1)).astype(np.uint8), curve=linear())
    assert kernel_notes(picture, SHAKE) == []
    (note,) = kernel_notes(picture, SHAKE[::-1, ::-1])
    assert note.values["better"] == "turned"
    noise, models = 1 / 255, Models()
    for kernel, codes in ((SHAKE, []), (np.rot90(SHAKE), ["blur_unexplained"])):
        made = remove_blur(picture, kernel, noise, models.denoiser(), DeblurRequest()).image
        assert [note.code for note in result_notes(picture, made, kernel, noise, noise, models)] == codes


def test_a_result_with_more_noise_and_no_more_detail_is_doubted():
    random = np.random.default_rng(0)
    sky, kernel = np.full((96, 96, 3), 0.6, np.float32), kernels.motion(11, 20)
    noisy = Picture(sky + np.float32(0.004) * random.standard_normal(sky.shape, np.float32))
    noisier = Picture(noisy.pixels + np.float32(0.012) * random.standard_normal(sky.shape, np.float32))
    found = [result_notes(noisy, each, kernel, 0.02, 0.004, Models()) for each in (noisy, noisier)]
    assert [[note.code for note in notes] for notes in found] == [[], ["noise_grew"]]


def test_a_sharp_photograph_and_what_cannot_be_told_are_refused():
    with pytest.raises(InputError, match="it looks sharp"):
        find_blur(Picture((255 * photo("facade")).astype(np.uint8)))
    with pytest.raises(InputError, match="128x128 pixels"):
        find_blur(Picture(np.zeros((127, 400), np.uint8)))
    noise = np.random.default_rng(0).normal(128, 20, (160, 160)).clip(0, 255).astype(np.uint8)
    with pytest.raises(InputError):
        find_blur(Picture(noise))


def test_a_result_without_new_detail_or_with_too_much_is_refused():
    """The inverse of a Gaussian of 0.8 pixels makes differences 2.5 times as large, in scenes like photographs."""
    kernel, values = kernels.gaussian(0.8), photo("facade", 64)
    picture = Picture(values)
    for factor, refused in ((0.5, "noise hides"), (2.7, "sharper than")):
        with pytest.raises(InputError, match=refused):
            check_detail(picture, Picture(np.float32(factor) * values), kernel, 0.0)
    check_detail(picture, Picture(2.3 * values), kernel, 0.0)
    noisy = values + np.random.default_rng(0).normal(0, 0.1, values.shape).astype(np.float32)
    check_detail(Picture(noisy), picture, kernel, 0.1)


def test_grain_does_not_excuse_a_result_that_is_too_sharp():
    """A single pixel blurs nothing: differences may not grow."""
    grain = np.float32(0.02) * np.random.default_rng(0).standard_normal((64, 64), np.float32)
    picture, kernel = Picture(0.5 + grain), np.ones((1, 1))
    check_detail(picture, picture, kernel, 0.02)
    with pytest.raises(InputError, match="sharper than"):
        check_detail(picture, Picture(0.5 + np.float32(1.2) * grain), kernel, 0.02)


def test_a_photograph_without_the_blur_that_was_found():
    sharp, blur = photo("facade", 192), PointSpread("disk", 3)
    seen = blurred(sharp, blur, 0.004).pixels
    result = scoreinv.deblur(seen, steps=3)
    assert isinstance(result.blur, PointSpread)
    assert [note.code for note in result.notes] == ["blur_found", "noise_estimated"]
    assert result.kernel == result.notes[0].values["kernel"] == str(result.blur)
    assert result.notes[1].values["level"] == pytest.approx(255 * result.noise_std)
    assert (result.image.shape, result.image.dtype) == (seen.shape, seen.dtype)
    inner = sharp[3:-3, 3:-3]
    errors = [np.square(values / 255 - inner).mean() for values in (seen, result.image)]
    assert errors[1] < 0.6 * errors[0]


def test_a_faint_shake_counts_if_one_half_of_the_photograph_confirms_that_of_the_other():
    scene = leaves(292)
    seen = fftconvolve(scene, SHAKE, mode="valid")
    other = fftconvolve(scene, np.rot90(SHAKE), mode="valid")
    noisy = seen + 2 / 255 * np.random.default_rng(0).standard_normal(seen.shape)
    found = find_blur(Picture(np.rint(255 * noisy.clip(0, 1)).astype(np.uint8))).kernel
    overlap = fftconvolve(found, SHAKE[::-1, ::-1]).max() / np.sqrt(np.square(found).sum() * np.square(SHAKE).sum())
    assert overlap > 0.8
    parts = np.hstack([seen[:, :196], other[:, 196:]])  # two things that moved differently
    with pytest.raises(InputError, match="looks sharp, or blurred in parts"):
        find_blur(Picture(np.rint(255 * parts.clip(0, 1)).astype(np.uint8)))


@pytest.mark.slow
@pytest.mark.parametrize("stores_light", [False, True])
def test_a_shake_is_found_and_removed_by_the_curve_that_fits(stores_light):
    scene, curve = leaves(212), linear() if stores_light else srgb()
    knots = np.linspace(0, 1, len(curve.light))
    seen = np.interp(fftconvolve(curve.decoded(scene), SHAKE, mode="valid"), curve.light, knots)
    seen = np.rint(255 * (seen + 0.004 * np.random.default_rng(0).standard_normal(seen.shape)).clip(0, 1))
    result = scoreinv.deblur(seen.astype(np.uint8))
    assert result.kernel == "shake"
    codes = ["shake_found", "noise_estimated", *(["light_found"] if stores_light else [])]
    assert [note.code for note in result.notes] == codes
    assert result.blur.sum() == pytest.approx(1)
    np.testing.assert_array_equal(
        scoreinv.deblur(seen.astype(np.uint8), light=stores_light, noise_std=result.noise_std).image, result.image
    )

    def error(values):
        """At the best shift, which a kernel leaves open."""
        inner = values[16:-16, 16:-16]
        return min(
            np.square(inner / 255 - scene[22 + down :, 22 + right :][: inner.shape[0], : inner.shape[1]]).mean()
            for down in range(-4, 5)
            for right in range(-4, 5)
        )

    assert error(result.image.astype(float)) < 0.3 * error(seen)


def test_a_mask_may_be_thinner_than_the_kernel():
    scene, mask = leaves(172), np.zeros((160, 160), bool)
    mask[156:, 30:130] = True
    seen, sharp = fftconvolve(scene, SHAKE, mode="valid"), scene[6:-6, 6:-6]
    result = scoreinv.deblur(seen, kernel=SHAKE, mask=mask, light=True).image
    np.testing.assert_array_equal(result[~mask], seen[~mask])
    assert np.square(result - sharp)[mask].mean() < np.square(seen - sharp)[mask].mean()


def test_only_the_masked_part_is_deblurred():
    scene, mask = leaves(172), np.zeros((160, 160), bool)
    mask[20:, 70:150] = True
    middle = scene[6:-6, 6:-6]
    seen = np.where(mask, fftconvolve(scene, SHAKE, mode="valid"), middle)
    seen = (65535 * (seen + 0.004 * np.random.default_rng(0).standard_normal(seen.shape)).clip(0, 1)).astype(np.uint16)
    result = scoreinv.deblur(seen, kernel=SHAKE, mask=mask, light=True, samples=2).samples[1]
    np.testing.assert_array_equal(result[~mask], seen[~mask])
    inner = np.s_[32:, 82:138]
    errors = [np.square(each[inner] / 65535 - middle[inner]).mean() for each in (seen, result)]
    assert errors[1] < 0.3 * errors[0]
    with pytest.raises(InputError, match="no hole"):
        scoreinv.deblur(seen, kernel=SHAKE, mask=~mask & mask)


def test_the_kernel_is_estimated_from_a_box():
    sharp, box = photo("facade", 330), (144, 140, 180, 184)
    seen, mask = np.rint(255 * sharp).astype(np.uint8), np.zeros((330, 330), bool)
    inside = np.s_[140:324, 144:324]
    part = blurred(photo("facade", 338), PointSpread("disk", 4)).pixels[inside]
    seen[inside], mask[inside] = part, True
    expected = find_blur(Picture(part)).likeliest
    for words in ({"kernel_from": box}, {"mask": mask}):
        assert scoreinv.deblur(seen, light=False, **words).blur == expected
    thin = np.zeros_like(mask)
    thin[200:204, 180:280] = True
    result = scoreinv.deblur(seen, light=False, kernel_from=box, mask=thin)
    assert result.blur == expected
    np.testing.assert_array_equal(result.image[~thin], seen[~thin])
    for wrong in ((-1, 0, 200, 200), (160, 150, 200, 160), (1, 2), "box"):
        with pytest.raises(SettingError, match="kernel_from"):
            scoreinv.deblur(seen, kernel_from=wrong)
    with pytest.raises(SettingError, match="kernel_from"):
        scoreinv.deblur(seen, kernel="disk:4", kernel_from=box)


def test_a_kernel_that_is_given_is_taken():
    seen = truth()
    taken = {"kernel": kernels.gaussian(0.5), "noise_std": 0.05, "light": False}
    result = scoreinv.deblur(seen, prior=prior(), samples=2, steps=2, **taken)
    assert (result.blur, result.kernel, result.notes, len(result.samples)) == (None, "file", [], 2)
    assert result.nfe == MEAN_STEPS + 2  # samples start from the mean
    assert result.image.shape == seen.shape
    exact = scoreinv.deblur(seen, kernel=PointSpread("gaussian", 0.5), prior=prior(), noise_std=0.0)
    assert (exact.noise_std, exact.kernel) == (0, "gaussian:0.5")  # though rounding to levels leaves some noise
    assert np.abs(exact.image - seen).max() < 1
    with pytest.raises(InputError, match="the kernel"):
        scoreinv.deblur(seen, kernel=np.full((3, 3), -1.0))
    with pytest.raises(SettingError, match="noise_std"):
        scoreinv.deblur(seen, noise_std=2)


def test_a_deblurred_picture_is_near_the_posterior_mean():
    """Exact: m + A^T (A A^T + n^2 / v)^-1 (y - A m), of the scene that goes on beyond the picture."""
    std, blurring = 0.005, torch.from_numpy(kernels.motion(2, 20))
    rows, columns = blurring.shape
    scene = truth(HEIGHT + rows - 1, WIDTH + columns - 1)
    top, left = (rows - 1) // 2, (columns - 1) // 2
    operator = valid_blur(blurring, HEIGHT, WIDTH)
    inside = operator(torch.ones(1, 3, *scene.shape[:2])) > 0
    blurred = apply(operator, scene)[top : top + HEIGHT, left : left + WIDTH]
    y = noisy(blurred, std).clip(0, 1)
    seen = torch.zeros_like(inside, dtype=torch.float32)
    seen[..., top : top + HEIGHT, left : left + WIDTH] = torch.from_numpy(y).permute(2, 0, 1)
    middle = torch.full_like(seen, MEAN)
    exact = middle + operator.ridge(seen - operator(middle), std**2 / STD**2)
    exact = exact[0].permute(1, 2, 0).numpy()[top : top + HEIGHT, left : left + WIDTH]
    inputs, models = Inputs(Picture(y, LINEAR)), Models(denoise=prior())
    found = deblur_picture(inputs, DeblurRequest(kernel=blurring.numpy(), noise_std=std), models)
    assert found.method == "dpir"
    error = np.sqrt(np.mean((found.image.pixels - exact) ** 2))
    assert error < 0.25 * np.sqrt(np.mean((y - exact) ** 2))
    borders = np.ones(y.shape[:2], dtype=bool)
    borders[4:-4, 4:-4] = False
    assert np.sqrt(np.mean((found.image.pixels - exact)[borders] ** 2)) < 1.5 * error
    sampling = DeblurRequest(
        kernel=blurring.numpy(), noise_std=std, samples=8, steps=12, method="mmps", estimate="mean"
    )
    by_samples = deblur_picture(inputs, sampling, models).image.pixels
    assert np.sqrt(np.mean((by_samples - exact) ** 2)) < 0.75 * STD / math.sqrt(8)


@pytest.mark.parametrize("sampling", [{}, {"samples": 4}], ids=["mean", "samples"])
def test_a_blurred_picture_that_was_cut_off_at_black_is_not_taken_for_a_brighter_one(sampling):
    """Against the same without the knowledge, which `solve` has not: its y is no file's."""
    std, middle, blurring = 0.1, 0.06, torch.from_numpy(kernels.gaussian(1))
    model, wider = (
        gaussian_colour_prior(
            torch.full((3,), 1 - (1 - middle) * side), torch.eye(3) * (0.02 * side) ** 2, data_range=(1 - side, 1.0)
        )
        for side in (1.0, 2.0)
    )
    y = noisy(np.full((48, 48, 3), middle, np.float32), std).clip(0, 1)
    operator = valid_blur(blurring, 48, 48)
    padded = pad_observation(torch.from_numpy(y).permute(2, 0, 1)[None], blurring)
    naive = scoreinv.solve(operator, padded, prior=model, noise_std=std, estimate="mean").image
    naive = crop(naive, photographed(blurring, 48, 48)).mean() - middle
    given = {"kernel": blurring.numpy(), "noise_std": std}
    np.testing.assert_allclose(*(scoreinv.deblur(y, prior=each, **given).image for each in (model, wider)), atol=1e-4)
    found = scoreinv.deblur(y, prior=model, **given, **sampling)
    error = np.mean([sample.mean() for sample in found.samples]) - middle
    assert naive > 0.001
    assert abs(error) < 0.5 * naive


def test_the_uncertainty_that_a_blur_leaves() -> None:
    """Of no blur the noise; of one that lets the mean through alone all else that photographs have, per component."""
    assert blurred_detail(np.ones((1, 1)), 0.001) == pytest.approx(0.001, rel=1e-3)
    assert blurred_detail(np.ones((1, 1)), 0.02) < 0.02  # what photographs have at all bounds it
    side = 256
    squares = np.square(np.fft.fftfreq(side))
    spectrum = 5e-4 / (squares[:, None] + squares).ravel()[1:]
    found = blurred_detail(np.full((side, side), side**-2.0), 0.01)
    assert found == pytest.approx(np.sqrt(spectrum.sum() / side**2), rel=0.01)
    wider = [blurred_detail(kernels.gaussian(sigma), 0.01) for sigma in (0.5, 1, 2, 4)]
    assert wider == sorted(wider)


@pytest.mark.parametrize(("kernel", "std"), [(kernels.motion(5, 20), 0.01), (kernels.gaussian(1.5), 0.02)])
def test_samples_of_a_blurred_photograph_vary_as_the_posterior(kernel, std):
    """Of independent pixels of variance v: the mean over frequencies of 1 / (1 / v + |K|^2 / std^2).

    Too low a first level, or too strong a trust in what is observed, leaves a half to three quarters of it.
    """
    y = noisy(apply(operator_of(kernel, 64, 64), truth(64, 64)), std)
    result = scoreinv.deblur(y, kernel=kernel, noise_std=std, prior=prior(), samples=8)
    transfer = np.square(np.abs(np.fft.fft2(kernel, (64, 64))))
    exact = np.mean(1 / (1 / STD**2 + transfer / std**2))
    inside = result.std[10:-10, 10:-10]  # what lies beyond is blurred in, and unknown
    assert np.mean(np.square(inside)) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("white", [255, 254])
def test_light_that_white_hides_draws_no_rings(white):
    """A lamp five times as bright as white, out of focus, on grey; within its noise, a value may be white."""
    light = np.full((72, 72), 0.2)
    light[32:40, 30:42] = 5.0
    seen = fftconvolve(light, kernels.disk(3), mode="same").clip(0, 1)[4:-4, 4:-4]
    y = np.rint(255 * np.interp(seen, srgb().light, np.linspace(0, 1, len(srgb().light)))).astype(np.uint8)
    y, ground = y.clip(max=white), int(y[2, 2])
    found = scoreinv.deblur(y, kernel=PointSpread("disk", 3), noise_std=2 / 255).image.astype(float)
    around = np.zeros(y.shape, dtype=bool)
    around[18:46, 16:48] = True
    around[21:43, 19:45] = False  # the lamp and its blur
    assert (y[around] == ground).all()
    assert abs(found[around] - ground).max() < 12
    assert found[30, 32] > 250
