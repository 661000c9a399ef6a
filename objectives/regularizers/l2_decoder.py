"""L2 penalty on the decoder's kernels alone. It keeps the decoder of a regularized autoencoder (RAE-L2) smooth.

An autoencoder can undo any pressure on its codes by a decoder with larger weights. So the penalty on codes (`latent_l2`) needs this penalty
beside it. Biases are left alone, as in `l2`.

Units: ½λ‖W‖² beside ½·SSE, so the gradient is λW. The paper's SSE + β‖z‖²/2 + λ‖θ_Dec‖² is twice that with the same λ. pythae's
`reg_weight`, a weight decay beside SSE, is twice the λ; the official Keras code, SSE/D + w·‖W‖², has λ = w·D. Range and default of
the paper: 1e-7 to 1e-3, 1e-7.

Pitfall: `l2` acts on these kernels too; both at once count twice. With coupled Adam it is a penalty in the loss, not decoupled decay.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.guests import IgnoredError
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, Trained, zero
from objectives.terms import Terms

KNOB = Knob(
    name="l2_decoder",
    summary="L2 penalty on the decoder's kernels",
    formula="½λ Σ ‖W_dec‖²",
    unit="nats per squared weight",
    default=0.0,
    low=1e-7,
    high=1e-3,
    log=True,
    off=0.0,
    more="high",
    where="decoder",
    cost="1 %",
    source="Ghosh et al. 2020 (RAE-L2), 1e-7 on MNIST",
)
ON = ("autoencoder", "vae")
TRAITS = ("shrinks_weights",)
CONFLICTS = (
    Rule(
        "l2_decoder_twice",
        "error",
        both("l2", "l2_decoder"),
        "{}: the decoder's kernels would be penalized by both. Keep one.",
        broken=sweep("vae", "l2", "l2_decoder"),
        kept=sweep("vae", "l1", "l2_decoder"),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """½ Σ w² over the kernels of the decoder.

    Raises:
        IgnoredError: there are none, as where a user's module is encoder and decoder at once.
    """
    own = [kernel for name, kernel in terms.kernels.items() if name.startswith("decoder.")]
    if not own:
        rule = "l2_decoder acts on the decoder's kernels, and this model has none of its own"
        raise IgnoredError(f"{rule}. Return encoder and decoder as two modules that share nothing, or leave l2_decoder out.")
    return 0.5 * sum((kernel.square().sum() for kernel in own), terms.data.new_zeros(()))


def examples() -> list[Example]:
    """½‖W_dec‖² by hand, one kernel a convolution's; the encoder's weights count nothing."""

    def found(encoder: Tensor, linear: Tensor, filters: Tensor) -> Tensor:
        return penalty(Terms(zero(), kernels={"encoder.a.weight": encoder, "decoder.a.weight": linear, "decoder.b.weight": filters}))

    kernels = torch.tensor([[7.0]]).double(), torch.tensor([[3.0, 4.0]]).double(), torch.full((2, 1, 2, 2), 0.5).double()
    return [Example("½(9 + 16 + 8·¼)", found, kernels, 13.5)]


def effect() -> Effect:
    """A smaller decoder beside the encoder."""

    def share(trained: Trained) -> float:
        sizes = {name: float(kernel.square().sum()) for name, kernel in trained.kernels["model"].items()}
        return sum(size for name, size in sizes.items() if name.startswith("decoder.")) / sum(sizes.values())

    return Effect("autoencoder", {"l2_decoder": 1e-1}, share, rises=False)
