"""Free bits: a latent pays for its KL only above λ nats.

    KL → Σ_j max(λ, E_batch KL_j)

A latent whose KL (mean over the batch) is below λ gets no gradient toward the prior, which keeps units from dying early in training. The
penalty of β, and its logged value, is this bounded sum; scores use the true KL.

Source: Kingma et al. 2016, appendix C.8 (groups of one latent here); λ = 0.5 in ladder-vae-pytorch. Unit: nats per latent, not bits.
Latent space of a VAE; costs nothing. Pitfalls: with z latents the KL is at least z·λ where all are used, so λ does not transfer from one
latent size to another; the floor rewards filling every latent with λ nats, so active units count less.
"""

from __future__ import annotations

from dataclasses import replace

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, zero
from objectives.terms import Terms

KNOB = Knob(
    name="free_bits",
    summary="nats of KL that each latent has for free",
    formula="Σ_j max(λ, E_batch KL_j)",
    unit="nats per latent",
    default=0.0,
    low=1e-2,
    high=2.0,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="0",
    source="Kingma et al. 2016, appendix C.8",
)
ON = ("vae",)


def adjust(terms: Terms, value: Tensor | float) -> Terms:
    """The KL with each latent bounded from below."""
    floor = torch.as_tensor(value).to(terms.values["kl"])
    bounded = torch.maximum(terms.values["kl_nats"].mean(0), floor).sum()
    return replace(terms, values={**terms.values, "kl": torch.where(floor == 0, terms.values["kl"], bounded)})


def examples() -> list[Example]:
    """By hand: means over the batch first, then the floor."""

    def found(kl_nats: Tensor, value: float = 0.5) -> Tensor:
        return adjust(Terms(zero(), {"kl_nats": kl_nats, "kl": kl_nats.sum(-1).mean()}), value).values["kl"]

    nats = torch.tensor([[0.1, 2.0, 0.0], [0.3, 4.0, 1.4]]).double()  # means 0.2, 3, 0.7
    free = torch.tensor([[0.1, 0.1, 0.0], [0.3, 0.4, 0.4]]).double()
    return [
        Example("max(.5, .2) + max(.5, 3) + max(.5, .7)", found, (nats,), 4.2),
        Example("all below the floor: no gradient at all", lambda nats: torch.func.grad(found)(nats), (free,), 0.0, smooth=False),
        Example("a floor of 0 is the KL", lambda nats: found(nats, 0.0), (nats,), 3.9),
    ]


def effect() -> Effect:
    """The KL stays up, at least z·λ = 20 nats."""
    return Effect("vae", {"free_bits": 1.0}, lambda trained: trained.reports[-1].metrics["val_kl_nats"], True, least=0.2, epochs=8)
