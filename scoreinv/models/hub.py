"""Models on the Hugging Face hub, by the library huggingface_hub, which keeps what it fetched under HF_HOME."""

from __future__ import annotations

from pathlib import Path

from scoreinv.errors import CheckpointError
from scoreinv.models.bundled import HUB_PREFIX
from scoreinv.models.diffusers_folder import WEIGHTS_FILES, is_diffusers_folder

_CONFIGURATION = ["config.json", "scheduler_config.json", "unet/config.json", "scheduler/scheduler_config.json"]


def fetch(name: str) -> Path:
    """The folder of `OWNER/NAME` or `OWNER/NAME@REVISION`, fetched unless it is there; named by its full revision.

    Raises CheckpointError, which says how to bring the files, when it can be had neither here nor from the hub.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(f"{HUB_PREFIX}{name}: needs huggingface_hub: pip install 'scoreinv[hub]'") from error
    repository, _, revision = name.partition("@")
    for weights in WEIGHTS_FILES:  # pickled ones only where there are no others
        patterns = [*_CONFIGURATION, weights, f"unet/{weights}"]
        try:
            folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
        except Exception as error:  # the library lets many kinds of errors through, also those of its own transport
            raise CheckpointError(_unreachable(name, error)) from error
        if is_diffusers_folder(folder):
            return folder
    raise CheckpointError(f"{HUB_PREFIX}{name}: holds no model in diffusers' format")


def _unreachable(name: str, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return (
        f"{HUB_PREFIX}{name}: neither in the cache nor to be had from the hub ({reason}); without a network bring its "
        "config.json, scheduler_config.json and diffusion_pytorch_model file in a folder, and name FOLDER/ instead"
    )
