"""Magnitude pruning, then fine-tuning: half-way through the training the smallest weights are set to 0 and stay there.

In the first half nothing happens. At the first step of the second half, over all kernels of the player together, the share s of weights
that is smallest in size is chosen. These weights are 0 from then on, and the others go on training. At the end exactly s·n of the n weights
are zero (rounded): s is a sparsity, not a pressure. Compare it with other ways to small networks (`l1_prox`, `group_lasso`, `l0`, or `l2`,
which makes weights small but not 0) at equal sparsity. The score is that of the pruned network.

Source: Han et al. 2015; GANs keep their quality to about 70 % (Chen et al. 2021, abstract). A generator is scored by an average over time,
which has the same zeros. A member that a scheduler stops before the half was never pruned, so let the scheduler judge later than that. A
training of one epoch with one minibatch has no second half.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._kernels import zeros
from objectives.regularizers._truths import Effect, Example, Trained, context
from objectives.terms import Update

KNOB = Knob(
    name="prune",
    summary="share of the kernel weights that is set to 0 half-way through the training, the smallest first",
    formula="w ← w·[|w| is not among the s·n smallest]",
    unit="share of weights",
    default=0.0,
    low=0.0,
    high=0.98,
    off=0.0,
    more="high",
    cost="0–1 %",
    source="Han et al. 2015",
)
# On parts that draw or rebuild images: there one wants a smaller network.
ON = ("autoencoder", "vae", "gan.generator")
MOMENT = 0.5  # share of the training


def step_memory(theta: Tensor) -> dict[str, Tensor]:
    """Which weights are kept, and whether that has been decided."""
    return {"kept": theta.new_ones(theta.shape), "decided": theta.new_zeros(len(theta), 1)}


def after_step(theta: Tensor, update: Update, value: Tensor | float) -> None:
    """From the half on, the chosen weights are 0."""
    # All members share the clock, so this is one decision for all.
    if update.clock.progress < MOMENT:
        return
    kept, decided = update.memory["kept"], update.memory["decided"]
    if not decided.all():
        sizes = theta.abs().where(update.kernels > 0, torch.inf)
        ranks = sizes.argsort(dim=1, stable=True).argsort(dim=1)
        kept.copy_(ranks >= (update.kernels.sum() * value).round())
        decided.fill_(1)
    theta.mul_(kept)


def examples() -> list[Example]:
    """Nothing before the half; then the smallest of the kernels, biases not counted, and what was chosen once stays 0."""
    mask = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]).double()

    def after(theta: Tensor, share: Tensor | float, *epochs: float) -> Tensor:
        found, remembered = theta.clone(), step_memory(theta)
        for epoch in epochs:
            clock = context(epochs=epoch, total_epochs=10).clock
            after_step(found, Update(0.1, mask, clock, remembered), share)
            if epoch == 5.0:
                found.add_(2)
        return found

    start = torch.tensor([[0.5, -0.125, 3.0, -2.0, 0.0625]]).double()
    pair = torch.cat([start, start.flip(1)])
    shares = torch.tensor([[0.0], [0.75]]).double()
    expected = torch.stack([start[0], torch.tensor([0.0, 0.0, 3.0, 0.0, 0.5])])
    return [
        Example("not before the half", lambda w: after(w, 0.5, 0.0, 4.9), (start,), start, rtol=0, atol=0, smooth=False),
        Example(
            "two of four kernel weights", lambda w: after(w, 0.5, 6.0), (start,), torch.tensor([[0.0, 0, 3, -2, 0.0625]]), smooth=False
        ),
        Example("chosen once", lambda w: after(w, 0.5, 5.0, 5.5), (start,), torch.tensor([[0.0, 0, 5, 0, 2.0625]]).double(), smooth=False),
        Example("each member its own share", lambda w: after(w, shares, 7.0), (pair,), expected, rtol=0, atol=0, smooth=False),
    ]


def effect() -> Effect:
    """The scored generator, an average over time, has exactly the share s of zeros: the distance from s ends at 0."""

    def distance(trained: Trained) -> float:
        count = sum(kernel.numel() for kernel in trained.kernels["generator"].values())
        return abs(round(zeros("generator")(trained) * count) - round(0.7 * count))

    return Effect("gan", {"prune": 0.7}, distance, rises=False, least=1.0, signed=True)
