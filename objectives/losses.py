"""Losses: likelihoods of autoencoders, and the games that a GAN may play.

A likelihood here is −log p(x | z) in nats per image, summed over pixels.

Only a real likelihood may be quoted in nats. Bernoulli needs binary images (cross-entropy on gray pixels is no likelihood: its minimum is
above zero). A Gaussian needs its normalizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from objectives.lazy import Tensor

LIKELIHOODS = ("bernoulli", "gaussian")


def bernoulli_nats(logits: Tensor, x: Tensor) -> Tensor:
    """−log p(x | z) of binary x under independent Bernoulli pixels: Σ softplus(logit) − x·logit, summed over the last axis."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


def gaussian_nats(mean: Tensor, x: Tensor, variance: Tensor | None = None) -> Tensor:
    """−log p(x | z) of x under N(mean, σ²I): ½‖x − mean‖²/σ² + (D/2)·log 2πσ², over the last axis of length D; σ = 1 if not given."""
    size, error = x.shape[-1], half_squared_error(mean, x)
    if variance is None:
        return error + 0.5 * size * math.log(2 * math.pi)
    return error / variance + 0.5 * size * (2 * math.pi * variance).log()


def half_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """½‖target − prediction‖² over the last axis."""
    return 0.5 * (target - prediction).square().sum(-1)


def gaussian_kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − log σ²) for each latent: not yet summed (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


# A game is a function of the logits D(·) of real and generated images, averaged over the batch. The scale of D differs from game to
# game. So a λ that was found in one game (R1's, LeCam's) says nothing about another game.
DEFAULT_GAME = "non_saturating"


@dataclass(frozen=True)
class Game:
    """`discriminator(on_real, on_fake)` and `generator(on_real, on_fake)`, both to be minimized; logits (n,) → scalar.

    `relative` says that the generator's loss needs the logits of real images too. `even` is the least loss of a discriminator that cannot
    tell real from generated images; the loss of one that can tell them comes down to 0. None where there is no least loss.
    """

    formula: str
    source: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    relative: bool = False
    even: float | None = None


def _softplus(x: Tensor) -> Tensor:
    from torch.nn.functional import softplus

    return softplus(x)


def _logistic(on_real: Tensor, on_fake: Tensor) -> Tensor:
    return _softplus(-on_real).mean() + _softplus(on_fake).mean()


GAMES = {
    "non_saturating": Game(
        "D: E softplus(−D(x)) + E softplus(D(G(z))); G: E softplus(−D(G(z)))",
        "Goodfellow et al. 2014, section 3",
        _logistic,
        lambda on_real, on_fake: _softplus(-on_fake).mean(),
        even=2 * math.log(2),
    ),
    "minimax": Game(
        "D as non_saturating; G: −E softplus(D(G(z)))",
        "Goodfellow et al. 2014, equation 1: the generator's gradient vanishes where D is sure",
        _logistic,
        lambda on_real, on_fake: -_softplus(on_fake).mean(),
        even=2 * math.log(2),
    ),
    "hinge": Game(
        "D: E max(0, 1 − D(x)) + E max(0, 1 + D(G(z))); G: −E D(G(z))",
        "Lim & Ye 2017; Miyato et al. 2018",
        lambda on_real, on_fake: (1 - on_real).relu().mean() + (1 + on_fake).relu().mean(),
        lambda on_real, on_fake: -on_fake.mean(),
        even=2.0,
    ),
    "lsgan": Game(
        "D: ½E(D(x) − 1)² + ½E D(G(z))²; G: ½E(D(G(z)) − 1)²",
        "Mao et al. 2017, equation 9",
        lambda on_real, on_fake: 0.5 * (on_real - 1).square().mean() + 0.5 * on_fake.square().mean(),
        lambda on_real, on_fake: 0.5 * (on_fake - 1).square().mean(),
        even=0.25,
    ),
    "wasserstein": Game(
        "D: E D(G(z)) − E D(x); G: −E D(G(z)); needs a Lipschitz constraint on D",
        "Arjovsky et al. 2017",
        lambda on_real, on_fake: on_fake.mean() - on_real.mean(),
        lambda on_real, on_fake: -on_fake.mean(),
    ),
    "relativistic": Game(
        "D: E softplus(D(G(z)) − D(x)); G: E softplus(D(x) − D(G(z))), real and generated images in pairs",
        "Jolicoeur-Martineau 2018 (RpGAN)",
        lambda on_real, on_fake: _softplus(on_fake - on_real).mean(),
        lambda on_real, on_fake: _softplus(on_real - on_fake).mean(),
        relative=True,
        even=math.log(2),
    ),
}
