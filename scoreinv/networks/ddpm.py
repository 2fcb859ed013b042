"""The U-Net of DDPM (Ho et al. 2020), as options of the one U-Net."""

from __future__ import annotations

from scoreinv.networks.ncsnpp import Activation, NCSNppConfig


def ddpm_config(
    channels: int = 3,
    width: int = 128,
    multipliers: tuple[int, ...] = (1, 2, 2, 2),
    blocks: int = 2,
    attention_levels: tuple[int, ...] = (1,),
    learned_resampling: bool = True,
    noise_conditional: bool = True,
    dropout: float = 0.1,
    activation: Activation = "swish",
) -> NCSNppConfig:
    """DDPM's blocks, plain resampling, 32 normalisation groups, positional embedding, no pyramids, no rescaling."""
    return NCSNppConfig(
        channels=channels,
        width=width,
        multipliers=multipliers,
        blocks=blocks,
        attention_levels=attention_levels,
        block="ddpm",
        fir_kernel=None,
        learned_resampling=learned_resampling,
        skip_rescale=False,
        progressive_input="none",
        progressive_output="none",
        embedding="positional",
        noise_conditional=noise_conditional,
        dropout=dropout,
        init_scale=0.0,
        channels_per_group=1,
        activation=activation,
    )
