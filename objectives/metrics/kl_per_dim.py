"""Where a VAE's rate goes: the KL of each latent, and how many latents share it."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor
from objectives.metrics import kl
from objectives.metrics._estimate import Estimate, mean
from objectives.metrics._subject import Subject

METRIC = Metric(
    name="val_effective_dims",
    summary="How many latents share the KL: as many equal ones would have the same entropy of shares; 0 where there is no KL",
    formula="exp(−Σ_j p_j log p_j), p_j = KL_j / Σ KL",
    unit="latents",
    source="Shannon entropy of the rate spectrum; spectrum: Burda et al., arXiv 1509.00519, section 5",
    label="effective latents[n={n}]",
)
ALSO = (
    Metric(
        "val_kl_max_nats",
        "KL of the latent that says most, averaged over validation images",
        "max_j E_x KL_j",
        "nats per image",
        label="largest KL of a latent[n={n}]",
    ),
)
NEEDS = ("posterior",)
NOTHING = 1e-12  # nats: below this, shares are shares of rounding errors


def measure(subject: Subject) -> dict[str, Estimate]:
    """Effective dimensions, and the largest KL of a latent."""
    mu, log_var = subject.posterior
    return {"effective_dims": estimate(mu, log_var), "kl_max_nats": largest(mu, log_var)}


def curve(mu: Tensor, log_var: Tensor) -> Tensor:
    """The rate spectrum: KL of each latent averaged over images, largest first, in float64: (n, z) each -> (z,)."""
    return kl.gaussian(mu, log_var).mean(0).sort(descending=True).values


def estimate(mu: Tensor, log_var: Tensor) -> Estimate:
    """Effective dimensions of posteriors (n, z) each, with the jackknife's standard error over images."""
    nats = kl.gaussian(mu, log_var)
    n, total = len(nats), nats.sum(0)
    if n < 3:
        return Estimate(float(_effective(total[None])), None)
    without = _effective(total - nats)  # (n,)
    return Estimate(float(_effective(total[None])), float((n - 1) * without.var(correction=0)) ** 0.5)


def largest(mu: Tensor, log_var: Tensor) -> Estimate:
    """The mean KL of the latent that has the largest one, from posteriors (n, z) each."""
    nats = kl.gaussian(mu, log_var)
    return mean(nats[:, int(nats.mean(0).argmax())])


def _effective(sums: Tensor) -> Tensor:
    """exp of the entropy of each row's shares: (m, z) -> (m,)."""
    total = sums.sum(1, keepdim=True)
    shares = sums.clamp(min=0) / total.clamp(min=NOTHING)
    entropy = -(shares * shares.clamp(min=1e-300).log()).sum(1)
    return entropy.exp() * (total[:, 0] > NOTHING)
