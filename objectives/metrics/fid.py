"""Fréchet distance between two sets of features, each taken for a Gaussian."""

from __future__ import annotations

from objectives.base import Metric, ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.lazy import Tensor, double, torch
from objectives.metrics._estimate import Estimate, features
from objectives.metrics._subject import MOST, Subject

METRIC = Metric(
    name="val_fid",
    summary="Fréchet distance between generated and validation images in features; biased upward, see its floor",
    formula="‖Δμ‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½)",
    unit="squared feature value",
    decides=True,
    ends=(0.0, float("inf")),
    costly=True,
    source="Heusel et al., arXiv 1706.08500, equation 6",
    label="FID[{features}, n={n}]",
)
ALSO = (
    Metric(
        name="val_fid_floor",
        summary="What FID would show on average if the generated images were real ones: its bias at this number of images",
        formula="(1/n + 1/m)(5/4 Tr Σ + ½ Σ_ij λ_iλ_j/(λ_i + λ_j))",
        unit="squared feature value",
        costly=True,
        source="second-order expansion; on the bias: Chong and Forsyth, arXiv 1911.07023",
        label="FID floor[{features}, n={n}]",
    ),
)
NEEDS = ("samples", "features")


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """FID needs more images than features, in validation and in the test."""
    return too_few(images, extractor, 1)


def too_few(images: ImageSet, extractor: Extractor | None, times: int) -> str:
    """The fault where a split has no more images than `times` the number of features; else an empty string."""
    n = min(min(MOST[split], len(getattr(images, split))) for split in ("val", "test"))
    dim = 0 if extractor is None else extractor.dim
    if n > times * dim:
        return ""
    many = f"{times} × {dim}" if times > 1 else str(dim)
    rule = f"FID needs more images than {'twice as many ' if times > 1 else ''}features, or a covariance is singular"
    return f"{rule}; got {n} images and {many} features. Choose val_kid or val_mind, features of fewer dimensions, or more images."


def measure(subject: Subject) -> dict[str, Estimate]:
    """FID and its floor, where there are more images than features. Else nothing: a covariance would be singular."""
    fake, real = subject.sample_features, subject.real_features
    if min(len(fake), len(real)) <= fake.shape[1]:
        return {}
    return {"fid": estimate(fake, real), "fid_floor": Estimate(floor(moments(real)[1], len(fake), len(real)))}


def estimate(fake: Tensor, real: Tensor) -> Estimate:
    """FID of features (n, d) and (m, d), and its standard error over images.

    The error is of first order: what one more image would change. It says how far repeated draws scatter where the sets differ. All draws
    share a bias, `floor`. Where the sets agree, the bias is larger than the error.

    Raises:
        ObjectiveError: there are not more images than features, so a covariance would be singular.
    """
    (mean_1, cov_1), (mean_2, cov_2) = moments(fake, "fake"), moments(real, "real")
    value = frechet(mean_1, cov_1, mean_2, cov_2)
    parts = [(fake, mean_1, cov_1, mean_2, cov_2), (real, mean_2, cov_2, mean_1, cov_1)]
    squares = [float(_influence(double(x.detach()), *rest).var(correction=1)) / len(x) for x, *rest in parts]
    return Estimate(value, sum(squares) ** 0.5)


def _influence(x: Tensor, mean: Tensor, cov: Tensor, other_mean: Tensor, other_cov: Tensor) -> Tensor:
    """How each image of x (n, d) moves FID: 2(μ₁ − μ₂)·(x − μ₁) + (x − μ₁)ᵀ(I − T)(x − μ₁), up to a constant.

    T = Σ₁^−½ (Σ₁^½ Σ₂ Σ₁^½)^½ Σ₁^−½ is the map that takes one Gaussian to the other; directions without variance play no part.
    """
    values, vectors = torch.linalg.eigh(cov)
    kept = values > values[-1].clamp(min=0) * len(values) * torch.finfo(values.dtype).eps
    inverse = torch.where(kept, values.clamp(min=torch.finfo(values.dtype).tiny).rsqrt(), 0.0)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    inner, axes = torch.linalg.eigh(root @ other_cov @ root)
    narrow = (vectors * inverse @ vectors.T) @ axes * inner.clamp(min=0).pow(0.25)
    centred = x - mean
    moved = (centred @ narrow).square().sum(1)  # (x − μ₁)ᵀ T (x − μ₁)
    influence: Tensor = 2 * centred @ (mean - other_mean) + centred.square().sum(1) - moved
    return influence


def moments(x: Tensor, name: str = "x") -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d), in float64."""
    x = features(x, f"FID: {name}")
    n, d = x.shape
    if n <= d:
        raise ObjectiveError(
            f"FID needs more images than features; got {n} {name} images and {d} features. Use KID or MIND, or more images."
        )
    return x.mean(0), x.T.cov()


def frechet(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """Fréchet distance of two Gaussians; Tr (Σ₁Σ₂)^½ from the eigenvalues of the symmetric √Σ₁ Σ₂ √Σ₁."""
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
    values = torch.linalg.eigvalsh(double(cov)).clamp(min=torch.finfo(torch.float64).tiny)
    pairs = (values[:, None] * values / (values[:, None] + values)).sum()
    return float((1 / n + 1 / m) * (1.25 * values.sum() + 0.5 * pairs))
