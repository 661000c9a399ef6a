"""Units of other projects: each loss, computed as its project computes it, is a multiple of ours with the converted λ.

Proportional in every gradient, by one factor: that is all that a convention may promise, and it needs no published number.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, mse_loss, relu, softplus

from objectives import conventions
from objectives.conventions import CONVENTIONS, ConventionError, Size, convert, restore
from objectives.registry import load

B, H, W, C, LATENT = 6, 3, 4, 2, 5
D = H * W * C
SIZE = Size(image=(H, W, C), latent=LATENT, kernels=3, batch=B)


class World:
    """Random numbers that a loss is made of. Leaves are what a training would change."""

    def __init__(self) -> None:
        make = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=make, dtype=torch.float64)

        self.x, self.prior, self.eps, self.other = torch.sigmoid(normal(B, D)), normal(B, LATENT), normal(B, LATENT), normal(B, D)
        self.logits, self.mu, self.logvar = normal(B, D), normal(B, LATENT), 0.3 * normal(B, LATENT)
        self.kernels, self.decoder = [normal(3, 4), normal(2, 3), normal(2, 2)], [normal(4, 3), normal(2, 4)]
        self.fake, self.critic = normal(B, D), [normal(D, 7), normal(7, 1)]
        self.leaves = [self.logits, self.mu, self.logvar, *self.kernels, *self.decoder, self.fake, *self.critic]
        for leaf in self.leaves:
            leaf.requires_grad_()

    @cached_property
    def xhat(self) -> Tensor:
        return torch.sigmoid(self.logits)

    @cached_property
    def z(self) -> Tensor:
        return self.mu + self.eps * (0.5 * self.logvar).exp()

    @cached_property
    def kl(self) -> Tensor:
        """KL of each image, summed over latents."""
        return -0.5 * (1 + self.logvar - self.mu**2 - self.logvar.exp()).sum(1)

    @cached_property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mutual information, total correlation and dimension-wise KL, estimated on the batch."""

        def log_normal(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
            return -0.5 * (logvar + (z - mu) ** 2 * (-logvar).exp())

        among = log_normal(self.z[:, None], self.mu[None], self.logvar[None])
        q_zx = log_normal(self.z, self.mu, self.logvar).sum(1)
        q_z, product = among.sum(2).logsumexp(1), among.logsumexp(1).sum(1)
        p_z = log_normal(self.z, torch.zeros_like(self.z), torch.zeros_like(self.z)).sum(1)
        return (q_zx - q_z).mean(), (q_z - product).mean(), (product - p_z).mean()

    def d(self, x: Tensor) -> Tensor:
        """The critic."""
        first, second = self.critic
        return (torch.tanh(x @ first) @ second)[:, 0]

    def slopes(self, x: Tensor) -> Tensor:
        """‖∇D‖² of each image."""
        x = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(self.d(x).sum(), x, create_graph=True)
        return (grad**2).sum(1)

    def decode(self, z: Tensor) -> Tensor:
        """A small decoder of its own kernels, from three of the latents to two outputs."""
        first, second = self.decoder
        return torch.tanh(z[:, :3] @ first.mT) @ second.mT

    def output_slopes(self, of: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        """∇ Σ of(at), of each image."""
        (grad,) = torch.autograd.grad(of(at).sum(), at, create_graph=True)
        return grad

    @property
    def squared_output_slopes(self) -> Tensor:
        """∇_z Σx̂²."""
        return self.output_slopes(lambda z: self.decode(z).square(), self.z)

    @property
    def summed_output_slopes(self) -> Tensor:
        """∇_x Σx̂; a linear encoder is part of the path."""
        return self.output_slopes(lambda x: self.decode(x[:, :LATENT]), self.x.detach().requires_grad_())

    @property
    def between(self) -> Tensor:
        return 0.3 * self.x + 0.7 * self.fake


def kernel(one: Tensor, other: Tensor) -> Tensor:
    scale = 2.0 * LATENT
    return scale / (scale + ((one[:, None] - other[None]) ** 2).sum(-1))


def off_diagonal(matrix: Tensor) -> Tensor:
    return matrix.sum() - matrix.diag().sum()


def mmd(w: World) -> Tensor:
    """Unbiased MMD²."""
    own = off_diagonal(kernel(w.z, w.z)) + off_diagonal(kernel(w.prior, w.prior))
    return own / (B * (B - 1)) - 2 * kernel(w.z, w.prior).mean()


def mmd_without_diagonal(w: World) -> Tensor:
    """The same with the diagonal of the cross term left out."""
    parts = off_diagonal(kernel(w.z, w.z)) + off_diagonal(kernel(w.prior, w.prior)) - 2 * off_diagonal(kernel(w.prior, w.z))
    return parts / (B * (B - 1))


def squares(kernels: list[Tensor]) -> Tensor:
    return torch.stack([(one**2).sum() for one in kernels]).sum()


def half_sse(w: World) -> Tensor:
    return 0.5 * ((w.x - w.xhat) ** 2).sum(1).mean()


def bce(w: World) -> Tensor:
    return binary_cross_entropy(w.xhat, w.x, reduction="none").sum(1).mean()


def d_loss(w: World) -> Tensor:
    return softplus(-w.d(w.x)).mean() + softplus(w.d(w.fake)).mean()


def g_loss(w: World) -> Tensor:
    return softplus(-w.d(w.fake)).mean() + squares(w.kernels).sqrt() * 0


def adversary(w: World) -> Tensor:
    """An adversary's estimate of the total correlation."""
    return (w.z[:, 0] * w.z[:, 1] - w.z[:, 2]).mean()


def lecam(w: World) -> Tensor:
    return (relu(w.d(w.x) + 0.1) ** 2).mean() + (relu(0.2 - w.d(w.fake)) ** 2).mean()


Term = Callable[[World], Tensor]

# Our terms, unweighted.
OMEGA: dict[str, Term] = {
    "beta": lambda w: w.kl.mean(),
    "capacity": lambda w: (w.kl - 3.0).abs().mean(),
    "tc": lambda w: w.parts[1],
    "factor": adversary,
    "mmd": mmd,
    "latent_l2": lambda w: 0.5 * (w.z**2).sum(1).mean(),
    "latent_moment": lambda w: 0.5 * ((w.mu**2 + w.logvar.exp() - 1) ** 2).mean(),
    "l1": lambda w: torch.stack([one.abs().sum() for one in w.kernels]).sum(),
    "l2": lambda w: 0.5 * squares(w.kernels),
    "l2_g": lambda w: 0.5 * squares(w.kernels),
    "l2_d": lambda w: 0.5 * squares(w.critic),
    "l2_decoder": lambda w: 0.5 * squares(w.decoder),
    "l2_unsquared": lambda w: squares(w.kernels).sqrt(),
    "l2_unsquared_g": lambda w: squares(w.kernels).sqrt(),
    "l2_unsquared_d": lambda w: squares(w.critic).sqrt(),
    "r1": lambda w: 0.5 * w.slopes(w.x).mean(),
    "r2": lambda w: 0.5 * w.slopes(w.fake).mean(),
    "wgan_gp": lambda w: ((w.slopes(w.between).sqrt() - 1) ** 2).mean(),
    "dragan": lambda w: ((w.slopes(w.x + 0.1 * w.other).sqrt() - 1) ** 2).mean(),
    "max_gp": lambda w: w.slopes(w.between).max(),
    "cr": lambda w: ((w.d(w.x) - w.d(w.other)) ** 2).mean(),
    "bcr": lambda w: ((w.d(w.x) - w.d(w.other)) ** 2).mean() + ((w.d(w.fake) - w.d(w.fake + 0.1 * w.other)) ** 2).mean(),
    "zcr_d": lambda w: ((w.d(w.fake) - w.d(w.other)) ** 2).mean(),
    "zcr_g": lambda w: -((w.fake - w.other) ** 2).sum(1).mean(),
    "lecam": lecam,
    "rae_gp": lambda w: w.squared_output_slopes.square().sum(1).mean(),
    "path_length": lambda w: (((w.fake**2).sum(1).sqrt() - 1.5) ** 2).mean(),
}


@dataclass(frozen=True)
class Foreign:
    """One loss as a project writes it: `given` as typed, `loss` with the same numbers, and what stands beside the terms in ours."""

    convention: str
    given: dict[str, str]
    loss: Term
    base: Term = half_sse
    beta: float = 0.0
    terms: dict[str, Term] = field(default_factory=dict)


def tc_loss(alpha: float, beta: float, gamma: float) -> Term:
    return lambda w: alpha * w.parts[0] + beta * w.parts[1] + gamma * w.parts[2]


MC_KL: dict[str, Term] = {"beta": lambda w: torch.stack(w.parts).sum()}


def sse(w: World) -> Tensor:
    return mse_loss(w.xhat, w.x, reduction="none").sum(dim=-1)


def decay(kernels: list[Tensor], weight: float) -> Tensor:
    """The function whose gradient is what torch's coupled weight decay adds."""
    return torch.stack([(0.5 * weight * one * one).sum() for one in kernels]).sum()


def pixels(x: Tensor) -> Tensor:
    """(B, H, W, C), as Keras holds images."""
    return x.view(B, H, W, C)


def keras_recon(w: World) -> Tensor:
    return (pixels(w.x) - pixels(w.xhat)).square().sum(-1).mean()


FOREIGN = [
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
    Foreign("pythae", {"reg_weight": "9", "model": "WAE_MMD", "reconstruction_loss": "old_mse"}, lambda w: sse(w).mean() + 9 * B * mmd(w)),
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
            10.5 * mse_loss(w.xhat, w.x) + 10 * 0.1 * w.kl.mean() + (-9 + 110 - 1) / (B * (B - 1)) * (mmd_without_diagonal(w) * B * (B - 1))
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
    Foreign("studiogan", {"pl_weight": "2"}, lambda w: g_loss(w) + (OMEGA["path_length"](w) * 2), base=g_loss),
    Foreign("gan_stability", {"reg_param": "10"}, lambda w: d_loss(w) + 10 * w.slopes(w.x).mean(), base=d_loss),
    Foreign("gan_stability", {"reg_param": "10", "reg_type": "fake"}, lambda w: d_loss(w) + 10 * w.slopes(w.fake).mean(), base=d_loss),
    Foreign(
        "gan_stability",
        {"reg_param": "10", "reg_type": "wgangp"},
        lambda w: d_loss(w) + 10 * (w.slopes(w.between).sqrt() - 1.0).pow(2).mean(),
        base=d_loss,
    ),
    Foreign("torch", {"weight_decay": "0.01"}, lambda w: half_sse(w) + decay(w.kernels, 0.01)),
    Foreign("torch", {"weight_decay": "0.01", "loss": "sse"}, lambda w: sse(w).mean() + decay(w.kernels, 0.01)),
    Foreign("torch", {"weight_decay": "0.01", "loss": "mean"}, lambda w: mse_loss(w.xhat, w.x) + decay(w.kernels, 0.01)),
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
# What carries a name or a bound from one side to the other, and is no term of a loss.
RENAMED = {
    ("pythae", "C"),
    ("pytorch-vae", "max_capacity"),
    ("compare_gan", "ema_decay"),
    ("studiogan", "wc_bound"),
    ("studiogan", "g_ema_decay"),
    ("studiogan", "ada_target"),
    ("gan_stability", "model_average_beta"),
    ("torch", "p"),
    ("torch", "weight_decay"),  # decoupled: tested below
    ("s2", "dropout"),
    ("s4", "flip"),
}


def gradients(loss: Tensor, w: World) -> Tensor:
    found = torch.autograd.grad(loss, w.leaves, allow_unused=True, retain_graph=True)
    return torch.cat([(torch.zeros_like(leaf) if one is None else one).flatten() for leaf, one in zip(w.leaves, found, strict=True)])


@pytest.mark.parametrize("case", FOREIGN, ids=lambda case: f"{case.convention}-{'-'.join(f'{k}={v}' for k, v in case.given.items())}")
def test_a_foreign_loss_is_a_multiple_of_ours(case: Foreign) -> None:
    w = World()
    knobs = {one.target: one.result for one in convert(case.convention, case.given, SIZE)}
    if case.beta:
        knobs.setdefault("beta", case.beta)
    ours = case.base(w)
    for name, value in knobs.items():
        ours = ours + value * {**OMEGA, **case.terms}[name](w)
    mine, theirs = gradients(ours, w), gradients(case.loss(w), w)
    scale = (mine @ theirs) / (mine @ mine)
    assert scale > 0
    torch.testing.assert_close(theirs, scale * mine, rtol=1e-9, atol=1e-12)
    # A wrong λ must show: the term that was converted is no small part of the gradient.
    for name in knobs:
        wrong = gradients(ours + 0.1 * knobs[name] * {**OMEGA, **case.terms}[name](w), w)
        scale = (wrong @ theirs) / (wrong @ wrong)
        assert not torch.allclose(theirs, scale * wrong, rtol=1e-9, atol=1e-12), name


def test_every_parameter_with_an_equation_is_tested() -> None:
    tested = {(case.convention, name) for case in FOREIGN for name in case.given} | RENAMED
    knobs = {(one.convention, one.name, one.target) for case in FOREIGN for one in convert(case.convention, case.given, SIZE)}
    for convention in CONVENTIONS.values():
        for one in convention.parameters:
            if one.result is None:
                continue
            assert (convention.name, one.name) in tested, (convention.name, one.name)
            if (convention.name, one.name) not in RENAMED and one.check is None:
                assert (convention.name, one.name, one.knob) in knobs, (convention.name, one.name, one.knob)


def test_what_is_converted_to_is_a_knob() -> None:
    names = {name for objective in ("autoencoder", "vae", "gan") for name in load(objective).knobs}
    for convention in CONVENTIONS.values():
        assert {one.knob for one in convention.parameters if one.result is not None} <= names, convention.name


def test_settings_and_needs_of_the_table_exist() -> None:
    for convention in CONVENTIONS.values():
        choices = {one.name: set(one.choices) for one in convention.settings}
        names = {one.name for one in convention.parameters}
        assert not names & set(choices)
        for one in convention.parameters:
            assert (one.equation and one.source and one.knob) or one.result is None
            assert one.result is not None or one.note
            assert set(one.needs) <= set(conventions.NEEDS)
            assert set(one.absorbs) <= set(one.uses)
            for name, allowed in one.when.items():
                assert set(allowed) <= choices[name], (convention.name, one.name)


def test_an_equation_uses_just_what_its_parameter_declares() -> None:
    from objectives._convention import Case

    full = {"image": (H, W, C), "latent": LATENT, "kernels": 3, "batch": B}
    for convention in CONVENTIONS.values():
        usual = {one.name: next(iter(one.choices)) for one in convention.settings}
        for one in convention.parameters:
            if one.result is None:
                continue
            options = usual | {name: choices[0] for name, choices in one.when.items()} | dict.fromkeys(one.uses, 1.0)
            declared = {need: full.get(need, D) for need in one.needs}
            one.result(Case(0.5, Size(**declared), options))
            for left_out in one.needs:
                rest = {need: value for need, value in declared.items() if need != left_out}
                with pytest.raises(LookupError):
                    one.result(Case(0.5, Size(**rest), options))


@pytest.mark.parametrize(
    ("convention", "given", "size", "knob", "expected"),
    [
        # The three published numbers that everybody trips over.
        ("pytorch-vae", {"kld_weight": "0.00025"}, Size(image=(64, 64, 3)), "beta", 1.536),
        ("pytorch-vae", {"kld_weight": "0.00025"}, Size(pixels=12288), "beta", 1.536),
        ("pytorch-vae", {"beta": "10"}, Size(image=(64, 64, 3)), "beta", 15.36),
        ("keras-rae", {"embedding_weight": "1e-4"}, Size(image=(32, 32, 1), latent=16), "latent_l2", 0.0064),
        ("pythae", {"embedding_weight": "0.0128"}, Size(), "latent_l2", 0.0064),
        ("gan_stability", {"reg_param": "10"}, Size(), "r1", 20.0),
        ("compare_gan", {"lambda": "1e-2", "penalty": "l2"}, Size(kernels=5), "l2_d", 0.002),
        ("s1", {"lambda_g": "1e-4"}, Size(), "l2_g", 2e-4),
        ("s3", {"lambda": "1e-3"}, Size(image=(28, 28, 1)), "l2", 0.392),
        ("studiogan", {"wc_bound": "0.01"}, Size(), "weight_clip", 100.0),
        ("torch", {"weight_decay": "0.05", "optimizer": "adamw"}, Size(), "decoupled_wd", 0.05),
        ("torch", {"p": "0.25"}, Size(), "dropout", 0.25),
        ("s2", {"dropout": "0.2", "as": "code"}, Size(), "dropout", 0.8),
    ],
)
def test_known_numbers(convention: str, given: dict[str, str], size: Size, knob: str, expected: float) -> None:
    (found,) = convert(convention, given, size)
    assert found.target == knob
    assert found.result == pytest.approx(expected, rel=1e-12)


def test_there_and_back() -> None:
    for case in FOREIGN:
        settings = {one.name for one in CONVENTIONS[case.convention].settings}
        for one in convert(case.convention, case.given, SIZE):
            mine = next(p for p in CONVENTIONS[case.convention].parameters if p.name == one.name and p.knob == one.target)
            if mine.check is not None or mine.uses:
                continue
            given = {one.target: repr(one.result)} | {name: value for name, value in case.given.items() if name in settings}
            assert any(
                back.target == one.name and back.result == pytest.approx(one.value) for back in restore(case.convention, given, SIZE)
            ), case


def test_the_inverse_of_a_bound() -> None:
    (found,) = restore("studiogan", {"weight_clip": "100"})
    assert (found.target, found.result) == ("wc_bound", pytest.approx(0.01))


def faults(convention: str, given: dict[str, str], size: Size | None = None) -> list[str]:
    with pytest.raises(ConventionError) as caught:
        convert(convention, given, size)
    return caught.value.faults


def test_all_faults_are_told_at_once() -> None:
    found = faults("pytorch-vae", {"kld_weight": "much", "bta": "3", "model": "BetaVEA"})
    assert len(found) == 3
    for words in ("'much'", "Did you mean 'beta'?", "Did you mean 'BetaVAE'?"):
        assert sum(words in fault for fault in found) == 1, found


@pytest.mark.parametrize(
    ("convention", "given", "words"),
    [
        ("pytorch-vea", {}, ["'pytorch-vea'", "Did you mean 'pytorch-vae'?"]),
        ("pytorch-vae", {"kld_weight": "1"}, ["--image HxWxC", "averaged over the D values", "β = w·D/2"]),
        ("keras-rae", {"embedding_weight": "1"}, ["--latent N", "d latent dimensions"]),
        ("compare_gan", {"lambda": "1", "penalty": "l2"}, ["--kernels N", "mean over the kernels"]),
        ("pythae", {"reg_weight": "1", "model": "WAE_MMD", "reconstruction_loss": "old_mse"}, ["--batch N"]),
        ("pytorch-vae", {"model": "BetaVAE"}, ["must be given a parameter", "kld_weight"]),
        ("pytorch-vae", {"gamma": "6", "model": "FactorVAE"}, ["no equivalent", "within a code"]),
        ("pytorch-vae", {"reg_weight": "1", "model": "InfoVAE"}, ["alpha must be given", "Write alpha="]),
        ("pythae", {"beta": "6", "alpha": "2", "gamma": "1", "model": "BetaTCVAE"}, ["alpha must equal gamma", "alpha=2", "gamma=1"]),
        ("studiogan", {"real_lambda": "10", "fake_lambda": "5"}, ["real_lambda must equal fake_lambda", "10", "5"]),
        ("studiogan", {"wc_bound": "0"}, ["must not be 0"]),
        ("gan_stability", {"reg_param": "-1"}, ["at least 0", "-1"]),
        ("gan_stability", {"reg_param": "inf"}, ["finite", "'inf'"]),
        ("pythae", {"C": "5", "model": "BetaVAE"}, ["model=DisentangledBetaVAE", "model=BetaVAE"]),
    ],
)
def test_a_mistake_says_the_rule_and_the_remedy(convention: str, given: dict[str, str], words: list[str]) -> None:
    found = " ".join(faults(convention, given))
    for word in words:
        assert word in found, (word, found)


def test_what_was_assumed_is_said() -> None:
    (found,) = convert("pythae", {"beta": "4"})
    assert "model=BetaVAE" in found.note
    (found,) = convert("pythae", {"beta": "4", "model": "BetaVAE"})
    assert not found.note


def test_conventions_are_readable_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from objectives import conventions; conventions.entries('pythae')"
    subprocess.run([sys.executable, "-c", code], check=True)
