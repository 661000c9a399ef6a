"""Metrics of codes, posteriors and likelihoods against closed forms, other libraries and themselves on a trained model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives import data, registry, terms
from objectives.base import Member, ObjectiveError, Phase, Settings
from objectives.families import _importance
from objectives.metrics import (
    anomaly,
    bce,
    bits_per_dim,
    clustering,
    diversity,
    kl,
    kl_per_dim,
    knn_probe,
    linear_probe,
    mutual_information,
    output_spread,
)
from objectives.metrics._codes import standardized
from objectives.metrics._estimate import Estimate
from objectives.metrics._subject import Subject
from objectives.training.loop import TrainingRun
from tests.objectives.over_seeds import lowest

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pack(name: str, epochs: int, config: dict[str, Any], seeds: int, **options: Any) -> TrainingRun:
    """Members of as many seeds, trained to their end."""
    family: Any = registry.load(name)
    settings = Settings(**{"dataset": {"name": "digits"}, "epochs": epochs, **options})
    run: TrainingRun = family(settings).start([Member(seed, config, seed, Phase.CONFIRM) for seed in range(seeds)])
    for _ in range(epochs):
        reports = run.step()
    assert all(report.score is not None for report in reports), reports[0].traceback
    return run


def trained(name: str, epochs: int, config: dict[str, Any] | None = None, **options: Any) -> TrainingRun:
    return pack(name, epochs, {"lr": 3e-3, **(config or {})}, 1, **options)


def subject_of(run: TrainingRun) -> Subject:
    return Subject(run.family, run.regularization.plain(run.ended[0]), run.images, "val")


# Bits -------------------------------------------------------------------------------------------------------------------------------------


def test_gray_levels_are_those_of_the_data() -> None:
    assert bits_per_dim.gray_levels(data.load({"name": "digits"}).val) == 17
    assert bits_per_dim.gray_levels(torch.arange(256).float() / 255) == 256
    assert bits_per_dim.gray_levels(torch.tensor([0.0, 1.0])) == 2 == bits_per_dim.gray_levels(torch.zeros(3))
    for wrong in (torch.rand(1000, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.12345])):
        with pytest.raises(ObjectiveError, match="at most 256 gray levels"):
            bits_per_dim.gray_levels(wrong)


def test_a_density_of_dequantized_pixels_bounds_the_bits_of_a_code() -> None:
    """A pixel of two values with the exact dequantized density needs its entropy; the uniform density costs log₂ L."""
    x = (torch.rand(4000, 6, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    y = bits_per_dim.dequantized(x, 2, torch.rand(x.shape, generator=torch.Generator().manual_seed(1)).double())
    assert torch.equal((y * 2).floor(), x) and 0 <= float(y.min()) <= float(y.max()) < 1
    density = torch.where(y < 0.5, 2 * 0.8, 2 * 0.2)
    exact = -(0.8 * math.log2(0.8) + 0.2 * math.log2(0.2))
    assert bits_per_dim.estimate(-density.log().sum(1), 6, 2).value == pytest.approx(exact, abs=0.01)
    assert bits_per_dim.estimate(torch.zeros(5), 6, 256) == Estimate(8.0, 0.0)


def test_bits_of_a_bernoulli_are_its_nats_and_those_of_a_density_are_not_beaten_by_counting() -> None:
    run = trained("vae", 1, measure=("bits_per_dim",))
    found = run.family.finish(subject_of(run).net, run.images, [])
    measured = bits_per_dim.measure(subject_of(run))["bits_per_dim"]
    assert measured.value == pytest.approx(found["val_nll_nats"] / (64 * math.log(2)), rel=1e-9)
    dense = trained("vae", 2, {"optimal_sigma": 1}, likelihood="gaussian")
    assert 0 < bits_per_dim.measure(subject_of(dense))["bits_per_dim"].value < 1.05 * math.log2(17)


def test_bits_of_what_are_no_gray_levels_are_refused_before_training() -> None:
    family: Any = registry.load("vae")
    settings = Settings({"name": "noisy_linear", "n_train": 64}, 1, likelihood="gaussian", measure=("bits_per_dim",))
    with pytest.raises(ObjectiveError, match="at most 256 gray levels"):
        family(settings).prepare()


# Posteriors -------------------------------------------------------------------------------------------------------------------------------


def posteriors(n: int, scales: list[float]) -> tuple[Tensor, Tensor]:
    """A linear model of unit Gaussian latents: q(z|x) = N(ρε, 1 − ρ²), whose mean over x is the prior; I = −½ log(1 − ρ²) for each."""
    rho = torch.tensor(scales).double()
    return normal(n, len(scales)) * rho, (1 - rho**2).log().expand(n, -1)


def test_effective_dimensions_count_equal_latents() -> None:
    mu, log_var = torch.tensor([1.0, -1.0]).double().repeat(20)[:, None] * torch.tensor([1.0, 1, 1, 0]).double(), torch.zeros(40, 4)
    assert kl_per_dim.estimate(mu, log_var).value == pytest.approx(3)
    assert kl_per_dim.curve(mu, log_var).tolist() == [0.5, 0.5, 0.5, 0]
    assert kl_per_dim.largest(mu, log_var) == Estimate(0.5, 0.0)
    assert kl_per_dim.estimate(mu[:, :1], log_var[:, :1]).value == 1 and kl_per_dim.estimate(0 * mu, log_var).value == 0


def test_the_error_of_effective_dimensions_is_the_jackknife() -> None:
    mu, log_var = normal(12, 3), normal(12, 3, seed=1)
    without = torch.tensor([kl_per_dim.estimate(*(torch.cat([x[:i], x[i + 1 :]]) for x in (mu, log_var))).value for i in range(12)])
    assert kl_per_dim.estimate(mu, log_var).se == pytest.approx(math.sqrt(11 * float(without.double().var(correction=0))), rel=1e-5)


def test_mutual_information_is_that_of_gaussians_and_never_more_than_log_n() -> None:
    mu, log_var = posteriors(2000, [0.8, 0.5, 0.0])
    found = mutual_information.estimate(mu, log_var, normal(2000, 3, seed=5))
    exact = -0.5 * (math.log(1 - 0.64) + math.log(1 - 0.25))
    assert found.se is not None and found.value == pytest.approx(exact, abs=0.05)
    rate = kl.estimate(kl.gaussian(mu, log_var)).value
    assert rate - found.value == pytest.approx(0, abs=0.05), "the mean of these posteriors is the prior"
    apart = mutual_information.estimate(100 * torch.arange(50)[:, None].double(), torch.zeros(50, 1), normal(50, 1))
    assert apart.value == pytest.approx(math.log(50), abs=1e-9)
    assert mutual_information.estimate(torch.zeros(50, 2), torch.zeros(50, 2), normal(50, 2)).value == pytest.approx(0, abs=1e-9)


def test_mutual_information_by_its_definition() -> None:
    mu, log_var, noise = normal(7, 2), normal(7, 2, seed=1), normal(7, 2, seed=2)
    z = mu + (0.5 * log_var).exp() * noise
    log_q = torch.distributions.Normal(mu, (0.5 * log_var).exp()).log_prob(z[:, None]).sum(-1)  # type: ignore[no-untyped-call]
    expected = log_q.diagonal() - log_q.exp().mean(1).log()
    torch.testing.assert_close(mutual_information.per_code(mu, log_var, noise), expected, rtol=1e-9, atol=1e-9)


def test_fewer_images_bias_it_downward() -> None:
    mu, log_var = posteriors(2000, [0.999, 0.999])
    few, many = (mutual_information.estimate(mu[:n], log_var[:n], normal(n, 2, seed=5)).value for n in (50, 2000))
    assert few < math.log(50) < many < -math.log(1 - 0.999**2)


# Probes -----------------------------------------------------------------------------------------------------------------------------------


def clusters(n: int, gap: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Codes of three classes at the corners of a triangle, in two of four latents; the third is noise, the fourth dead."""
    labels = torch.arange(n) % 3
    corners = torch.tensor([[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]]).double()
    codes = torch.cat([gap * corners[labels] + normal(n, 2, seed=seed), normal(n, 1, seed=seed + 1), torch.full((n, 1), 0.3)], 1)
    return codes, labels


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_a_probe_knows_what_codes_know(probe: Any) -> None:
    train, labels = clusters(600, 8.0)
    codes, truth = clusters(300, 8.0, seed=7)
    assert torch.equal(probe.predicted(*([train, labels]), codes), truth)
    shuffled = labels[torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    wrong = (probe.predicted(*standardized(train)[:1], shuffled, standardized(train, codes)[1]) != truth).double()
    assert float(wrong.mean()) == pytest.approx(2 / 3, abs=0.1)
    found = probe.estimate(wrong)
    p, n = found.value, len(wrong)
    assert found.se == pytest.approx(math.sqrt(p * (1 - p) / (n - 1)))


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_the_scale_of_latents_is_no_matter(probe: Any) -> None:
    """Nor are dead latents, nor is it whether all are dead."""
    train, labels = clusters(300, 2.0)
    codes, _ = clusters(90, 2.0, seed=7)
    scale = torch.tensor([1e3, 1e-3, 1.0, 5.0]).double()
    found = [
        probe.predicted(standardized(a, b)[0], labels, standardized(a, b)[1]) for a, b in ((train, codes), (train * scale, codes * scale))
    ]
    assert torch.equal(*found) and standardized(train)[0].shape == (300, 3)
    dead = [torch.ones(300, 2), torch.ones(90, 2)]
    assert len(probe.predicted(*standardized(dead[0]), labels, standardized(*dead)[1])) == 90


def test_neighbours_and_clusters_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import normalized_mutual_info_score
    from sklearn.neighbors import KNeighborsClassifier

    train, labels = clusters(200, 1.5)
    codes, truth = clusters(90, 1.5, seed=7)
    theirs = KNeighborsClassifier(5).fit(train.numpy(), labels.numpy()).predict(codes.numpy())
    assert knn_probe.predicted(train, labels, codes).tolist() == theirs.tolist()
    other = torch.arange(90) % 4
    expected = normalized_mutual_info_score(truth.numpy(), other.numpy())
    assert clustering.estimate(other, truth).value == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_clusters_find_classes_that_lie_apart() -> None:
    codes, labels = clusters(300, 8.0)
    assert clustering.estimate(clustering.clusters(codes[:, :2], 3), labels).value == pytest.approx(1)
    assert clustering.estimate(labels, torch.zeros(300)).value == 0
    assert len(torch.unique(clustering.clusters(torch.ones(9, 1), 3))) == 1


def test_a_trained_code_is_better_than_a_fresh_one() -> None:
    """On digits, of the same network, over seeds; on the test split, too."""
    found: dict[str, list[dict[str, Estimate]]] = {}
    for name, epochs, lr in (("learnt", 8, 3e-3), ("fresh", 1, 1e-9)):
        run = pack("autoencoder", epochs, {"lr": lr}, 4)
        nets = [run.regularization.plain(run.ended[number]) for number in range(4)]
        with torch.no_grad():
            seen = [Subject(run.family, net, run.images, "val") for net in nets]
            found[name] = [{**linear_probe.measure(one), **knn_probe.measure(one), **clustering.measure(one)} for one in seen]
            on_test = [knn_probe.measure(Subject(run.family, net, run.images, "test"))["knn_error"].value for net in nets]
            assert name == "fresh" or lowest([0.1 - one for one in on_test]) > 0
    for key, sign in (("probe_error", -1), ("knn_error", -1), ("nmi", 1)):
        pairs = [(learnt[key].value, fresh[key].value) for learnt, fresh in zip(found["learnt"], found["fresh"], strict=True)]
        assert lowest([sign * (learnt - fresh) for learnt, fresh in pairs]) > 0, (key, pairs)
        assert key == "nmi" or lowest([0.1 - learnt for learnt, _ in pairs]) > 0, (key, pairs)


# Anomalies --------------------------------------------------------------------------------------------------------------------------------


def test_the_area_is_that_of_scikit_learn_ties_counting_half() -> None:
    from sklearn.metrics import roc_auc_score

    known, novel = normal(80).round(decimals=1), normal(60, seed=1).round(decimals=1) + 0.5
    truth = torch.cat([torch.zeros(80), torch.ones(60)])
    expected = roc_auc_score(truth.numpy(), torch.cat([known, novel]).numpy())
    assert 1 - anomaly.estimate(known, novel).value == pytest.approx(expected, rel=1e-12)
    assert anomaly.estimate(torch.zeros(5), torch.ones(4)) == Estimate(0.0, 0.0)
    assert anomaly.estimate(torch.zeros(5), torch.zeros(4)).value == 0.5


def test_its_error_says_how_far_repeated_samples_scatter() -> None:
    found = [anomaly.estimate(normal(60, seed=2 * s), normal(40, seed=2 * s + 1) + 1) for s in range(300)]
    values = torch.tensor([one.value for one in found]).double()
    assert sum((one.se or 0) ** 2 for one in found) / 300 == pytest.approx(float(values.var()), rel=0.2)


def test_an_autoencoder_finds_a_class_strange_that_it_has_not_seen() -> None:
    run = trained("autoencoder", 6, dataset={"name": "digits", "hold_out": 0}, measure=("anomaly",))
    assert (run.images.train_labels != 0).all() and run.images.val_novel is not None and len(run.images.val_novel) > 20
    with torch.no_grad():
        found = anomaly.measure(subject_of(run))
    assert found["anomaly_error"].value < 0.25 and found["anomaly_auroc"].value == 1 - found["anomaly_error"].value


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_an_image_is_as_strange_whatever_stands_behind_it(name: str) -> None:
    run = trained(name, 1, {"packing": 2} if name == "gan" else {})
    subject = subject_of(run)
    with torch.no_grad():
        torch.testing.assert_close(subject.anomaly(run.images.val[:48])[:16], subject.anomaly(run.images.val[:16]), rtol=1e-4, atol=1e-4)


def test_without_a_class_held_out_it_is_refused_before_training() -> None:
    family: Any = registry.load("autoencoder")
    with pytest.raises(ObjectiveError, match="add hold_out: CLASS"):
        family(Settings({"name": "digits"}, 1, measure=("anomaly",))).prepare()


# Reconstructions and samples --------------------------------------------------------------------------------------------------------------


def test_cross_entropy_is_torchs_and_its_least_is_above_zero() -> None:
    x, guess = torch.rand(5, 7).double(), 0.1 + 0.8 * torch.rand(5, 7).double()
    expected = torch.nn.functional.binary_cross_entropy(guess, x, reduction="none").sum(1).mean()
    assert bce.estimate(guess, x).value == pytest.approx(float(expected))
    assert bce.estimate(x.clamp(0.01, 0.99), x.clamp(0.01, 0.99)).value > 0.5
    assert math.isfinite(bce.estimate(torch.tensor([[-3.0, 5.0]]), torch.tensor([[1.0, 0.0]])).value)


def test_spread_and_diversity_are_ratios_of_variance() -> None:
    x = normal(400, 5)
    assert output_spread.estimate(0.5 * x + 3, x).value == pytest.approx(0.25)
    assert output_spread.estimate(torch.ones(400, 5), x).value == 0
    assert diversity.estimate(3 * x, x).value == pytest.approx(9) and diversity.estimate(torch.ones(9, 5), x).value == 0
    found = [diversity.estimate(2 * normal(60, 4, seed=2 * s), normal(60, 4, seed=2 * s + 1)) for s in range(300)]
    values = torch.tensor([one.value for one in found]).double()
    assert sum((one.se or 0) ** 2 for one in found) / 300 == pytest.approx(float(values.var()), rel=0.3)


# Large splits -----------------------------------------------------------------------------------------------------------------------------


def test_a_split_evaluated_in_parts_is_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same draws, so the same numbers; and the rate spectrum adds up to the KL that is reported."""
    run = trained("vae", 1)
    subject = subject_of(run)
    with torch.no_grad():
        whole = run.family.test(subject.net, run.images)
        spectrum = kl_per_dim.curve(*subject.posterior)
        assert float(spectrum.sum()) == pytest.approx(float(run.family.evaluate(subject.net, run.images)["val_kl_nats"]), rel=1e-5)
        monkeypatch.setattr(terms, "AT_ONCE", 37)
        monkeypatch.setattr(_importance, "DECODED", 64 * 1000)
        parts = run.family.test(subject.net, run.images)
        assert parts == pytest.approx(whole, rel=1e-5)
        assert float((kl_per_dim.curve(*subject_of(run).posterior) - spectrum).abs().max()) < 1e-6
