"""The convolutional VAE of β-VAE for 64 × 64 images: conv 32 – 32 – 64 – 64, 256 units, z = 10, and the same mirrored.

4 × 4 kernels of stride 2 and ReLU; sides are padded to multiples of 16. disentanglement_lib, which copies the paper's table, has 2 × 2
kernels in the last two convolutions of the encoder, and so 73,728 parameters fewer than the table says. Starts with torch's defaults
(there Glorot's). As an autoencoder, which is not published, its output is a sigmoid. Source: Higgins et al. 2017, table 1 (Adam 1e-4,
batches of 64).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

if TYPE_CHECKING:
    from objectives.models._layers import Stack

accepts, FITS = _fits.pictures, _fits.PICTURES


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Sigmoid at the end: for images in [0, 1]."""
    from torch import sigmoid

    from objectives.models._layers import Act

    return {"encoder": _encoder(shape, latent_dim), "decoder": _decoder(shape, latent_dim, Act(sigmoid))}


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    return {"encoder": _encoder(shape, 2 * latent_dim), "decoder": _decoder(shape, latent_dim)}


def _encoder(shape: Shape, outputs: int) -> Stack:
    from torch import nn, relu

    from objectives.models._convolutional import Frame, Maps, halve
    from objectives.models._layers import Hidden, Stack

    frame = Frame(shape, 16)
    widths = ((frame.channels, 32), (32, 32), (32, 64), (64, 64))
    convolutions = [layer for inputs, made in widths for layer in (halve(inputs, made), Hidden(relu))]
    return Stack(Maps(frame), *convolutions, nn.Flatten(), nn.Linear(64 * frame.area(16), 256), Hidden(relu), nn.Linear(256, outputs))


def _decoder(shape: Shape, latent_dim: int, *output: nn.Module) -> Stack:
    from torch import nn, relu

    from objectives.models._convolutional import Deconv, Frame, Pixels
    from objectives.models._layers import Act, Hidden, Stack

    frame = Frame(shape, 16)
    first = (nn.Linear(latent_dim, 256), Hidden(relu), nn.Linear(256, 64 * frame.area(16)), Act(relu))
    deconvolutions = [layer for inputs, made in ((64, 64), (64, 32), (32, 32)) for layer in (Deconv(inputs, made, 4), Hidden(relu))]
    maps = nn.Unflatten(1, (64, *frame.sides(16)))
    return Stack(*first, maps, Hidden(), *deconvolutions, Deconv(32, frame.channels, 4), Pixels(frame), *output)


BUILD = {"autoencoder": autoencoder, "vae": vae}
RECIPE = {"vae": {"latent_dim": 10, "lr": 1e-4}}
# 3·32·16 + 32, 32·32·16 + 32, 32·64·16 + 64, 64·64·16 + 64, 1024·256 + 256, 256·20 + 20
# 10·256 + 256, 256·1024 + 1024, 64·64·16 + 64, 64·32·16 + 32, 32·32·16 + 32, 32·3·16 + 3
PUBLISHED = {
    "vae": (
        (3, 64, 64),
        10,
        {
            "encoder": 1_568 + 16_416 + 32_832 + 65_600 + 262_400 + 5_140,
            "decoder": 2_816 + 263_168 + 65_600 + 32_800 + 16_416 + 1_539,
        },
    )
}
