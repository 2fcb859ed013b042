"""The command, the page and Python give the same pixels and notes for the same request."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from support.client import client, done, opened, png, read
from support.small_model import save_small

import scoreinv
from scoreinv.cli.main import main
from scoreinv.files.read import read_picture
from scoreinv.imaging.records import Record, history_of
from scoreinv.models.loading import Machine, Models
from scoreinv.operators.kernels import PointSpread

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "lake.jpg"


def photo() -> np.ndarray:
    """Return a photograph with noise."""
    pixels = np.asarray(Image.open(PHOTO).convert("RGB").reduce(2))[:24, :40]
    noise = 12 * np.random.default_rng(0).standard_normal(pixels.shape)
    return np.rint((pixels + noise).clip(0, 255)).astype(np.uint8)


def scratched() -> np.ndarray:
    """Return a grey photograph with white scratches."""
    gray = np.asarray(Image.open(PHOTO).convert("L").reduce(2))[:40, :48] // 2
    gray[hole(40, 48)] = 250
    return gray


def blurred() -> np.ndarray:
    """Return a photograph that is large enough for an estimate of its blur."""
    pixels = np.asarray(Image.open(PHOTO).convert("RGB").reduce(2))[:144, :160].astype(float)
    return np.rint(gaussian_filter(pixels, (2, 2, 0))).astype(np.uint8)


def hole(height: int = 24, width: int = 40) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (abs(y - height // 4 - x // 2) < 2) & (x < width - 8)


@dataclass(frozen=True)
class Case:
    """One request, as each front end makes it.

    Attributes:
        command: the command line, without input and output.
        python: takes the photograph and the path of the model.
        settings: of the page's route, which has the name of the command.
        mask: the mask of the command, which the page sends.
        codes: notes that must be among the outcome's.
    """

    photo: Callable[[], np.ndarray]
    command: str
    python: Callable[[np.ndarray, Path], Any]
    settings: dict[str, Any] = field(default_factory=dict)
    mask: np.ndarray | None = None
    codes: frozenset[str] = frozenset()


NOISE, COLOURS = frozenset({"noise_estimated"}), frozenset({"colors_replaced"})
CASES = {
    "inpaint": Case(
        photo,
        "inpaint --mask MASK --model MODEL --seed 3",
        lambda image, model: scoreinv.inpaint(image, hole(), prior=model, seed=3),
        {"seed": 3},
        mask=hole(),
    ),
    "colorize": Case(
        photo,
        "colorize --model MODEL",
        lambda image, model: scoreinv.colorize(image, prior=model),
        codes=COLOURS,
    ),
    "restore": Case(
        scratched,
        "restore --inpaint-model MODEL --denoise-model MODEL --color-model MODEL",
        lambda image, model: scoreinv.restore(image, filler=model, denoiser=model, colorizer=model),
        codes=frozenset({"filled", "colors_drawn"}),
    ),
    "denoise": Case(
        photo,
        "denoise --model MODEL --noise 15",
        lambda image, model: scoreinv.denoise(image, noise_std=15 / 255, prior=model),
        {"noise": 15},
    ),
    "upscale": Case(
        photo,
        "upscale --factor 3 --prior MODEL",
        lambda image, model: scoreinv.upscale(image, 3, prior=model),
        {"factor": 3},
        codes=NOISE,
    ),
    "deblur": Case(
        photo,
        "deblur --model MODEL --kernel motion:5,30",
        lambda image, model: scoreinv.deblur(image, kernel=PointSpread("motion", 5, 30), prior=model),
        {"blur": "motion", "size": 5, "angle": 30},
        codes=NOISE,
    ),
    "estimated blur": Case(
        blurred,
        "deblur --model MODEL",
        lambda image, model: scoreinv.deblur(image, prior=model),
        codes=frozenset({"blur_found"}),
    ),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("model") / "small.safetensors")


def run_command(
    case: Case, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[np.ndarray, list[str], Record]:
    """Return the pixels and the record that the command writes, and the codes that it prints."""
    source, result = folder / "photo.png", folder / "result.png"
    Image.fromarray(case.photo()).save(source)
    if case.mask is not None:
        Image.fromarray(case.mask).save(folder / "mask.png")
    paths = {"MASK": str(folder / "mask.png"), "MODEL": str(model)}
    words = [paths.get(word, word) for word in case.command.split()]
    common = ["-o", str(result), "--json", "--device", "cpu", "--precision", "float32"]
    monkeypatch.setattr(sys, "argv", ["scoreinv", words[0], str(source), *words[1:], *common])
    assert main() == 0
    row = json.loads(capsys.readouterr().out)
    codes = [note["code"] for note in row["notes"]]
    return np.asarray(Image.open(result)), codes, next(iter(recorded(result.read_bytes())), NONE)


def run_page(case: Case, model: Path) -> tuple[np.ndarray, list[str], Record]:
    """Return pixels, codes and record of the page's job; the photograph itself if nothing changed."""
    name = str(model)
    models = Models(inpaint=name, denoise=name, colorize=name, machine=Machine("cpu", "float32"))
    with client(models=models) as browser:
        key = opened(browser, png(case.photo()))["key"]
        content = b"" if case.mask is None else png(case.mask)
        name = case.command.split()[0]
        route = {"inpaint": "fill"}.get(name, name)
        end = done(browser, f"/api/photos/{key}/{route}", content, **case.settings)
        content = browser.get(f"/api/photos/{end['photo']['key']}/file?kind=PNG").content
    return read(content), [note["code"] for note in end["notes"]], next(iter(recorded(content)), NONE)


NONE = Record("", {}, {}, {}, "")


def recorded(content: bytes) -> list[Record]:
    return history_of(read_picture(content).metadata.xmp)


def comparable(record: Record) -> Record:
    """Return a record without its rounded figures, and without the estimate, which one sample of `pc` ignores."""
    settings = record.settings | {"estimate": None}
    notes = [{"code": note["code"]} for note in record.notes]
    return replace(record, settings=settings, notes=notes, result="")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "estimated blur")) for name in CASES]
)
def test_pixels_and_notes(name, model, tmp_path, monkeypatch, capsys):
    case = CASES[name]
    command, command_codes, command_record = run_command(case, tmp_path, model, monkeypatch, capsys)
    page, page_codes, page_record = run_page(case, model)
    outcome = case.python(case.photo(), model)
    assert comparable(command_record) == comparable(outcome.provenance)
    assert comparable(page_record) == comparable(command_record)
    assert command_codes == page_codes == [note.code for note in outcome.notes]
    assert case.codes <= set(page_codes)
    assert command.shape == page.shape == outcome.image.shape
    for pixels in (page, outcome.image):
        assert abs(pixels.astype(int) - command).max() <= 1


def test_masks_of_damage(tmp_path, monkeypatch, capsys):
    """Python returns the mask alone."""
    case = Case(scratched, "damage --sensitivity 0.7", lambda *_: None, {"sensitivity": 0.7})
    command, command_codes, command_record = run_command(case, tmp_path, tmp_path, monkeypatch, capsys)
    page, page_codes, page_record = run_page(case, tmp_path)
    assert command_record == page_record == NONE
    assert command_codes == page_codes == ["damage_found"]
    assert (command == page).all()
    assert ((command > 127) == scoreinv.find_damage(scratched(), sensitivity=0.7)).all()
