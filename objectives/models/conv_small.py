"""A convolutional autoencoder and VAE small enough for one core: conv 16 – conv 32 – 128 units – z, and the same mirrored.

4 × 4 kernels of stride 2 and ReLU; sides are padded to multiples of 4. Starts with torch's defaults. Ours.
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """The output is linear, the mean of a unit Gaussian."""
    return _parts(shape, latent_dim, latent_dim)


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    return _parts(shape, 2 * latent_dim, latent_dim)


def _parts(shape: Shape, outputs: int, latent_dim: int) -> dict[str, nn.Module]:
    from torch import nn, relu

    from objectives.models._convolutional import Deconv, Frame, Maps, Pixels, halve
    from objectives.models._layers import Act, Hidden, Stack

    frame = Frame(shape, 4)
    units = 32 * frame.area(4)
    return {
        "encoder": Stack(
            Maps(frame),
            halve(frame.channels, 16),
            Hidden(relu),
            halve(16, 32),
            Hidden(relu),
            nn.Flatten(),
            nn.Linear(units, 128),
            Hidden(relu),
            nn.Linear(128, outputs),
        ),
        "decoder": Stack(
            nn.Linear(latent_dim, 128),
            Hidden(relu),
            nn.Linear(128, units),
            Act(relu),
            nn.Unflatten(1, (32, *frame.sides(4))),
            Hidden(),
            Deconv(32, 16, 4),
            Hidden(relu),
            Deconv(16, frame.channels, 4),
            Pixels(frame),
        ),
    }


BUILD = {"autoencoder": autoencoder, "vae": vae}
