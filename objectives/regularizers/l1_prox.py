"""L1 by its proximal step: after Adam's step each kernel's weights move toward 0 by a threshold. A weight nearer than that becomes exactly
0.

    w ← S_τ(w) = sign(w)·max(|w| − τ, 0),  τ = ηλ/(√v̂ + ε)

Adam divides the gradient by √v̂ + ε. The threshold is divided by the same number, because the step is the proximal map in the metric in
which Adam moves. A weight then rests at 0 exactly where the data's gradient is smaller than λ in size. That is the optimum of data + λΣ|w|:
the same λ and the same minimum as `l1`, but with exact zeros. A weight that gets no gradient at all (a pixel that is always black) is set
to 0 at once, for any λ > 0.

Source: soft thresholding, Daubechies et al. 2004; in Adam's metric, Yun et al. 2021 (ProxGen). Plain SGD would use τ = ηλ.
A generator is scored by an average over time; a weight that is 0 at that moment is 0 in the average too.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._kernels import zeros
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, context
from objectives.terms import Update

KNOB = Knob(
    name="l1_prox",
    summary="L1 on the kernels as a soft threshold after every step: exact zeros",
    formula="w ← S_τ(w), τ = ηλ/(√v̂ + ε)",
    unit="nats per weight",
    default=0.0,
    low=1e-8,
    high=1e-3,
    log=True,
    off=0.0,
    more="high",
    cost="1 %",
    source="Daubechies et al. 2004; Yun et al. 2021",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
CONFLICTS = (
    Rule(
        "l1_twice",
        "error",
        both("l1", "l1_prox"),
        "{}: both are λΣ|w|, as a gradient and as a proximal step. Keep one.",
        broken=sweep("vae", "l1", "l1_prox"),
        kept=sweep("vae", "l1", "l2"),
    ),
)


def after_step(theta: Tensor, update: Update, value: Tensor | float) -> None:
    """S_τ(w) = w − clip(w, −τ, τ) on kernels; elsewhere, and where λ = 0, the threshold is 0 and nothing moves."""
    threshold = update.kernels * (update.lr * value) / update.scale()
    theta.sub_(theta.clamp(-threshold, threshold))


def examples() -> list[Example]:
    """The threshold by hand, and the lasso of two weights with very different curvature, whose optimum is known."""
    from objectives.training.optimizers import Adam

    def moved(theta: Tensor) -> Tensor:
        found = theta.clone()[None]
        mask, scale = torch.tensor([1.0, 1.0, 1.0, 0.0]).double(), torch.tensor([[1.0, 2.0, 0.5, 1.0]]).double()
        after_step(found, Update(0.1, mask, context().clock, scale=lambda: scale), 2.0)
        return found[0]

    def lasso(aim: Tensor) -> Tensor:
        theta, curvature = torch.ones(1, len(aim)).double(), torch.tensor([10.0, 10.0, 0.1, 0.1]).double()
        adam = Adam(theta)
        for _ in range(4000):
            adam.step(theta, curvature * (theta - aim), 3e-3)
            after_step(theta, Update(3e-3, torch.ones(4).double(), context().clock, scale=adam.scale), 0.2)
        return theta[0]

    start = torch.tensor([1.0, -1.0, 0.3, 0.05]).double()
    aim = torch.tensor([1.0, 0.01, 3.0, -1.0]).double()
    return [
        Example("τ = 0.2, 0.1, 0.4; biases stay", moved, (start,), torch.tensor([0.8, -0.9, 0.0, 0.05]).double(), smooth=False),
        Example(
            "½c(w − a)² + λ|w| ends at S_{λ/c}(a), with exact zeros",
            lasso,
            (aim,),
            torch.tensor([0.98, 0.0, 1.0, 0.0]).double(),
            rtol=1e-3,
            atol=0,
            smooth=False,
        ),
    ]


def effect() -> Effect:
    """Weights that are exactly 0."""
    return Effect("autoencoder", {"l1_prox": 1e-3}, zeros("model"), rises=True, signed=True)
