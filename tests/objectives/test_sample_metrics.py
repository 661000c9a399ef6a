"""What is known beforehand of the metrics of samples: closed forms, definitions written out, other libraries, and errors that hold."""

from __future__ import annotations

import dataclasses
import importlib
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives import base, data, registry
from objectives.base import Config, Member, ObjectiveError, Settings
from objectives.metrics import cas, class_histogram, fid, fid_infinity, kid, mind, modes, prdc
from objectives.metrics._estimate import Estimate

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def differing(seed: int) -> tuple[Tensor, Tensor]:
    return 1.3 * normal(200, 4, seed=2 * seed) + 0.4, normal(200, 4, seed=2 * seed + 1)


class Fake:
    """A subject with given samples and features, for metrics that look at no model."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)


# ---- errors ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("metric", "repeats"), [(fid, 200), (fid_infinity, 150), (mind, 40)])
def test_the_standard_error_says_how_far_repeated_samples_scatter(metric: Any, repeats: int) -> None:
    """Sets that differ in their spread alone, so that the error is that of covariances."""
    scale = torch.tensor([2.0, 1.5, 0.6, 1.0]).double()
    found = [metric.estimate(scale * normal(200, 4, seed=2 * seed), normal(200, 4, seed=2 * seed + 1)) for seed in range(repeats)]
    values = torch.tensor([one.value for one in found]).double()
    mean_square = sum(one.se**2 for one in found) / repeats
    assert 0.65 < mean_square / float(values.var()) < 1.7


def test_the_error_of_precision_is_too_wide_rather_than_too_narrow() -> None:
    found = [prdc.estimate(*differing(seed)) for seed in range(30)]
    values = torch.tensor([one.value for one in found]).double()
    mean_square = sum((one.se or 0) ** 2 for one in found) / 30
    assert 0.8 < mean_square / float(values.var()) < 5


# ---- FID ---------------------------------------------------------------------------------------------------------------------------


def test_fid_at_infinity_loses_the_bias() -> None:
    """N(0.4, 1.3²) against N(0, 1) in 4 dimensions: 4 (0.4² + 0.3²) = 1 exactly; and 0 where they agree."""
    pairs = [differing(seed) for seed in range(60)]
    plain = sum(fid.estimate(*pair).value for pair in pairs) / 60
    infinite = torch.tensor([fid_infinity.estimate(*pair).value for pair in pairs]).double()
    se = float(infinite.std()) / 60**0.5
    assert abs(float(infinite.mean()) - 1) < 3 * se + 0.01
    same = [(normal(300, 8, seed=900 + 2 * s), normal(300, 8, seed=901 + 2 * s)) for s in range(20)]
    assert sum(fid.estimate(*pair).value for pair in same) / 20 > 0.15 and plain > 1
    assert abs(sum(fid_infinity.estimate(*pair).value for pair in same) / 20) < 0.02


def test_fid_at_infinity_needs_two_points_of_a_line() -> None:
    with pytest.raises(ObjectiveError, match="twice as many images as features; got 9 images and 5 features"):
        fid_infinity.estimate(normal(9, 5), normal(50, 5))


def test_a_feature_that_never_moves_leaves_fid_and_its_error_finite() -> None:
    x, y = (torch.cat([part, torch.zeros(len(part), 2).double()], 1) for part in differing(0))
    plain = fid.estimate(*differing(0))
    found = fid.estimate(x, y)
    assert found.value == pytest.approx(plain.value, rel=1e-9) and found.se == pytest.approx(plain.se, rel=1e-6)


# ---- MIND --------------------------------------------------------------------------------------------------------------------------


def test_mind_is_its_definition() -> None:
    x, y = normal(30, 3), 1.2 * normal(30, 3, seed=1) + 0.2
    along = mind._directions(3)
    assert along.shape == (1000, 3) and torch.allclose(along.norm(dim=1), torch.ones(1000).double())
    exact = 9 * sum(float(((x @ d).sort().values - (y @ d).sort().values).square().mean()) for d in along) / 1000
    assert mind.estimate(x, y).value == pytest.approx(exact, rel=1e-10)
    assert mind.estimate(x, x[torch.randperm(30)]).value == pytest.approx(0, abs=1e-12)


def test_mind_of_a_shift_is_three_times_its_square() -> None:
    """E (δ·θ)² = ‖δ‖²/d over the sphere; in one dimension there is but one direction."""
    x = normal(50, 1)
    assert mind.estimate(x + 0.7, x).value == pytest.approx(3 * 0.7**2, rel=1e-10)
    y = normal(50, 10)
    assert mind.estimate(y + 0.7, y).value == pytest.approx(3 * 10 * 0.7**2, rel=0.15)


def test_mind_of_unequal_numbers_is_that_of_every_point_repeated() -> None:
    """6 and 4 equal weights couple like 12 and 12."""
    x, y = normal(6, 2), normal(4, 2, seed=1)
    assert mind.estimate(x, y).value == pytest.approx(mind.estimate(x.repeat(2, 1), y.repeat(3, 1)).value, rel=1e-10)


# ---- precision, recall, density, coverage ------------------------------------------------------------------------------------------


def by_definition(fake: Tensor, real: Tensor, k: int, k_dc: int) -> dict[str, float]:
    """Every ball and every image in turn, from differences instead of products."""
    across = torch.cdist(fake, real, compute_mode="donot_use_mm_for_euclid_dist")

    def radii(x: Tensor, k: int) -> Tensor:
        return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values[:, k]

    return {
        "precision": float((across <= radii(real, k)).any(1).double().mean()),
        "recall": float((across <= radii(fake, k)[:, None]).any(0).double().mean()),
        "density": float((across <= radii(real, k_dc)).sum(1).double().mean() / k_dc),
        "coverage": float((across <= radii(real, k_dc)).any(0).double().mean()),
    }


@pytest.mark.parametrize(("n", "m", "chunk"), [(150, 90, 1000), (70, 131, 32), (20, 30, 7)])
def test_prdc_is_its_definition(n: int, m: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prdc, "CHUNK", chunk)
    fake, real = 1.1 * normal(n, 5) + 0.3, normal(m, 5, seed=1)
    found = prdc.compare(fake, real)
    assert {name: float(shares[0]) for name, shares in found.items()} == pytest.approx(by_definition(fake, real, 3, 5), abs=1e-12)


def test_leaving_a_tenth_out_is_computing_without_it() -> None:
    fake, real = 1.1 * normal(100, 5) + 0.3, normal(80, 5, seed=1)
    found = prdc.compare(fake, real)
    for g in range(10):
        x, y = (part[torch.arange(len(part)) % 10 != g] for part in (fake, real))
        assert {name: float(shares[1 + g]) for name, shares in found.items()} == pytest.approx(by_definition(x, y, 3, 5), abs=1e-12)


def test_identical_sets_are_on_each_others_manifolds() -> None:
    """With `<` in place of `<=` a set of duplicates would score 0 against itself."""
    x = normal(40, 64)
    for one in (x, x[:4].repeat(10, 1)):
        found = prdc.compare(one, one)
        assert [float(found[name][0]) for name in ("precision", "recall", "coverage")] == [1, 1, 1]


def test_collapse_is_low_recall_and_noise_is_low_precision() -> None:
    real = normal(400, 8)
    collapsed, noise = real[:1] + 0.01 * normal(400, 8, seed=1), 4 * normal(400, 8, seed=2)
    a, b = prdc.compare(collapsed, real), prdc.compare(noise, real)
    assert a["precision"][0] == 1 and a["recall"][0] < 0.05 and a["coverage"][0] < 0.2
    assert b["precision"][0] < 0.1 and b["recall"][0] > 0.9


def test_prdc_refuses_too_few_images() -> None:
    with pytest.raises(ObjectiveError, match="more than 5 images; got 5 fake and 40 real"):
        prdc.estimate(normal(5, 2), normal(40, 2))


def test_parity_with_torch_fidelity_on_shared_features() -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_prc", reason="torch-fidelity is not installed")
    fake, real = 1.2 * normal(300, 16) + 0.1, normal(300, 16, seed=1)
    precision, recall = theirs.calculate_precision_recall_full(fake, real)
    found = prdc.compare(fake, real)
    assert (float(found["precision"][0]), float(found["recall"][0])) == pytest.approx((precision, recall), rel=1e-6)
    kids = importlib.import_module("torch_fidelity.metric_kid")
    fids = importlib.import_module("torch_fidelity.metric_fid")
    expected = fids.fid_statistics_to_metric(fids.fid_features_to_statistics(fake), fids.fid_features_to_statistics(real), False)
    assert fid.estimate(fake, real).value == pytest.approx(float(next(iter(expected.values()))), rel=1e-6)
    options = {
        "kid_subsets": 1,
        "kid_subset_size": 300,
        "kid_degree": 3,
        "kid_gamma": None,
        "kid_coef0": 1,
        "rng_seed": 0,
        "verbose": False,
    }
    expected = kids.kid_features_to_metric(fake, real, **options)
    assert kid.estimate(fake, real).value == pytest.approx(float(next(iter(expected.values()))), rel=1e-6)


def test_density_and_coverage_of_equal_distributions_have_closed_forms() -> None:
    """A sample lies in a ball with probability k/n, so density is 1 on average; a real image is not covered if its k nearest of the 2n − 1
    others are all real, Π (n − i)/(2n − i)."""
    n, k = 100, 5
    found = [prdc.compare(normal(n, 3, seed=2 * s), normal(n, 3, seed=2 * s + 1), k_dc=k, groups=0) for s in range(150)]
    uncovered = math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    for name, exact in (("density", 1.0), ("coverage", 1 - uncovered)):
        values = torch.tensor([float(one[name][0]) for one in found]).double()
        assert abs(float(values.mean()) - exact) < 3.5 * float(values.std()) / 150**0.5


@pytest.mark.slow
def test_prdc_has_the_published_values() -> None:
    """N(0, I) in 1,000 dimensions, 10,000 images each, k = 5, as the README of `prdc` prints them for one draw.

    In so many dimensions a few images are neighbours of many, so density scatters around its mean of 1 by several per cent between draws.
    """
    found = prdc.compare(normal(10_000, 1000), normal(10_000, 1000, seed=1), k=5, groups=0)
    published = {"precision": (0.4772, 0.03), "recall": (0.4705, 0.03), "density": (1.0555, 0.12), "coverage": (0.9735, 0.01)}
    for name, (value, scatter) in published.items():
        assert float(found[name][0]) == pytest.approx(value, abs=scatter), name


# ---- classes -----------------------------------------------------------------------------------------------------------------------


def scores_of(classes: Tensor, count: int) -> Tensor:
    return torch.nn.functional.one_hot(classes, count).double()


def test_class_shares_by_hand() -> None:
    """Generated 3/4 and 1/4 of two of four classes, real ones a quarter each."""
    labels = torch.arange(4).repeat(10)
    scores = scores_of(torch.tensor([0, 0, 0, 1]).repeat(5), 4)
    extractor = Fake(scores=lambda features: features)
    subject: Any = Fake(images=Fake(train_labels=labels), extractor=extractor, sample_features=scores)
    found = {name: estimate.value for name, estimate in class_histogram.measure(subject).items()}
    assert found == pytest.approx(
        {"class_tv": 0.5, "class_chi2": 4 * (0.25 + 2 * 0.0625), "class_reverse_kl": 0.75 * math.log(3), "classes_found": 2}
    )


def test_total_variation_has_the_error_of_repeated_samples() -> None:
    p = torch.tensor([0.5, 0.3, 0.15, 0.05]).double()
    labels = torch.arange(4).repeat_interleave((p * 400).long())
    generator = torch.Generator().manual_seed(0)
    draws = [torch.multinomial(p.flip(0), 200, replacement=True, generator=generator) for _ in range(300)]
    found = [class_histogram.estimate(scores_of(one, 4), labels) for one in draws]
    values = torch.tensor([one.value for one in found]).double()
    real_part = 0.25 * (1 - float(((p.flip(0) - p).sign() * p).sum()) ** 2) / 400  # the labels do not vary here
    mean_square = sum((one.se or 0) ** 2 for one in found) / 300 - real_part
    assert mean_square == pytest.approx(float(values.var()), rel=0.25)


# ---- modes -------------------------------------------------------------------------------------------------------------------------


def mixture(points: Tensor, centres: list[list[float]], std: float) -> dict[str, Estimate]:
    images = Fake(record={"modes": {"centers": centres, "std": std}})
    return modes.measure(Fake(images=images, samples=points.view(len(points), 1, 1, 2)))  # type: ignore[arg-type]


def test_modes_of_the_mixture_itself() -> None:
    """All are found, 1 − e^−4.5 of the samples are near one, and the reverse KL is that of counting, (K − 1)/2n."""
    centres = [[math.cos(a), math.sin(a)] for a in torch.arange(8).mul(math.pi / 4).tolist()]
    index = torch.randint(8, (20_000,), generator=torch.Generator().manual_seed(0))
    found = mixture(torch.tensor(centres).double()[index] + 0.02 * normal(20_000, 2), centres, 0.02)
    assert found["modes_found"].value == 8
    assert abs(found["high_quality"].value - (1 - math.exp(-4.5))) < 4 * (found["high_quality"].se or 0)
    assert 0 <= found["modes_reverse_kl"].value < 2e-3


def test_modes_of_a_collapse_and_of_noise() -> None:
    centres = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    one = mixture(0.01 * normal(500, 2), centres, 0.05)
    assert (one["modes_found"].value, one["high_quality"].value) == (1, 1)
    assert one["modes_reverse_kl"].value == pytest.approx(math.log(4))
    far = mixture(torch.full((50, 2), 0.5).double() + 0.01 * normal(50, 2), centres, 0.05)
    assert (far["modes_found"].value, far["high_quality"].value) == (0, 0)


# ---- the gain from generated images ------------------------------------------------------------------------------------------------


def test_real_images_teach_a_classifier_and_noise_does_not() -> None:
    images = data.load({"name": "digits"})
    noise = torch.rand(360, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for samples in (images.train[-360:], noise):
        known = {"labels": lambda _: images.val_labels, "labelled": lambda _, of: of}
        subject: Any = Fake(images=images, samples=samples, real=images.val, split="val", **known)
        found.append(cas.measure(subject))
    good, bad = found
    assert good["few_accuracy"] == bad["few_accuracy"] and 0.75 < good["few_accuracy"].value < 0.95
    assert good["generated_gain"].value > 0 and good["generated_gain"].value > bad["generated_gain"].value + 2 * (
        bad["generated_gain"].se or 0
    )


# ---- what does not apply is said before training -----------------------------------------------------------------------------------


def settings(dataset: Config, **given: Any) -> Settings:
    return Settings(dataset=dataset, epochs=1, **given)


@pytest.mark.parametrize(
    ("objective", "dataset", "measure", "message"),
    [
        ("gan", {"name": "digits"}, "modes", "'modes': modes are known for two-dimensional mixtures; got 'digits'"),
        ("gan", {"name": "digits", "train_size": 40}, "cas", "needs 10 training images of every class; one has"),
        ("gan", {"name": "digits", "train_size": 3}, "class_histogram", "must have every class"),
        ("autoencoder", {"name": "noisy_linear"}, "class_histogram", "'noisy_linear' has no labels"),
        ("autoencoder", {"name": "noisy_linear"}, "cas", "'noisy_linear' has no labels"),
    ],
)
def test_a_metric_that_does_not_apply_is_refused_in_prepare(objective: str, dataset: Config, measure: str, message: str) -> None:
    cheap: dict[str, Any] = {} if measure == "class_histogram" else {"features": {"name": "randconv"}}
    with pytest.raises(ObjectiveError, match=message):
        registry.load(objective)(settings(dataset, measure=(measure,), **cheap)).prepare()


def test_classes_of_samples_need_the_features_of_a_classifier() -> None:
    family = registry.load("gan")(settings({"name": "digits"}, features={"name": "randconv"}, measure=("class_histogram",)))
    with pytest.raises(ObjectiveError, match="need features: classifier; got randconv-64@"):
        family.prepare()


def few_images(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Digits with n validation images."""
    from objectives.families import _family

    images = data.load({"name": "digits"})
    small = dataclasses.replace(images, val=images.val[:n], val_labels=images.val_labels[:n])  # type: ignore[index]
    monkeypatch.setattr(_family, "loaded", lambda *_: small)
    _family.extractor.cache_clear()


