"""compare_gan (google/compare_gan): one penalty of the discriminator at a time."""

from __future__ import annotations

from objectives.conventions._equations import same
from objectives.conventions._parameters import Convention, Foreign, Parameter, Setting
from objectives.conventions._world import d_loss
from objectives.lazy import torch

_SOURCE = "google/compare_gan, compare_gan/gans"

COMPARE_GAN = Convention(
    name="compare_gan",
    title="google/compare_gan",
    loss="d_loss + lambda·penalty, the penalty of the discriminator that `penalty` names",
    settings=(
        Setting("penalty", {"wgangp": "gradient on lines between real and generated", "dragan": "gradient around real", "l2": "kernels"}),
    ),
    parameters=(
        Parameter(
            "lambda",
            "wgan_gp",
            "λ = w",
            same,
            f"{_SOURCE}/penalty_lib.py, modular_gan.py",
            when={"penalty": ("wgangp",)},
            note="1e-4 under its root",
        ),
        Parameter(
            "lambda",
            "dragan",
            "λ = w",
            same,
            f"{_SOURCE}/penalty_lib.py, modular_gan.py",
            when={"penalty": ("dragan",)},
            note="its noise is uniform within ± half a standard deviation of the batch, and clipped to [0, 1]",
        ),
        Parameter(
            "lambda",
            "l2_d",
            "λ = w/n: a mean over kernels of ½‖W‖²",
            lambda case: case.value / case.kernels,
            f"{_SOURCE}/penalty_lib.py, modular_gan.py",
            needs=("kernels",),
            when={"penalty": ("l2",)},
        ),
        Parameter("ema_decay", "ema", "a = w", same, f"{_SOURCE}/modular_gan.py", is_term=False),
    ),
)
CONVENTIONS = (COMPARE_GAN,)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    return [
        Foreign("compare_gan", {"lambda": "10"}, lambda w: d_loss(w) + 10 * (w.slopes(w.between).sqrt() - 1).square().mean(), base=d_loss),
        Foreign(
            "compare_gan",
            {"lambda": "10", "penalty": "dragan"},
            lambda w: d_loss(w) + 10 * (w.slopes(w.x + 0.1 * w.other).sqrt() - 1).square().mean(),
            base=d_loss,
        ),
        Foreign(
            "compare_gan",
            {"lambda": "0.01", "penalty": "l2"},
            # l2_loss of each kernel, then the mean over n = 3 of them.
            lambda w: d_loss(w) + 0.01 * (torch.stack([(one**2).sum() / 2 for one in w.critic]).sum() / 3),
            base=d_loss,
        ),
    ]
