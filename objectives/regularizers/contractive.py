"""Contractive autoencoder: codes that change little when the image does.

    λ·E‖∂E/∂x‖²_F,        by one Hutchinson probe of random signs in the codes

at the clean image. For a VAE it is the Jacobian of the posterior means. For one layer of sigmoids, h = σ(Wx + b), the closed form is
Σ_j (h_j(1 − h_j))² Σ_i W_ji², which the examples check.

Source: Rifai et al. 2011 (closed form, tied weights); the probe: Hutchinson 1990. Encoder; 60–100 %.
Units: beside ½SSE; beside SSE λ is half, beside a mean over D pixels w·D/2. Pitfalls: without tied weights or a bound on the decoder the
penalty is dodged by shorter codes and a steeper decoder; ReLUs are contracted piece by piece only.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._probe import squared_jacobian
from objectives.regularizers._truths import Effect, Example, Functions, Trained, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="contractive",
    summary="squared Jacobian of the encoder",
    formula="λ·E‖∂E/∂x‖²_F",
    unit="nats per squared gradient",
    default=0.0,
    low=1e-6,
    high=1e1,
    log=True,
    off=0.0,
    more="high",
    where="encoder",
    cost="60–100 %",
    source="Rifai et al. 2011",
)
ON = ("autoencoder", "vae")


def penalty(terms: Terms) -> Tensor:
    """‖∂E/∂x‖²_F, averaged over the batch."""

    def encode(x: Tensor) -> Tensor:
        out: Tensor = terms.net("encoder", x)
        return out.chunk(2, -1)[0] if "mean" in terms.values else out

    return squared_jacobian(encode, terms.values["observed"], terms.context.draws, "contractive").mean()


def examples() -> list[Example]:
    """One layer of sigmoids in closed form; two layers against the exact Jacobian; means of a VAE only."""

    def of(x: Tensor, weight: Tensor, rows: int = 1, **values: Tensor) -> Tensor:
        net = Functions(encoder=lambda x: torch.sigmoid(x @ weight.mT))
        return penalty(Terms(zero(), {"observed": x.expand(rows, -1), **values}, net=net, context=context()))

    def closed_form(x: Tensor, weight: Tensor) -> float:
        hidden = torch.sigmoid(weight @ x[0])
        return float(((hidden * (1 - hidden)).square() * weight.square().sum(1)).sum())

    def two_layers(x: Tensor) -> Tensor:
        net = Functions(encoder=lambda x: torch.tanh(x @ first.mT) @ second.mT)
        return penalty(Terms(zero(), {"observed": x.expand(40_000, -1)}, net=net, context=context()))

    x, weight = numbers(1, 3), numbers(2, 3, seed=1)
    across = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, -3.0]]).double()  # rows at right angles: one probe of signs is exact
    first, second = numbers(4, 3, seed=2), numbers(2, 4, seed=3)
    jacobian = torch.func.jacrev(lambda x: second @ torch.tanh(first @ x))(x[0])
    one = torch.tensor([[1.0, 2.0, 0.0]]).double()
    return [
        Example("sigmoids, many probes", lambda: of(x, weight, 40_000), (), closed_form(x, weight), rtol=0.02, smooth=False),
        Example("sigmoids at right angles, one probe", lambda x: of(x, across), (x,), closed_form(x, across)),
        Example("two layers: torch.func.jacrev", two_layers, (x,), float(jacobian.square().sum()), rtol=0.02, smooth=False),
        Example("a VAE's means only", lambda x: of(x, across, mean=x), (x,), closed_form(x, one)),
    ]


def effect() -> Effect:
    """A smaller Jacobian of the encoder."""

    def measure(trained: Trained) -> float:
        x = trained.images.val[:100].flatten(1)
        with torch.no_grad():
            jacobian = torch.func.vmap(torch.func.jacrev(lambda x: trained.net("encoder", x[None])[0]))(x)
        return float(jacobian.square().sum((-1, -2)).mean())

    return Effect("autoencoder", {"contractive": 1e-1}, measure, False, least=0.3, epochs=8)
