"""Maximum mean discrepancy between codes and the prior: WAE-MMD for an autoencoder, InfoVAE for a VAE.

    λ·MMD²(q(z), N(0, I)),        k(a, b) = Σ_s C_s/(C_s + ‖a − b‖²),        C_s = 2·d·s,   s ∈ {.1, .2, .5, 1, 2, 5, 10}

d is the latent size. Unbiased: pairs of a code with itself are left out, so the value may be slightly negative. z is the code of an
autoencoder, one sample of q(z|x) for a VAE. On a VAE with β fixed to 0 this is the WAE with random encoders.

Source: Tolstikhin et al. 2018 (λ = 10 for MNIST, kernel and scales of its code); Zhao et al. 2017 (InfoVAE, λ = 1000). 5 % (B² distances).
Conversions, where the kernels agree: beside a squared error SSE (WAE, pythae's WAE) λ is half; beside a mean over D pixels it is w·D/2.
Pitfalls: the value depends on the kernel and on the batch size; with seven scales MMD² lies below 14, so λ must be large to be felt
beside nats.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="mmd",
    summary="weight of the maximum mean discrepancy between codes and prior",
    formula="λ·MMD²(q(z), N(0, I)), inverse multiquadratic kernel",
    unit="nats per squared discrepancy",
    default=0.0,
    low=1e-2,
    high=1e3,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="5 %",
    source="Tolstikhin et al. 2018 (WAE-MMD); Zhao et al. 2017 (InfoVAE)",
)
ON = ("autoencoder", "vae")
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def penalty(terms: Terms) -> Tensor:
    """MMD² between the batch of codes and as many draws from the prior."""
    z = terms.values["latent"]
    return discrepancy(z, terms.context.draws.normal(z.shape, "mmd"))


def discrepancy(z: Tensor, prior: Tensor) -> Tensor:
    """The unbiased estimate of MMD² from two samples (B, d) of one size."""
    n = len(z)
    within = _kernels(z, z) + _kernels(prior, prior) - 2 * n * len(SCALES)  # k(a, a) = number of scales
    return within / (n * max(n - 1, 1)) - 2 * _kernels(z, prior) / n**2


def _kernels(a: Tensor, b: Tensor) -> Tensor:
    """Σ_ij k(a_i, b_j)."""
    sizes = 2 * a.shape[-1] * torch.tensor(SCALES, dtype=a.dtype, device=a.device)[:, None, None]
    squared = a.square().sum(-1)[:, None] + b.square().sum(-1) - 2 * a @ b.mT
    return (sizes / (sizes + squared)).sum()


def examples() -> list[Example]:
    """Pair by pair, and samples that are, or are not, from the prior."""

    def found(z: Tensor) -> Tensor:
        return penalty(Terms(zero(), {"latent": z}, context=context()))

    def pairwise(z: Tensor) -> float:
        """The definition, without a matrix."""
        prior = context().draws.normal(z.shape, "mmd")

        def k(a: Tensor, b: Tensor) -> float:
            distance = float((a - b) @ (a - b))
            return sum(2 * 3 * s / (2 * 3 * s + distance) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))

        others = [(i, j) for i in range(4) for j in range(4) if i != j]
        within = sum(k(z[i], z[j]) + k(prior[i], prior[j]) for i, j in others) / 12
        return within - 2 * sum(k(a, b) for a in z for b in prior) / 16

    point = torch.zeros(1500, 2).double()
    radius = -2 * torch.linspace(0.0005, 0.9995, 1000).double().log()  # ‖z‖² of N(0, I₂), by its quantiles
    to_prior = sum(float((4 * s / (4 * s + radius)).mean()) for s in SCALES)  # E k(0, z)
    within_prior = sum(float((4 * s / (4 * s + 2 * radius)).mean()) for s in SCALES)  # z − z' ~ N(0, 2I)
    return [
        Example("pair by pair", found, (numbers(4, 3),), pairwise(numbers(4, 3))),
        Example("codes from the prior: 0", found, (numbers(1500, 2),), 0.0, atol=0.02, smooth=False),
        Example("all codes 0: by quadrature", found, (point,), 7 + within_prior - 2 * to_prior, rtol=0.05, smooth=False),
    ]


def effect() -> Effect:
    """Codes nearer to the prior."""

    def measure(trained: Trained) -> float:
        with torch.no_grad():
            z = trained.net("encoder", trained.images.val.flatten(1))
            return float(discrepancy(z, numbers(*z.shape).to(z)))

    return Effect("autoencoder", {"mmd": 100.0}, measure, False, least=0.5, epochs=8)
