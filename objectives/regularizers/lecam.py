"""LeCam: the discriminator's logits are held near a moving average of its logits on the other kind of image.

    LeCam = E relu(D(x) − a_F)² + E relu(a_R − D(G(z)))²,    a_R, a_F: moving averages of E D(x) and E D(G(z)), decay `lecam_decay`

The relu is in the authors' code and not in the preprint. Without it, D would be pulled toward a_F from below as well. The averages are
those of the steps before, and pass no gradient. Until `lecam_start`, a share of the training, they follow the last batch and the penalty is
0, as in the authors' code (there: 1,000 iterations). Units: squared logits; published λ 0.1–0.3 (StudioGAN the same). Where: the
discriminator. Cost: 1 %.

Pitfalls: the scale of the logits, and with it λ, differs from game to game; made for little data.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._gradients import generated
from objectives.regularizers._truths import Effect, Example, Trained, context, zero
from objectives.terms import Context, Terms

KNOB = Knob(
    name="lecam",
    summary="distance of the logits from a moving average of those of the other kind",
    formula="λ[E relu(D(x) − a_F)² + E relu(a_R − D(G(z)))²]",
    unit="1 / squared logit",
    default=0.0,
    low=1e-3,
    high=1.0,
    log=True,
    off=0.0,
    more="high",
    where="discriminator",
    cost="1 %",
    source="Tseng et al. 2021 (.3)",
)
COMPANIONS = (
    Knob(
        name="lecam_decay",
        summary="decay of LeCam's moving averages",
        formula="a ← γa + (1 − γ)·E D",
        unit="per step",
        default=0.99,
        low=0.9,
        high=0.999,
        where="discriminator",
        source="Tseng et al. 2021 (.99)",
    ),
    Knob(
        name="lecam_start",
        summary="share of the training after which LeCam begins",
        formula="t₀/T",
        unit="share of the training",
        default=0.05,
        low=0.0,
        high=0.5,
        where="discriminator",
        source="Tseng et al. 2021 (1,000 iterations)",
    ),
)
ON = ("gan.discriminator",)
TRAITS = ("logit_scaled",)


def memory(kernels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Both averages, and whether there was a batch before."""
    like = next(iter(kernels.values()))
    return {name: like.new_zeros(()) for name in ("real", "fake", "seen")}


def penalty(terms: Terms) -> Tensor:
    """E relu(D(x) − a_F)² + E relu(a_R − D(G(z)))², then the averages move."""
    context = terms.context
    kept, real, fake = context.memory, terms.values["on_real"], terms.values["on_fake"]
    found = (real - kept["fake"]).relu().square().mean() + (kept["real"] - fake).relu().square().mean()
    begun = (kept["seen"] > 0) & (context.clock.progress >= context.knobs["lecam_start"])
    decay = torch.where(begun, context.knobs["lecam_decay"], 0.0)
    for name, logits in (("real", real), ("fake", fake)):
        kept.put(name, decay * kept[name] + (1 - decay) * logits.mean())
    kept.put("seen", torch.ones_like(kept["seen"]))
    return torch.where(begun, found, torch.zeros_like(found))


def examples() -> list[Example]:
    """By hand; before it begins; and what is remembered."""
    real, fake = torch.tensor([3.0, -1.0]).double(), torch.tensor([0.5, -2.0]).double()
    numbers = {"lecam_decay": 0.9, "lecam_start": 0.2}
    memory = {name: torch.tensor(value).double() for name, value in (("real", 2.0), ("fake", 1.0), ("seen", 1.0))}

    def at(epochs: float) -> Context:
        return context(epochs=epochs, knobs=numbers, memory=memory)

    def found(real: Tensor, fake: Tensor, epochs: float = 5.0) -> Tensor:
        return penalty(Terms(zero(), {"on_real": real, "on_fake": fake}, context=at(epochs)))

    def averages(real: Tensor, fake: Tensor, epochs: float) -> Tensor:
        now = at(epochs)
        penalty(Terms(zero(), {"on_real": real, "on_fake": fake}, context=now))
        return torch.stack([now.memory["real"], now.memory["fake"]])

    return [
        Example("½(2² + 0) + ½(1.5² + 4²)", found, (real, fake), 2 + 9.125),
        Example("not before it begins", lambda x, y: found(x, y, 1.0), (real, fake), 0.0),
        Example("0.9·a + 0.1·E D", lambda x, y: averages(x, y, 5.0), (real, fake), torch.tensor([1.9, 0.825]).double(), smooth=False),
        Example("before: the batch", lambda x, y: averages(x, y, 1.0), (real, fake), torch.tensor([1.0, -0.75]).double(), smooth=False),
    ]


def effect() -> Effect:
    """Logits of real and generated images that lie nearer to one another."""

    def apart(trained: Trained) -> float:
        with torch.no_grad():
            real = trained.net("discriminator", trained.images.val.flatten(1)).mean()
            return float((real - trained.net("discriminator", generated(trained, 256)).mean()).abs())

    return Effect("gan", {"lecam": 1.0}, apart, rises=False, least=0.1)
