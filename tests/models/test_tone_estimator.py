"""The network that reads tones: its curves clip nothing, whatever its weights, and no order of the pixels matters."""

import numpy as np
import torch

from scoreinv.imaging.tone_curves import ToneCurves
from scoreinv.models.tone_estimator import PARTS, QUANTILES, ToneNetwork, apply_curves
from scoreinv.networks.chroma import DECODER_FEATURES


def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, what is known of them, their quantiles, and the ends of their parts."""
    rng = torch.Generator().manual_seed(0)
    rgb = 0.1 + 0.7 * torch.rand(4, 200, 3, generator=rng)
    known = torch.randn(4, 200, 3 + DECODER_FEATURES, generator=rng)
    quantiles = torch.quantile(rgb, torch.tensor([0.0, *QUANTILES, 1.0]), dim=1).transpose(0, 1)
    return rgb, known, quantiles, torch.rand(4, 2, PARTS**2, 3, generator=rng).sort(2).values


def network(strength: float = 1.0) -> ToneNetwork:
    torch.manual_seed(1)
    one = ToneNetwork().eval().requires_grad_(False)
    one.curves.weight.mul_(strength)
    return one


def test_its_curves_clip_nothing_whatever_its_weights():
    rgb, known, quantiles, ends = pictures()
    curves, odds = network(1e4)(rgb, known, quantiles, ends)
    assert (curves[:, 0] < quantiles[:, 1]).all()
    assert (curves[:, 1] > quantiles[:, -2]).all()
    assert curves.isfinite().all()
    assert odds.shape == (4,)


def test_a_picture_of_one_tone_has_curves():
    """Its black and white lie together, and nothing can be stretched between them."""
    rgb, known, quantiles, ends = (0 * values + 0.5 for values in pictures())
    curves, odds = network()(rgb, known, quantiles, ends)
    assert curves.isfinite().all()
    assert odds.isfinite().all()


def test_the_order_of_the_pixels_has_no_part_in_it():
    rgb, known, *tones = pictures()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    one = network()
    for first, second in zip(one(rgb, known, *tones), one(rgb[:, order], known[:, order], *tones), strict=True):
        torch.testing.assert_close(first, second)


def test_training_goes_through_the_curves_that_pictures_are_given():
    rgb, known, quantiles, ends = pictures()
    raw, _ = network()(rgb, known, quantiles, ends)
    black, white, power = raw[0].double().numpy()
    low, high = quantiles[0, 1].numpy(), quantiles[0, -2].numpy()
    curves = ToneCurves(black, white, np.exp(power), low, high)
    inside = ((rgb[0].numpy() > low) & (rgb[0].numpy() < high)).all(-1)
    assert np.allclose(apply_curves(rgb, raw)[0].numpy()[inside], curves.toned(rgb[0].numpy())[inside], atol=1e-5)


def test_colours_go_to_the_curves_through_stretched_tones():
    """With layers that pass on what they are given: the curves' ends are shares of the tones' ends."""
    rgb, known, quantiles, ends = pictures()
    one = network(0.0)
    one.curves.bias.copy_(torch.tensor([9.0, 2.0, -9.0, 9.0, 2.0, -9.0, 9.0, 0.0, -2.0]))
    curves, _ = one(rgb, known, quantiles, ends)
    shares = 0.97 * torch.sigmoid(torch.tensor([7.0, 0.0, -11.0]))
    torch.testing.assert_close(curves[:, 0], shares * quantiles[:, 1])
    torch.testing.assert_close(curves[:, 1], 1 - shares * (1 - quantiles[:, -2]))
    powers = 1.6 * torch.tanh(torch.tensor([4.5, 0.0, -1.0]))
    torch.testing.assert_close(curves[:, 2], powers.expand(4, 3))


def test_tones_count_relative_to_their_ends():
    """Fading that is a line from black to white in each channel leaves the features of pixels but their values."""
    rgb, known, *tones = pictures()
    one, seen = network(), []
    one.pixels.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    one(rgb, known, *tones)
    one(0.5 * rgb + 0.2, known, 0.5 * tones[0] + 0.2, tones[1])
    low, high = tones[0][:, 1:2], tones[0][:, -2:-1]
    stretched = ((rgb - low) / (high - low)).clamp(0, 1)
    luma = stretched @ torch.tensor([0.299, 0.587, 0.114])
    expected = luma[..., None] + known[..., :3]
    torch.testing.assert_close(seen[0][..., :3], 2 * rgb - 1)
    torch.testing.assert_close(seen[0][..., 3:6], 2 * stretched - 1)
    torch.testing.assert_close(seen[0][..., 6:9], 2 * expected - 1)
    torch.testing.assert_close(seen[0][..., 9:12], 2 * (stretched - expected) - 1)
    torch.testing.assert_close(seen[0][..., 12:], known[..., 3:])
    torch.testing.assert_close(seen[1][..., 3:], seen[0][..., 3:], atol=1e-5, rtol=0)
