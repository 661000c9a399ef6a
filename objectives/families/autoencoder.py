"""Autoencoder: x̂ = decoder(encoder(x)), trained on ½‖x̂ − x‖² per image and scored by the same on validation images.

If a data set has clean targets, training still sees only the noisy image, and the score is the distance to the clean one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from objectives import base, data, models
from objectives.data._kinds import ImageSet
from objectives.draws import Draws, Fixed
from objectives.families._family import CLIP_NORM, LR, Family, comparable, knobs_of, latent_dim, metrics_of
from objectives.families._moving import MOVING
from objectives.families._prepared import CHEAP_IMAGES
from objectives.lazy import Tensor, double, torch
from objectives.losses import half_squared_error
from objectives.metrics import bce, generalization_gap, half_sse, mse_pixel, output_spread
from objectives.metrics._estimate import mean
from objectives.models import Parts
from objectives.parts import Spread, first, in_parts, mean_image
from objectives.terms import Net, Terms

PLAYERS = {"model": ("encoder", "decoder")}
OFFERS = ("samples", "codes", "anomaly", "weights")


class Autoencoder(Family):
    """½ squared error per image."""

    name = "autoencoder"
    players = PLAYERS
    knobs = knobs_of("autoencoder", tuple(PLAYERS), (LR, CLIP_NORM, latent_dim(16), *MOVING))
    metrics = metrics_of(
        "autoencoder",
        tuple(PLAYERS),
        (
            half_sse.METRIC,
            mse_pixel.METRIC,
            bce.METRIC,
            generalization_gap.METRIC,
            base.Metric("train_half_sse", "The score's formula on training images", half_sse.METRIC.formula, half_sse.METRIC.unit),
        ),
        exact=(output_spread.METRIC,),
        offers=OFFERS,
    )
    offers = OFFERS
    meanings = {"encoder": "codes", "decoder": "pixels"}  # noqa: RUF012
    score = "val_half_sse"
    evaluates_together = True
    prior = "gaussian"
    default_search = ("l2",)
    default_epochs = 20
    models = models.serving("autoencoder", first="mlp")
    datasets = data.serving("autoencoder")

    @classmethod
    def parts(cls, shape: tuple[int, int, int], latent_dim: int) -> Parts:
        """The `encoder` makes z (n, latent_dim) of x (n, D), and the `decoder` x̂ (n, D) of z."""
        size = math.prod(shape)
        return {"encoder": (size, (latent_dim,)), "decoder": (latent_dim, (size,))}

    def loss(self, player: str, net: Net, batch: Tensor, draws: Draws, knobs: Mapping[str, Tensor]) -> Terms:
        """½‖x̂ − x‖², averaged over the batch (B, D). `values`: `observed` x, `output` x̂ (B, D), `latent` z (B, latent_dim)."""
        latent = net("encoder", net.corrupt("encoder", batch))
        rebuilt = net("decoder", latent)
        return Terms(half_squared_error(rebuilt, batch).mean(), {"observed": batch, "output": rebuilt, "latent": latent})

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """The score on at most 2,000 validation images, and how much reconstructions differ."""
        losses, made, real = [], Spread(), Spread()
        for _, rebuilt, target in _reconstructed(net, first(images.val, CHEAP_IMAGES), first(_target(images, "val"), CHEAP_IMAGES)):
            losses.append(half_squared_error(rebuilt, target))
            made.add(rebuilt)
            real.add(target)
        return {"val_half_sse": torch.cat(losses).mean(), "val_output_spread": output_spread.ratio(made, real)}

    def finish(self, net: Net, images: ImageSet, rungs: Sequence[float]) -> dict[str, float]:
        """Every metric, on the whole validation split and about as many training images."""
        found = self._on_split(net, images, "val")
        train = first(images.train, comparable(images))
        gap = [self.anomaly(net, images, x) for x in (images.val, train)]  # both against the input, as in training
        exact = torch.cat([half_sse.of_each(rebuilt, x) for x, rebuilt, _ in _reconstructed(net, train)])
        return {
            **found,
            **mean(exact).as_metrics("train_half_sse"),
            **generalization_gap.estimate(*gap).as_metrics("generalization_gap"),
        }

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """The score's formula on the whole test split."""
        return self._on_split(net, images, "test")

    def constant(self, images: ImageSet) -> dict[str, float]:
        """The score of a model that always gives the mean training image."""
        target = first(_target(images, "val"), CHEAP_IMAGES).flatten(1)
        guess = mean_image(first(_target(images, "train"), comparable(images)).flatten(1))
        found = torch.cat([half_squared_error(guess.expand_as(part), part) for part in in_parts(target)]).mean()
        return {"val_half_sse": float(found), "val_mse_pixel": 2 * float(found) / target.shape[1]}

    def pictures(self, net: Net, images: ImageSet) -> Mapping[str, Tensor]:
        """Validation images and their reconstructions."""
        x = images.val[:16]
        return {"input": x, "output": net.in_chunks(("encoder", "decoder"), x.flatten(1)).view_as(x)}

    def samples_in_parts(self, net: Net, images: ImageSet, n: int, name: str) -> Iterator[Tensor]:
        """Decoded draws from a density that is fitted to the codes of training images: (n, C, H, W)."""
        z = self.sampler(net, images)(n, Fixed(f"autoencoder/{name}", images.val))
        for part in in_parts(z, math.prod(images.shape)):
            yield net.in_chunks(("decoder",), part).view(-1, *images.shape)

    def codes(self, net: Net, x: Tensor) -> Tensor:
        """Codes (n, z) of images (n, D)."""
        return net.in_chunks(("encoder",), x)

    def anomaly(self, net: Net, images: ImageSet, x: Tensor) -> Tensor:
        """½‖x̂ − x‖² of images x (n, C, H, W)."""
        return torch.cat([half_squared_error(rebuilt, part) for part, rebuilt, _ in _reconstructed(net, x)])

    def _on_split(self, net: Net, images: ImageSet, split: str) -> dict[str, float]:
        target = _target(images, split)
        shares = 0 <= float(target.min()) <= float(target.max()) <= 1
        errors, entropies, made, real = [], [], Spread(), Spread()
        for _, rebuilt, part in _reconstructed(net, getattr(images, split), target):
            errors.append(half_sse.of_each(rebuilt, part))
            entropies += [bce.of_each(rebuilt, part)] if shares else []
            made.add(double(rebuilt))
            real.add(double(part))
        half = mean(torch.cat(errors))
        return {
            **(mean(torch.cat(entropies)).as_metrics(f"{split}_bce") if shares else {}),
            **half.as_metrics(f"{split}_half_sse"),
            **mse_pixel.of_half(half, math.prod(images.shape)).as_metrics(f"{split}_mse_pixel"),
            f"{split}_output_spread": float(output_spread.ratio(made, real)),
        }


def _reconstructed(net: Net, x: Tensor, target: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images (n, …), their reconstructions, and what they are compared with (themselves if nothing is given), (n, D) each, in parts."""
    aims = in_parts(x.flatten(1) if target is None else target.flatten(1))
    for part, aim in zip(in_parts(x.flatten(1)), aims, strict=True):
        yield part, net.in_chunks(("encoder", "decoder"), part), aim


def _target(images: ImageSet, split: str) -> Tensor:
    """The clean images if the data set has them, else the images."""
    target: Tensor | None = getattr(images, f"{split}_target")
    return getattr(images, split) if target is None else target


OBJECTIVE = Autoencoder
