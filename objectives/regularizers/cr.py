"""CR: consistency of the discriminator on real images under a small shift.

    CR = E (D(x) − D(Tx))²,    T a shift by up to an eighth of the side (at least one pixel), both ways, zeros entering

Units: squared logits; λ = 10 in the paper and in StudioGAN. The paper's T also flips. Here T does not, because a mirrored digit is no
digit. x is what D saw (after instance noise and augmentation). With `packing`, images are shifted one by one. With dropout in D the two
evaluations have different masks, so the difference between masks is penalized too. Where: the discriminator. Cost: 50 % of its step (one
evaluation more).

Pitfalls: it makes D invariant to the shift, so G may shift what it draws; bCR and zCR were made to prevent that. The scale of the
logits, and with it λ, differs from game to game.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._consistency import by_hand, example_terms, moves, under_shift
from objectives.regularizers._truths import Effect, Example, numbers
from objectives.terms import Terms

KNOB = Knob(
    name="cr",
    summary="consistency of the discriminator on shifted real images",
    formula="λ E(D(x) − D(Tx))²",
    unit="1 / squared logit",
    default=0.0,
    low=1e-1,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="50 %",
    source="Zhang et al. 2020 (CR-GAN, 10)",
)
ON = ("gan.discriminator",)
TRAITS = ("logit_scaled",)


def penalty(terms: Terms) -> Tensor:
    """E(D(x) − D(Tx))²."""
    return under_shift(terms, "real", "cr")


def examples() -> list[Example]:
    """A linear discriminator on images that are moved pixel by pixel; and one that adds pixels, which no shift inside the frame moves."""
    shape, w, x = (1, 4, 4), numbers(16), numbers(7, 16, seed=1)
    dot = torch.zeros(7, 4, 4).double()
    dot[:, 1:3, 1:3] = 2.0
    packed = x[:6].view(3, 32)

    def found(w: Tensor, x: Tensor) -> Tensor:
        return penalty(example_terms(w, shape, x, x))

    return [
        Example("w·(x − Tx)", found, (w, x), ((x - by_hand(x, 4, "cr")) @ w).square().mean()),
        Example("the sum of all pixels stays", found, (torch.ones(16).double(), dot.flatten(1)), 0.0, smooth=False),
        Example(
            "packed in pairs, image by image",
            found,
            (torch.cat([w, 2 * w]), packed),
            ((packed - by_hand(x[:6], 4, "cr").view(3, 32)) @ torch.cat([w, 2 * w])).square().mean(),
        ),
    ]


def effect() -> Effect:
    """Logits of validation images that move less when the image does."""
    return Effect("gan", {"cr": 10.0}, moves(lambda trained: trained.images.val.flatten(1)), rises=False, least=0.3)
