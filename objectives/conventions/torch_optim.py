"""PyTorch itself: the weight decay of its optimizers beside a loss of your own, and its dropout."""

from __future__ import annotations

from objectives.conventions._equations import ADAM_ALL, of_mean, same
from objectives.conventions._parameters import Case, Convention, Foreign, Parameter, Setting
from objectives.conventions._world import decay, half_sse, sse


def _decay(case: Case) -> float:
    """Adam's decay beside a loss that holds s times R."""
    if case["loss"] == "mean":
        return of_mean(case)
    return case.value / (2 if case["loss"] == "sse" else 1)


TORCH = Convention(
    name="torch",
    title="torch.optim and torch.nn",
    loss="whatever you wrote: say with loss=… which reconstruction term stands beside the decay",
    settings=(
        Setting("optimizer", {"adam": "or SGD, RMSprop: coupled", "adamw": "decoupled"}),
        Setting("loss", {"half_sse": "½SSE, or a likelihood, or a GAN", "sse": "SSE per image", "mean": "mse_loss: mean over pixels"}),
    ),
    parameters=(
        Parameter(
            "weight_decay",
            "l2",
            "λ = w (sse: w/2)",
            _decay,
            "torch.optim.Adam: adds w·θ to the gradient",
            when={"optimizer": ("adam",), "loss": ("half_sse", "sse")},
            note=f"{ADAM_ALL}; in a GAN l2_g or l2_d",
        ),
        Parameter(
            "weight_decay",
            "l2",
            "λ = w·D/2",
            _decay,
            "torch.optim.Adam: adds w·θ to the gradient",
            needs=("pixels",),
            when={"optimizer": ("adam",), "loss": ("mean",)},
            note=ADAM_ALL,
        ),
        Parameter(
            "weight_decay",
            "decoupled_wd",
            "λ = w, whatever the loss",
            same,
            "torch.optim.AdamW: θ ← θ − η·w·θ",
            when={"optimizer": ("adamw",)},
            note="AdamW decays biases and normalization too; decoupled_wd acts on kernels",
            is_term=False,
        ),
        Parameter("p", "dropout", "p = w: the share that is dropped", same, "torch.nn.Dropout", is_term=False),
    ),
)
CONVENTIONS = (TORCH,)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    from torch.nn.functional import mse_loss

    return [
        Foreign("torch", {"weight_decay": "0.01"}, lambda w: half_sse(w) + decay(w.kernels, 0.01)),
        Foreign("torch", {"weight_decay": "0.01", "loss": "sse"}, lambda w: sse(w).mean() + decay(w.kernels, 0.01)),
        Foreign("torch", {"weight_decay": "0.01", "loss": "mean"}, lambda w: mse_loss(w.xhat, w.x) + decay(w.kernels, 0.01)),
    ]
