"""FactorVAE: the total correlation of the codes, from the density ratio of an adversary that is trained beside the model.

    loss = … + β·KL + γ·TC,        TC ≈ mean(l₀(z) − l₁(z))

l₀, l₁ are the logits of "a code" and "each latent from another image" of an MLP z - 256 - 256 - 2 with leaky ReLU of slope 0.2. The
adversary's own loss is the cross-entropy between codes and permuted codes (½ each); z is a constant in it. In the penalty the adversary is
a constant. Where the adversary is optimal, l₀ − l₁ = log q(z)/Π q(z_j).

Source: Kim & Mnih 2018, algorithm 2; γ of 10 to 100 there, 6.4 and 35 in its text. Latent space of a VAE; one more, small network: 30–40 %.
What differs: the paper permutes the codes of a second batch, and its adversary has six layers of 1,000 with Adam(1e-4, β₁ = 0.5). Here the
same batch is permuted, and the adversary moves with the model's own Adam and learning rate. Pitfall: early on the adversary knows nothing,
so the penalty is noise; `tc` estimates the same quantity without an adversary.
"""

from __future__ import annotations

from collections.abc import Mapping

from objectives.base import Knob
from objectives.draws import Draws
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, context, numbers, zero
from objectives.regularizers.tc import of_validation
from objectives.terms import Terms

KNOB = Knob(
    name="factor",
    summary="weight of the total correlation of the codes, by an adversary",
    formula="γ·mean(l₀(z) − l₁(z))",
    unit="1",
    default=0.0,
    low=1e0,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="30–40 %",
    source="Kim & Mnih 2018 (FactorVAE)",
)
ON = ("vae",)
WIDTH = 256
CONFLICTS = (
    Rule(
        "tc_twice",
        "error",
        both("factor", "tc"),
        "{}: both weigh the total correlation, by an adversary and by sampling. Keep one.",
        broken=sweep("vae", "tc", "factor"),
        kept=sweep("vae", "tc", "beta"),
    ),
)


def parameters(kernels: Mapping[str, Tensor], draws: Draws, latent_dim: int, width: int = WIDTH) -> dict[str, Tensor]:
    """The adversary z - 256 - 256 - 2, uniform within 1/√inputs as torch's own layers are."""
    found = {}
    for layer, (inputs, outputs) in enumerate(((latent_dim, width), (width, width), (width, 2))):
        for name, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            found[f"{name}{layer}"] = (2 * draws.uniform(shape, "factor") - 1) / inputs**0.5
    return found


def adversary(z: Tensor, trained: Mapping[str, Tensor]) -> Tensor:
    """Its two logits, (B, 2): a code, or latents of different images."""
    from torch.nn.functional import leaky_relu, linear

    last = len(trained) // 2 - 1
    for layer in range(last + 1):
        z = linear(z, trained[f"weight{layer}"], trained[f"bias{layer}"])
        z = leaky_relu(z, 0.2) if layer < last else z
    return z


def penalty(terms: Terms) -> Tensor:
    """mean(l₀ − l₁): the adversary's estimate of the total correlation."""
    fixed = {name: value.detach() for name, value in terms.context.trained.items()}
    logits = adversary(terms.values["latent"], fixed)
    return (logits[:, 0] - logits[:, 1]).mean()


def auxiliary(terms: Terms) -> Tensor:
    """The adversary's cross-entropy on codes and on codes with each latent permuted over the batch."""
    z = terms.values["latent"].detach()
    permuted = z.gather(0, terms.context.draws.uniform(z.shape, "factor").argsort(0))
    real, shuffled = (adversary(codes, terms.context.trained).log_softmax(-1) for codes in (z, permuted))
    return -0.5 * (real[:, 0].mean() + shuffled[:, 1].mean())


def examples() -> list[Example]:
    """An adversary without hidden layers, whose logits are known, and who may learn from what."""
    import math

    def terms(z: Tensor, weight: Tensor, bias: Tensor) -> Terms:
        return Terms(zero(), {"latent": z}, context=context(trained={"weight0": weight, "bias0": bias}))

    def difference(z: Tensor) -> Tensor:
        return penalty(terms(z, weight, bias))

    def own_loss(weight: Tensor, bias: Tensor) -> Tensor:
        return auxiliary(terms(z, weight, bias))

    def leaks(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Gradients that must not be: of the penalty in the adversary, of the adversary's loss in z."""
        of_adversary = torch.func.grad(lambda w: penalty(terms(z, w, bias)))(weight)
        of_code = torch.func.grad(lambda z: auxiliary(terms(z, weight, bias)))(z)
        return torch.cat([of_adversary.flatten(), of_code.flatten()])

    def shuffled(z: Tensor) -> Tensor:
        """What is in the permuted codes: every latent's values, once each."""
        permuted = z.gather(0, context().draws.uniform(z.shape, "factor").argsort(0))
        return permuted.sort(0).values - z.sort(0).values

    def learnt(correlation: float = 0.8) -> Tensor:
        """What a small adversary says after 300 steps on pairs of this correlation."""
        draws = context().draws
        kept = {name: value.requires_grad_() for name, value in parameters({}, draws, 2, 32).items()}
        optimizer = torch.optim.Adam(kept.values(), 5e-3)
        for _ in range(300):
            first, second = draws.normal((2, 256, 1), "codes")
            codes = torch.cat([first, correlation * first + (1 - correlation**2) ** 0.5 * second], -1)
            optimizer.zero_grad()
            auxiliary(Terms(zero(), {"latent": codes}, context=context(draws=draws, trained=kept))).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        first, second = draws.normal((2, 4000, 1), "codes")
        codes = torch.cat([first, correlation * first + (1 - correlation**2) ** 0.5 * second], -1)
        return penalty(Terms(zero(), {"latent": codes}, context=context(trained=kept)))

    weight = torch.tensor([[1.0, 2.0], [0.5, -1.0]]).double()
    bias = torch.tensor([0.3, 0.1]).double()
    z = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double()
    none = torch.zeros(2, 2).double(), torch.zeros(2).double()
    return [
        Example("½[(1.3 − .6) + (4.3 + 1.9)]", difference, (z,), 3.45),
        Example("an adversary that knows nothing: ln 2", own_loss, none, math.log(2)),
        Example("a correlation of 0.8, learnt: −½ ln(1 − ρ²)", learnt, (), -0.5 * math.log(1 - 0.8**2), rtol=0.15, smooth=False),
        Example("neither learns from the other's loss", lambda: leaks(z, weight, bias), (), 0.0, smooth=False),
        Example("a permutation of each latent", shuffled, (numbers(6, 3),), 0.0, smooth=False),
    ]


def effect() -> Effect:
    """Codes of new images that depend less on one another, as `tc` measures it."""
    return Effect("vae", {"factor": 20.0}, of_validation, False, least=0.1, epochs=16, always={"beta": 0.1, "latent_dim": 4}, signed=True)
