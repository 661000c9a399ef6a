"""bCR: balanced consistency of the discriminator, on real and on generated images, under a small shift.

    bCR = E (D(x) − D(Tx))² + E (D(G(z)) − D(T G(z)))²,    T as in `cr`

It contains CR's term on real images. So `bcr` takes the place of `cr`; both at once would count that term twice (an error). The paper has a
λ for each term and uses the same value for both (10); here there is one λ. Units, cost of one evaluation, dropout and scale: see `cr`.
Where: the discriminator; G is held fixed. Cost: 100 % of D's step (two evaluations more).
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor
from objectives.regularizers._consistency import by_hand, example_terms, moves, under_shift
from objectives.regularizers._gradients import generated
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, numbers
from objectives.terms import Terms

KNOB = Knob(
    name="bcr",
    summary="consistency of the discriminator on shifted images, real and generated",
    formula="λ[E(D(x) − D(Tx))² + E(D(G(z)) − D(TG(z)))²]",
    unit="1 / squared logit",
    default=0.0,
    low=1e-1,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="100 %",
    source="Zhao et al. 2021 (ICR-GAN, 10 and 10)",
)
ON = ("gan.discriminator",)
TRAITS = ("logit_scaled",)
CONFLICTS = (
    Rule(
        "consistency_twice",
        "error",
        both("cr", "bcr"),
        "{}: bcr holds cr's term on real images already. Keep one.",
        broken=sweep("gan", "cr", "bcr"),
        kept=sweep("gan", "cr", "zcr_d"),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """E(D(x) − D(Tx))² on real and generated images, added."""
    return under_shift(terms, "real", "bcr") + under_shift(terms, "fake", "bcr_fake")


def examples() -> list[Example]:
    """A linear discriminator on images that are moved pixel by pixel."""
    w, real, fake = numbers(16), numbers(7, 16, seed=1), numbers(7, 16, seed=2)
    moved = ((real - by_hand(real, 4, "bcr")) @ w).square().mean() + ((fake - by_hand(fake, 4, "bcr_fake")) @ w).square().mean()
    return [Example("both terms", lambda w, x, y: penalty(example_terms(w, (1, 4, 4), x, y)), (w, real, fake), moved)]


def effect() -> Effect:
    """Logits of generated images that move less when the image does."""
    return Effect("gan", {"bcr": 10.0}, moves(lambda trained: generated(trained, 256)), rises=False, least=0.3)
