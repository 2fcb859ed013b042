"""Models by name: loaded when they are needed, once a process, and sent to others as names."""

import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.small_model import save_small

from scoreinv.models import catalogue, loading
from scoreinv.models.loading import LIBRARY, Machine, Models, ModelSource
from scoreinv.system.errors import CheckpointError, InputError, SettingError


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save_small(tmp_path / "small.safetensors"))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that have been loaded, each time."""
    loading._load.cache_clear()
    files, load = [], catalogue.load_kind
    monkeypatch.setattr(catalogue, "load_kind", lambda kind, path: files.append(str(path)) or load(kind, path))
    return files


def test_models_by_name_are_sent_as_names_and_loaded_once_a_process(model: str, loaded: list[str]) -> None:
    packed = pickle.dumps(Models(inpaint=model, denoise=model, colorize=Path(model), machine=LIBRARY))
    assert len(packed) < 1000
    copies = [pickle.loads(packed) for _ in range(4)]
    assert loaded == []
    with ThreadPoolExecutor(4) as pool:
        priors = list(pool.map(Models.filler, copies))
    priors += [copies[0].denoiser(), copies[1].colorizer(), pickle.loads(packed).filler()]
    assert loaded == [model]
    assert all(prior is priors[0] for prior in priors)


def test_names_of_models_for_records(tmp_path: Path) -> None:
    """Of the hub with the revision; of a file none, since its path may be private."""
    bundled, own = catalogue.locate("photo"), tmp_path / "photo" / "model.safetensors"
    own.parent.mkdir()
    for path in (own, tmp_path / "0a1b"):
        path.touch()
    for name, path, full, public in (
        ("photo", bundled, "photo", "photo"),
        ("hf:owner/name@main", tmp_path / "0a1b", "hf:owner/name@0a1b", "hf:owner/name@0a1b"),
        (str(own), own, str(own), None),
        ("photo", own, "photo", None),
    ):
        assert (catalogue.full_name(name, path), catalogue.identity(name, path)["name"]) == (full, public)


def test_the_hash_of_a_file_follows_its_content(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for content, time in ((b"one", 10), (b"two", 20)):
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        assert catalogue.sha256(path) == hashlib.sha256(content).hexdigest()


def test_other_machines_and_precisions_are_other_models(model: str, loaded: list[str]) -> None:
    single, half = (ModelSource(model, Machine("cpu", precision)) for precision in ("float32", "bfloat16"))
    assert single.load() is not half.load()
    assert single.load() is ModelSource(model, Machine("cpu", "float32")).load()
    assert len(loaded) == 2
    assert single.record() == {"model": model, "device": "cpu", "precision": "float32"}
    assert half.device_and_precision == ("cpu", "bfloat16")


def test_a_check_refuses_models_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("foto", "./no.safetensors"):
        with pytest.raises(CheckpointError, match="no"):
            ModelSource(name).check()
    ModelSource("hf:owner/name").check()  # nothing is fetched
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingError, match="device"):
        ModelSource("photo", Machine("cuda")).check()
    with pytest.raises(InputError, match="float32"):
        ModelSource("photo", Machine(precision="bfloat16"), exact=True)
    with pytest.raises(CheckpointError, match="photo"):
        Models(inpaint=Path("photo")).filler()  # a path is no bundled name
