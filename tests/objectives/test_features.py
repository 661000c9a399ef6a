"""The classifier whose features score generated images: accurate, the same every time, cached once, and able to tell bad images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from objectives import data
from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor, _trained, inception, lenet, pca, randconv
from objectives.features import classifier as classifiers
from objectives.metrics import kid
from tests.contracts.test_data import options_of

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]


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


def test_the_cache_is_read_and_a_damaged_one_is_replaced(digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifiers, "SMALL", dataclasses.replace(classifiers.SMALL, epochs=1))
    extractor, written = (classifiers.make(digits, cache, {}) for cache in (None, tmp_path))
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".safetensors" and written.record == extractor.record
    content = path.read_bytes()
    for damaged in (content[:100], content[:-4] + b"\0\0\0\0", b""):
        path.write_bytes(damaged)
        assert classifiers.make(digits, tmp_path, {}).record == extractor.record
        assert path.read_bytes() != damaged and list(tmp_path.iterdir()) == [path]

    def fail(*_: object) -> Extractor:
        raise AssertionError("trained although cached")

    monkeypatch.setattr(_trained, "trained", fail)
    cached = classifiers.make(digits, tmp_path, {})
    assert cached.record == extractor.record and torch.equal(cached(digits.val), extractor(digits.val))
    other = dataclasses.replace(digits, record={**digits.record, "source_sha256": "of other data"})
    with pytest.raises(AssertionError, match="although cached"):
        classifiers.make(other, tmp_path, {})


def test_fewer_training_images_do_not_change_the_features(extractor: Extractor) -> None:
    assert classifiers.make(data.load({"name": "digits", "train_size": 20}), None, {}).record == extractor.record


def test_a_recipe_has_its_images_whatever_the_train_size(digits: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both would be cached under one name, and a number in the one be compared with a number in the other."""
    asked: list[Any] = []
    monkeypatch.setattr(data, "train_size_of", lambda options: 50_000)
    monkeypatch.setattr(data, "load", lambda options: asked.append(options.get("train_size")) or digits)
    few = dataclasses.replace(digits, record={**digits.record, "name": "mnist", "options": {"train_size": 100}})
    for recipe in (lenet.RECIPE, classifiers.LARGE):
        _trained.trained(few, dataclasses.replace(recipe, kind="mlp", epochs=1))
    assert asked == [None, 20_000] and (lenet.RECIPE.most_images, classifiers.LARGE.most_images) == (50_000, 20_000)


def test_kid_in_these_features_finds_bad_images_and_no_fault_with_real_ones(digits: ImageSet, extractor: Extractor) -> None:
    real = extractor(digits.val)

    def score(images: torch.Tensor) -> float:
        found = kid.estimate(extractor(images), real)
        assert found.se is not None
        return found.value / found.se

    # The real ones are the same for every classifier; over 12 of them −1.3 with a standard deviation of 0.3.
    assert abs(score(digits.test)) < 3
    assert score(torch.nn.functional.avg_pool2d(digits.test, 3, stride=1, padding=1)) > 5
    assert score(digits.test[digits.test_labels == 3].repeat(5, 1, 1, 1)) > 5
    assert score(torch.rand(360, 1, 8, 8, generator=torch.Generator().manual_seed(0))) > 5


def test_what_cannot_be_classified_is_refused(extractor: Extractor) -> None:
    with pytest.raises(ObjectiveError, match="'noisy_linear', which has no labels"):
        classifiers.make(data.load({"name": "noisy_linear"}), None, {})
    with pytest.raises(ObjectiveError, match=r"images of shape \(n, 1, 8, 8\)"):
        extractor(torch.zeros(3, 1, 28, 28))


@pytest.mark.slow
def test_large_images_get_a_convolutional_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """On 2,000 images, to be quick; the whole recipe is a test below."""
    monkeypatch.setattr(classifiers, "LARGE", dataclasses.replace(classifiers.LARGE, most_images=2000))
    images = data.load(options_of("mnist"))
    found = classifiers.make(images, None, {})
    assert found.record["val_accuracy"] > 0.9 and found(images.val[:5]).shape == (5, 64)


