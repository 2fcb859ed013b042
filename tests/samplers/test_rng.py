"""Streams of noise, one a sample."""

import pytest
import torch

from scoreinv.samplers import NoiseStream
from scoreinv.system.errors import InputError


def test_noise_streams():
    whole = NoiseStream(3, 6)
    part = NoiseStream(3, 2, first=4)
    shape = (3, 20, 20)
    for kind in ("normal", "rademacher", "normal"):
        a, b = getattr(whole, kind)((6, *shape)), getattr(part, kind)((2, *shape))
        assert torch.equal(a[4:], b)
        assert a.dtype == torch.float32
        assert abs(float(a.mean())) < 0.05
        assert float(a.var()) == pytest.approx(1, abs=0.06)
        assert len(a.flatten(1).unique(dim=0)) == 6
    assert set(NoiseStream(3, 1).rademacher((1, *shape)).unique().tolist()) == {-1.0, 1.0}
    assert not torch.equal(NoiseStream(4, 1).normal((1, *shape)), NoiseStream(3, 1).normal((1, *shape)))
    with pytest.raises(InputError, match="seed"):
        NoiseStream(-1, 1)
    with pytest.raises(InputError, match="at least one sample is needed, not 0"):
        NoiseStream(0, 0)
    with pytest.raises(InputError, match="6 samples"):
        whole.normal((5, *shape))


def test_streams_of_different_keys_are_different() -> None:
    """Also those whose 32-bit words, padded with zeros, are the same."""
    large = 5 + (3 << 32)
    one_sample = [NoiseStream(5, 1), NoiseStream(5, 1, first=3), NoiseStream(large, 1), NoiseStream(3, 1, first=5)]
    keys = [(5, 3, 0), (5, 3, 0, 0), (5, 0, 3), (5, 0, 0, 3), (5, 1 << 32), (5, 0, 1), (5, 1, 0), (5, 3 << 32, 0)]
    rows = torch.cat([each.normal((1, 4)) for each in one_sample] + [NoiseStream.keyed(keys).normal((len(keys), 4))])
    assert len(rows.unique(dim=0)) == len(one_sample) + len(keys)
    by_key = NoiseStream.keyed([(5, 3), (large, 0)]).normal((2, 4))
    assert torch.equal(by_key, rows[[1, 2]])