def test_fid_of_too_few_images_is_refused_where_it_was_asked_for_and_left_out_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    few_images(monkeypatch, 30)
    gan = registry.load("gan")
    for asked in ({"metric": "val_fid"}, {"measure": ("fid",)}):
        with pytest.raises(ObjectiveError, match=r"got 30 images and 32 features\. Choose val_kid or val_mind"):
            gan(settings({"name": "digits"}, **asked)).prepare()
    family = gan(settings({"name": "digits"}))
    assert "30 images and 32 features" in family.prepare()["not_measured"]["fid"]
    run = family.start([Member(1, {}, 0)])
    (report,) = run.step()
    assert report.state is base.State.COMPLETE and "val_kid_se" in report.metrics and "val_fid" not in report.metrics
    few_images(monkeypatch, 60)
    assert "not_measured" not in gan(settings({"name": "digits"}, metric="val_fid")).prepare()
    with pytest.raises(ObjectiveError, match="twice as many features"):
        gan(settings({"name": "digits"}, measure=("fid_infinity",))).prepare()


@pytest.mark.parametrize("metric", ["val_fid", "val_mind", "val_kid"])
def test_each_that_can_decide_is_the_score(metric: str) -> None:
    family = registry.load("gan")(settings({"name": "digits"}, metric=metric))
    (report,) = family.start([Member(1, {}, 0)]).step()
    assert report.score == report.metrics[metric] and report.score > 0


def test_names_that_need_features_are_not_filled_in_without_them() -> None:
    """An autoencoder that compares nothing trains no classifier, and claims no label."""
    plain = registry.load("autoencoder")(settings({"name": "digits"})).prepare()
    assert "features" not in plain and not any("KID" in label for label in plain["labels"].values())
    asked = registry.load("autoencoder")(settings({"name": "digits"}, measure=("kid",))).prepare()
    assert asked["labels"]["val_kid"] == f"KID[{asked['features']['label']}, n=360]"
