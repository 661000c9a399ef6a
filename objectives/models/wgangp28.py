"""The networks of WGAN-GP for 28 × 28 images: 5 × 5 kernels of stride 2, no normalization, z = 128.

Generator 256·4·4 – deconv 128, cut to 7 × 7 – deconv 64 – deconv, sigmoid; discriminator conv 64 – 128 – 256 – 1, leaky ReLU, which sees
[0, 1], not centred. Starts as published, Glorot's uniform with a gain of √2 for convolutions (there the number of outputs is divided by
the stride). Its Adam has β₂ = 0.9 where ours is 0.999. Source: Gulrajani et al. 2017, `gan_mnist.py` of its code (batches of 50).
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """As published, for sides that are padded to multiples of 4."""
    from torch import nn, relu, sigmoid

    from objectives.models._convolutional import Cut, Deconv, Frame, Logit, Maps, Pixels, glorot_started, halve
    from objectives.models._layers import Act, Hidden, Stack, leaky

    frame = Frame(shape, 4)
    generator = Stack(
        nn.Linear(latent_dim, 256 * frame.area(8)),
        Act(relu),
        nn.Unflatten(1, (256, *frame.sides(8))),
        Hidden(),
        Deconv(256, 128, 5),
        Act(relu),
        Cut(*frame.sides(4)),
        Hidden(),
        Deconv(128, 64, 5),
        Hidden(relu),
        Deconv(64, frame.channels, 5),
        Pixels(frame),
        Act(sigmoid),
    )
    convolutions = [
        layer for inputs, outputs in ((frame.channels, 64), (64, 128), (128, 256)) for layer in (halve(inputs, outputs, 5), Hidden(leaky))
    ]
    discriminator = Stack(Maps(frame), *convolutions, nn.Flatten(), Logit(256 * frame.area(8)))
    return {"generator": glorot_started(generator), "discriminator": glorot_started(discriminator)}


BUILD = {"gan": gan}
RECIPE = {"gan": {"loss": "wasserstein", "wgan_gp": 10.0, "n_dis": 5, "lr": 1e-4, "beta1": 0.5, "latent_dim": 128}}
# 128·4096 + 4096, 256·128·25 + 128, 128·64·25 + 64, 64·25 + 1; 25·64 + 64, 64·128·25 + 128, 128·256·25 + 256, 4096 + 1
PUBLISHED = {
    "gan": (
        (1, 28, 28),
        128,
        {"generator": 528_384 + 819_328 + 204_864 + 1_601, "discriminator": 1_664 + 204_928 + 819_456 + 4_097},
    )
}
