"""Squared length of the codes: the RAE's replacement for the KL.

    ½λ·E‖z‖²

Without it (or a penalty on the decoder) an autoencoder may spread its codes without limit. A penalty on the decoder alone is evaded by
longer codes. For a VAE it would count a part of the KL, ½‖μ‖², a second time, so it acts on autoencoders only.

Source: Ghosh et al. 2020 (RAE), which writes β/2·‖z‖² beside SSE. Codes of an autoencoder; 1 %.
Conversions: beside SSE = 2·½SSE (the paper, pythae's embedding_weight w), λ = w/2. The official Keras code adds w·mean over d latents of z²
to SSE/D (λ = w·D/d), or to the mean over H·W of SSE over channels (λ = w·H·W/d): its 1e-4 for 32×32 and d = 16 is λ = 0.0064.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, zero
from objectives.terms import Terms

KNOB = Knob(
    name="latent_l2",
    summary="L2 penalty on the codes",
    formula="½λ·E‖z‖²",
    unit="nats per squared code",
    default=0.0,
    low=1e-4,
    high=1e-1,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="1 %",
    source="Ghosh et al. 2020 (RAE)",
)
ON = ("autoencoder",)


def penalty(terms: Terms) -> Tensor:
    """½‖z‖², averaged over the batch."""
    return 0.5 * terms.values["latent"].square().sum(-1).mean()


def examples() -> list[Example]:
    """By hand."""
    codes = torch.tensor([[3.0, 4.0], [0.0, -1.0]]).double()
    return [Example("½·½·(25 + 1)", lambda z: penalty(Terms(zero(), {"latent": z})), (codes,), 6.5)]


def effect() -> Effect:
    """Shorter codes."""

    def length(trained: Trained) -> float:
        with torch.no_grad():
            return float(trained.net("encoder", trained.images.val.flatten(1)).square().sum(-1).mean())

    return Effect("autoencoder", {"latent_l2": 1e-1}, length, False, least=0.2, epochs=8)
