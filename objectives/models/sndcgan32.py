"""SNDCGAN: the plain convolutional networks of spectral normalization, for 32 × 32 images and others; z = 128.

Generator 512·(H/8)·(W/8) BN – deconv 256 BN – 128 BN – 64 BN – conv, tanh, with ReLU; discriminator of seven convolutions, 64 – 128 – 128
– 256 – 256 – 512 – 512, 3 × 3 in place and 4 × 4 of stride 2 in turn, leaky ReLU of slope 0.1, then one linear layer, and no BN. Its
spectral normalization is the λ `spectral_norm_d`, 1 in the recipe. Starts as in compare_gan: N(0, 0.02²), biases of 0. Biases before a BN
are kept. Source: Miyato et al. 2018, table 3; sizes of compare_gan's `sndcgan.py`. 9.7 million parameters: for a GPU.
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """As published; sides are padded to multiples of 8."""
    from functools import partial

    from torch import nn, relu
    from torch.nn.functional import leaky_relu

    from objectives.models._convolutional import Deconv, Frame, Logit, Maps, Pixels, halve, map_norm, started, unit_norm
    from objectives.models._layers import Act, Hidden, Stack, unit_interval

    frame, leaky = Frame(shape, 8), partial(leaky_relu, negative_slope=0.1)
    units = 512 * frame.area(8)
    first = (nn.Linear(latent_dim, units), unit_norm(units), Act(relu), nn.Unflatten(1, (512, *frame.sides(8))), Hidden())
    widening = [
        layer
        for inputs, outputs in ((512, 256), (256, 128), (128, 64))
        for layer in (Deconv(inputs, outputs, 4), map_norm(outputs), Hidden(relu))
    ]
    last = (Deconv(64, frame.channels, 3, stride=1), Pixels(frame), Act(unit_interval))
    narrowing: list[nn.Module] = [nn.Conv2d(frame.channels, 64, 3, padding=1), Hidden(leaky)]
    for inputs, outputs in ((64, 128), (128, 256), (256, 512)):
        narrowing += [halve(inputs, outputs), Hidden(leaky), nn.Conv2d(outputs, outputs, 3, padding=1), Hidden(leaky)]
    return {
        "generator": started(Stack(*first, *widening, *last), 0.02),
        "discriminator": started(Stack(Maps(frame, centre=True), *narrowing, nn.Flatten(), Logit(units)), 0.02),
    }


BUILD = {"gan": gan}
RECIPE = {"gan": {"latent_dim": 128, "lr": 2e-4, "beta1": 0.5, "spectral_norm_d": 1.0}}
# 128·8192 + 3·8192, 512·256·16 + 3·256, 256·128·16 + 3·128, 128·64·16 + 3·64, 64·3·9 + 3
# 3·64·9 + 64, 64·128·16 + 128, 128·128·9 + 128, 128·256·16 + 256, 256·256·9 + 256, 256·512·16 + 512, 512·512·9 + 512, 8192 + 1
PUBLISHED = {
    "gan": (
        (3, 32, 32),
        128,
        {
            "generator": 1_073_152 + 2_097_920 + 524_672 + 131_264 + 1_731,
            "discriminator": 1_792 + 131_200 + 147_584 + 524_544 + 590_080 + 2_097_664 + 2_359_808 + 8_193,
        },
    )
}
