"""The networks of InfoGAN as compare_gan uses them for 28 × 28 and 32 × 32 images, as a GAN and as its VAE twin; z = 64.

GAN: discriminator conv 64 – conv 128 BN – 1024 BN – 1, generator 1024 BN – 128·(H/4)·(W/4) BN – deconv 64 BN – deconv, sigmoid; 4 × 4
kernels of stride 2 and leaky ReLU. VAE: the same encoder without BN, whose deviations are softplus + 10⁻⁶, and the same decoder with
ReLU. Starts as published, from N(0, 0.02²). The published biases before a BN are kept; it takes them out again. compare_gan's ε is 10⁻³.

Pitfalls: the decoder's BN uses the batch at hand, so that the likelihood of an image depends a little on which codes are decoded with it.
compare_gan's discriminator has BN unless it is asked not to; a gradient penalty is per image and wants none (take `wgangp28`). Source:
Lucic et al. 2018, compare_gan v1 (`abstract_gan.py`, `VAE.py`, `params.py`: learning rates and β₁; ours is 0.9 for the VAE).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from objectives.base import Shape
from objectives.lazy import Tensor, nn
from objectives.models import _fits

if TYPE_CHECKING:
    from objectives.models._convolutional import Frame

accepts, FITS = _fits.pictures, _fits.PICTURES


EPS = 1e-3


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """As published; the discriminator sees [0, 1], not centred."""
    from torch import sigmoid

    from objectives.models._convolutional import Frame, Logit, started, unit_norm
    from objectives.models._layers import Act, Hidden, Stack, leaky

    frame = Frame(shape, 4)
    judge = Stack(*_towards(frame, normalized=True), unit_norm(1024, EPS), Hidden(leaky), Logit(1024))
    return {
        "generator": started(Stack(*_from(frame, latent_dim, leaky), Act(sigmoid)), 0.02),
        "discriminator": started(judge, 0.02),
    }


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    from torch import nn, relu

    from objectives.models._convolutional import Frame, started
    from objectives.models._layers import Act, Hidden, Stack, leaky, softplus_deviation

    frame = Frame(shape, 4)
    heads = (Hidden(leaky), nn.Linear(1024, 2 * latent_dim), Act(softplus_deviation))
    return {
        "encoder": started(Stack(*_towards(frame, normalized=False), *heads), 0.02),
        "decoder": started(Stack(*_from(frame, latent_dim, relu)), 0.02),
    }


def _towards(frame: Frame, normalized: bool) -> list[nn.Module]:
    """Images to 1024 units, before their activation."""
    from objectives.models._convolutional import Maps, halve, map_norm
    from objectives.models._layers import Hidden, leaky

    norm = [map_norm(128, EPS)] if normalized else []
    convolutions = [halve(frame.channels, 64), Hidden(leaky), halve(64, 128), *norm, Hidden(leaky)]
    return [Maps(frame), *convolutions, nn.Flatten(), nn.Linear(128 * frame.area(4), 1024)]


def _from(frame: Frame, latent_dim: int, activation: Callable[[Tensor], Tensor]) -> list[nn.Module]:
    """Codes to images, before the sigmoid."""
    from objectives.models._convolutional import Deconv, Pixels, map_norm, unit_norm
    from objectives.models._layers import Act, Hidden

    units = 128 * frame.area(4)
    return [
        nn.Linear(latent_dim, 1024),
        unit_norm(1024, EPS),
        Hidden(activation),
        nn.Linear(1024, units),
        unit_norm(units, EPS),
        Act(activation),
        nn.Unflatten(1, (128, *frame.sides(4))),
        Hidden(),
        Deconv(128, 64, 4),
        map_norm(64, EPS),
        Hidden(activation),
        Deconv(64, frame.channels, 4),
        Pixels(frame),
    ]


BUILD = {"gan": gan, "vae": vae}
RECIPE = {"gan": {"latent_dim": 64, "lr": 5e-5, "beta1": 0.0}, "vae": {"latent_dim": 64, "lr": 5e-5}}
# 64·1024 + 3·1024, 1024·6272 + 3·6272, 128·64·16 + 3·64, 64·16 + 1; 16·64 + 64, 64·128·16 + 3·128, 6272·1024 + 3·1024, 1024 + 1
# The VAE's encoder lacks 2·128 and 2·1024, and its last layer is 1024·128 + 128.
PUBLISHED = {
    "gan": (
        (1, 28, 28),
        64,
        {"generator": 68_608 + 6_441_344 + 131_264 + 1_025, "discriminator": 1_088 + 131_456 + 6_425_600 + 1_025},
    ),
    "vae": ((1, 28, 28), 64, {"encoder": 1_088 + 131_200 + 6_423_552 + 131_200, "decoder": 68_608 + 6_441_344 + 131_264 + 1_025}),
}
