"""GAN: discriminator and generator in turn, on logits. The knob `loss` says which game they play. The default is the non-saturating game,

    discriminator:  E softplus(−D(x)) + E softplus(D(G(z)))        generator:  E softplus(−D(G(z)))

The exponential moving average of the generator is scored, on noise that never changes. The score is the mean KID of the last evaluations,
because a GAN's curve is not monotone. Source: Goodfellow et al. 2014; score: Binkowski et al. 2018; averaging: Yazıcı et al. 2019.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from objectives import base, data, losses, models
from objectives.data._kinds import ImageSet
from objectives.draws import Draws, Fixed
from objectives.families._family import CLIP_NORM, LR, Family, comparable, knobs_of, latent_dim, metrics_of
from objectives.families._moving import MOVING
from objectives.lazy import Tensor, torch
from objectives.metrics import diversity, kid
from objectives.metrics._subject import MOST, Subject
from objectives.models import Parts
from objectives.parts import first, in_parts, mean_image
from objectives.terms import Net, Terms

PLAYERS = {"discriminator": ("discriminator",), "generator": ("generator",)}
LATENT = latent_dim(32)
LOSS = base.Knob(
    name="loss",
    summary="the game: the losses of both players",
    formula="; ".join(f"{name}: {game.formula}" for name, game in losses.GAMES.items()),
    unit="-",
    default=losses.DEFAULT_GAME,
    choices=tuple(losses.GAMES),
    structural=True,
    source="; ".join(dict.fromkeys(game.source for game in losses.GAMES.values())),
)
LR_RATIO = base.Knob(
    name="lr_ratio",
    summary="learning rate of the discriminator over that of the generator",
    formula="η_D = ratio · η",
    unit="1",
    default=1.0,
    low=0.1,
    high=10.0,
    log=True,
    where="discriminator",
    source="Heusel et al. 2017 (two time-scale update rule)",
)
BETA1 = base.Knob(
    name="beta1",
    summary="Adam's β₁ of both players: how long a gradient is remembered",
    formula="m ← β₁m + (1 − β₁)g",
    unit="1",
    default=0.5,
    low=0.0,
    high=0.99,
    source="Radford et al. 2016 (0.5); range of compare_gan",
)
N_DIS = base.Knob(
    name="n_dis",
    summary="steps of the discriminator for one of the generator; an epoch has as many minibatches as ever, so the generator moves less",
    formula="n",
    unit="steps",
    default=1,
    low=1,
    high=5,
    integer=True,
    structural=True,
    where="discriminator",
    source="Arjovsky et al. 2017 (5)",
)

TOLD_APART = base.Metric(
    "train_told_apart_d",
    "How often the discriminator rates a real image above a generated one in training, mean over the epoch: 0.5 cannot tell, 1 has won",
    "P(D(x) > D(G(z)))",
    "share of pairs",
    source="the area under D's ROC curve; no threshold, so every game has it",
)


class GAN(Family):
    """KID of the averaged generator."""

    name = "gan"
    players = PLAYERS
    averaged = {"generator": "ema"}  # noqa: RUF012
    meanings = {"generator": "pixels", "discriminator": "logits"}  # noqa: RUF012
    knobs = knobs_of("gan", tuple(PLAYERS), (LR, CLIP_NORM, LATENT, LOSS, LR_RATIO, BETA1, N_DIS, *MOVING))
    offers = ("samples", "anomaly", "weights")
    kept = ("generator",)
    measures = ("kid", "fid", "diversity")
    metrics = metrics_of("gan", tuple(PLAYERS), (), exact=(TOLD_APART,), offers=offers)
    score = "val_kid"
    default_search: ClassVar[tuple[str, ...]] = ("l2_g", "l2_d")
    default_epochs = 40
    models = models.serving("gan", first="mlp_small")
    datasets = data.serving("gan")

    @classmethod
    def parts(cls, shape: tuple[int, int, int], latent_dim: int) -> Parts:
        """The `generator` makes images in [0, 1], (n, D), of z, and the `discriminator` logits (n,) of images."""
        size = math.prod(shape)
        return {"generator": (latent_dim, (size,)), "discriminator": (size, ())}

    def every(self, player: str, options: base.Config) -> int:
        """The generator moves once in `n_dis` minibatches."""
        return int(options["n_dis"]) if player == "generator" else 1

    def rate(self, player: str, columns: Mapping[str, Tensor | float]) -> Tensor | float:
        """The discriminator's learning rate is `lr_ratio` times the generator's."""
        return columns["lr"] * columns["lr_ratio"] if player == "discriminator" else columns["lr"]

    def betas(self, columns: Mapping[str, Tensor | float]) -> tuple[Tensor | float, float]:
        """β₁ is a knob, because the longer memory of 0.9 makes the game swing."""
        return columns["beta1"], 0.999

    def loss(self, player: str, net: Net, batch: Tensor, draws: Draws, knobs: Mapping[str, Tensor]) -> Terms:
        """The loss of one player on a batch of real images (B, D) and as many generated ones.

        `values`: `latent` z (B, latent_dim), `fake` G(z) (B, D), `seen_fake` what D saw of it, `on_fake` its logits (n,). For the
        discriminator, and for both players in a relativistic game, also `real`, `seen_real` and `on_real`. n = B, except with packing.
        """
        game = losses.GAMES[str(net.options["loss"])]
        z = draws.normal((len(batch), net.latent_dim), "latent")
        fake = net("generator", z)
        if player == "discriminator":
            fake = fake.detach()
        seen_fake = net.corrupt("discriminator", fake)
        values = {"latent": z, "fake": fake, "seen_fake": seen_fake, "on_fake": net("discriminator", seen_fake)}
        if player == "discriminator" or game.relative:
            seen_real = net.corrupt("discriminator", batch)
            values |= {"real": batch, "seen_real": seen_real, "on_real": net("discriminator", seen_real)}
        logged = {}
        if player == "discriminator":
            logged["told_apart"] = (values["on_real"] > values["on_fake"]).to(batch.dtype).mean()
        play = game.discriminator if player == "discriminator" else game.generator
        return Terms(play(values.get("on_real", values["on_fake"]), values["on_fake"]), values, logged=logged)

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """KID between at most 2,000 samples and as many validation images, and how much the samples differ."""
        subject = Subject(self, net, images, "val")
        return {"val_kid": kid.measure(subject)["kid"].value, "val_diversity": diversity.measure(subject)["diversity"].value}

    def finish(self, net: Net, images: ImageSet, rungs: Sequence[float]) -> dict[str, float]:
        """Mean KID of the last evaluations. Its standard error is that of the last evaluation alone."""
        count = min(5, math.ceil(self.settings.epochs / 5))
        return {"val_kid": sum(rungs[-count:]) / len(rungs[-count:])}

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """Empty: `measures` names all metrics of the test split."""
        return {}

    def constant(self, images: ImageSet) -> dict[str, float]:
        """KID of a generator that makes the mean training image of every noise, against at most 2,000 validation images."""
        extractor, n = self.features(), min(MOST["val"], len(images.val))
        mean = mean_image(first(images.train, comparable(images)).flatten(1)).view(1, *images.shape)
        return {"val_kid": kid.estimate(extractor(mean).expand(n, -1), extractor.of_split(images, "val", n)).value}

    def pictures(self, net: Net, images: ImageSet) -> Mapping[str, Tensor]:
        """Samples of the averaged generator, of fixed codes."""
        return {"samples": self.samples(net, images, 64, "picture")}

    def samples_in_parts(self, net: Net, images: ImageSet, n: int, name: str) -> Iterator[Tensor]:
        """Images (n, C, H, W) from noise that depends on `name` only, in batches of 2,000, whose statistics BatchNorm uses.

        Of images of more than 8,388 numbers the batches are smaller: as large as a part.
        """
        z = Fixed(f"gan/{name}", images.val).normal((n, net.latent_dim), "latent")
        for part in in_parts(z, math.prod(images.shape)):
            yield net.in_chunks(("generator",), part).view(-1, *images.shape)

    def anomaly(self, net: Net, images: ImageSet, x: Tensor) -> Tensor:
        """−D(x) of images x (n, C, H, W). With `packing`, D sees each image beside copies of itself.

        D is trained to recognize the generator's images, and none of these is novel. So this may be no better than chance.
        """
        times = int(net.options.get("packing", 1))
        parts = in_parts(x.flatten(1), times * math.prod(images.shape))
        return torch.cat([-net.in_chunks(("discriminator",), part.repeat(1, times)) for part in parts])


OBJECTIVE = GAN
