"""PyTorch-VAE (AntixK), a collection of VAEs: means over the D values of an image, so that its λ are D/2 times ours."""

from __future__ import annotations

from objectives.conventions._equations import alpha_as_gamma, gamma_as_alpha, of_mean, same
from objectives.conventions._parameters import Case, Convention, Foreign, Parameter, Setting
from objectives.conventions._world import MC_KL, B, decay, mmd_without_diagonal, tc_loss

_SOURCE = "PyTorch-VAE (AntixK), models"


def _of_kl(case: Case) -> float:
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
            of_mean,
            f"{_SOURCE}/vanilla_vae.py, experiment.py",
            needs=("pixels",),
            when={"model": ("VAE", "BetaVAE")},
        ),
        Parameter(
            "beta",
            "beta",
            "β = w·kld_weight·D/2",
            _of_kl,
            f"{_SOURCE}/beta_vae.py, loss type H",
            needs=("pixels",),
            uses={"kld_weight": 0.00025},
            absorbs=("kld_weight",),
            when={"model": ("BetaVAE",)},
        ),
        Parameter(
            "gamma",
            "capacity",
            "γ = w·kld_weight·D/2",
            _of_kl,
            f"{_SOURCE}/beta_vae.py, loss type B",
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
            same,
            f"{_SOURCE}/beta_vae.py, loss type B",
            when={"model": ("BetaVAE",)},
            note="PyTorch-VAE raises C from 0 over Capacity_max_iter steps",
            is_term=False,
        ),
        Parameter(
            "beta",
            "tc",
            "λ = (w − γ)·D/2: α·MI + w·TC + γ·dimKL = γ·KL + (w − γ)·TC where α = γ",
            lambda case: (case.value - case.number("gamma")) * case.pixels / 2,
            f"{_SOURCE}/betatc_vae.py",
            needs=("pixels",),
            uses={"gamma": 1.0},
            when={"model": ("BetaTCVAE",)},
            note="kld_weight is not used by this model",
        ),
        Parameter(
            "gamma",
            "beta",
            "β = w·D/2 where α = γ",
            of_mean,
            f"{_SOURCE}/betatc_vae.py",
            needs=("pixels",),
            uses={"alpha": 1.0},
            when={"model": ("BetaTCVAE",)},
            check=gamma_as_alpha,
        ),
        Parameter(
            "alpha",
            "beta",
            "β = w·D/2 where α = γ",
            of_mean,
            f"{_SOURCE}/betatc_vae.py",
            needs=("pixels",),
            uses={"gamma": 1.0},
            absorbs=("gamma",),
            when={"model": ("BetaTCVAE",)},
            check=alpha_as_gamma,
        ),
        Parameter(
            "alpha",
            "beta",
            "β = (1 − w)·kld_weight·D/(2b), b = beta the weight of the reconstruction",
            lambda case: (1 - case.value) * case.number("kld_weight") * case.pixels / (2 * case.number("beta")),
            f"{_SOURCE}/info_vae.py",
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
            f"{_SOURCE}/info_vae.py",
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
            of_mean,
            f"{_SOURCE}/wae_mmd.py",
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
                f"{_SOURCE}/dip_vae.py",
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
            f"{_SOURCE}/fvae.py",
            when={"model": ("FactorVAE",)},
            note="PyTorch-VAE permutes latents within a code, not over the batch; that is no estimate of the total correlation",
        ),
        Parameter(
            "weight_decay",
            "l2",
            "λ = w·D/2: Adam's decay is a term ½w‖θ‖² of the loss",
            of_mean,
            "PyTorch-VAE (AntixK), experiment.py",
            needs=("pixels",),
            when={"model": ("VAE", "BetaVAE", "BetaTCVAE", "WAE_MMD")},
            note="Adam decays biases and normalization too; l2 acts on kernels",
        ),
    ),
)
CONVENTIONS = (PYTORCH_VAE,)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    from torch.nn.functional import mse_loss

    return [
        Foreign("pytorch-vae", {"kld_weight": "0.1"}, lambda w: mse_loss(w.xhat, w.x) + 0.1 * w.kl.mean()),
        Foreign("pytorch-vae", {"beta": "5", "kld_weight": "0.1"}, lambda w: mse_loss(w.xhat, w.x) + 5 * 0.1 * w.kl.mean()),
        Foreign("pytorch-vae", {"beta": "5"}, lambda w: mse_loss(w.xhat, w.x) + 5 * 0.00025 * w.kl.mean()),
        Foreign(
            "pytorch-vae",
            {"gamma": "5", "kld_weight": "0.1", "model": "BetaVAE"},
            lambda w: mse_loss(w.xhat, w.x) + 5 * 0.1 * (w.kl.mean() - 3).abs(),
            terms={"capacity": lambda w: (w.kl.mean() - 3).abs()},
        ),
        Foreign(
            "pytorch-vae",
            {"beta": "6", "gamma": "2", "alpha": "2", "model": "BetaTCVAE"},
            lambda w: mse_loss(w.xhat, w.x) + tc_loss(2, 6, 2)(w),
            terms=MC_KL,
        ),
        Foreign(
            "pytorch-vae",
            {"alpha": "-9", "beta": "10.5", "reg_weight": "110", "kld_weight": "0.1"},
            lambda w: (
                10.5 * mse_loss(w.xhat, w.x)
                + 10 * 0.1 * w.kl.mean()
                + (-9 + 110 - 1) / (B * (B - 1)) * (mmd_without_diagonal(w) * B * (B - 1))
            ),
            terms={"mmd": mmd_without_diagonal},
        ),
        Foreign(
            "pytorch-vae",
            {"reg_weight": "100", "model": "WAE_MMD"},
            lambda w: mse_loss(w.xhat, w.x) + 100 / (B * (B - 1)) * (mmd_without_diagonal(w) * B * (B - 1)),
            terms={"mmd": mmd_without_diagonal},
        ),
        Foreign("pytorch-vae", {"weight_decay": "0.01"}, lambda w: mse_loss(w.xhat, w.x) + decay(w.kernels, 0.01)),
    ]
