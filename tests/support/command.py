"""A user's folder: a small model of random weights, a photo, a mask, and the command itself."""

import copy
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scoreinv.cli.main import main
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models import catalogue, loading
from scoreinv.models.codec import encode
from scoreinv.models.config import FillConfig
from scoreinv.models.model_file import read_model
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.prior import ScorePrior
from scoreinv.training.config import DataConfig
from scoreinv.training.learners import ConditionalLearner
from support.formula_detector import FormulaDetector
from support.shell import Outcome, brief_run, hole_array, photo_array
from support.small_model import save_small, small_config

DRAWING = ("inpaint", "colorize", "sample", "interpolate")
CLASSICAL = ("telea", "navier-stokes", "biharmonic")
RESTORING = ("denoise", "deblur")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("model") / "small.safetensors")


@pytest.fixture(scope="session")
def loaded(model: Path) -> ScorePrior:
    """The same model, read once: hundreds of commands use it, and a copy takes a fourth of the time."""
    return read_model(model)


@pytest.fixture(scope="session")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A conditional model after four steps of training."""
    folder = tmp_path_factory.mktemp("conditional")
    plain = small_config().network
    assert isinstance(plain, NCSNppConfig)
    network = replace(plain, condition_channels=ResidualPreconditioning().condition_channels)
    run = brief_run(
        DataConfig(),
        model=FillConfig(network, small_config().sde, ResidualPreconditioning(), image_size=16),
        learner=ConditionalLearner(),
    )
    (folder / "run.json").write_text(json.dumps(encode(run)))
    with pytest.MonkeyPatch.context() as patch:
        words = ["train", "--config", f"{folder}/run.json", "--out", f"{folder}/trained", "--quiet"]
        patch.setattr(sys, "argv", ["scoreinv", *words])
        assert main() == 0
    return str(folder / "trained" / "model.safetensors")


@pytest.fixture
def scoreinv(
    model: Path,
    loaded: ScorePrior,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Callable[..., Outcome]:
    """Runs the console command's entry point in this process, from an empty folder, with the small model."""
    monkeypatch.chdir(tmp_path)

    def read(path: Path, *rest: Any) -> Any:
        return copy.deepcopy(loaded) if (path, *rest) == (model, None, "prior") else read_model(path, *rest)

    monkeypatch.setattr("scoreinv.models.model_file.read_model", read)

    def run(*arguments: str | Path) -> Outcome:
        words = [str(word) for word in arguments]
        given = {word.partition("=")[0] for word in words}
        modelled = words[0] in (*RESTORING, *DRAWING, "likelihood") and not set(CLASSICAL) & set(words)
        if modelled and "--model" not in given:
            words += ["--model", str(model)]
        if words[0] == "restore":
            options = {"--inpaint-model", "--denoise-model", "--color-model"} - given
            words += [word for option in sorted(options) for word in (option, str(model))]
        # With a tolerance the solver chooses its steps.
        if modelled and words[0] in DRAWING and not {"--steps", "--rtol"} & given:
            words += ["--steps", "2"]
        monkeypatch.setattr(sys, "argv", ["scoreinv", *words])
        capsys.readouterr()
        loading._load.cache_clear()  # a process runs one command
        code = main()
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def white_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for the bundled model of damage: its file is looked for, and not read."""
    white = FormulaDetector(lambda pictures: 20 * (pictures.amin(1, keepdim=True) - 0.9))
    load = catalogue.load_kind
    monkeypatch.setattr(catalogue, "load_kind", lambda kind, *rest: white if kind == "damage" else load(kind, *rest))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo_array()).save(path)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.png"
    Image.fromarray(hole_array()).save(path)
    return path
