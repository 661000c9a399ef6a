"""The official code of regularized autoencoders (Ghosh et al. 2020), in Keras: means over pixels, and over latents."""

from __future__ import annotations

from objectives.conventions._equations import of_mean
from objectives.conventions._parameters import Convention, Foreign, Parameter, Setting
from objectives.conventions._world import B, C, H, W, World, mmd, squares
from objectives.lazy import Tensor

_SOURCE = "ParthaEth/Regularized_autoencoders-RAE-, models"
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
            f"{_SOURCE}/rae/loss_functions.py; my_utility/function_from_name.py",
            needs=("pixels", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _L2},
            note="with one channel, D = H·W",
        ),
        Parameter(
            "embedding_weight",
            "latent_l2",
            "λ = w·H·W/d",
            lambda case: case.value * case.area / case.latent,
            f"{_SOURCE}/rae/loss_functions.py",
            needs=("image", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _NONE},
        ),
        Parameter(
            "embedding_weight",
            "beta",
            "β = w·C/2: the loss is SSE/C + w·KL",
            lambda case: case.value * case.channels / 2,
            f"{_SOURCE}/std_vae/loss_functions.py",
            needs=("image",),
            when={"model": ("std_vae",)},
        ),
        Parameter(
            "embedding_weight",
            "mmd",
            "λ = w·D/2",
            of_mean,
            f"{_SOURCE}/wae_mmd/loss_functions.py",
            needs=("pixels",),
            when={"model": ("WAE",), "recon_loss_type": _L2},
            note="where the kernels agree: theirs is a sum over seven scales",
        ),
        Parameter(
            "embedding_weight",
            "mmd",
            "λ = 10·w: the loss is 0.05·SSE + w·MMD²",
            lambda case: 10 * case.value,
            f"{_SOURCE}/wae_mmd/loss_functions.py",
            when={"model": ("WAE",), "recon_loss_type": _NONE},
            note="where the kernels agree: theirs is a sum over seven scales",
        ),
        Parameter(
            "gen_reg_weight",
            "l2_decoder",
            "λ = w·D",
            lambda case: case.value * case.pixels,
            f"{_SOURCE}/rae/rae_mnist.py",
            needs=("pixels",),
            when={"model": ("RAE",), "recon_loss_type": _L2, "gen_reg_type": _L2},
            note=_KERAS_KERNELS,
        ),
        Parameter(
            "gen_reg_weight",
            "l2_decoder",
            "λ = w·H·W",
            lambda case: case.value * case.area,
            f"{_SOURCE}/rae/rae_mnist.py",
            needs=("image",),
            when={"model": ("RAE",), "recon_loss_type": _NONE, "gen_reg_type": _L2},
            note=_KERAS_KERNELS,
        ),
        Parameter(
            "gen_reg_weight",
            "rae_gp",
            "λ = w·D/(2d), with rae_gp_form: sum_squares",
            lambda case: case.value * case.pixels / (2 * case.latent),
            f"{_SOURCE}/rae/loss_functions.py",
            needs=("pixels", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _L2, "gen_reg_type": ("grad_pen",)},
            note=_GRAD_PEN,
        ),
        Parameter(
            "gen_reg_weight",
            "rae_gp",
            "λ = w·H·W/(2d), with rae_gp_form: sum_squares",
            lambda case: case.value * case.area / (2 * case.latent),
            f"{_SOURCE}/rae/loss_functions.py",
            needs=("image", "latent"),
            when={"model": ("RAE",), "recon_loss_type": _NONE, "gen_reg_type": ("grad_pen",)},
            note=_GRAD_PEN,
        ),
    ),
)
CONVENTIONS = (KERAS_RAE,)


def losses() -> list[Foreign]:
    """Each loss as it is written there."""
    from torch.nn.functional import mse_loss

    def pixels(x: Tensor) -> Tensor:
        return x.view(B, H, W, C)  # as Keras holds images

    def keras_recon(w: World) -> Tensor:
        return (pixels(w.x) - pixels(w.xhat)).square().sum(-1).mean()

    return [
        Foreign("keras-rae", {"embedding_weight": "0.3"}, lambda w: mse_loss(w.xhat, w.x) + 0.3 * w.z.square().mean(dim=1).mean()),
        Foreign(
            "keras-rae",
            {"embedding_weight": "0.3", "recon_loss_type": "none"},
            lambda w: keras_recon(w) + 0.3 * w.z.square().mean(dim=1).mean(),
        ),
        Foreign(
            "keras-rae",
            {"embedding_weight": "0.3", "model": "std_vae"},
            lambda w: ((pixels(w.x) - pixels(w.xhat)).square().mean(-1).sum((1, 2)) + 0.3 * w.kl).mean(),
        ),
        Foreign("keras-rae", {"embedding_weight": "0.3", "model": "WAE"}, lambda w: mse_loss(w.xhat, w.x) + 0.3 * mmd(w)),
        Foreign(
            "keras-rae",
            {"embedding_weight": "0.3", "model": "WAE", "recon_loss_type": "none"},
            lambda w: 0.05 * (w.x - w.xhat).square().sum(1).mean() + 0.3 * mmd(w),
        ),
        Foreign("keras-rae", {"gen_reg_weight": "0.01"}, lambda w: mse_loss(w.xhat, w.x) + 0.01 * squares(w.decoder)),
        Foreign("keras-rae", {"gen_reg_weight": "0.01", "recon_loss_type": "none"}, lambda w: keras_recon(w) + 0.01 * squares(w.decoder)),
        Foreign(
            "keras-rae",
            {"gen_reg_weight": "0.01", "gen_reg_type": "grad_pen"},
            lambda w: mse_loss(w.xhat, w.x) + 0.01 * w.squared_output_slopes.square().mean(1).mean(),
        ),
        Foreign(
            "keras-rae",
            {"gen_reg_weight": "0.01", "gen_reg_type": "grad_pen", "recon_loss_type": "none"},
            lambda w: keras_recon(w) + 0.01 * w.squared_output_slopes.square().mean(1).mean(),
        ),
    ]
