"""The network that tells blurs from spectra."""

import torch

from scoreinv.models.blur_estimator import ANGLES, RADII, BlurNetwork


def test_a_turned_photograph_is_told_the_same_turned():
    torch.manual_seed(0)
    network, spectra = BlurNetwork().eval(), torch.randn(2, 2, RADII, ANGLES)
    told, turned = network(spectra), network(spectra.roll(5, 3))
    torch.testing.assert_close(turned.angles, told.angles.roll(5, 1))
    for one, other in zip(told[:3], turned[:3], strict=True):
        torch.testing.assert_close(one, other)
    assert [tuple(each.shape) for each in told] == [(2, 4), (2, 3), (2, 3), (2, ANGLES)]
