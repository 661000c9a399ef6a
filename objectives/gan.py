"""GAN: discriminator and generator in turn, on logits, with the non-saturating losses.

    discriminator:  E softplus(−D(x)) + E softplus(D(G(z)))        generator:  E softplus(−D(G(z)))

What is scored is the exponential moving average of the generator, on noise that never changes: the mean KID of the last evaluations, for a
GAN's curve is not monotone. Source: Goodfellow et al. 2014; score: Binkowski et al. 2018; averaging: Yazıcı et al. 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives import models
from objectives._family import CHEAP_IMAGES, LR, Family, knobs_of, latent_dim, loaded, metrics_of
from objectives.metrics import fid, kid

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.data import ImageSet
    from objectives.draws import Draws
    from objectives.metrics._features import Extractor
    from objectives.training import Net, Terms

PLAYERS = {"discriminator": ("discriminator",), "generator": ("generator",)}
LATENT = latent_dim(32)


class GAN(Family):
    """KID of the averaged generator."""

    name = "gan"
    players = PLAYERS
    averaged = ("generator",)
    betas = (0.5, 0.999)
    knobs = knobs_of("gan", tuple(PLAYERS), (LR, LATENT))
    metrics = metrics_of("gan", tuple(PLAYERS), (kid.METRIC,), exact=(fid.METRIC,))
    score = "val_kid"
    default_search = ("l2_g", "l2_d")
    default_epochs = 40
    models = tuple(sorted(models.serving("gan"), key=lambda name: name != "mlp_small"))
    datasets = ("digits", "mnist", "fashion_mnist")

    def warm_up(self, images: ImageSet) -> dict[str, Any]:
        """Train, or find, the classifier in whose features images are compared."""
        return {"features": dict(self._features().record)}

    def loss(self, player: str, net: Net, batch: Tensor, draws: Draws, knobs: Mapping[str, Tensor]) -> Terms:
        """The loss of one player on a batch of real images (B, D) and as many generated ones."""
        from torch.nn.functional import softplus

        from objectives.training import Terms

        fake = net("generator", draws.normal((len(batch), self._latent(net)), "latent"))
        on_fake = net("discriminator", net.corrupt("discriminator", fake))
        if player == "generator":
            return Terms(softplus(-on_fake).mean(), {"fake": fake, "on_fake": on_fake})
        on_real = net("discriminator", net.corrupt("discriminator", batch))
        values = {"real": batch, "fake": fake, "on_real": on_real, "on_fake": on_fake}
        return Terms(softplus(-on_real).mean() + softplus(on_fake).mean(), values)

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """KID between at most 2,000 samples and as many validation images."""
        fake, real = self._compared(net, images, images.val[:CHEAP_IMAGES], "val")
        return {"val_kid": kid.estimate(fake, real).value}

    def finish(self, net: Net, images: ImageSet, rungs: Sequence[float]) -> dict[str, float]:
        """Mean KID of the last evaluations, and FID where there are more images than features."""
        count = min(5, math.ceil(self.settings.epochs / 5))
        fake, real = self._compared(net, images, images.val[:CHEAP_IMAGES], "val")
        found = kid.estimate(fake, real).as_metrics("val_kid")  # the error is that of the last evaluation alone
        last = rungs[-count:]
        return {**found, "val_kid": sum(last) / len(last), **_fid(fake, real, "val")}

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """KID and FID against the whole test split, from noise of its own."""
        fake, real = self._compared(net, images, images.test, "test")
        return {**kid.estimate(fake, real).as_metrics("test_kid"), **_fid(fake, real, "test")}

    def picture(self, net: Net, images: ImageSet) -> tuple[Tensor, int] | None:
        """Samples of the averaged generator."""
        return self._samples(net, images, 64, "picture"), 8

    def _compared(self, net: Net, images: ImageSet, real: Tensor, split: str) -> tuple[Tensor, Tensor]:
        """Features of samples and of real images, (n, d) each."""
        features = self._features()
        return features(self._samples(net, images, len(real), split)), features(real)

    def _samples(self, net: Net, images: ImageSet, n: int, name: str) -> Tensor:
        """Images (n, C, H, W) from noise that depends on `name` only; one batch, whose statistics a generator with BatchNorm uses."""
        from objectives.draws import Fixed

        z = Fixed(f"gan/{name}", images.val).normal((n, self._latent(net)), "latent")
        return net("generator", z).view(n, *images.shape)

    def _latent(self, net: Net) -> int:
        return net.inputs("generator")

    def _features(self) -> Extractor:
        return _classifier(self.options_key(), self.settings.device, self.settings.cache)


@lru_cache(maxsize=2)
def _classifier(options: str, device: str, cache: str | None) -> Extractor:
    """The classifier of a data set, once per process: worker processes are reused by many members."""
    from objectives.metrics._features import classifier

    return classifier(loaded(options, device), Path(cache) if cache else None)


def _fid(fake: Tensor, real: Tensor, split: str) -> dict[str, float]:
    """FID needs a regular covariance, hence more images than features."""
    return fid.estimate(fake, real).as_metrics(f"{split}_fid") if min(len(fake), len(real)) > fake.shape[1] else {}


OBJECTIVE = GAN
