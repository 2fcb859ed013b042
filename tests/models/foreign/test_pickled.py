"""Pickled checkpoints from strangers: nothing runs, nothing unfolds to more than there is."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scoreinv.models.foreign.official import load_official, read_official_config
from scoreinv.models.foreign.pickled import plain_tensors, read_pickled
from scoreinv.system.errors import CheckpointError

PARITY = Path(__file__).parents[2] / "data" / "parity"


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"w": torch.zeros(1).expand(10**12)}, "larger than the file"),
        ({f"w{index}": torch.zeros(1).expand(2000) for index in range(10)}, "larger than the file"),
        ({"w": torch.eye(3).to_sparse()}, "'w' is not a plain tensor"),
        ({"w": torch.zeros(3, dtype=torch.int64)}, "'w' is not a plain tensor"),
        ({"w": 3.0}, "'w' is not a plain tensor"),
        ({7: torch.zeros(3)}, "7 is not a plain tensor"),
        ([torch.zeros(3)], "not the weights of a network"),
    ],
)
def test_tensors_that_are_none(tensors: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    torch.save(tensors, path)
    with pytest.raises(CheckpointError, match=rf"w\.bin: .*{said}"):
        plain_tensors(path, read_pickled(path))


def test_entries_that_unfold(tmp_path: Path) -> None:
    """Compressed, 4 MB of zeros are 4 kB; a checkpoint's entries are stored as they are."""
    stored, packed = io.BytesIO(), tmp_path / "bomb.pth"
    torch.save({"model": {"w": torch.zeros(10**6)}}, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert packed.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match=r"bomb\.pth: .*entries are larger than the file"):
        read_pickled(packed)


def test_pickles_beyond_the_memory_are_refused(tmp_path: Path, limit: Callable[..., None]) -> None:
    path = tmp_path / "w.bin"
    torch.save({"w": torch.zeros(3)}, path)
    limit(memory=10)
    with pytest.raises(CheckpointError, match=r"w\.bin: needs about"):
        read_pickled(path)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('exploded', 'w')",)


def test_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, zipped = tmp_path / "bomb.pth", io.BytesIO()
    torch.save({"model": {"x": torch.zeros(1)}, "bomb": _Bomb()}, zipped)
    for content in (zipped.getvalue(), pickle.dumps(_Bomb()), b"", b"\x80\x02(((((", b"PK\x03\x04" + bytes(300)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"bomb\.pth: not a readable checkpoint .*nothing was executed"):
            read_pickled(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"model": 3}, "no 'model' in it"),
        ({"model": {3: torch.zeros(1)}}, "3 is not a plain tensor"),
        ({"model": {"w": torch.zeros(1)}, "ema": 5}, "no EMA weights of this network"),
        ({"model": {"w": torch.zeros(1)}, "ema": {"shadow_params": [3]}}, "'w' is not a plain tensor"),
        ({"model": {"w": torch.zeros(1)}, "ema": {"shadow_params": [torch.zeros(1)]}}, "do not belong together"),
    ],
)
def test_states_of_the_reference_that_are_none(state: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save(state, path)
    config = read_official_config(str(PARITY / "ve_ncsnpp_unconditional" / "config.json"))
    with pytest.raises(CheckpointError, match=rf"c\.pth: .*{said}"):
        load_official(path, config, ema=True)
