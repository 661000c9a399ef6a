"""Every features file, found by listing the folder: one row of finite numbers per image, the same every time, and a label that says which.

And every metric that can be asked for: of an untrained model it answers with the names that it declares, and touches nothing.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from objectives import data, features, metrics, registry
from objectives.base import ObjectiveError, Settings
from objectives.data._kinds import ImageSet
from objectives.draws import initialized
from objectives.features import Extractor, _trained
from objectives.metrics._estimate import Estimate
from objectives.metrics._subject import Subject
from objectives.registry import names
from objectives.training.built import built, options_of
from objectives.training.regularization import evaluation_net

pytestmark = pytest.mark.turns(3)

REPOSITORY = Path(__file__).parents[2]
NAMES = names("features")
READY = [name for name in NAMES if not features.module(name).faults({})]  # the others need something of the user's
FAMILIES = ["autoencoder", "gan", "vae"]


def image_set(shape: tuple[int, int, int], classes: int | None, n: int = 260) -> ImageSet:
    """Random images whose brightness depends on their class, in three splits of n, 60 and 60."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for split, size in (("train", n), ("val", 60), ("test", 60)):
        labels = torch.arange(size) % (classes or 2)
        images = torch.rand(size, *shape, generator=generator)
        found[split] = images * (labels.float()[:, None, None, None] + 1) / (classes or 2)
        if classes:
            found[f"{split}_labels"] = labels
    return ImageSet(**found, shape=shape, classes=classes, record={"name": f"random-{shape}-{classes}"})  # type: ignore[arg-type]


SETS = {
    "labelled": image_set((1, 8, 8), 3),
    "labelled_16": image_set((3, 16, 16), 3),
    "two_digits": image_set((2, 16, 16), 100),
    "colour": image_set((3, 20, 24), None),
    "points": image_set((1, 1, 2), None),
    "labelled_points": image_set((1, 1, 2), 4),
    "vector": image_set((1, 1, 40), None, n=30),
}
PAIRS = [(name, key) for name in READY for key, images in SETS.items() if features.module(name).suits(images)]


