"""WGAN-GP: the discriminator's slope is held at 1 between real and generated images.

    GP = E (√(‖∇D(x̂)‖² + 10⁻⁴) − 1)²,    x̂ = x + u·(G(z) − x),  u ~ U(0, 1), one per pair

The 10⁻⁴ (compare_gan's) keeps the gradient finite at ‖∇D‖ = 0; StudioGAN and GAN_stability have none, which differs by 10⁻⁴ at most.
Units: that of the loss; λ = 10 in the paper, in compare_gan, StudioGAN and GAN_stability alike.
Where: the discriminator, in any game. Cost: 60–100 % of its step.

Pitfalls: batch normalization in D couples images, so that no slope is one image's (use layer norm or none). On the Dirac-GAN it cycles for
every λ: it penalizes a slope of 0, which the equilibrium has.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._gradients import EPSILON, between, generated, linear, quadratic, slopes
from objectives.regularizers._truths import Effect, Example, Trained, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="wgan_gp",
    summary="distance of the discriminator's slope from 1, between real and generated images",
    formula="λ E(‖∇D(x̂)‖ − 1)²",
    unit="1",
    default=0.0,
    low=1e-1,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="60–100 %",
    source="Gulrajani et al. 2017 (10); range of compare_gan",
)
ON = ("gan.discriminator",)
TRAITS = ("gradient_penalty", "bounds_critic", "logit_scaled")


def penalty(terms: Terms) -> Tensor:
    """E(‖∇D‖ − 1)² on lines between real and generated images."""
    return (slopes(terms, between(terms, "wgan_gp")) - 1).square().mean()


def examples() -> list[Example]:
    """A linear discriminator; and a quadratic one where real and generated images are the same, so that x̂ is known."""
    w, x = 0.3 * numbers(5), numbers(6, 5, seed=1)
    return [
        Example("D = w·x: (‖w‖ − 1)²", lambda w: penalty(linear(w)), (w,), ((w.square().sum() + EPSILON).sqrt() - 1).square()),
        Example("D = 0: 1, with a finite gradient", lambda w: penalty(linear(w)), (0 * w,), (EPSILON**0.5 - 1) ** 2),
        Example(
            "D = ½Σwᵢxᵢ², x̂ = x",
            lambda w: penalty(quadratic(w, seen_fake=x)),
            (w,),
            (((w * x).square().sum(-1) + EPSILON).sqrt() - 1).square().mean(),
        ),
    ]


def effect() -> Effect:
    """Slopes nearer to 1 halfway between validation and generated images."""

    def distance(trained: Trained) -> float:
        real = trained.images.val.flatten(1)[:256]
        halfway = torch.lerp(real, generated(trained, len(real)), 0.5)
        return float((slopes(Terms(zero(), net=trained.net), halfway) - 1).square().mean())

    # A Wasserstein critic, whose slope nothing else bounds.
    return Effect("gan", {"wgan_gp": 10.0}, distance, rises=False, least=0.3, always={"loss": "wasserstein"})
