"""R1: ½ of the squared slope of the discriminator at real images.

    R1 = ½ E_real ‖∇ₓD(x)‖²,    D the logits,    x as D saw it (after instance noise, augmentation, packing)

Units: squared logits per squared pixel value, with the ½ of the paper and of StudioGAN; GAN_stability's code adds λE‖∇D‖² without it, so
γ = 2λ there. Pixels here span [0, 1]; where they span [−1, 1], slopes are half as steep and the same D needs a γ 4 times ours. StyleGAN's
rule lets γ grow with the number of pixels. `r1_interval` > 1 is the lazy form of StyleGAN2: computed in every n-th step and weighted
n-fold, which has the same mean and costs an n-th.
Where: the discriminator. Cost: 60–100 % of its step.

On the Dirac-GAN the game with the logistic loss is damped critically at γ = 1 (`dirac.py`). The logits' scale differs from game
to game, and γ with it. With batch normalization in D a row's slope is not that image's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from objectives.base import Knob
from objectives.lazy import Tensor
from objectives.regularizers._gradients import linear, on_real, quadratic, squared_slopes
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._truths import Effect, Example, numbers
from objectives.terms import Terms

KNOB = Knob(
    name="r1",
    summary="squared slope of the discriminator at real images",
    formula="½γ E‖∇D(x)‖², x real",
    unit="squared pixel value per logit",
    default=0.0,
    low=1e-3,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="60–100 %",
    source="Mescheder et al. 2018 (γ = 10); StyleGAN2 on CIFAR-10 .01",
)
COMPANIONS = (
    Knob(
        name="r1_interval",
        summary="R1 is computed in every so many steps of the discriminator, and weighs as much more",
        formula="n",
        unit="steps",
        default=1,
        low=1,
        high=16,
        integer=True,
        structural=True,
        where="discriminator",
        source="Karras et al. 2020 (StyleGAN2, 16)",
    ),
)
INTERVAL = "r1_interval"
ON = ("gan.discriminator",)
TRAITS = ("gradient_penalty", "bounds_critic", "logit_scaled")


def _searched_alone(seen: Seen) -> Iterator[str]:
    for pair in seen.together("r1", "spectral_norm"):
        if not set(pair) <= seen.intent.searched:
            yield " and ".join(pair)


CONFLICTS = (
    Rule(
        "r1_with_sn",
        "warning",
        _searched_alone,
        "{}: they interact, so the best value of one holds for one value of the other. Search both.",
        broken=sweep("gan", "r1", "spectral_norm_d", searched=("r1",)),
        kept=sweep("gan", "r1", "spectral_norm_d", searched=("r1", "spectral_norm_d")),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """½ E‖∇D‖² at real images."""
    return 0.5 * squared_slopes(terms, terms.values["seen_real"]).mean()


def examples() -> list[Example]:
    """A linear and a quadratic discriminator, whose gradients are known."""
    w, x = numbers(5), numbers(6, 5, seed=1)
    return [
        Example("D = w·x: ½‖w‖²", lambda w: penalty(linear(w)), (w,), 0.5 * w.square().sum()),
        Example("D = ½Σwᵢxᵢ²: ½E‖w ⊙ x‖²", lambda w: penalty(quadratic(w)), (w,), 0.5 * (w * x).square().sum(-1).mean()),
    ]


def effect() -> Effect:
    """A discriminator that is flatter at real images, also at those that it has not seen."""
    return Effect("gan", {"r1": 10.0}, on_real, rises=False, least=0.3)