@pytest.fixture(scope="module", params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def made(request: pytest.FixtureRequest) -> tuple[str, ImageSet, Extractor]:
    name, key = request.param
    return name, SETS[key], features.make(SETS[key], None, {"name": name})


def test_facts_and_faults_need_no_torch() -> None:
    code = """
import sys
from objectives import features
from objectives.registry import names
for name in names("features"):
    found = features.module(name)
    assert found.SUMMARY and callable(found.make), name
    assert features.faults({"name": name, "no_such_option": 1}), name
assert "Did you mean 'lenet'" in features.faults({"name": "lennet"})[0]
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("name", READY)
def test_each_suits_something(name: str) -> None:
    assert any(pair[0] == name for pair in PAIRS)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("labelled", "classifier"),
        ("labelled_16", "lenet"),
        ("two_digits", "stacked"),
        ("colour", "randconv"),
        ("points", "pca"),
        ("labelled_points", "pca"),
    ],
)
def test_the_default_follows_the_data(key: str, name: str) -> None:
    assert next(one for one in features.preferred() if features.module(one).suits(SETS[key])) == name


@pytest.mark.parametrize("name", [name for name in NAMES if name not in READY])
def test_what_needs_something_of_the_user_says_what(name: str) -> None:
    assert "Write features:" in features.faults({"name": name})[0] and not any(features.module(name).suits(one) for one in SETS.values())
    with pytest.raises(ObjectiveError, match="Write features:"):
        features.make(SETS["colour"], None, {"name": name})


@pytest.mark.sampled(6)
def test_images_become_rows_of_finite_numbers(made: tuple[str, ImageSet, Extractor]) -> None:
    _, images, extractor = made
    given = images.val.clone().requires_grad_()
    found = extractor(given)
    assert found.shape == (60, extractor.dim) and found.dtype == torch.float32 and torch.isfinite(found).all() and not found.requires_grad
    assert torch.equal(found, extractor(images.val)) and torch.equal(images.val, given)
    assert float(found.square().mean()) == pytest.approx(1, abs=0.6), "KID's kernel depends on the scale of features"


@pytest.mark.sampled(6)
def test_a_row_depends_on_its_own_image_only(made: tuple[str, ImageSet, Extractor]) -> None:
    _, images, extractor = made
    found = extractor(images.val)
    apart = torch.cat([extractor(images.val[:7]), extractor(images.val[7:])])
    assert torch.allclose(found, apart, atol=1e-5)
    assert (found[:1] - found[1:]).abs().max() > 1e-3, "images that differ have features that differ"


@pytest.mark.sampled(6)
def test_the_same_features_are_made_again(made: tuple[str, ImageSet, Extractor]) -> None:
    name, images, extractor = made
    torch.manual_seed(3)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    again = features.make(images, None, {"name": name})
    assert again.label == extractor.label and again.record == extractor.record
    assert torch.equal(again(images.test), extractor(images.test))
    assert torch.equal(torch.random.get_rng_state(), before) and torch.get_num_threads() == threads


@pytest.mark.sampled(6)
def test_label_and_record_are_plain_and_say_which_features_they_are(made: tuple[str, ImageSet, Extractor]) -> None:
    _, _, extractor = made
    assert json.loads(json.dumps(extractor.record)) == extractor.record
    kind, _, hashed = extractor.label.partition("@")
    assert kind.split("-")[-1].isdigit() and extractor.record["sha256"].startswith(hashed) and len(hashed) == 8
    assert extractor.record["dim"] == extractor.dim


@pytest.mark.sampled(6)
def test_other_shapes_are_refused(made: tuple[str, ImageSet, Extractor]) -> None:
    _, images, extractor = made
    channels, height, width = images.shape
    with pytest.raises(ObjectiveError, match="features need images of shape"):
        extractor(torch.zeros(2, channels, height, width + 1))
    with pytest.raises(ObjectiveError, match="features need images of shape"):
        extractor(torch.zeros(2, channels + 1, height, width))


@pytest.mark.sampled(6)
def test_features_of_a_split_are_computed_once(made: tuple[str, ImageSet, Extractor]) -> None:
    _, images, extractor = made
    assert extractor.of_split(images, "val", 5) is extractor.of_split(images, "val", 5)
    assert torch.allclose(extractor.of_split(images, "val", 5), extractor(images.val[:5]), atol=1e-6)


@pytest.mark.sampled(6)
def test_class_scores_are_there_or_refused(made: tuple[str, ImageSet, Extractor]) -> None:
    _, images, extractor = made
    if extractor.classify is None:
        with pytest.raises(ObjectiveError, match="Choose features: classifier"):
            extractor.logits(images.val)
    else:
        assert extractor.logits(images.val).shape == (60, images.classes)
        assert torch.equal(extractor.scores(extractor(images.val)), extractor.logits(images.val))
        assert _trained.labelled(images)


# ---- metrics of an untrained model ---------------------------------------------------------------------------------------------------


def subject_of(family_name: str) -> Subject:
    """An untrained model of a family on the digits, as metrics see it."""
    family = registry.load(family_name)(Settings(dataset={"name": "digits"}, epochs=1))
    images, options = family.load_data(), options_of(family, {})  # type: ignore[attr-defined,arg-type]
    parts = initialized(0, lambda: built(family, images.shape, options))  # type: ignore[arg-type]
    tree = {part: {name: p.detach() for name, p in module.named_parameters()} for part, module in parts.items()}
    net = evaluation_net(family, parts, tree, images.shape, int(options["latent_dim"]), options)  # type: ignore[arg-type]
    return Subject(family, net, images, "val")  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    return subject_of(request.param)


@pytest.mark.sampled(6)
def test_metrics_answer_with_the_names_that_they_declare_and_touch_nothing(subject: Subject) -> None:
    asked = metrics.measurable(frozenset(subject.family.offers))
    assert {"kid", "fid"} <= set(asked)
    part = "decoder" if "decoder" in subject.net.parameters else "generator"
    kept = [*subject.net.parameters[part].values(), subject.samples, subject.real]
    copies, state = [tensor.clone() for tensor in kept], torch.random.get_rng_state()
    measured = 0
    for name in asked:
        if metrics.misfit(name, subject.images, subject.extractor):
            continue
        with torch.no_grad():
            found: dict[str, Estimate] = metrics.module(name).measure(subject)
        prefix = "" if metrics.module(name).NEEDS == ("weights",) else "val_"  # no split changes the weights
        assert {prefix + short for short in found} == {metric.name for metric in metrics.declared(name)}, name
        for short, estimate in found.items():
            assert math.isfinite(estimate.value), (name, short)
            assert estimate.se is None or 0 < estimate.se < math.inf, (name, short)
        measured += 1
    assert measured > 5
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(kept, copies, strict=True))
    assert torch.equal(torch.random.get_rng_state(), state) and torch.is_grad_enabled()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_number_that_depends_on_features_or_n_says_so_in_its_label(family: str) -> None:
    offers = frozenset(registry.load(family).offers)  # type: ignore[attr-defined]
    for name in metrics.measurable(offers):
        for metric in metrics.declared(name):
            assert ("n={n}" in metric.label) == (metrics.module(name).NEEDS != ("weights",)), metric.name
            if "features" in metrics.module(name).NEEDS:
                assert "{features}" in metric.label, metric.name


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_digits_have_every_label_that_a_full_name_needs(split: str) -> None:
    family = registry.load("gan")(Settings(dataset={"name": "digits"}, epochs=1, measure=("prdc",)))
    found = family.prepare()["labels"]
    size = len(getattr(data.load({"name": "digits"}), split))
    assert found[f"{split}_kid"].startswith("KID[mlp-32@") and found[f"{split}_kid"].endswith(f"n={size}]")
    assert found[f"{split}_fid_floor"].startswith("FID floor[mlp-32@") and f"n={size}, k=3" in found[f"{split}_recall"]
