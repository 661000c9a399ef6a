"""The networks of the regularized autoencoder (RAE) for MNIST padded to 32 × 32: conv 128 – 256 – 512 – 1024 and back, z = 16.

4 × 4 kernels, BN (ε = 10⁻³) and ReLU; the encoder's convolutions have stride 2. The decoder is 1024·(H/4)·(W/4) linear units, deconv 512,
deconv 256 and one of stride 1 with a sigmoid. The encoder centres what it sees. As a VAE the output is linear: logits (Bernoulli) or
means (Gaussian; there a sigmoid's). Sides are padded to multiples of 16. Starts with torch's defaults (there Glorot's). Published biases
before a BN are kept; it takes them out again. Its λ are `latent_l2` with `l2_decoder` (RAE-L2), `rae_gp` (RAE-GP) and `spectral_norm`
(RAE-SN), and are left to the spec.

Pitfall: BN uses the batch at hand, so that codes depend a little on which images are encoded together; there it is a running average.
Source: Ghosh et al. 2020, `rae_mnist.py` of its code (Adam 5e-4, batches of 100, 100 epochs). 22.7 million parameters: for a GPU.
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Sigmoid at the end: for images in [0, 1]."""
    from objectives.models._convolutional import rae

    return rae(shape, latent_dim, latent_dim, filters=128, probabilities=True)


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    from objectives.models._convolutional import rae

    return rae(shape, 2 * latent_dim, latent_dim, filters=128, probabilities=False)


BUILD = {"autoencoder": autoencoder, "vae": vae}
RECIPE = {"autoencoder": {"latent_dim": 16, "lr": 5e-4}, "vae": {"latent_dim": 16, "lr": 5e-4}}
# 128·16 + 3·128, 128·256·16 + 3·256, 256·512·16 + 3·512, 512·1024·16 + 3·1024, 4096·16 + 16 (4096·32 + 32)
# 16·65536 + 65536, 1024·512·16 + 3·512, 512·256·16 + 3·256, 256·16 + 1
_BODY, _DECODER = 2_432 + 525_056 + 2_098_688 + 8_391_680, 1_114_112 + 8_390_144 + 2_097_920 + 4_097
PUBLISHED = {
    "autoencoder": ((1, 32, 32), 16, {"encoder": _BODY + 65_552, "decoder": _DECODER}),
    "vae": ((1, 32, 32), 16, {"encoder": _BODY + 131_104, "decoder": _DECODER}),
}
