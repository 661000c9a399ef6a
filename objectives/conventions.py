"""What the λ of other projects, and of the source documents, are in Lagrange's units. Imports nothing heavy.

Canonical units, per image and averaged over the batch:

    loss = R + β·KL + Σ λ·Ω,    R = ½ Σ_pixels (x − x̂)² (σ = 1) or −log p(x|z),    KL summed over latents

with Ω(l2) = ½ Σ ‖W‖² over kernels, Ω(latent_l2) = ½ ‖z‖², Ω(r1) = ½ E‖∇D‖². Where a project's loss is s times R plus w times a term that is
c times Ω, its λ is w·c/s: the whole loss is s times ours, and Adam does not see s. A coupled weight decay (Adam's `weight_decay`) is a term
of the loss and is divided by s as well; a decoupled one (AdamW) is not.

Symbols: w the value given; D = H·W·C the values of an image; d the size of the latent; n the number of kernels; SSE = Σ_pixels (x − x̂)².

A convention is one entry of `CONVENTIONS`: its loss in one line, its settings and its parameters, each with an equation and the same as one
line of code. To add one, add an entry here and its loss, as that project computes it, to `tests/objectives/test_conventions.py`.
What was not looked up is marked `unverified` in its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objectives._convention import NEEDS, Case, Convention, ConventionError, Converted, Parameter, Setting, Size, parameter_names
from objectives._convention import convert as _convert
from objectives._convention import restore as _restore
from objectives.registry import unknown

__all__ = ["CONVENTIONS", "ConventionError", "Converted", "Size", "convert", "entries", "loss_of", "restore", "settings_of"]


def _same(case: Case) -> float:
    """λ = w."""
    return case.value


def _double(case: Case) -> float:
    """λ = 2w: the project leaves out a ½ that our term has."""
    return 2 * case.value


def _reciprocal(case: Case) -> float:
    """λ = 1/c."""
    return 1 / case.value


def _of_mean(case: Case) -> float:
    """λ = w·D/2: the loss is (2/D)·½SSE + w·Ω."""
    return case.value * case.pixels / 2


# --- pythae -------------------------------------------------------------------------------------------------------------------------------

_PYTHAE = "pythae (clementchadebec/benchmark_VAE), src/pythae/models"
_PYTHAE_VAES = ("BetaVAE", "DisentangledBetaVAE", "BetaTCVAE", "FactorVAE", "INFOVAE_MMD")
_RAES = ("RAE_L2", "RAE_GP")


def _pythae_scale(case: Case) -> float:
    """s: how many R the loss of a pythae VAE holds."""
    return 2 if case["reconstruction_loss"] == "old_mse" else 1


def _pythae_vae(case: Case) -> float:
    return case.value / _pythae_scale(case)


def _pythae_tc(case: Case) -> float:
    return (case.value - case.number("gamma")) / _pythae_scale(case)


def _pythae_info(case: Case) -> float:
    batch = case.batch if case["reconstruction_loss"] == "old_mse" else 1
    return (case.value + case.number("alpha") - 1) * batch / _pythae_scale(case)


def _same_gamma(case: Case) -> str:
    """The same, asked from the other side."""
    return _same_alpha(Case(case.number("gamma"), case.size, {"alpha": case.value}))


def _same_alpha(case: Case) -> str:
    """A fault where mutual information and dimension-wise KL have different weights: no β and tc say that."""
    if case.number("alpha") == case.value:
        return ""
    return (
        "alpha must equal gamma, for β·KL weighs the mutual information and the dimension-wise KL alike; "
        f"got alpha={case.number('alpha'):g}, gamma={case.value:g}. Give both the same value."
    )


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
        Parameter("beta", "beta", "β = w/s, s = 1 (2 with old_mse)", _pythae_vae, f"{_PYTHAE}/beta_vae", when={"model": ("BetaVAE",)}),
        Parameter(
            "beta",
            "capacity",
            "γ = w/s, s = 1 (2 with old_mse)",
            _pythae_vae,
            f"{_PYTHAE}/disentangled_beta_vae",
            when={"model": ("DisentangledBetaVAE",)},
            note="pythae takes |KL − C| of each image before the mean over the batch",
        ),
        Parameter(
            "C",
            "capacity_nats",
            "C = w",
            _same,
            f"{_PYTHAE}/disentangled_beta_vae",
            when={"model": ("DisentangledBetaVAE",)},
            note="pythae raises C from 0 over warmup_epoch epochs",
        ),
        Parameter(
            "beta",
            "tc",
            "λ = (w − γ)/s: α·MI + w·TC + γ·dimKL = γ·KL + (w − γ)·TC where α = γ",
            _pythae_tc,
            f"{_PYTHAE}/beta_tc_vae",
            uses={"gamma": 1.0},
            when={"model": ("BetaTCVAE",)},
        ),
        Parameter(
            "gamma",
            "beta",
            "β = w/s where α = γ",
            _pythae_vae,
            f"{_PYTHAE}/beta_tc_vae",
            uses={"alpha": 1.0},
            when={"model": ("BetaTCVAE",)},
            check=_same_alpha,
        ),
        Parameter(
            "alpha",
            "beta",
            "β = w/s where α = γ",
            _pythae_vae,
            f"{_PYTHAE}/beta_tc_vae",
            uses={"gamma": 1.0},
            absorbs=("gamma",),
            when={"model": ("BetaTCVAE",)},
            check=_same_gamma,
        ),
        Parameter("gamma", "factor", "γ = w/s", _pythae_vae, f"{_PYTHAE}/factor_vae", when={"model": ("FactorVAE",)}),
        Parameter(
            "alpha",
            "beta",
            "β = (1 − w)/s",
            lambda case: (1 - case.value) / _pythae_scale(case),
            f"{_PYTHAE}/info_vae",
            when={"model": ("INFOVAE_MMD",)},
            low=float("-inf"),
        ),
        Parameter(
            "lbd",
            "mmd",
            "λ = α + w − 1 (old_mse: times B/2)",
            _pythae_info,
            f"{_PYTHAE}/info_vae",
            uses={"alpha": 0.5},
            when={"model": ("INFOVAE_MMD",), "reconstruction_loss": ("mse", "bce")},
            note="where the kernels agree: pythae's are sums over several scales",
        ),
        Parameter(
            "lbd",
            "mmd",
            "λ = (α + w − 1)·B/2",
            _pythae_info,
            f"{_PYTHAE}/info_vae",
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
            f"{_PYTHAE}/wae_mmd",
            when={"model": ("WAE_MMD",), "reconstruction_loss": ("mse", "bce")},
            note="where the kernels agree: pythae's are sums over several scales",
        ),
        Parameter(
            "reg_weight",
            "mmd",
            "λ = w·B/2",
            lambda case: case.value * case.batch / 2,
            f"{_PYTHAE}/wae_mmd",
            needs=("batch",),
            when={"model": ("WAE_MMD",), "reconstruction_loss": ("old_mse",)},
            note="where the kernels agree",
        ),
        Parameter(
            "embedding_weight",
            "latent_l2",
            "λ = w/2: SSE + w·½‖z‖²",
            lambda case: case.value / 2,
            f"{_PYTHAE}/rae_l2, rae_gp",
            when={"model": _RAES},
        ),
        Parameter(
            "reg_weight",
            "l2_decoder",
            "λ = w/2: weight decay of the decoder's Adam beside SSE",
            lambda case: case.value / 2,
            f"{_PYTHAE}/rae_l2; that the optimizer is Adam and not AdamW: unverified",
            when={"model": ("RAE_L2",)},
        ),
        Parameter(
            "reg_weight",
            "rae_gp",
            "λ = w/2, with rae_gp_form: pythae",
            lambda case: case.value / 2,
            f"{_PYTHAE}/rae_gp",
            when={"model": ("RAE_GP",)},
            note="pythae differentiates the sum of the outputs with respect to the image, through the encoder",
        ),
    ),
)

# --- PyTorch-VAE --------------------------------------------------------------------------------------------------------------------------

_PTV = "PyTorch-VAE (AntixK), models"


def _ptv_kl(case: Case) -> float:
    """w·(kld_weight)·D/2."""
    return case.value * case.number("kld_weight") * case.pixels / 2


PYTORCH_VAE = Convention(
    name="pytorch-vae",
    title="AntixK/PyTorch-VAE, a collection of VAEs",
    loss="mean_D (x − x̂)² + w·KL, KL summed over latents: 2/D times ½SSE + (w·D/2)·KL",
    settings=(
        Setting(
            "model",
            {
                "VAE": "and its relatives that weigh KL with kld_weight only",
                "BetaVAE": "loss type H (beta) or B (gamma, max_capacity)",
                "BetaTCVAE": "",
                "InfoVAE": "inverse multiquadratic kernel",
                "WAE_MMD": "inverse multiquadratic kernel",
                "DIPVAE": "",
                "FactorVAE": "",
            },
        ),
    ),
    parameters=(
        Parameter(
            "kld_weight",
            "beta",
            "β = w·D/2",
            _of_mean,
            f"{_PTV}/vanilla_vae.py, experiment.py",
            needs=("pixels",),
            when={"model": ("VAE", "BetaVAE")},
        ),
        Parameter(
            "beta",
            "beta",
            "β = w·kld_weight·D/2",
            _ptv_kl,
            f"{_PTV}/beta_vae.py, loss type H",
            needs=("pixels",),
            uses={"kld_weight": 0.00025},
            absorbs=("kld_weight",),
            when={"model": ("BetaVAE",)},
        ),
        Parameter(
            "gamma",
            "capacity",
            "γ = w·kld_weight·D/2",
            _ptv_kl,
            f"{_PTV}/beta_vae.py, loss type B",
            needs=("pixels",),
            uses={"kld_weight": 0.00025},
            absorbs=("kld_weight",),
            when={"model": ("BetaVAE",)},
            note="PyTorch-VAE takes |mean KL − C| over the batch",
        ),
        Parameter(
            "max_capacity",
            "capacity_nats",
            "C = w",
            _same,
            f"{_PTV}/beta_vae.py, loss type B",
            when={"model": ("BetaVAE",)},
            note="PyTorch-VAE raises C from 0 over Capacity_max_iter steps",
        ),
        Parameter(
            "beta",
            "tc",
            "λ = (w − γ)·D/2: α·MI + w·TC + γ·dimKL = γ·KL + (w − γ)·TC where α = γ",
            lambda case: (case.value - case.number("gamma")) * case.pixels / 2,
            f"{_PTV}/betatc_vae.py",
            needs=("pixels",),
            uses={"gamma": 1.0},
            when={"model": ("BetaTCVAE",)},
            note="kld_weight is not used by this model",
        ),
        Parameter(
            "gamma",
            "beta",
            "β = w·D/2 where α = γ",
            _of_mean,
            f"{_PTV}/betatc_vae.py",
            needs=("pixels",),
            uses={"alpha": 1.0},
            when={"model": ("BetaTCVAE",)},
            check=_same_alpha,
        ),
        Parameter(
            "alpha",
            "beta",
            "β = w·D/2 where α = γ",
            _of_mean,
            f"{_PTV}/betatc_vae.py",
            needs=("pixels",),
            uses={"gamma": 1.0},
            absorbs=("gamma",),
            when={"model": ("BetaTCVAE",)},
            check=_same_gamma,
        ),
        Parameter(
            "alpha",
            "beta",
            "β = (1 − w)·kld_weight·D/(2b), b = beta the weight of the reconstruction",
            lambda case: (1 - case.value) * case.number("kld_weight") * case.pixels / (2 * case.number("beta")),
            f"{_PTV}/info_vae.py",
            needs=("pixels",),
            uses={"beta": None, "kld_weight": 0.00025},
            absorbs=("beta", "kld_weight"),
            when={"model": ("InfoVAE",)},
            low=float("-inf"),
        ),
        Parameter(
            "reg_weight",
            "mmd",
            "λ = (α + w − 1)·D/(2b), b = beta the weight of the reconstruction",
            lambda case: (case.value + case.number("alpha") - 1) * case.pixels / (2 * case.number("beta")),
            f"{_PTV}/info_vae.py",
            needs=("pixels",),
            uses={"alpha": None, "beta": None},
            absorbs=("beta",),
            when={"model": ("InfoVAE",)},
            note="where the kernels agree; PyTorch-VAE leaves the diagonal out of the cross term too",
        ),
        Parameter(
            "reg_weight",
            "mmd",
            "λ = w·D/2",
            _of_mean,
            f"{_PTV}/wae_mmd.py",
            needs=("pixels",),
            when={"model": ("WAE_MMD",)},
            note="where the kernels agree; PyTorch-VAE leaves the diagonal out of the cross term too",
        ),
        *(
            Parameter(
                name,
                "",
                f"w·Σ({term})²",
                None,
                f"{_PTV}/dip_vae.py",
                when={"model": ("DIPVAE",)},
                note="PyTorch-VAE centres the codes over latents instead of images and sums over the batch; that is no covariance",
            )
            for name, term in (("lambda_offdiag", "off-diagonal"), ("lambda_diag", "diagonal − 1"))
        ),
        Parameter(
            "gamma",
            "",
            "−w·E[log D₀ − log D₁]",
            None,
            f"{_PTV}/fvae.py",
            when={"model": ("FactorVAE",)},
            note="PyTorch-VAE permutes latents within a code, not over the batch; that is no estimate of the total correlation",
        ),
        Parameter(
            "weight_decay",
            "l2",
            "λ = w·D/2: Adam's decay is a term ½w‖θ‖² of the loss",
            _of_mean,
            "PyTorch-VAE (AntixK), experiment.py",
            needs=("pixels",),
            when={"model": ("VAE", "BetaVAE", "BetaTCVAE", "WAE_MMD")},
            note="Adam decays biases and normalization too; l2 acts on kernels",
        ),
    ),
)

# --- the official RAE ---------------------------------------------------------------------------------------------------------------------

_RAE = "ParthaEth/Regularized_autoencoders-RAE-, models"
_L2, _NONE = ("l2",), ("none",)
_KERAS_KERNELS = "Keras' l2(w) is w·Σ‖W‖² on the kernels of the transposed convolutions; l2_decoder acts on all of the decoder's kernels"
_GRAD_PEN = "a mean over d latents of (∇_z Σx̂²)², which vanishes where x̂ does: another quantity than the Jacobian's norm"

KERAS_RAE = Convention(
    name="keras-rae",
    title="the official code of regularized autoencoders (Ghosh et al. 2020), Keras",
    loss="RAE: SSE/D (l2) or SSE/(H·W) (none) + w·‖z‖²/d",
    settings=(
        Setting("model", {"RAE": "", "std_vae": "SSE/C + w·KL", "WAE": ""}),
        Setting(
            "recon_loss_type",
            {"l2": "mean over pixels and channels: SSE/D, as in its configurations", "none": "channels summed: SSE/(H·W)"},
        ),
        Setting("gen_reg_type", {"l2": "", "grad_pen": ""}),
    ),
    parameters=(
        Parameter(
            "embedding_weight",
            "latent_l2",
            "λ = w·D/d",
            lambda case: case.value * case.pixels / case.latent,
            f"{_RAE}/rae/loss_functions.py; my_utility/function_from_name.py",
            needs=("pixels", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _L2},
            note="with one channel, D = H·W",
        ),
        Parameter(
            "embedding_weight",
            "latent_l2",
            "λ = w·H·W/d",
            lambda case: case.value * case.area / case.latent,
            f"{_RAE}/rae/loss_functions.py",
            needs=("image", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _NONE},
        ),
        Parameter(
            "embedding_weight",
            "beta",
            "β = w·C/2: the loss is SSE/C + w·KL",
            lambda case: case.value * case.channels / 2,
            f"{_RAE}/std_vae/loss_functions.py",
            needs=("image",),
            when={"model": ("std_vae",)},
        ),
        Parameter(
            "embedding_weight",
            "mmd",
            "λ = w·D/2",
            _of_mean,
            f"{_RAE}/wae_mmd/loss_functions.py",
            needs=("pixels",),
            when={"model": ("WAE",), "recon_loss_type": _L2},
            note="where the kernels agree: theirs is a sum over seven scales",
        ),
        Parameter(
            "embedding_weight",
            "mmd",
            "λ = 10·w: the loss is 0.05·SSE + w·MMD²",
            lambda case: 10 * case.value,
            f"{_RAE}/wae_mmd/loss_functions.py",
            when={"model": ("WAE",), "recon_loss_type": _NONE},
            note="where the kernels agree: theirs is a sum over seven scales",
        ),
        Parameter(
            "gen_reg_weight",
            "l2_decoder",
            "λ = w·D",
            lambda case: case.value * case.pixels,
            f"{_RAE}/rae/rae_mnist.py",
            needs=("pixels",),
            when={"model": ("RAE",), "recon_loss_type": _L2, "gen_reg_type": _L2},
            note=_KERAS_KERNELS,
        ),
        Parameter(
            "gen_reg_weight",
            "l2_decoder",
            "λ = w·H·W",
            lambda case: case.value * case.area,
            f"{_RAE}/rae/rae_mnist.py",
            needs=("image",),
            when={"model": ("RAE",), "recon_loss_type": _NONE, "gen_reg_type": _L2},
            note=_KERAS_KERNELS,
        ),
        Parameter(
            "gen_reg_weight",
            "rae_gp",
            "λ = w·D/(2d), with rae_gp_form: sum_squares",
            lambda case: case.value * case.pixels / (2 * case.latent),
            f"{_RAE}/rae/loss_functions.py",
            needs=("pixels", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _L2, "gen_reg_type": ("grad_pen",)},
            note=_GRAD_PEN,
        ),
        Parameter(
            "gen_reg_weight",
            "rae_gp",
            "λ = w·H·W/(2d), with rae_gp_form: sum_squares",
            lambda case: case.value * case.area / (2 * case.latent),
            f"{_RAE}/rae/loss_functions.py",
            needs=("image", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _NONE, "gen_reg_type": ("grad_pen",)},
            note=_GRAD_PEN,
        ),
    ),
)

# --- GANs ---------------------------------------------------------------------------------------------------------------------------------

_CG = "google/compare_gan, compare_gan/gans"

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
            _same,
            f"{_CG}/penalty_lib.py, modular_gan.py",
            when={"penalty": ("wgangp",)},
            note="1e-4 under its root",
        ),
        Parameter(
            "lambda",
            "dragan",
            "λ = w",
            _same,
            f"{_CG}/penalty_lib.py, modular_gan.py",
            when={"penalty": ("dragan",)},
            note="its noise is uniform within ± half a standard deviation of the batch, and clipped to [0, 1]",
        ),
        Parameter(
            "lambda",
            "l2_d",
            "λ = w/n: a mean over kernels of ½‖W‖²",
            lambda case: case.value / case.kernels,
            f"{_CG}/penalty_lib.py, modular_gan.py",
            needs=("kernels",),
            when={"penalty": ("l2",)},
        ),
        Parameter("ema_decay", "ema", "a = w", _same, f"{_CG}/modular_gan.py"),
    ),
)

_SG = "POSTECH-CVLab/PyTorch-StudioGAN, src"
_ADAM_ALL = "Adam decays biases and normalization too; l2 acts on kernels"


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
        Parameter("r1_lambda", "r1", "γ = w: ½ is in its term", _same, f"{_SG}/utils/losses.py", note="of backbones that are not StyleGAN"),
        Parameter("gp_lambda", "wgan_gp", "λ = w", _same, f"{_SG}/utils/losses.py", note="no constant under its root"),
        Parameter(
            "dra_lambda", "dragan", "λ = w", _same, f"{_SG}/utils/losses.py", note="its noise is one-sided: only added, never subtracted"
        ),
        Parameter("maxgp_lambda", "max_gp", "λ = w", _same, f"{_SG}/utils/losses.py"),
        Parameter("cr_lambda", "cr", "λ = w", _same, f"{_SG}/worker.py"),
        Parameter(
            "real_lambda", "bcr", "λ = w where both are equal", _same, f"{_SG}/worker.py", uses={"fake_lambda": None}, check=_both_alike
        ),
        Parameter(
            "fake_lambda",
            "bcr",
            "λ = w where both are equal",
            _same,
            f"{_SG}/worker.py",
            uses={"real_lambda": None},
            absorbs=("real_lambda",),
            check=lambda case: _both_alike(Case(case.number("real_lambda"), case.size, {"fake_lambda": case.value})),
        ),
        Parameter("d_lambda", "zcr_d", "λ = w", _same, f"{_SG}/worker.py"),
        Parameter(
            "g_lambda",
            "zcr_g",
            "λ = w/D: a mean over pixels of (G(z) − G(z + ε))²",
            lambda case: case.value / case.pixels,
            f"{_SG}/worker.py",
            needs=("pixels",),
        ),
        Parameter("lecam_lambda", "lecam", "λ = w", _same, f"{_SG}/worker.py, utils/losses.py"),
        Parameter("wc_bound", "weight_clip", "λ = 1/c", _reciprocal, f"{_SG}/worker.py", note="it clips biases too", inverse=_reciprocal),
        Parameter("g_ema_decay", "ema", "a = w", _same, f"{_SG}/config.py"),
        Parameter("g_weight_decay", "l2_g", "λ = w: Adam's decay is a term ½w‖θ‖² of the loss", _same, f"{_SG}/config.py", note=_ADAM_ALL),
        Parameter("d_weight_decay", "l2_d", "λ = w: Adam's decay is a term ½w‖θ‖² of the loss", _same, f"{_SG}/config.py", note=_ADAM_ALL),
        Parameter(
            "pl_weight",
            "path_length",
            "λ = w",
            _same,
            f"{_SG}/worker.py, utils/losses.py",
            note="of y ~ N(0, I)/√(H·W), as in StyleGAN2; computed every few steps and weighed as much more",
        ),
        Parameter("ada_target", "ada", "r = w", _same, f"{_SG}/worker.py", note="the share of real images that D should take for real"),
    ),
)

_GS = "LMescheder/GAN_stability, gan_training/train.py"

GAN_STABILITY = Convention(
    name="gan_stability",
    title="GAN_stability, the code of Mescheder et al. 2018",
    loss="adversarial loss + reg_param·E‖∇D‖², without the ½ of the paper",
    settings=(Setting("reg_type", {"real": "R1", "fake": "R2", "wgangp": "(‖∇D‖ − 1)² between real and generated"}),),
    parameters=(
        Parameter("reg_param", "r1", "γ = 2w", _double, _GS, when={"reg_type": ("real",)}),
        Parameter("reg_param", "r2", "γ = 2w", _double, _GS, when={"reg_type": ("fake",)}),
        Parameter("reg_param", "wgan_gp", "λ = w", _same, _GS, when={"reg_type": ("wgangp",)}),
        Parameter("model_average_beta", "ema", "a = w", _same, "LMescheder/GAN_stability, configs/default.yaml"),
    ),
)

# --- PyTorch's own ------------------------------------------------------------------------------------------------------------------------


def _torch_decay(case: Case) -> float:
    """Adam's decay beside a loss that holds s times R."""
    if case["loss"] == "mean":
        return _of_mean(case)
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
            _torch_decay,
            "torch.optim.Adam: adds w·θ to the gradient",
            when={"optimizer": ("adam",), "loss": ("half_sse", "sse")},
            note=f"{_ADAM_ALL}; in a GAN l2_g or l2_d",
        ),
        Parameter(
            "weight_decay",
            "l2",
            "λ = w·D/2",
            _torch_decay,
            "torch.optim.Adam: adds w·θ to the gradient",
            needs=("pixels",),
            when={"optimizer": ("adam",), "loss": ("mean",)},
            note=_ADAM_ALL,
        ),
        Parameter(
            "weight_decay",
            "decoupled_wd",
            "λ = w, whatever the loss",
            _same,
            "torch.optim.AdamW: θ ← θ − η·w·θ",
            when={"optimizer": ("adamw",)},
            note="AdamW decays biases and normalization too; decoupled_wd acts on kernels",
        ),
        Parameter("p", "dropout", "p = w: the share that is dropped", _same, "torch.nn.Dropout"),
    ),
)

