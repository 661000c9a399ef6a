"""DRAGAN: the discriminator's slope is held at 1 around real images.

    GP = E (√(‖∇D(x̃)‖² + 10⁻⁴) − 1)²,    x̃ = clip(x + ½·std(x)·u, 0, 1),  u ~ U(−1, 1) per pixel,  std over the whole batch

This is compare_gan's variant, symmetric and clipped to the range of images. DRAGAN's own code, and StudioGAN, only add: u ~ U(0, 1), not
clipped, which moves images toward white.
Units: that of the loss; λ = 10 in the paper. Where: the discriminator, in any game. Cost: 60–100 % of its step.

Pitfalls: WGAN-GP's (batch normalization in D). With instance noise the images that D saw leave [0, 1], and are clipped here.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._gradients import EPSILON, linear, slopes
from objectives.regularizers._truths import Effect, Example, Trained, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="dragan",
    summary="distance of the discriminator's slope from 1, around real images",
    formula="λ E(‖∇D(x̃)‖ − 1)², x̃ = x + ½ std(x)·u",
    unit="1",
    default=0.0,
    low=1e-1,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="60–100 %",
    source="Kodali et al. 2017 (10); noise and range of compare_gan",
)
ON = ("gan.discriminator",)
TRAITS = ("gradient_penalty", "bounds_critic", "logit_scaled")


def penalty(terms: Terms) -> Tensor:
    """E(‖∇D‖ − 1)² around real images."""
    return (slopes(terms, _around(terms)) - 1).square().mean()


def _around(terms: Terms) -> Tensor:
    x = terms.values["seen_real"]
    noise = terms.context.draws.uniform(x.shape, "dragan") - 0.5
    return (x + x.std(correction=0) * noise).clamp(0, 1)


def examples() -> list[Example]:
    """A linear discriminator; the noise by its moments; and black images, which have none."""
    w = 0.3 * numbers(5)

    def moments(x: Tensor) -> Tensor:
        moved = (_around(linear(w, seen_real=x)) - x) / 0.1
        return torch.stack([moved.mean(), moved.abs().max(), moved.square().mean()])

    x = torch.tensor([0.4, 0.6]).double().repeat(20_000, 1)  # std 0.1
    return [
        Example("D = w·x: (‖w‖ − 1)²", lambda w: penalty(linear(w)), (w,), ((w.square().sum() + EPSILON).sqrt() - 1).square()),
        Example("mean 0, at most ½, variance 1/12 std²", moments, (x,), torch.tensor([0, 1 / 2, 1 / 12]).double(), 0.02, 5e-3, False),
        Example("black images stay", lambda x: _around(linear(w, seen_real=x)).sum(), (torch.zeros(4, 5).double(),), 0.0, smooth=False),
    ]


def effect() -> Effect:
    """Slopes nearer to 1 at validation images."""

    def distance(trained: Trained) -> float:
        return float((slopes(Terms(zero(), net=trained.net), trained.images.val.flatten(1)) - 1).square().mean())

    # A Wasserstein critic, whose slope nothing else bounds.
    return Effect("gan", {"dragan": 10.0}, distance, rises=False, least=0.3, always={"loss": "wasserstein"})
