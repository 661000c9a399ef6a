"""R2: ½ of the squared slope of the discriminator at generated images.

    R2 = ½ E_fake ‖∇ₓD(x)‖²,    D the logits,    x = G(z) as D saw it

R1's twin; units, conversions (GAN_stability's code has no ½: γ = 2λ) and pitfalls are R1's. It damps the game where the generator is, also
before it has reached the data; near the equilibrium both act alike.
Where: the discriminator; G is held fixed. Cost: 60–100 % of D's step.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor
from objectives.regularizers._gradients import linear, on_generated, quadratic, squared_slopes
from objectives.regularizers._truths import Effect, Example, numbers
from objectives.terms import Terms

KNOB = Knob(
    name="r2",
    summary="squared slope of the discriminator at generated images",
    formula="½γ E‖∇D(G(z))‖²",
    unit="squared pixel value per logit",
    default=0.0,
    low=1e-3,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="60–100 %",
    source="Mescheder et al. 2018",
)
ON = ("gan.discriminator",)
TRAITS = ("gradient_penalty", "bounds_critic", "logit_scaled")


def penalty(terms: Terms) -> Tensor:
    """½ E‖∇D‖² at generated images."""
    return 0.5 * squared_slopes(terms, terms.values["seen_fake"]).mean()


def examples() -> list[Example]:
    """A linear and a quadratic discriminator, whose gradients are known."""
    w, x = numbers(5), numbers(6, 5, seed=2)
    return [
        Example("D = w·x: ½‖w‖²", lambda w: penalty(linear(w)), (w,), 0.5 * w.square().sum()),
        Example("D = ½Σwᵢxᵢ²: ½E‖w ⊙ x‖²", lambda w: penalty(quadratic(w)), (w,), 0.5 * (w * x).square().sum(-1).mean()),
    ]


def effect() -> Effect:
    """A discriminator that is flatter at generated images."""
    return Effect("gan", {"r2": 10.0}, on_generated, rises=False, least=0.3)