# --- the source documents -----------------------------------------------------------------------------------------------------------------

_AS = Setting("as", {"formula": "as the document's formula says, mistakes corrected", "code": "as its code was meant"})
_FORMULA, _CODE = ("formula",), ("code",)
_UNVERIFIED = "the ½ in its formula: unverified"

S0 = Convention(
    name="s0",
    title="source document S0: L2 for compressing image generators",
    loss="L_G + (λ/2)·Σ‖W‖², corrected: its text counts 1-bits instead",
    parameters=(
        Parameter("lambda", "l2_g", "λ = w", _same, "source document S0, its formula corrected"),
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
        Parameter("lambda_g", "l2_g", "λ = 2w", _double, "source document S1, formula", when={"as": _FORMULA}),
        Parameter("lambda_d", "l2_d", "λ = 2w", _double, "source document S1, formula", when={"as": _FORMULA}),
        Parameter("lambda_g", "l2_unsquared_g", "λ = w", _same, "source document S1, code, which raises", when={"as": _CODE}),
        Parameter(
            "lambda_d",
            "l2_unsquared_d",
            "λ = 2w: its code halves L_D",
            _double,
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
        Parameter("l1", "l1", "λ = w", _same, "source document S2, formula", when={"as": _FORMULA}),
        Parameter("l2", "l2", "λ = 2w: λ·Σw²", _double, f"source document S2, formula; {_UNVERIFIED}", when={"as": _FORMULA}),
        Parameter("dropout", "dropout", "p = w", _same, "source document S2, nn.Dropout", when={"as": _FORMULA}),
        Parameter(
            "dropout",
            "dropout",
            "p = 1 − w: its code keeps the share that it calls rate",
            lambda case: 1 - case.value,
            "source document S2, code",
            when={"as": _CODE},
            note="its code neither rescales nor switches off at evaluation",
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
            "lambda", "l2", "λ = w·D/2", _of_mean, "source document S3, formula", needs=("pixels",), when={"as": _FORMULA}, note=_ADAM_ALL
        ),
        Parameter(
            "lambda",
            "l2_unsquared",
            "λ = w·D/2",
            _of_mean,
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
        Parameter("beta", "beta", "β = w", _same, "source document S4, its formula corrected"),
        Parameter("reg_param", "latent_moment", "λ = w", _same, "source document S4", note="it vanishes at μ = ±1, σ = 0"),
        Parameter("weight_decay", "l2", "λ = w", _same, "source document S4: Adam(weight_decay=…)", note=_ADAM_ALL),
        Parameter("flip", "flip", "p = w", _same, "source document S4: RandomHorizontalFlip", note="it changes what digits mean"),
    ),
)

CONVENTIONS: dict[str, Convention] = {
    one.name: one for one in (PYTHAE, PYTORCH_VAE, KERAS_RAE, COMPARE_GAN, STUDIOGAN, GAN_STABILITY, TORCH, S0, S1, S2, S3, S4)
}


# --- asking -------------------------------------------------------------------------------------------------------------------------------


def convert(convention: str, given: Mapping[str, str], size: Size | None = None) -> list[Converted]:
    """What the parameters `given` (values and settings, as text) of a convention are in Lagrange's units.

    Raises:
        ConventionError: with every fault: an unknown name, no number, something an equation needs, or a term that has no equivalent.
    """
    return _convert(_convention(convention), given, size or Size())


def restore(convention: str, given: Mapping[str, str], size: Size | None = None) -> list[Converted]:
    """The inverse: what the knobs `given` are called, and how much they are, in a convention.

    Raises:
        ConventionError: with every fault.
    """
    return _restore(_convention(convention), given, size or Size())


def entries(convention: str | None = None) -> list[dict[str, Any]]:
    """All conventions as plain data, or the parameters of one.

    Raises:
        ConventionError: nobody knows the convention.
    """
    if convention is not None:
        return [_entry(one) for one in _convention(convention).parameters]
    return [{"name": one.name, "title": one.title, "loss": one.loss, "parameters": parameter_names(one)} for one in CONVENTIONS.values()]


def settings_of(convention: str) -> dict[str, dict[str, str]]:
    """The settings of a convention: each one's choices and what they mean, the usual one first."""
    return {one.name: dict(one.choices) for one in _convention(convention).settings}


def loss_of(convention: str) -> str:
    """How a convention writes its loss."""
    return _convention(convention).loss


def _entry(one: Parameter) -> dict[str, Any]:
    return {
        "parameter": one.name,
        "with": {name: " or ".join(choices) for name, choices in one.when.items()},
        "knob": one.knob or "no equivalent",
        "equation": one.equation,
        "needs": [NEEDS[need][0] for need in one.needs],
        "uses": {name: "required" if default is None else default for name, default in one.uses.items()},
        "note": one.note,
        "source": one.source,
    }


def _convention(name: str) -> Convention:
    if name not in CONVENTIONS:
        raise ConventionError([unknown("a convention", name, list(CONVENTIONS))])
    return CONVENTIONS[name]
