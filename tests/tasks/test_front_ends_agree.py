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
from support.client import OPAQUE, client, done, opened, png, read
from support.pointing import Network, square_picture
from support.small_model import save_small

import scoreinv
from scoreinv.cli.main import main
from scoreinv.files.read import read_picture
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import Record, history_of
from scoreinv.models.loading import Machine, Models
from scoreinv.operators.kernels import PointSpread
from scoreinv.tasks.select import Selection
from scoreinv.web.objects import Objects
from scoreinv.web.photo import unboxed

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "lake.jpg"
MASK, MODEL = "MASK", "MODEL"  # stand for paths


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


def smooth() -> np.ndarray:
    """Return a picture without noise."""
    return np.full((48, 64, 3), 90, np.uint8)


def hole(height: int = 24, width: int = 40) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (abs(y - height // 4 - x // 2) < 2) & (x < width - 8)


def with_object() -> np.ndarray:
    """Return noise with a square object that has a tip."""
    pixels = np.random.default_rng(0).integers(20, 60, (96, 96, 3)).astype(np.uint8)
    pixels[40:76, 30:66] = pixels[30:40, 46:50] = (230, 190, 150)
    return pixels


def body() -> np.ndarray:
    """Return a mask that misses the object's tip."""
    mask = np.zeros((96, 96), bool)
    mask[37:79, 27:69] = True
    return mask


@dataclass(frozen=True)
class Case:
    """One request, as each front end makes it.

    Attributes:
        command: words of the command line, without input and output.
        route: of the page, with its settings.
        python: takes the photograph and the path of the model.
        mask: the mask of the command, which the page sends.
        codes: notes that must be among the outcome's.
    """

    photo: Callable[[], np.ndarray]
    command: tuple[str, ...]
    route: str
    python: Callable[[np.ndarray, Path], Any]
    settings: dict[str, Any] = field(default_factory=dict)
    mask: np.ndarray | None = None
    codes: frozenset[str] = frozenset()


CASES = {
    "inpaint": Case(
        photo,
        ("inpaint", "--mask", MASK, "--model", MODEL, "--seed", "3"),
        "fill",
        lambda image, model: scoreinv.inpaint(image, hole(), prior=model, seed=3),
        {"seed": 3},
        mask=hole(),
    ),
    "inpaint with a fragment": Case(
        with_object,
        ("inpaint", "--mask", MASK, "--model", MODEL),
        "fill",
        lambda image, model: scoreinv.inpaint(image, body(), prior=model),
        mask=body(),
        codes=frozenset({"fragments_left"}),
    ),
    "colorize": Case(
        photo,
        ("colorize", "--model", MODEL),
        "colorize",
        lambda image, model: scoreinv.colorize(image, prior=model),
        codes=frozenset({"colors_replaced"}),
    ),
    "restore": Case(
        scratched,
        ("restore", "--inpaint-model", MODEL, "--denoise-model", MODEL, "--color-model", MODEL),
        "restore",
        lambda image, model: scoreinv.restore(image, filler=model, denoiser=model, colorizer=model),
        codes=frozenset({"filled", "colors_drawn"}),
    ),
    "enlarged restoration": Case(
        photo,
        ("restore", "--no-inpaint", "--no-denoise", "--no-colorize", "--enlarge", "2", "--denoise-model", MODEL),
        "restore",
        lambda image, model: scoreinv.restore(
            image, inpaint=False, denoise=False, colorize=False, enlarge=2, denoiser=model
        ),
        {"inpaint": False, "denoise": False, "colorize": False, "enlarge": 2},
        codes=frozenset({"enlarged"}),
    ),
    "denoise": Case(
        photo,
        ("denoise", "--model", MODEL),
        "denoise",
        lambda image, model: scoreinv.denoise(image, prior=model),
        codes=frozenset({"noise_estimated"}),
    ),
    "denoise at a level": Case(
        photo,
        ("denoise", "--model", MODEL, "--noise", "15"),
        "denoise",
        lambda image, model: scoreinv.denoise(image, noise_std=15 / 255, prior=model),
        {"noise": 15},
    ),
    "too little noise": Case(
        smooth,
        ("denoise", "--model", MODEL),
        "denoise",
        lambda image, model: scoreinv.denoise(image, prior=model),
        codes=frozenset({"noise_low"}),
    ),
    "upscale": Case(
        photo,
        ("upscale", "--factor", "3", "--prior", MODEL),
        "upscale",
        lambda image, model: scoreinv.upscale(image, 3, prior=model),
        {"factor": 3},
        codes=frozenset({"noise_estimated"}),
    ),
    "upscale by a model": Case(
        photo,
        ("upscale", "--model", "upscaler", "--prior", MODEL),
        "upscale",
        lambda image, model: scoreinv.upscale(image, model="upscaler", prior=model),
        codes=frozenset({"noise_estimated"}),
    ),
    "deblur": Case(
        photo,
        ("deblur", "--model", MODEL, "--kernel", "motion:5,30"),
        "deblur",
        lambda image, model: scoreinv.deblur(image, kernel=PointSpread("motion", 5, 30), prior=model),
        {"blur": "motion", "size": 5, "angle": 30},
        codes=frozenset({"noise_estimated"}),
    ),
    "estimated blur": Case(
        blurred,
        ("deblur", "--model", MODEL),
        "deblur",
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
    words = [{MASK: str(folder / "mask.png"), MODEL: str(model)}.get(word, word) for word in case.command]
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
        end = done(browser, f"/api/photos/{key}/{case.route}", content, **case.settings)
        made = key if end["photo"] is None else end["photo"]["key"]
        content = browser.get(f"/api/photos/{made}/file?kind=PNG").content
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
    assert page_record in (NONE, command_record) or comparable(page_record) == comparable(command_record)
    assert (page_record == NONE) == (page_codes == ["noise_low"])  # the page keeps the photograph itself
    assert command_codes == page_codes == [note.code for note in outcome.notes]
    assert case.codes <= set(page_codes)
    assert command.shape == page.shape == outcome.image.shape
    for pixels in (page, outcome.image):
        assert abs(pixels.astype(int) - command).max() <= 1


def test_selections_with_fragments(tmp_path, monkeypatch, capsys):
    def tip(colours: np.ndarray, *_: np.ndarray) -> np.ndarray:
        found = np.zeros(colours.shape[:2], bool)
        found[177:190, 120:136] = True
        return found

    def encoded(picture: Picture) -> Selection:
        return Selection(picture, Network())

    for name, value in {
        "scoreinv.models.load_onnxruntime": lambda: None,
        "scoreinv.tasks.select.SegmentAnything": Network,
        "scoreinv.tasks.select.fragments_beside": tip,
    }.items():
        monkeypatch.setattr(name, value)
    case = Case(square_picture, ("select", "--at", "80,80"), "", lambda *_: None)
    command, codes, _ = run_command(case, tmp_path, tmp_path, monkeypatch, capsys)
    assert codes == ["object_selected", "fragments_selected"]
    with client(objects=Objects(encoded)) as browser:
        key = opened(browser, png(square_picture()))["key"]
        query = {"click": "80,80,1", "rim": True, "fragments": True}
        answer = browser.post(f"/api/photos/{key}/select", params=query, headers=OPAQUE)
    page = unboxed(answer.json(), command.shape)
    python = scoreinv.select(square_picture(), at=(80, 80))
    assert (page == (command > 0)).all()
    assert (page == python).all()
    assert page[116, 80]


def test_masks_of_damage(tmp_path, monkeypatch, capsys):
    """Python returns the mask alone."""
    case = Case(scratched, ("damage", "--sensitivity", "0.7"), "damage", lambda *_: None, {"sensitivity": 0.7})
    command, command_codes, command_record = run_command(case, tmp_path, tmp_path, monkeypatch, capsys)
    page, page_codes, page_record = run_page(case, tmp_path)
    assert command_record == page_record == NONE
    assert command_codes == page_codes == ["damage_found"]
    assert (command == page).all()
    assert ((command > 127) == scoreinv.find_damage(scratched(), sensitivity=0.7)).all()
