"""The classifier whose features score generated images: accurate, the same every time, cached once, and able to tell bad images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from objectives import data
from objectives.base import ObjectiveError
from objectives.data import ImageSet
from objectives.features import Extractor
from objectives.features import classifier as classifiers
from objectives.metrics import kid
from tests.contracts.test_data import options_of


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return data.load({"name": "digits"})


@pytest.fixture(scope="module")
def extractor(digits: ImageSet) -> Extractor:
    return classifiers.make(digits, None, {})


def test_the_digits_classifier_is_good_and_says_so(digits: ImageSet, extractor: Extractor) -> None:
    right = extractor.logits(digits.val).argmax(1) == digits.val_labels
    assert extractor.record["val_accuracy"] == pytest.approx(float(right.double().mean())) and right.double().mean() >= 0.95
    assert (extractor.logits(digits.test).argmax(1) == digits.test_labels).double().mean() >= 0.93
    assert extractor.dim <= 32 and len(extractor.record["sha256"]) == 64


def test_features_are_scaled_alive_and_without_gradients(digits: ImageSet, extractor: Extractor) -> None:
    found = extractor(digits.train.clone().requires_grad_())
    assert found.shape == (1077, extractor.dim) and not found.requires_grad
    assert float(found.square().mean()) == pytest.approx(1, rel=1e-4)
    assert (found.var(0) > 1e-4).all()


def test_training_again_gives_the_same_weights_and_leaves_the_global_seed_alone(digits: ImageSet, extractor: Extractor) -> None:
    torch.manual_seed(7)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    again = classifiers.make(digits, None, {})
    assert again.record == extractor.record
    assert torch.equal(torch.random.get_rng_state(), before) and torch.get_num_threads() == threads


def test_the_cache_is_read_and_a_damaged_one_is_replaced(
    digits: ImageSet, extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = classifiers.make(digits, tmp_path, {})
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".safetensors" and written.record == extractor.record
    content = path.read_bytes()
    for damaged in (content[:100], content[:-4] + b"\0\0\0\0", b""):
        path.write_bytes(damaged)
        assert classifiers.make(digits, tmp_path, {}).record == extractor.record
        assert path.read_bytes() != damaged and list(tmp_path.iterdir()) == [path]

    def fail(*_: object) -> Extractor:
        raise AssertionError("trained although cached")

    monkeypatch.setattr(classifiers, "_trained", fail)
    cached = classifiers.make(digits, tmp_path, {})
    assert cached.record == extractor.record and torch.equal(cached(digits.val), extractor(digits.val))
    other = dataclasses.replace(digits, record={**digits.record, "source_sha256": "of other data"})
    with pytest.raises(AssertionError, match="although cached"):
        classifiers.make(other, tmp_path, {})


def test_fewer_training_images_do_not_change_the_features(extractor: Extractor) -> None:
    assert classifiers.make(data.load({"name": "digits", "train_size": 20}), None, {}).record == extractor.record


def test_kid_in_these_features_finds_bad_images_and_no_fault_with_real_ones(digits: ImageSet, extractor: Extractor) -> None:
    real = extractor(digits.val)

    def score(images: torch.Tensor) -> float:
        found = kid.estimate(extractor(images), real)
        assert found.se is not None
        return found.value / found.se

    assert abs(score(digits.test)) < 2
    assert score(torch.nn.functional.avg_pool2d(digits.test, 3, stride=1, padding=1)) > 5
    assert score(digits.test[digits.test_labels == 3].repeat(5, 1, 1, 1)) > 5
    assert score(torch.rand(360, 1, 8, 8, generator=torch.Generator().manual_seed(0))) > 5


def test_what_cannot_be_classified_is_refused(extractor: Extractor) -> None:
    with pytest.raises(ObjectiveError, match="'noisy_linear', which has no labels"):
        classifiers.make(data.load({"name": "noisy_linear"}), None, {})
    with pytest.raises(ObjectiveError, match=r"images of shape \(n, 1, 8, 8\)"):
        extractor(torch.zeros(3, 1, 28, 28))


def test_large_images_get_a_convolutional_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """On 2,000 images, to be quick; the whole recipe is the slow test below."""
    monkeypatch.setattr(classifiers, "LARGE", dataclasses.replace(classifiers.LARGE, most_images=2000))
    images = data.load(options_of("mnist"))
    found = classifiers.make(images, None, {})
    assert found.record["val_accuracy"] > 0.9 and found(images.val[:5]).shape == (5, 64)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "accuracy"), [("mnist", 0.98), ("fashion_mnist", 0.86)])
def test_the_whole_recipe_for_large_images(name: str, accuracy: float) -> None:
    assert classifiers.make(data.load(options_of(name)), None, {}).record["val_accuracy"] > accuracy
