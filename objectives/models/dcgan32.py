"""The usual DCGAN for 32 × 32 images, which enlarges and convolves instead of transposed convolutions; z = 100.

Generator 128·(H/4)·(W/4) BN – up – conv 128 BN – up – conv 64 BN – conv, tanh; discriminator conv 16 – 32 BN – 64 BN – 128 BN – 1, stride
2, with Dropout2d 0.25 (`spatial_dropout`, in the recipe) between the leaky ReLU and BN. 3 × 3 kernels; ε of BN is 0.8 but for the first.
Starts as published: convolutions N(0, 0.02²), BN's scales N(1, 0.02²), the rest torch's defaults. Biases before a BN are kept; it takes
them out again. Source: eriklindernoren/PyTorch-GAN, `dcgan.py`.
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


EPS = 0.8


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """As published; sides are padded to multiples of 16."""
    from objectives.models._convolutional import Frame, Logit, Maps, Pixels, halve, map_norm, started
    from objectives.models._layers import Act, Hidden, Stack, leaky, unit_interval

    frame = Frame(shape, 16)
    generator = Stack(
        nn.Linear(latent_dim, 128 * frame.area(4)),
        nn.Unflatten(1, (128, *frame.sides(4))),
        map_norm(128),
        Hidden(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(128, 128, 3, padding=1),
        map_norm(128, EPS),
        Hidden(leaky),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(128, 64, 3, padding=1),
        map_norm(64, EPS),
        Hidden(leaky),
        nn.Conv2d(64, frame.channels, 3, padding=1),
        Pixels(frame),
        Act(unit_interval),
    )
    convolutions = [
        layer
        for inputs, outputs in ((16, 32), (32, 64), (64, 128))
        for layer in (halve(inputs, outputs, 3), Hidden(leaky), map_norm(outputs, EPS))
    ]
    discriminator = Stack(
        Maps(frame, centre=True),
        halve(frame.channels, 16, 3),
        Hidden(leaky),
        *convolutions,
        nn.Flatten(),
        Logit(128 * frame.area(16)),
    )
    return {
        name: started(part, 0.02, convolutions_only=True, scales=0.02)
        for name, part in {"generator": generator, "discriminator": discriminator}.items()
    }


BUILD = {"gan": gan}
RECIPE = {"gan": {"latent_dim": 100, "lr": 2e-4, "beta1": 0.5, "spatial_dropout": 0.25}}
# 100·8192 + 8192, 2·128, 128·128·9 + 3·128, 128·64·9 + 3·64, 64·9 + 1; 9·16 + 16, 16·32·9 + 3·32, 32·64·9 + 3·64, 64·128·9 + 3·128, 512 + 1
PUBLISHED = {
    "gan": (
        (1, 32, 32),
        100,
        {"generator": 827_392 + 256 + 147_840 + 73_920 + 577, "discriminator": 160 + 4_704 + 18_624 + 74_112 + 513},
    )
}
