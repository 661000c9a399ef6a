"""Random numbers for losses, our terms computed on them, and code that several projects share. Foreign losses are compared with these
terms.

A convention's file gives its losses as functions of a `World` (see `Foreign` in `_parameters.py`). Nothing here is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from objectives.conventions._parameters import Size
from objectives.lazy import Tensor, functional, torch

B, H, W, C, LATENT = 6, 3, 4, 2, 5
D = H * W * C
SIZE = Size(image=(H, W, C), latent=LATENT, kernels=3, batch=B)


class World:
    """Random numbers on which a loss is computed. The leaves are the tensors that a training would change."""

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
        """Reconstructions, (B, D)."""
        return torch.sigmoid(self.logits)

    @cached_property
    def z(self) -> Tensor:
        """Codes, drawn from N(mu, exp(logvar)): (B, LATENT)."""
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
        """The critic: logits (B,) of images (B, D)."""
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
        """Points on the lines from generated to real images."""
        return 0.3 * self.x + 0.7 * self.fake


def kernel(one: Tensor, other: Tensor) -> Tensor:
    """An inverse multiquadratic kernel of every pair of rows."""
    scale = 2.0 * LATENT
    return scale / (scale + ((one[:, None] - other[None]) ** 2).sum(-1))


def off_diagonal(matrix: Tensor) -> Tensor:
    """The sum of what is not on the diagonal."""
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
    """Σ ‖W‖²."""
    return torch.stack([(one**2).sum() for one in kernels]).sum()


def half_sse(w: World) -> Tensor:
    """½SSE, averaged over the batch."""
    return 0.5 * ((w.x - w.xhat) ** 2).sum(1).mean()


def bce(w: World) -> Tensor:
    """Cross-entropy, summed over pixels and averaged over the batch."""
    return functional.binary_cross_entropy(w.xhat, w.x, reduction="none").sum(1).mean()


def d_loss(w: World) -> Tensor:
    """The discriminator's loss in the non-saturating game."""
    return functional.softplus(-w.d(w.x)).mean() + functional.softplus(w.d(w.fake)).mean()


def g_loss(w: World) -> Tensor:
    """The generator's."""
    return functional.softplus(-w.d(w.fake)).mean()


def adversary(w: World) -> Tensor:
    """An adversary's estimate of the total correlation."""
    return (w.z[:, 0] * w.z[:, 1] - w.z[:, 2]).mean()


def lecam(w: World) -> Tensor:
    """LeCam, with anchors −0.1 and 0.2."""
    return (functional.relu(w.d(w.x) + 0.1) ** 2).mean() + (functional.relu(0.2 - w.d(w.fake)) ** 2).mean()


Term = Callable[[World], Tensor]

# Our terms, unweighted, by the knob that weighs each. A file whose project computes a term in another way says so in `Foreign.terms`.
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


def tc_loss(alpha: float, beta: float, gamma: float) -> Term:
    """α·MI + β·TC + γ·dimKL."""
    return lambda w: alpha * w.parts[0] + beta * w.parts[1] + gamma * w.parts[2]


# The KL as the sum of its three parts, for projects that estimate the parts on the batch.
MC_KL: dict[str, Term] = {"beta": lambda w: torch.stack(w.parts).sum()}


def sse(w: World) -> Tensor:
    """SSE of each image, (B,)."""
    return functional.mse_loss(w.xhat, w.x, reduction="none").sum(dim=-1)


def decay(kernels: list[Tensor], weight: float) -> Tensor:
    """The function whose gradient torch's coupled weight decay adds."""
    return torch.stack([(0.5 * weight * one * one).sum() for one in kernels]).sum()
