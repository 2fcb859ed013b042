"""The metric of places."""

from __future__ import annotations

import torch

from scoreinv.networks.likeness import load_likeness


def test_vectors_of_unit_length_that_hang_on_no_other_place() -> None:
    metric, rng = load_likeness(), torch.Generator().manual_seed(0)
    channels = [layer.in_channels for layer in metric.maps]
    maps = [torch.randn(1, count, 4, 6, generator=rng) for count in channels]
    keys = metric(maps)
    torch.testing.assert_close(keys.square().sum(0), torch.ones(24))
    fewer = metric([value[..., :3] for value in maps])
    torch.testing.assert_close(fewer.unflatten(1, (4, 3)), keys.unflatten(1, (4, 6))[..., :3])
