"""Path length: equal steps in the latent space should be equally long in the image.

    PL = E (‖Jᵀy‖ − a)²,    J = ∂G/∂z,    y ~ N(0, I)/√(H·W),    a: moving average of E‖Jᵀy‖, decay 0.99

Units: image values in [0, 1]. StyleGAN2's values span about [−1, 1]: lengths here are half of its lengths, so our λ is 4 times its λ. In
the lazy form, `path_length_interval`, it is computed in every n-th step of the generator and weighted n-fold. The average is that of the
steps before, passes no gradient, and begins with the first batch. (StyleGAN2's average begins with 0, which first shrinks paths; short
trainings would see nothing else.) Where: the generator; here z, in StyleGAN2 its mapped w. Cost: 60 % of G's step, divided by the interval.

Pitfalls: batch normalization in G couples a batch's latents, so J holds more than an image's own derivatives; training sees the same.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.draws import Live
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Functions, Trained, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="path_length",
    summary="unequal lengths of the images of equal latent steps",
    formula="λ E(‖Jᵀy‖ − a)², y ~ N(0, I)/√pixels",
    unit="1 / squared path length",
    default=0.0,
    low=1.0,
    high=16.0,
    log=True,
    off=0.0,
    more="high",
    where="generator",
    cost="60 % / interval",
    source="Karras et al. 2020 (StyleGAN2, 2; range there 1–4, and 4-fold here)",
)
COMPANIONS = (
    Knob(
        name="path_length_interval",
        summary="the path length is computed in every so many steps of the generator, and weighs as much more",
        formula="n",
        unit="steps",
        default=4,
        low=1,
        high=16,
        integer=True,
        structural=True,
        where="generator",
        source="Karras et al. 2020 (StyleGAN2: 8 in the paper, 4 in its code)",
    ),
)
INTERVAL = "path_length_interval"
ON = ("gan.generator",)
DECAY = 0.99


def memory(kernels: dict[str, Tensor]) -> dict[str, Tensor]:
    """The average, and whether there was a batch before."""
    like = next(iter(kernels.values()))
    return {name: like.new_zeros(()) for name in ("average", "seen")}


def penalty(terms: Terms) -> Tensor:
    """E(‖Jᵀy‖ − a)², then the average moves."""
    kept = terms.context.memory
    found = lengths(terms)
    mean = found.mean().detach()
    average = torch.where(kept["seen"] > 0, kept["average"], mean)
    kept.put("average", DECAY * average + (1 - DECAY) * mean)
    kept.put("seen", torch.ones_like(kept["seen"]))
    return (found - average).square().mean()


def lengths(terms: Terms) -> Tensor:
    """‖Jᵀy‖ at every latent of the batch, (n,)."""
    z, shape = terms.values["latent"], terms.net.shape
    y = terms.context.draws.normal((len(z), shape[0] * shape[1] * shape[2]), "path_length") / (shape[1] * shape[2]) ** 0.5
    slopes: Tensor = torch.func.grad(lambda z: (terms.net("generator", z) * y).sum())(z)
    return (slopes.square().sum(-1) + 1e-12).sqrt()


def examples() -> list[Example]:
    """A linear generator G(z) = zA, whose Jᵀy is Ay, with y from the same stream."""
    z, y = numbers(6, 2, seed=1), context().draws.normal((6, 8), "path_length") / 2
    kept = {"average": torch.tensor(0.7).double(), "seen": torch.tensor(1.0).double()}

    def found(a: Tensor) -> Tensor:
        net = Functions(shape=(2, 2, 2), generator=lambda z: z @ a)
        return penalty(Terms(zero(), {"latent": z}, net=net, context=context(memory=kept)))

    a = numbers(2, 8, seed=3)
    return [Example("E(‖Ay‖ − 0.7)²", found, (a,), ((y @ a.T).norm(dim=-1) - 0.7).square().mean())]


def effect() -> Effect:
    """Path lengths that spread less about their mean."""

    def spread(trained: Trained) -> float:
        z = numbers(512, trained.net.latent_dim).to(trained.images.val)
        found = lengths(Terms(zero(), {"latent": z}, net=trained.net, context=context(draws=Live(0))))
        return float(torch.var(found))

    return Effect("gan", {"path_length": 10.0, "path_length_interval": 1}, spread, rises=False, least=0.1, always={"ema": 0.0})
