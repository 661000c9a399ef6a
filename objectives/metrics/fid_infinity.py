"""FID without most of its bias: a line through FIDs of fewer images each, extended to infinitely many images."""

from __future__ import annotations

from objectives.base import Metric, ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.lazy import Tensor
from objectives.metrics import fid
from objectives.metrics._estimate import Estimate, features
from objectives.metrics._subject import Subject

PARTS = 5
METRIC = Metric(
    name="val_fid_infinity",
    summary="Fréchet distance extrapolated to infinitely many generated and real images; can be negative where the two agree",
    formula="the intercept of FID_n in 1/n",
    unit="squared feature value",
    costly=True,
    source="Chong and Forsyth, arXiv 1911.07023, section 3, which extrapolates in the generated images alone",
    label="FID∞[{features}, up to n={n}]",
    better="lower",
)
NEEDS = ("samples", "features")


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """A line needs two points: half of the images must be more than the features."""
    return fid.too_few(images, extractor, 2)


def measure(subject: Subject) -> dict[str, Estimate]:
    """FID∞, where half of the images are more than the features."""
    fake, real = subject.sample_features, subject.real_features
    return {"fid_infinity": estimate(fake, real)} if min(len(fake), len(real)) // 2 > fake.shape[1] else {}


def estimate(fake: Tensor, real: Tensor) -> Estimate:
    """FID∞ of features (n, d) and (m, d), with the standard error of FID's first order (which every part of the data shares).

    Both sets are cut into k disjoint parts, k = 1 … 5, as far as each part has more images than features. FID of k parts is the mean over
    them. A least-squares line in k (that is 1/n) is extended to k = 0. Images are dealt to the parts in turn, in their order. The line
    keeps the part of the bias that falls faster than 1/n: with parts barely larger than d, a few per cent of the bias.

    Raises:
        ObjectiveError: half of the images are not more than the features.
    """
    x, y = features(fake, "FID∞: fake"), features(real, "FID∞: real")
    most = min(PARTS, (min(len(x), len(y))) // (x.shape[1] + 1))
    if most < 2:
        n, d = min(len(x), len(y)), x.shape[1]
        raise ObjectiveError(f"FID∞ needs more than twice as many images as features; got {n} images and {d} features. Use KID or MIND.")
    points = [_of_parts(x, y, k) for k in range(1, most + 1)]
    middle, mean = (most + 1) / 2, sum(points) / most
    slope = sum((k + 1 - middle) * value for k, value in enumerate(points)) / sum((k + 1 - middle) ** 2 for k in range(most))
    return Estimate(mean - slope * middle, fid.estimate(x, y).se)


def _of_parts(x: Tensor, y: Tensor, k: int) -> float:
    """Mean FID of k disjoint parts of both sets."""
    found = [fid.frechet(*fid.moments(x[i::k]), *fid.moments(y[i::k])) for i in range(k)]
    return sum(found) / k
