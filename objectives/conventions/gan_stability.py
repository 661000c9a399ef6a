"""GAN_stability, the code of Mescheder et al. 2018: R1 and R2 without the ½ of the paper."""

from __future__ import annotations

from objectives.conventions._equations import double, same
from objectives.conventions._parameters import Convention, Foreign, Parameter, Setting
from objectives.conventions._world import d_loss

_SOURCE = "LMescheder/GAN_stability, gan_training/train.py"

GAN_STABILITY = Convention(
    name="gan_stability",
    title="GAN_stability, the code of Mescheder et al. 2018",
    loss="adversarial loss + reg_param·E‖∇D‖², without the ½ of the paper",
    settings=(Setting("reg_type", {"real": "R1", "fake": "R2", "wgangp": "(‖∇D‖ − 1)² between real and generated"}),),
    parameters=(
        Parameter("reg_param", "r1", "γ = 2w", double, _SOURCE, when={"reg_type": ("real",)}),
        Parameter("reg_param", "r2", "γ = 2w", double, _SOURCE, when={"reg_type": ("fake",)}),
        Parameter("reg_param", "wgan_gp", "λ = w", same, _SOURCE, when={"reg_type": ("wgangp",)}),
        Parameter("model_average_beta", "ema", "a = w", same, "LMescheder/GAN_stability, configs/default.yaml", is_term=False),
    ),
)
CONVENTIONS = (GAN_STABILITY,)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    return [
        Foreign("gan_stability", {"reg_param": "10"}, lambda w: d_loss(w) + 10 * w.slopes(w.x).mean(), base=d_loss),
        Foreign("gan_stability", {"reg_param": "10", "reg_type": "fake"}, lambda w: d_loss(w) + 10 * w.slopes(w.fake).mean(), base=d_loss),
        Foreign(
            "gan_stability",
            {"reg_param": "10", "reg_type": "wgangp"},
            lambda w: d_loss(w) + 10 * (w.slopes(w.between).sqrt() - 1.0).pow(2).mean(),
            base=d_loss,
        ),
    ]
