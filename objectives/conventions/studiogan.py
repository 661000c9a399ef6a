"""PyTorch-StudioGAN (POSTECH-CVLab): terms averaged over the batch, with the ½ of R1."""

from __future__ import annotations

from objectives.conventions._equations import ADAM_ALL, reciprocal, same
from objectives.conventions._parameters import Case, Convention, Foreign, Parameter
from objectives.conventions._world import d_loss, decay, g_loss, lecam
from objectives.lazy import torch

_SOURCE = "POSTECH-CVLab/PyTorch-StudioGAN, src"


def _both_alike(case: Case) -> str:
    """A fault where the balanced consistency of real and generated images have different weights."""
    real, fake = case.value, case.number("fake_lambda")
    if real == fake:
        return ""
    return f"real_lambda must equal fake_lambda, for bcr weighs both alike; got {real:g} and {fake:g}. Give both the same value."


STUDIOGAN = Convention(
    name="studiogan",
    title="PyTorch-StudioGAN",
    loss="adversarial loss + Σ lambda·term, each term averaged over the batch",
    parameters=(
        Parameter(
            "r1_lambda", "r1", "γ = w: ½ is in its term", same, f"{_SOURCE}/utils/losses.py", note="of backbones that are not StyleGAN"
        ),
        Parameter("gp_lambda", "wgan_gp", "λ = w", same, f"{_SOURCE}/utils/losses.py", note="no constant under its root"),
        Parameter(
            "dra_lambda", "dragan", "λ = w", same, f"{_SOURCE}/utils/losses.py", note="its noise is one-sided: only added, never subtracted"
        ),
        Parameter("maxgp_lambda", "max_gp", "λ = w", same, f"{_SOURCE}/utils/losses.py"),
        Parameter("cr_lambda", "cr", "λ = w", same, f"{_SOURCE}/worker.py"),
        Parameter(
            "real_lambda", "bcr", "λ = w where both are equal", same, f"{_SOURCE}/worker.py", uses={"fake_lambda": None}, check=_both_alike
        ),
        Parameter(
            "fake_lambda",
            "bcr",
            "λ = w where both are equal",
            same,
            f"{_SOURCE}/worker.py",
            uses={"real_lambda": None},
            absorbs=("real_lambda",),
            check=lambda case: _both_alike(Case(case.number("real_lambda"), case.size, {"fake_lambda": case.value})),
        ),
        Parameter("d_lambda", "zcr_d", "λ = w", same, f"{_SOURCE}/worker.py"),
        Parameter(
            "g_lambda",
            "zcr_g",
            "λ = w/D: a mean over pixels of (G(z) − G(z + ε))²",
            lambda case: case.value / case.pixels,
            f"{_SOURCE}/worker.py",
            needs=("pixels",),
        ),
        Parameter("lecam_lambda", "lecam", "λ = w", same, f"{_SOURCE}/worker.py, utils/losses.py"),
        Parameter(
            "wc_bound",
            "weight_clip",
            "λ = 1/c",
            reciprocal,
            f"{_SOURCE}/worker.py",
            note="it clips biases too",
            inverse=reciprocal,
            is_term=False,
        ),
        Parameter("g_ema_decay", "ema", "a = w", same, f"{_SOURCE}/config.py", is_term=False),
        Parameter(
            "g_weight_decay", "l2_g", "λ = w: Adam's decay is a term ½w‖θ‖² of the loss", same, f"{_SOURCE}/config.py", note=ADAM_ALL
        ),
        Parameter(
            "d_weight_decay", "l2_d", "λ = w: Adam's decay is a term ½w‖θ‖² of the loss", same, f"{_SOURCE}/config.py", note=ADAM_ALL
        ),
        Parameter(
            "pl_weight",
            "path_length",
            "λ = w",
            same,
            f"{_SOURCE}/worker.py, utils/losses.py",
            note="of y ~ N(0, I)/√(H·W), as in StyleGAN2; computed every few steps and weighed as much more",
        ),
        Parameter(
            "ada_target",
            "ada",
            "r = w",
            same,
            f"{_SOURCE}/worker.py",
            note="the share of real images that D should take for real",
            is_term=False,
        ),
    ),
)
CONVENTIONS = (STUDIOGAN,)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    from torch.nn.functional import mse_loss

    return [
        Foreign("studiogan", {"r1_lambda": "10"}, lambda w: d_loss(w) + 10 * 0.5 * w.slopes(w.x).mean(0), base=d_loss),
        Foreign("studiogan", {"gp_lambda": "10"}, lambda w: d_loss(w) + 10 * ((w.slopes(w.between).sqrt() - 1) ** 2).mean(), base=d_loss),
        Foreign(
            "studiogan",
            {"dra_lambda": "10"},
            lambda w: d_loss(w) + 10 * ((w.slopes(w.x + 0.1 * w.other).sqrt() - 1) ** 2).mean(),
            base=d_loss,
        ),
        Foreign("studiogan", {"maxgp_lambda": "10"}, lambda w: d_loss(w) + 10 * torch.max(w.slopes(w.between)), base=d_loss),
        Foreign("studiogan", {"cr_lambda": "10"}, lambda w: d_loss(w) + 10 * mse_loss(w.d(w.x), w.d(w.other)), base=d_loss),
        Foreign(
            "studiogan",
            {"real_lambda": "10", "fake_lambda": "10"},
            lambda w: d_loss(w) + 10 * mse_loss(w.d(w.x), w.d(w.other)) + 10 * mse_loss(w.d(w.fake), w.d(w.fake + 0.1 * w.other)),
            base=d_loss,
        ),
        Foreign("studiogan", {"d_lambda": "20"}, lambda w: d_loss(w) + 20 * mse_loss(w.d(w.fake), w.d(w.other)), base=d_loss),
        Foreign("studiogan", {"g_lambda": "0.5"}, lambda w: g_loss(w) - 0.5 * mse_loss(w.fake, w.other), base=g_loss),
        Foreign("studiogan", {"lecam_lambda": "0.3"}, lambda w: d_loss(w) + 0.3 * lecam(w), base=d_loss),
        Foreign("studiogan", {"d_weight_decay": "0.01"}, lambda w: d_loss(w) + decay(w.critic, 0.01), base=d_loss),
        Foreign("studiogan", {"g_weight_decay": "0.01"}, lambda w: g_loss(w) + decay(w.kernels, 0.01), base=g_loss),
        Foreign("studiogan", {"pl_weight": "2"}, lambda w: g_loss(w) + 2 * (((w.fake**2).sum(1).sqrt() - 1.5) ** 2).mean(), base=g_loss),
    ]
