"""A DCGAN small enough for one core: generator 64·(H/4)·(W/4) BN – deconv 32 BN – deconv, tanh; discriminator conv 32 – conv 64 BN – 1.

4 × 4 kernels of stride 2, ReLU in the generator, leaky ReLU in the discriminator; sides are padded to multiples of 4. No biases before a
BN. Starts as Radford et al. 2016 do: N(0, 0.02²), BN's scales N(1, 0.02²). Ours.
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Discriminator with BatchNorm: gradient penalties, which are per image, want `wgangp28` or another without."""
    from torch import nn, relu

    from objectives.models._convolutional import Deconv, Frame, Logit, Maps, Pixels, halve, map_norm, started
    from objectives.models._layers import Act, Hidden, Stack, leaky, unit_interval

    frame = Frame(shape, 4)
    generator = Stack(
        nn.Linear(latent_dim, 64 * frame.area(4), bias=False),
        nn.Unflatten(1, (64, *frame.sides(4))),
        map_norm(64),
        Hidden(relu),
        Deconv(64, 32, 4, bias=False),
        map_norm(32),
        Hidden(relu),
        Deconv(32, frame.channels, 4),
        Pixels(frame),
        Act(unit_interval),
    )
    discriminator = Stack(
        Maps(frame, centre=True),
        halve(frame.channels, 32),
        Hidden(leaky),
        halve(32, 64, bias=False),
        map_norm(64),
        Hidden(leaky),
        nn.Flatten(),
        Logit(64 * frame.area(4)),
    )
    return {"generator": started(generator, 0.02, scales=0.02), "discriminator": started(discriminator, 0.02, scales=0.02)}


BUILD = {"gan": gan}
RECIPE = {"gan": {"latent_dim": 64, "lr": 1e-3, "beta1": 0.5}}
