"""Makes tests/data/diffusers: small random models in the format of the diffusers library, and what it computes of them.

    pip install 'diffusers>=0.32,<1' && python tests/data/make_diffusers.py

Shapes of google/ncsnpp-church-256 (`ncsnpp`), the same with attention heads in the layout of a pipeline (`heads`), and
google/ddpm-cifar10-32 with pickled weights under their first names (`ddpm`). Weights are stored in float16. Each folder
also has `io.safetensors`: x, label and output of the network; of `ddpm` also the noise and the picture of its pipeline.
"""

import math
import shutil
from pathlib import Path
from unittest.mock import patch

import torch
from diffusers import DDPMScheduler, ScoreSdeVeScheduler, UNet2DModel
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "diffusers"


def ncsnpp(head: int | None) -> UNet2DModel:
    return UNet2DModel(
        sample_size=16,
        center_input_sample=True,
        time_embedding_type="fourier",
        block_out_channels=(8, 32, 32, 32),
        layers_per_block=1,
        norm_eps=1e-6,
        norm_num_groups=None,
        mid_block_scale_factor=math.sqrt(2),
        attention_head_dim=head,
        down_block_types=("SkipDownBlock2D", "SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D"),
        up_block_types=("SkipUpBlock2D", "AttnSkipUpBlock2D", "SkipUpBlock2D", "SkipUpBlock2D"),
    )


def ddpm() -> UNet2DModel:
    return UNet2DModel(
        sample_size=16,
        freq_shift=1,
        flip_sin_to_cos=False,
        downsample_padding=0,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        norm_eps=1e-6,
        norm_num_groups=8,
        attention_head_dim=None,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )


def prepared(model: UNet2DModel) -> UNet2DModel:
    """With no weight left at the 0 or 1 that it starts from, and rounded to float16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    return model.half().float().eval()


@torch.no_grad()
def write(name: str, model: UNet2DModel, label: torch.Tensor, **extra: torch.Tensor) -> None:
    x = 2 * torch.rand(len(label), 3, 16, 16)
    io = {"x": x, "label": label, "output": model(x, label).sample, **extra}
    save_file({key: value.contiguous() for key, value in io.items()}, FOLDER / name / "io.safetensors")


@torch.no_grad()
def pipeline(model: UNet2DModel, scheduler: DDPMScheduler) -> dict[str, torch.Tensor]:
    """The loop of DDPMPipeline, and the noise it takes: the initial state, then that of each step but the last."""
    shape, steps = (2, 3, 16, 16), scheduler.config.num_train_timesteps
    noise = torch.randn(steps, *shape)
    scheduler.set_timesteps(steps)
    x = noise[0]
    for t, z in zip(scheduler.timesteps, [*noise[1:], None], strict=True):
        with patch("diffusers.schedulers.scheduling_ddpm.randn_tensor", return_value=z):
            x = scheduler.step(model(x, t).sample, t, x).prev_sample
    return {"noise": noise, "picture": x}


def main() -> None:
    torch.manual_seed(0)
    shutil.rmtree(FOLDER, ignore_errors=True)
    model = prepared(ncsnpp(None))
    model.half().save_pretrained(FOLDER / "ncsnpp")
    ScoreSdeVeScheduler(sigma_max=380.0, snr=0.075).save_pretrained(FOLDER / "ncsnpp")
    write("ncsnpp", model.float(), torch.tensor([0.02, 3.0, 200.0]))

    model = prepared(ncsnpp(8))
    model.half().save_pretrained(FOLDER / "heads" / "unet")
    ScoreSdeVeScheduler(sigma_max=50.0).save_pretrained(FOLDER / "heads" / "scheduler")
    write("heads", model.float(), torch.tensor([0.05, 1.0]))

    model = prepared(ddpm())
    scheduler = DDPMScheduler(num_train_timesteps=20, beta_start=0.005, beta_end=0.5)
    model.half().save_pretrained(FOLDER / "ddpm", safe_serialization=False)
    scheduler.save_pretrained(FOLDER / "ddpm")
    weights = FOLDER / "ddpm" / "diffusion_pytorch_model.bin"
    first = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, value in torch.load(weights, weights_only=True).items():
        for new, old in first.items():
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = value
    torch.save(renamed, weights)
    write("ddpm", model.float(), torch.tensor([0, 7, 19]), **pipeline(model, scheduler))


if __name__ == "__main__":
    main()
