"""pythae (clementchadebec/benchmark_VAE), a library of autoencoders and VAEs: sums over pixels, ½SSE in VAEs and SSE in autoencoders."""

from __future__ import annotations

from objectives.conventions._equations import alpha_as_gamma, gamma_as_alpha, same
from objectives.conventions._parameters import Case, Convention, Foreign, Parameter, Setting
from objectives.conventions._world import MC_KL, B, adversary, bce, decay, mmd, sse, tc_loss
from objectives.lazy import torch

_SOURCE = "pythae (clementchadebec/benchmark_VAE), src/pythae/models"
_RAES = ("RAE_L2", "RAE_GP")


def _scale(case: Case) -> float:
    """s: how many R the loss of a pythae VAE holds."""
    return 2 if case["reconstruction_loss"] == "old_mse" else 1


def _of_vae(case: Case) -> float:
    return case.value / _scale(case)


def _of_tc(case: Case) -> float:
    return (case.value - case.number("gamma")) / _scale(case)


def _of_info(case: Case) -> float:
    batch = case.batch if case["reconstruction_loss"] == "old_mse" else 1
    return (case.value + case.number("alpha") - 1) * batch / _scale(case)


PYTHAE = Convention(
    name="pythae",
    title="pythae, library of autoencoders and VAEs",
    loss="VAEs: ½SSE (or BCE, summed) + β·KL; AE, RAE and WAE: SSE + …",
    settings=(
        Setting(
            "model",
            {"BetaVAE": "", "DisentangledBetaVAE": "", "BetaTCVAE": "", "FactorVAE": "", "INFOVAE_MMD": "", "WAE_MMD": ""}
            | {"RAE_L2": "", "RAE_GP": ""},
        ),
        Setting(
            "reconstruction_loss",
            {
                "mse": "½SSE for VAEs, SSE for autoencoders",
                "bce": "cross-entropy, summed over pixels",
                "old_mse": "early releases: SSE for VAEs too, and an MMD that is multiplied by the batch size",
            },
        ),
    ),
    parameters=(
        Parameter("beta", "beta", "β = w/s, s = 1 (2 with old_mse)", _of_vae, f"{_SOURCE}/beta_vae", when={"model": ("BetaVAE",)}),
        Parameter(
            "beta",
            "capacity",
            "γ = w/s, s = 1 (2 with old_mse)",
            _of_vae,
            f"{_SOURCE}/disentangled_beta_vae",
            when={"model": ("DisentangledBetaVAE",)},
            note="pythae takes |KL − C| of each image before the mean over the batch",
        ),
        Parameter(
            "C",
            "capacity_nats",
            "C = w",
            same,
            f"{_SOURCE}/disentangled_beta_vae",
            when={"model": ("DisentangledBetaVAE",)},
            note="pythae raises C from 0 over warmup_epoch epochs",
            is_term=False,
        ),
        Parameter(
            "beta",
            "tc",
            "λ = (w − γ)/s: α·MI + w·TC + γ·dimKL = γ·KL + (w − γ)·TC where α = γ",
            _of_tc,
            f"{_SOURCE}/beta_tc_vae",
            uses={"gamma": 1.0},
            when={"model": ("BetaTCVAE",)},
        ),
        Parameter(
            "gamma",
            "beta",
            "β = w/s where α = γ",
            _of_vae,
            f"{_SOURCE}/beta_tc_vae",
            uses={"alpha": 1.0},
            when={"model": ("BetaTCVAE",)},
            check=gamma_as_alpha,
        ),
        Parameter(
            "alpha",
            "beta",
            "β = w/s where α = γ",
            _of_vae,
            f"{_SOURCE}/beta_tc_vae",
            uses={"gamma": 1.0},
            absorbs=("gamma",),
            when={"model": ("BetaTCVAE",)},
            check=alpha_as_gamma,
        ),
        Parameter("gamma", "factor", "γ = w/s", _of_vae, f"{_SOURCE}/factor_vae", when={"model": ("FactorVAE",)}),
        Parameter(
            "alpha",
            "beta",
            "β = (1 − w)/s",
            lambda case: (1 - case.value) / _scale(case),
            f"{_SOURCE}/info_vae",
            when={"model": ("INFOVAE_MMD",)},
            low=float("-inf"),
        ),
        Parameter(
            "lbd",
            "mmd",
            "λ = α + w − 1 (old_mse: times B/2)",
            _of_info,
            f"{_SOURCE}/info_vae",
            uses={"alpha": 0.5},
            when={"model": ("INFOVAE_MMD",), "reconstruction_loss": ("mse", "bce")},
            note="where the kernels agree: pythae's are sums over several scales",
        ),
        Parameter(
            "lbd",
            "mmd",
            "λ = (α + w − 1)·B/2",
            _of_info,
            f"{_SOURCE}/info_vae",
            needs=("batch",),
            uses={"alpha": 0.5},
            when={"model": ("INFOVAE_MMD",), "reconstruction_loss": ("old_mse",)},
            note="where the kernels agree",
        ),
        Parameter(
            "reg_weight",
            "mmd",
            "λ = w/2: SSE = 2·½SSE",
            lambda case: case.value / 2,
            f"{_SOURCE}/wae_mmd",
            when={"model": ("WAE_MMD",), "reconstruction_loss": ("mse", "bce")},
            note="where the kernels agree: pythae's are sums over several scales",
        ),
        Parameter(
            "reg_weight",
            "mmd",
            "λ = w·B/2",
            lambda case: case.value * case.batch / 2,
            f"{_SOURCE}/wae_mmd",
            needs=("batch",),
            when={"model": ("WAE_MMD",), "reconstruction_loss": ("old_mse",)},
            note="where the kernels agree",
        ),
        Parameter(
            "embedding_weight",
            "latent_l2",
            "λ = w/2: SSE + w·½‖z‖²",
            lambda case: case.value / 2,
            f"{_SOURCE}/rae_l2, rae_gp",
            when={"model": _RAES},
        ),
        Parameter(
            "reg_weight",
            "l2_decoder",
            "λ = w/2: weight decay of the decoder's Adam beside SSE",
            lambda case: case.value / 2,
            f"{_SOURCE}/rae_l2; that the optimizer is Adam and not AdamW: unverified",
            when={"model": ("RAE_L2",)},
        ),
        Parameter(
            "reg_weight",
            "rae_gp",
            "λ = w/2, with rae_gp_form: pythae",
            lambda case: case.value / 2,
            f"{_SOURCE}/rae_gp",
            when={"model": ("RAE_GP",)},
            note="pythae differentiates the sum of the outputs with respect to the image, through the encoder",
        ),
    ),
)
CONVENTIONS = (PYTHAE,)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    return [
        Foreign("pythae", {"beta": "3"}, lambda w: (0.5 * sse(w) + 3 * w.kl).mean()),
        Foreign("pythae", {"beta": "3", "reconstruction_loss": "old_mse"}, lambda w: (sse(w) + 3 * w.kl).mean()),
        Foreign("pythae", {"beta": "3", "reconstruction_loss": "bce"}, lambda w: bce(w) + 3 * w.kl.mean(), base=bce),
        Foreign("pythae", {"beta": "7", "model": "DisentangledBetaVAE"}, lambda w: (0.5 * sse(w) + 7 * (w.kl - 3).abs()).mean()),
        Foreign(
            "pythae",
            {"beta": "6", "gamma": "2", "alpha": "2", "model": "BetaTCVAE"},
            lambda w: 0.5 * sse(w).mean() + tc_loss(2, 6, 2)(w),
            terms=MC_KL,
        ),
        Foreign("pythae", {"gamma": "4", "model": "FactorVAE"}, lambda w: (0.5 * sse(w) + w.kl).mean() + 4 * adversary(w), beta=1),
        Foreign("pythae", {"alpha": "0.2", "lbd": "9"}, lambda w: (0.5 * sse(w) + 0.8 * w.kl).mean() + (0.2 + 9 - 1) * mmd(w)),
        Foreign(
            "pythae",
            {"alpha": "0.2", "lbd": "9", "reconstruction_loss": "old_mse"},
            lambda w: (sse(w) + 0.8 * w.kl).mean() + (0.2 + 9 - 1) * B * mmd(w),
        ),
        Foreign("pythae", {"reg_weight": "9", "model": "WAE_MMD"}, lambda w: sse(w).mean() + 9 * mmd(w)),
        Foreign(
            "pythae", {"reg_weight": "9", "model": "WAE_MMD", "reconstruction_loss": "old_mse"}, lambda w: sse(w).mean() + 9 * B * mmd(w)
        ),
        Foreign(
            "pythae",
            {"embedding_weight": "0.02", "reg_weight": "0.5", "model": "RAE_L2"},
            lambda w: (sse(w) + 0.02 * 0.5 * torch.linalg.norm(w.z, dim=-1) ** 2).mean() + decay(w.decoder, 0.5),
        ),
        Foreign(
            "pythae",
            {"embedding_weight": "0.02", "reg_weight": "0.5", "model": "RAE_GP"},
            lambda w: (
                (sse(w) + 0.02 * 0.5 * torch.linalg.norm(w.z, dim=-1) ** 2).mean()
                + 0.5 * torch.linalg.norm(w.summed_output_slopes, dim=-1).square().mean()
            ),
            terms={"rae_gp": lambda w: w.summed_output_slopes.square().sum(1).mean()},
        ),
    ]
