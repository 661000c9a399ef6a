"""MaxGP: the largest squared slope of the discriminator between real and generated images.

    max over the batch of ‖∇D(x̂)‖²,    x̂ = x + u·(G(z) − x),  u ~ U(0, 1), one per pair

The Lipschitz constant is a maximum, not a mean; this is its estimate on the batch, whose gradient is that of one row.
Units: squared logits per squared pixel value; λ = 10 in StudioGAN. It grows with the batch: λ is not comparable across batch sizes.
Where: the discriminator. Cost: 60–100 % of its step. Pitfalls: those of WGAN-GP; noisy, as maxima are.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._gradients import between, generated, linear, quadratic, squared_slopes
from objectives.regularizers._truths import Effect, Example, Trained, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="max_gp",
    summary="largest squared slope of the discriminator, between real and generated images",
    formula="λ max ‖∇D(x̂)‖²",
    unit="squared pixel value per logit",
    default=0.0,
    low=1.0,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="60–100 %",
    source="Zhou et al. 2019 (Lipschitz GAN); StudioGAN (10)",
)
ON = ("gan.discriminator",)
TRAITS = ("gradient_penalty", "bounds_critic", "logit_scaled")


def penalty(terms: Terms) -> Tensor:
    """max ‖∇D‖² on lines between real and generated images."""
    return squared_slopes(terms, between(terms, "max_gp")).amax()


def examples() -> list[Example]:
    """A linear discriminator; and a quadratic one where real and generated images are the same, so that x̂ is known."""
    w, x = numbers(5), numbers(6, 5, seed=1)
    return [
        Example("D = w·x: ‖w‖²", lambda w: penalty(linear(w)), (w,), w.square().sum()),
        Example("D = ½Σwᵢxᵢ², x̂ = x: max", lambda w: penalty(quadratic(w, seen_fake=x)), (w,), (w * x).square().sum(-1).max()),
    ]


def effect() -> Effect:
    """A smaller largest slope halfway between validation and generated images."""

    def largest(trained: Trained) -> float:
        real = trained.images.val.flatten(1)[:256]
        halfway = torch.lerp(real, generated(trained, len(real)), 0.5)
        return float(squared_slopes(Terms(zero(), net=trained.net), halfway).max())

    return Effect("gan", {"max_gp": 10.0}, largest, rises=False, least=0.3)
