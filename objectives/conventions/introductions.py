"""The five introductory texts that Lagrange began with (S0 to S4): as their formulas say, and as their code was meant."""

from __future__ import annotations

from objectives.conventions._equations import ADAM_ALL, double, of_mean, same
from objectives.conventions._parameters import Convention, Foreign, Parameter, Setting
from objectives.conventions._world import bce, d_loss, decay, g_loss, half_sse, squares
from objectives.lazy import torch

_AS = Setting("as", {"formula": "as the document's formula says, mistakes corrected", "code": "as its code was meant"})
_FORMULA, _CODE = ("formula",), ("code",)
_UNVERIFIED = "the ½ in its formula: unverified"

S0 = Convention(
    name="s0",
    title="source document S0: L2 for compressing image generators",
    loss="L_G + (λ/2)·Σ‖W‖², corrected: its text counts 1-bits instead",
    parameters=(
        Parameter("lambda", "l2_g", "λ = w", same, "source document S0, its formula corrected"),
        Parameter(
            "eta",
            "",
            "η·L2² + (1 − η)·L2⁰",
            None,
            "source document S0",
            note="it mixes ‖W‖² with a count of 1-bits of the parameters, which has no gradient; take l2_g, and l0 for counting non-zeros",
        ),
        Parameter(
            "clipnorm",
            "",
            "g·min(1, c/‖g‖)",
            None,
            "source document S0",
            note="it rescales the long gradient of a weight matrix and regularizes none; clip_norm does so with a player's whole one",
        ),
    ),
)

S1 = Convention(
    name="s1",
    title="source document S1: λ_G and λ_D in GANs",
    loss="formula: L + λ·Σw²; code: L_G + λ‖w‖, ½·L_D + λ‖w‖, the norm not squared",
    settings=(_AS,),
    parameters=(
        Parameter("lambda_g", "l2_g", "λ = 2w", double, "source document S1, formula", when={"as": _FORMULA}),
        Parameter("lambda_d", "l2_d", "λ = 2w", double, "source document S1, formula", when={"as": _FORMULA}),
        Parameter("lambda_g", "l2_unsquared_g", "λ = w", same, "source document S1, code, which raises", when={"as": _CODE}),
        Parameter(
            "lambda_d",
            "l2_unsquared_d",
            "λ = 2w: its code halves L_D",
            double,
            "source document S1, code, which raises",
            when={"as": _CODE},
        ),
    ),
)

S2 = Convention(
    name="s2",
    title="source document S2: regularization in PyTorch",
    loss="L + λ·Σ|w|, L + λ·Σw²; L in canonical units",
    settings=(_AS,),
    parameters=(
        Parameter("l1", "l1", "λ = w", same, "source document S2, formula", when={"as": _FORMULA}),
        Parameter("l2", "l2", "λ = 2w: λ·Σw²", double, f"source document S2, formula; {_UNVERIFIED}", when={"as": _FORMULA}),
        Parameter("dropout", "dropout", "p = w", same, "source document S2, nn.Dropout", when={"as": _FORMULA}, is_term=False),
        Parameter(
            "dropout",
            "dropout",
            "p = 1 − w: its code keeps the share that it calls rate",
            lambda case: 1 - case.value,
            "source document S2, code",
            when={"as": _CODE},
            note="its code neither rescales nor switches off at evaluation",
            is_term=False,
        ),
        *(
            Parameter(
                name,
                "",
                "x + λΣ|x|",
                None,
                "source document S2, code",
                when={"as": _CODE},
                note="its code adds the penalty to the activation",
            )
            for name in ("l1", "l2")
        ),
    ),
)

S3 = Convention(
    name="s3",
    title="source document S3: norm regularization of autoencoders",
    loss="mean_D (x − x̂)² + (λ/2)·Σ‖θ‖²; code: + λ‖θ‖, the norm not squared",
    settings=(_AS,),
    parameters=(
        Parameter(
            "lambda", "l2", "λ = w·D/2", of_mean, "source document S3, formula", needs=("pixels",), when={"as": _FORMULA}, note=ADAM_ALL
        ),
        Parameter(
            "lambda",
            "l2_unsquared",
            "λ = w·D/2",
            of_mean,
            "source document S3, code, which raises; that the norm is not squared: unverified",
            needs=("pixels",),
            when={"as": _CODE},
        ),
    ),
)

S4 = Convention(
    name="s4",
    title="source document S4: regularization of VAEs",
    loss="−log p(x|z) + β·KL + (λ/2)·mean((μ² + σ² − 1)²), corrected: its code has no reconstruction term",
    parameters=(
        Parameter("beta", "beta", "β = w", same, "source document S4, its formula corrected"),
        Parameter("reg_param", "latent_moment", "λ = w", same, "source document S4", note="it vanishes at μ = ±1, σ = 0"),
        Parameter("weight_decay", "l2", "λ = w", same, "source document S4: Adam(weight_decay=…)", note=ADAM_ALL),
        Parameter(
            "flip", "flip", "p = w", same, "source document S4: RandomHorizontalFlip", note="it changes what digits mean", is_term=False
        ),
    ),
)
CONVENTIONS = (S0, S1, S2, S3, S4)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    from torch.nn.functional import mse_loss

    return [
        Foreign("s0", {"lambda": "0.1"}, lambda w: g_loss(w) + 0.05 * squares(w.kernels), base=g_loss),
        Foreign("s1", {"lambda_g": "1e-2"}, lambda w: g_loss(w) + 1e-2 * squares(w.kernels), base=g_loss),
        Foreign("s1", {"lambda_d": "1e-2"}, lambda w: d_loss(w) + 1e-2 * squares(w.critic), base=d_loss),
        Foreign("s1", {"lambda_g": "1e-2", "as": "code"}, lambda w: g_loss(w) + 1e-2 * squares(w.kernels).sqrt(), base=g_loss),
        Foreign("s1", {"lambda_d": "1e-2", "as": "code"}, lambda w: d_loss(w) / 2 + 1e-2 * squares(w.critic).sqrt(), base=d_loss),
        Foreign("s2", {"l1": "0.01"}, lambda w: half_sse(w) + 0.01 * torch.stack([one.abs().sum() for one in w.kernels]).sum()),
        Foreign("s2", {"l2": "0.01"}, lambda w: half_sse(w) + 0.01 * squares(w.kernels)),
        Foreign("s3", {"lambda": "1e-3"}, lambda w: mse_loss(w.xhat, w.x) + 1e-3 / 2 * squares(w.kernels)),
        Foreign("s3", {"lambda": "1e-3", "as": "code"}, lambda w: mse_loss(w.xhat, w.x) + 1e-3 * squares(w.kernels).sqrt()),
        Foreign(
            "s4",
            {"beta": "2", "reg_param": "0.1", "weight_decay": "1e-2"},
            lambda w: bce(w) + 2 * w.kl.mean() + 0.1 / 2 * ((w.mu**2 + w.logvar.exp() - 1) ** 2).mean() + decay(w.kernels, 1e-2),
            base=bce,
        ),
    ]
