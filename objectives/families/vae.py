"""Variational autoencoder: −E_q log p(x|z) + β·KL(q(z|x) ‖ p(z)), scored by the likelihood that it gives to new images.

The score is the importance-weighted estimate of −log p(x), not −ELBO. −ELBO is what β = 1 minimizes, so it would choose β = 1 nearly
always. Schedulers compare −ELBO, because it is cheap; it is taken at β = 1, whatever β was in training. A spec may let either of the two
decide.

Likelihoods: `bernoulli` on binarized images (redrawn for every training batch, fixed for validation and test), or `gaussian` of variance 1.
With `optimal_sigma` the Gaussian has the variance that is best on training images.
Source: Kingma & Welling 2014; β: Higgins et al. 2017; the importance-weighted bound: Burda et al. 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from objectives import base, data, models, regularizers
from objectives.data._kinds import ImageSet
from objectives.draws import Draws, Fixed
from objectives.families import _importance
from objectives.families._family import CLIP_NORM, LR, Family, comparable, knobs_of, latent_dim, metrics_of
from objectives.families._moving import MOVING
from objectives.families._prepared import CHEAP_IMAGES
from objectives.lazy import Tensor, torch
from objectives.losses import LIKELIHOODS, bernoulli_nats, gaussian_kl_nats, gaussian_nats
from objectives.metrics import active_units, bits_per_dim, generalization_gap, iwae, kl, neg_elbo, reconstruction
from objectives.models import Parts
from objectives.parts import first, in_parts, mean_image, pooled
from objectives.terms import Net, Terms

if TYPE_CHECKING:
    from objectives.training.loop import TrainingRun

PLAYERS = {"model": ("encoder", "decoder")}
IWAE_SAMPLES = 100
NLL = replace(iwae.METRIC, summary=f"{iwae.METRIC.summary}: k = {IWAE_SAMPLES}, at most {CHEAP_IMAGES:,} images")
Bound = tuple[Tensor, Tensor, Tensor]
GAP = replace(generalization_gap.METRIC, name="generalization_gap_nats", unit="nats per image", costly=True)


class VAE(Family):
    """−log p(x) in nats per image."""

    name = "vae"
    players = PLAYERS
    knobs = knobs_of("vae", tuple(PLAYERS), (LR, CLIP_NORM, latent_dim(20), *MOVING))
    offers = ("samples", "codes", "posterior", "likelihood", "anomaly", "weights")
    metrics = metrics_of(
        "vae", tuple(PLAYERS), (neg_elbo.METRIC, NLL, reconstruction.METRIC, kl.METRIC, GAP), exact=(active_units.METRIC,), offers=offers
    )
    score = "val_nll_nats"
    evaluates_together = True
    cheap = "val_neg_elbo_nats"
    default_search, default_epochs = ("beta",), 20
    models = models.serving("vae", first="mlp400")
    datasets = data.serving("vae")
    likelihoods = LIKELIHOODS

    @classmethod
    def parts(cls, shape: tuple[int, int, int], latent_dim: int) -> Parts:
        """The `encoder` makes means beside log-variances (n, 2·latent_dim) of x (n, D), and the `decoder` logits or means (n, D) of z."""
        size = math.prod(shape)
        return {"encoder": (size, (2 * latent_dim,)), "decoder": (latent_dim, (size,))}

    @property
    def meanings(self) -> Mapping[str, str]:  # type: ignore[override]
        """A Bernoulli likelihood is written with logits."""
        return {"encoder": "posterior", "decoder": "logits" if self.likelihood == "bernoulli" else "pixels"}

    def warm_up(self, images: ImageSet) -> dict[str, Any]:
        """Refuse a Bernoulli likelihood for values that are no probabilities, and bits for pixels that are no gray levels."""
        low, high = float(images.train.min()), float(images.train.max())
        if self.likelihood == "bernoulli" and not 0 <= low <= high <= 1:
            rule = "the likelihood 'bernoulli' needs pixels in [0, 1]"
            raise base.ObjectiveError(f"{rule}; {images.record.get('name')} has {low:.3g} to {high:.3g}. Choose likelihood: gaussian.")
        if self.density and "bits_per_dim" in self.measured[base.Phase.CONFIRM]:
            bits_per_dim.gray_levels(first(images.val, CHEAP_IMAGES))
        return {"likelihood": self.likelihood}

    def data_notes(self, images: ImageSet) -> list[str]:
        """Gray images that are about to be made black and white are named."""
        return super().data_notes(images) + (binarized(images) if self.likelihood == "bernoulli" else [])

    def start(self, members: Sequence[base.Member]) -> TrainingRun:
        """Begin training. A regularizer that needs another likelihood is refused."""
        for name, found in regularizers.acting_on(self.name, tuple(self.players)).items():
            needed = getattr(found.module, "LIKELIHOODS", self.likelihoods)
            on = any(not found.idle(member.config.get(name, found.knob.default)) for member in members)
            if on and self.likelihood not in needed:
                rule = f"{name} needs the likelihood {' or '.join(map(repr, needed))}"
                raise base.ObjectiveError(f"{rule}; got {self.likelihood!r}. Choose likelihood: {needed[0]}, or leave {name} out.")
        return super().start(members)

    def loss(self, player: str, net: Net, batch: Tensor, draws: Draws, knobs: Mapping[str, Tensor]) -> Terms:
        """Reconstruction term of a batch (B, D), one latent sample per image; the KL is a penalty whose λ is β.

        `values`: `observed` x and `output` (B, D), which `link` takes to E[x|z]; `mean`, `log_variance` and `latent` of q(z|x) and
        `kl_nats` (all (B, latent_dim)); and `kl`, its sum over latents averaged over the batch.
        """
        x = self._observed(batch, draws)
        mean, log_variance = _importance.posterior(net, net.corrupt("encoder", x))
        z = mean + (0.5 * log_variance).exp() * draws.normal(mean.shape, "latent")
        out = net("decoder", z)
        kl_nats = gaussian_kl_nats(mean, log_variance)
        values = {"observed": x, "output": out, "mean": mean, "log_variance": log_variance, "latent": z}
        values |= {"kl_nats": kl_nats, "kl": kl_nats.sum(-1).mean()}
        return Terms(self._neg_log_likelihood(out, x).mean(), values, link=self._expected)

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """−ELBO and its two terms, on at most 2,000 validation images with fixed binarization and latent noise."""
        nats, rate, mean = self._bound(net, first(images.val, CHEAP_IMAGES), "val", self.variance(net, images))
        active = (mean.var(0) > active_units.THRESHOLD).sum() if len(mean) > 1 else mean.new_zeros(())
        return {
            "val_neg_elbo_nats": (nats + rate).mean(),
            "val_reconstruction_nats": nats.mean(),
            "val_kl_nats": rate.mean(),
            "val_active_units": active,
        }

    def evaluated_images(self, images: ImageSet, options: base.Config) -> int:
        """With a σ of its own, also the training images on which σ is measured."""
        return min(CHEAP_IMAGES, max(len(images.val), len(images.train) if options.get("optimal_sigma") else 0))

    def finish(self, net: Net, images: ImageSet, rungs: Sequence[float]) -> dict[str, float]:
        """Every metric on the whole validation split; IWAE on at most 2,000 of its images."""
        variance = self.variance(net, images)
        nats, rate, _ = self._bound(net, first(images.train, comparable(images)), "train", variance)
        val = self._bound(net, images.val, "val", variance)
        gap = generalization_gap.estimate(val[0] + val[1], nats + rate)
        return {**self._on_split(net, images.val, "val", variance, val), **gap.as_metrics("generalization_gap_nats")}

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """The same metrics on the test split, IWAE again on at most 2,000 of its images."""
        variance = self.variance(net, images)
        return self._on_split(net, images.test, "test", variance, self._bound(net, images.test, "test", variance))

    def pictures(self, net: Net, images: ImageSet) -> Mapping[str, Tensor]:
        """Validation images as the encoder sees them, E[x|z] at the means of their posteriors, and samples of fixed codes."""
        return {**_rebuilt(self, net, images.val[:8]), "samples": self.samples(net, images, 32, "picture")}

    def samples_in_parts(self, net: Net, images: ImageSet, n: int, name: str) -> Iterator[Tensor]:
        """E[x|z] for z from the prior, or from the density of codes that the settings name: (n, C, H, W)."""
        draws = Fixed(name, images.val)
        z = self.sampler(net, images)(n, draws) if self.settings.latents else draws.normal((n, net.latent_dim))
        for part in in_parts(z, math.prod(images.shape)):
            yield self._expected(net.in_chunks(("decoder",), part)).view(-1, *images.shape)

    def codes(self, net: Net, x: Tensor) -> Tensor:
        """Posterior means (n, z) of images (n, D), as the encoder sees them without noise."""
        return net.in_chunks(("encoder",), x).chunk(2, -1)[0]

    def posterior(self, net: Net, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), (n, z) each, of images (n, C, H, W) as they are evaluated: binarized where they are."""
        draws = Fixed(f"vae/{name}", x)
        found = [net.in_chunks(("encoder",), self._observed(part, draws)) for part in in_parts(x.flatten(1))]
        mean, log_variance = torch.cat(found).chunk(2, -1)
        return mean, log_variance

    @property
    def density(self) -> bool:  # type: ignore[override]
        """A Gaussian likelihood is a density; a Bernoulli likelihood gives binary images a probability."""
        return self.likelihood != "bernoulli"

    def neg_log_likelihood(self, net: Net, images: ImageSet, x: Tensor | Iterable[Tensor], name: str) -> Tensor:
        """The importance-weighted bound on −log p(x), (n,), of images (n, C, H, W)."""
        return iwae.nll(self._log_weights(net, x, name, self.variance(net, images)))

    def anomaly(self, net: Net, images: ImageSet, x: Tensor) -> Tensor:
        """−ELBO of images x (n, C, H, W), with one sample of z each."""
        nats, rate, _ = self._bound(net, x, "anomaly", self.variance(net, images))
        return nats + rate

    def constant(self, images: ImageSet) -> dict[str, float]:
        """The scores of a model that gives every image the mean training image as its expectation, in expectation over binarization."""
        mean = mean_image(first(images.train, comparable(images)).flatten(1))
        out = torch.logit(mean, eps=1e-6) if self.likelihood == "bernoulli" else mean
        some = in_parts(first(images.val, CHEAP_IMAGES).flatten(1))
        nats = float(torch.cat([self._neg_log_likelihood(out.expand_as(x), x) for x in some]).mean())
        return {"val_nll_nats": nats, "val_neg_elbo_nats": nats}

    def label_facts(self) -> dict[str, Any]:
        """The number of importance samples."""
        return {"k": IWAE_SAMPLES}

    def _on_split(self, net: Net, images: Tensor, split: str, variance: Tensor | None, bound: Bound) -> dict[str, float]:
        log_w = self._log_weights(net, first(images, CHEAP_IMAGES), split, variance)
        return {**_importance.of_bound(split, *bound), **iwae.estimate(log_w).as_metrics(f"{split}_nll_nats")}

    def variance(self, net: Net, images: ImageSet) -> Tensor | None:
        """The decoder's σ² where it is trained at its optimum: the mean squared error of at most 2,000 training images. None means 1."""
        if not net.options.get("optimal_sigma"):
            return None
        found = [((x - out).square().mean(), len(x)) for x, out, *_ in self._sampled(net, first(images.train, CHEAP_IMAGES), "sigma")]
        return pooled([one for one, _ in found], [n for _, n in found])

    def _bound(self, net: Net, images: Tensor, split: str, variance: Tensor | None = None) -> Bound:
        """−log p(x|z) with one sample of z (n,), KL (n,) and posterior means (n, z)."""
        found = [
            (self._neg_log_likelihood(out, x, variance), gaussian_kl_nats(mean, log_variance).sum(-1), mean)
            for x, out, mean, log_variance in self._sampled(net, images, split)
        ]
        nats, rate, mean = (torch.cat(one) for one in zip(*found, strict=True))
        return nats, rate, mean

    def _sampled(self, net: Net, images: Tensor, split: str) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """In parts: images as the likelihood sees them, the decoder's output for one z each, and the posterior.

        A split's noise never changes.
        """
        draws = Fixed(f"vae/{split}", images)
        noise, done = draws.normal((len(images), net.latent_dim), "latent"), 0
        for part in in_parts(images.flatten(1)):
            x = self._observed(part, draws)
            mean, log_variance = net.in_chunks(("encoder",), x).chunk(2, -1)
            out = net.in_chunks(("decoder",), mean + (0.5 * log_variance).exp() * noise[done : done + len(x)])
            yield x, out, mean, log_variance
            done += len(x)

    def _log_weights(self, net: Net, images: Tensor | Iterable[Tensor], split: str, variance: Tensor | None = None) -> Tensor:
        """log p(x|z) + log p(z) − log q(z|x) for k samples of z, (n, k)."""
        found, draws = [], None
        for part in in_parts(images):
            draws = draws or Fixed(f"vae/{split}", part)
            x = self._observed(part.flatten(1), draws)  # the binarization of `_bound`
            nats = partial(self._neg_log_likelihood, variance=variance)
            found += [_importance.log_weights(net, chunk, IWAE_SAMPLES, draws, nats) for chunk in torch.split(x, _importance.CHUNK)]
        return torch.cat(found)

    def _observed(self, x: Tensor, draws: Draws) -> Tensor:
        """The x of the likelihood. For Bernoulli: binary pixels that are 1 with the probability of their gray value."""
        if self.likelihood != "bernoulli":
            return x
        return (draws.uniform(x.shape, "binarize") < x).to(x.dtype)

    def _expected(self, out: Tensor) -> Tensor:
        """E[x|z] in pixel values, of the decoder's output."""
        return out.sigmoid() if self.likelihood == "bernoulli" else out

    def _neg_log_likelihood(self, out: Tensor, x: Tensor, variance: Tensor | None = None) -> Tensor:
        return bernoulli_nats(out, x) if self.likelihood == "bernoulli" else gaussian_nats(out, x, variance)


def binarized(images: ImageSet) -> list[str]:
    """What is said of gray images that a Bernoulli likelihood makes black and white; nothing if there are none."""
    found = [(((x > 0) & (x < 1)).float().mean(), len(x)) for x in in_parts(first(images.val, CHEAP_IMAGES))]
    gray = float(pooled([one for one, _ in found], [n for _, n in found]))
    if not gray:
        return []
    done = "is made black or white anew in every batch, by the likelihood bernoulli: scores are about such images"
    remedy = "likelihood: gaussian, with fixed: {optimal_sigma: 1}, models the gray values"
    return [f"{gray:.0%} of the pixels are gray, and each {done}; {remedy}"]


def _rebuilt(family: VAE, net: Net, x: Tensor) -> dict[str, Tensor]:
    observed = family._observed(x.flatten(1), Fixed("vae/picture", x))
    output = family._expected(net.in_chunks(("decoder",), family.codes(net, observed)))
    return {"input": observed.view_as(x), "output": output.view_as(x)}


OBJECTIVE = VAE