def test_lenet_has_the_published_layers() -> None:
    network = _trained._network((1, 28, 28), 10, lenet.RECIPE)
    sizes = [tuple(p.shape) for p in network.parameters() if p.ndim > 1]
    assert sizes == [(32, 1, 5, 5), (64, 32, 5, 5), (512, 1024), (10, 512)]
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10) and _trained._network((3, 16, 16), 7, lenet.RECIPE)(
        torch.zeros(1, 3, 16, 16)
    ).shape == (1, 7)
    with pytest.raises(ObjectiveError, match=r"at least 16 pixels a side; got 8×8\. Choose features: classifier"):
        lenet.make(data.load({"name": "digits"}), None, {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "accuracy"), [("mnist", 0.96), ("fashion_mnist", 0.78)])
def test_lenet_learns_from_a_tenth_of_its_recipe(name: str, accuracy: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it promises, it promises of the whole recipe: below."""
    monkeypatch.setattr(lenet, "RECIPE", dataclasses.replace(lenet.RECIPE, most_images=5000))
    found = lenet.make(data.load(options_of(name)), None, {})
    assert found.label.startswith("lenet-512@") and found.record["val_accuracy"] > accuracy


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize(("name", "accuracy"), [("mnist", 0.98), ("fashion_mnist", 0.86)])
def test_the_whole_recipe_for_large_images(name: str, accuracy: float) -> None:
    assert classifiers.make(data.load(options_of(name)), None, {}).record["val_accuracy"] > accuracy


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize(("name", "accuracy"), [("mnist", 0.99), ("fashion_mnist", 0.88)])
def test_the_whole_recipe_of_lenet(name: str, accuracy: float) -> None:
    images = data.load(options_of(name))
    found = lenet.make(images, None, {})
    right = found.logits(images.test).argmax(1) == images.test_labels
    assert found.label.startswith("lenet-512@") and float(right.double().mean()) >= accuracy


# ---- features without labels -------------------------------------------------------------------------------------------------------


def image_set(x: torch.Tensor) -> ImageSet:
    return ImageSet(train=x, val=x[:50], test=x[50:100], shape=tuple(x.shape[1:]), record={"name": "made"})  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [500, 15])
def test_principal_components_are_those_of_the_singular_value_decomposition(n: int) -> None:
    """Of more pixels than images as of fewer: the same variances, uncorrelated features, and as many as there can be."""
    x = torch.randn(n, 1, 1, 20, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.2, 3, 20)
    found = pca.make(image_set(x), None, {})
    assert found.dim == min(20, n - 1)
    flat = x.flatten(1).double()
    variances = torch.linalg.svdvals(flat - flat.mean(0)).square()[: found.dim] / n
    z = found(x).double()
    assert torch.allclose(z.mean(0), torch.zeros(found.dim).double(), atol=1e-5)
    assert torch.allclose(z.T @ z / n, torch.diag(variances / variances.mean()), atol=1e-4)
    assert found.record["explained_variance"] == pytest.approx(1, abs=1e-6)


def test_sixty_four_components_at_most_and_none_of_dependent_pixels() -> None:
    wide = torch.rand(200, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    assert pca.make(image_set(wide), None, {}).dim == 64
    assert pca.make(image_set(wide[:, :, :3, :1].repeat(1, 1, 1, 5)), None, {}).dim == 3


def test_random_features_are_standardized_and_know_nothing_of_the_labels(digits: ImageSet) -> None:
    found = randconv.make(digits, None, {})
    z = found(digits.train).double()
    assert torch.allclose(z.mean(0), torch.zeros(64).double(), atol=1e-4) and torch.allclose(z.std(0), torch.ones(64).double(), atol=1e-2)
    assert found.label == randconv.make(dataclasses.replace(digits, train_labels=None, val_labels=None), None, {}).label
    assert found.label == randconv.make(data.load({"name": "digits", "train_size": 20}), None, {}).label


@pytest.mark.parametrize("features", [pca, randconv])
def test_features_without_labels_find_bad_images_too(digits: ImageSet, features: ModuleType) -> None:
    extractor = features.make(digits, None, {})
    real = extractor(digits.val)
    blurred = torch.nn.functional.avg_pool2d(digits.test, 3, stride=1, padding=1)
    scores = [
        kid.estimate(extractor(images), real) for images in (digits.test, blurred, digits.test[digits.test_labels == 3].repeat(9, 1, 1, 1))
    ]
    assert abs(scores[0].value) < 3 * (scores[0].se or 0)
    assert all(score.value > 5 * (score.se or 0) for score in scores[1:])


# ---- Inception ---------------------------------------------------------------------------------------------------------------------


def gray() -> ImageSet:
    return image_set(torch.rand(100, 1, 32, 32, generator=torch.Generator().manual_seed(0)))


def inception_state(classes: int) -> dict[str, torch.Tensor]:
    """Random weights of the architecture, scaled so that activations neither die nor explode."""
    from torchvision.models.inception import Inception3

    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Inception3(classes, aux_logits=False, init_weights=False).state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros(shape, dtype=torch.long)
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = torch.ones(shape)
        else:
            fan = shape[1:].numel() if len(shape) > 1 else 1e4
            state[name] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
    return state


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv.weight": torch.zeros(2)}, r"it lacks \d+ of \d+ tensors: Conv2d_1a_3x3.conv.weight"),
        ({"fc.weight": torch.zeros(10, 2048)}, "its last layer has 10 classes"),
        ([torch.zeros(2)], "it holds list"),
        ("not a file of tensors", "it cannot be read|not plain tensors"),
    ],
)
def test_weights_of_something_else_are_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, str):
        path.write_text(content)
    else:
        torch.save(content, path)
    with pytest.raises(ObjectiveError, match=f"weights must be a state_dict of Inception-v3.*{message}"):
        inception.make(gray(), None, {"weights": str(path)})


def test_weights_that_are_missing_or_would_execute_code_are_refused(tmp_path: Path) -> None:
    assert "there is none at" in inception.faults({"weights": str(tmp_path / "none.pth")})[0]
    assert len(inception.faults({"weight": 1})) == 2
    torch.save({"state_dict": Path("x")}, tmp_path / "code.pth")
    (tmp_path / "torn.safetensors").write_bytes(b"1234")
    for name in ("code.pth", "torn.safetensors"):
        with pytest.raises(ObjectiveError, match="weights must be a state_dict"):
            inception.make(gray(), None, {"weights": str(tmp_path / name)})
    with pytest.raises(ObjectiveError, match="gray or colour images; got 2 channels"):
        inception.make(image_set(torch.rand(100, 2, 32, 32)), None, {"weights": str(tmp_path / "code.pth")})


@pytest.mark.slow
def test_inception_in_torchvisions_layout_is_torchvisions_network(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision.models.inception import Inception3

    state = inception_state(1000)
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "w.pth")
    found = inception.make(gray(), None, {"weights": str(tmp_path / "w.safetensors")})
    assert found.label.startswith("inception-torchvision-2048@") and found.dim == 2048
    assert found.label == inception.make(gray(), None, {"weights": str(tmp_path / "w.pth")}).label
    theirs = Inception3(1000, aux_logits=False, init_weights=False).eval()
    theirs.load_state_dict(state)
    theirs.fc = torch.nn.Identity()  # type: ignore[assignment]
    x = gray().val[:3]
    with torch.no_grad():
        resized = torch.nn.functional.interpolate(x, (299, 299), mode="bilinear").repeat(1, 3, 1, 1)
        expected = theirs(2 * resized - 1)
    assert torch.allclose(found(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())) and float(expected.std(0).max()) > 0
    with pytest.raises(ObjectiveError, match=r"1 tensors have another shape: Conv2d_1a_3x3\.conv\.weight"):
        torch.save({**state, "Conv2d_1a_3x3.conv.weight": torch.zeros(32, 1, 3, 3)}, tmp_path / "w.pth")
        inception.make(gray(), None, {"weights": str(tmp_path / "w.pth")})


@pytest.mark.slow
def test_inception_in_the_layout_of_fid_weights_is_torch_fidelitys_network(tmp_path: Path) -> None:
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity is not installed")
    torch.save(inception_state(1008), tmp_path / "w.pth")
    found = inception.make(image_set(torch.rand(100, 3, 299, 299)), None, {"weights": str(tmp_path / "w.pth")})
    assert found.label.startswith("inception-fid-2048@")
    network = theirs.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(tmp_path / "w.pth"))
    pixels = torch.randint(256, (3, 3, 299, 299), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(pixels)[0]
    assert torch.allclose(found(pixels / 255), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
