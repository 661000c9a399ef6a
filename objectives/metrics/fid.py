"""Fréchet distance between two sets of features, each taken for a Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.base import Metric, ObjectiveError
from objectives.metrics._estimate import Estimate, features

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.subject import Subject

METRIC = Metric(
    name="val_fid",
    summary="Fréchet distance between generated and validation images in features of a small classifier; biased upward, see its floor",
    formula="‖Δμ‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½)",
    unit="squared feature value",
    costly=True,
    source="Heusel et al., arXiv 1706.08500, equation 6",
    label="FID[{features}, n={n}]",
)
NEEDS = ("samples",)


def measure(subject: Subject) -> dict[str, Estimate]:
    """FID, where there are more images than features; it says nothing where a covariance would be singular."""
    fake, real = subject.sample_features, subject.real_features
    return {"fid": estimate(fake, real)} if min(len(fake), len(real)) > fake.shape[1] else {}


def estimate(fake: Tensor, real: Tensor) -> Estimate:
    """FID of features (n, d) and (m, d). Bias, not variance, is its error (`floor`), so it carries no standard error.

    Raises:
        ObjectiveError: there are not more images than features, so a covariance would be singular.
    """
    (mean_1, cov_1), (mean_2, cov_2) = moments(fake, "fake"), moments(real, "real")
    return Estimate(frechet(mean_1, cov_1, mean_2, cov_2))


def moments(x: Tensor, name: str = "x") -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d), in float64."""
    x = features(x, f"FID: {name}")
    n, d = x.shape
    if n <= d:
        raise ObjectiveError(f"FID needs more images than features; got {n} {name} images and {d} features. Use KID, or more images.")
    return x.mean(0), x.T.cov()


def frechet(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """Fréchet distance of two Gaussians; Tr (Σ₁Σ₂)^½ from the eigenvalues of the symmetric √Σ₁ Σ₂ √Σ₁."""
    import torch

    values, vectors = torch.linalg.eigh(cov_1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ cov_2 @ root
    cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    return float(((mean_1 - mean_2) ** 2).sum() + cov_1.trace() + cov_2.trace() - 2 * cross)


def floor(cov: Tensor, n: int, m: int) -> float:
    """What FID shows, on average, when both sets of n and m images come from one Gaussian of covariance `cov` (d, d).

    (1/n + 1/m) (5/4 Tr Σ + ½ Σ_ij λ_iλ_j/(λ_i + λ_j)), which is about ½d²/n at unit covariance and n = m. Derivation, to second order:
    the mean adds Tr Σ; an error D of a covariance adds ½ Σ_ij D_ij²/(λ_i + λ_j) in the eigenbasis, where E D_ij² = λ_iλ_j (i ≠ j) or
    2λ_i² (i = j). A difference between two FIDs below this is no difference unless n and m agree.
    """
    import torch

    values = torch.linalg.eigvalsh(cov.double()).clamp(min=torch.finfo(torch.float64).tiny)
    pairs = (values[:, None] * values / (values[:, None] + values)).sum()
    return float((1 / n + 1 / m) * (1.25 * values.sum() + 0.5 * pairs))
