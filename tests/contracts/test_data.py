"""Every data set, found by listing the folder: fixed disjoint splits, hashes, and faults that can be read without torch."""

from __future__ import annotations

import dataclasses
import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from objectives import data
from objectives.base import ObjectiveError, names
from objectives.data import SPLITS, ImageSet, _idx, noisy_linear
from objectives.metrics import half_sse

REPOSITORY = Path(__file__).parents[2]
ROOT = Path(os.environ.get("LAGRANGE_DATA") or REPOSITORY.parent / "shared" / "data")
NAMES = names("dataset")


def options_of(name: str, **options: Any) -> dict[str, Any]:
    """Options that load `name` here; skips the test where the data set's files are not at hand."""
    chosen = {"name": name, **options}
    if data.module(name).DATASET.needs_root:
        chosen["root"] = str(ROOT)
        if data.check(chosen):
            pytest.skip(f"{name} is not under {ROOT}; set LAGRANGE_DATA to its folder")
    return chosen


def load(name: str, **options: Any) -> ImageSet:
    return data.load(options_of(name, **options))


@pytest.fixture(scope="module", params=NAMES)
def images(request: pytest.FixtureRequest) -> ImageSet:
    return load(request.param)


def test_facts_and_checks_need_neither_torch_nor_torchvision() -> None:
    code = f"""
import sys
from objectives import data
from objectives.base import names
for name in names("dataset"):
    assert data.module(name).DATASET.name == name
    assert data.check({{"name": name, "root": {str(ROOT)!r}, "train_size": 1}}), name
heavy = {{"torch", "torchvision", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_complete(name: str) -> None:
    facts = data.module(name).DATASET
    assert set(facts.sizes) == set(SPLITS)
    assert all(getattr(facts, field) for field in ("summary", "shape", "licence", "source"))
    assert not set(facts.options) & {"name", "root", "train_size"}


def test_splits_have_the_promised_form(images: ImageSet) -> None:
    facts = data.module(images.record["name"]).DATASET
    for split in SPLITS:
        x, labels, target = getattr(images, split), getattr(images, f"{split}_labels"), getattr(images, f"{split}_target")
        assert x.dtype == torch.float32 and x.shape == (facts.sizes[split], *images.shape) and images.shape == facts.shape
        assert x.is_contiguous() and torch.isfinite(x).all()
        assert target is None or (target.shape == x.shape and target.dtype == torch.float32)
        if facts.classes is None:
            assert labels is None and images.classes is None
        else:
            assert labels.dtype == torch.int64 and labels.unique().tolist() == list(range(facts.classes))
            assert x.min() == 0 and x.max() == 1


def test_no_position_is_in_two_splits(images: ImageSet) -> None:
    positions = torch.cat([images.index[split] for split in SPLITS])
    assert len(positions.unique()) == len(positions) == sum(len(getattr(images, split)) for split in SPLITS)


def test_the_record_is_plain_and_hashes_tell_the_splits_apart(images: ImageSet) -> None:
    import json

    assert json.loads(json.dumps(images.record))["sizes"] == {split: len(getattr(images, split)) for split in SPLITS}
    assert len(set(images.record["sha256"].values()) | {images.record["source_sha256"]}) == 4


@pytest.mark.parametrize("name", NAMES)
def test_loading_twice_gives_the_same_bytes_whatever_the_global_seed(name: str) -> None:
    torch.manual_seed(1)
    first = load(name, train_size=50)
    torch.manual_seed(2)
    np.random.seed(2)
    second = load(name, train_size=50)
    assert first.record == second.record
    assert all(torch.equal(getattr(first, split), getattr(second, split)) for split in SPLITS)


@pytest.mark.parametrize("name", NAMES)
def test_train_size_keeps_the_first_images_and_leaves_the_rest_alone(name: str) -> None:
    small, larger = load(name, train_size=20), load(name, train_size=60)
    assert torch.equal(small.train, larger.train[:20]) and len(small.train) == 20
    assert small.record["sha256"]["train"] != larger.record["sha256"]["train"]
    for key in ("val", "test"):
        assert torch.equal(getattr(small, key), getattr(larger, key))
        assert small.record["sha256"][key] == larger.record["sha256"][key]
    assert small.record["source_sha256"] == larger.record["source_sha256"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 0, -3, 10**9, 2.5, True, "100"])
def test_a_train_size_out_of_range_is_refused_with_the_range(name: str, size: Any) -> None:
    options = options_of(name) | {"train_size": size}
    with pytest.raises(ObjectiveError, match=r"train_size must be an integer from 2 to \d+.*got"):
        data.load(options)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_is_answered_with_the_nearest(name: str) -> None:
    faults = data.check(options_of(name) | {"trian_size": 10})
    assert len(faults) == 1 and "'train_size'" in faults[0]


def test_an_unknown_name_is_answered_with_the_names() -> None:
    assert "Did you mean 'digits'?" in data.check({"name": "digit"})[0]
    with pytest.raises(ObjectiveError, match="must be one of"):
        data.load({})


def test_every_fault_is_reported_at_once() -> None:
    faults = data.check({"name": "noisy_linear", "noise_variance": -1.0, "rank": 0, "dim": 2.5, "train_size": 0, "colour": 1})
    assert len(faults) == 5
    assert "rank must be at most dim" in data.check({"name": "noisy_linear", "rank": 9, "dim": 3})[0]


@pytest.mark.parametrize("name", [name for name in NAMES if data.module(name).DATASET.needs_root])
def test_a_root_without_the_files_is_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match=r"root must hold .*lacks train-images-idx3-ubyte.*download: true"):
        data.load({"name": name, "root": str(tmp_path)})
    assert not data.check({"name": name, "root": str(tmp_path), "download": True})
    assert "Set root" in data.check({"name": name})[0]
    assert "true or false" in data.check({"name": name, "root": str(tmp_path), "download": "yes"})[0]


def test_idx_files_are_read_plain_or_gzipped_and_damage_is_noticed(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + pixels.tobytes()  # the format, written out by hand
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(content))
    (tmp_path / "torn").write_bytes(content[:-1])
    (tmp_path / "torn_packed.gz").write_bytes(gzip.compress(content)[:-9])
    for name in ("plain", "packed"):
        assert np.array_equal(_idx._read(tmp_path, name, (2, 3, 4)), pixels)
    for name in ("torn", "torn_packed"):
        with pytest.raises(ObjectiveError, match="Fetch the file again"):
            _idx._read(tmp_path, name, (2, 3, 4))
    with pytest.raises(ObjectiveError, match="IDX file"):
        _idx._read(tmp_path, "plain", (24,))


def test_a_download_is_moved_into_place_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def fake(root: str, download: bool) -> None:
        raw = Path(root) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in _idx.FILES:
            (raw / name).write_bytes(name.encode())

    monkeypatch.setattr(datasets, "MNIST", fake)
    _idx._download("MNIST", tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new" / "MNIST" / "raw").iterdir()) == sorted(_idx.FILES)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["MNIST"]

    def offline(root: str, download: bool) -> None:
        raise RuntimeError("Error downloading.")

    monkeypatch.setattr(datasets, "MNIST", offline)
    with pytest.raises(ObjectiveError, match=r"Error downloading.*by hand"):
        _idx._download("MNIST", tmp_path / "other")


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source, images = load_digits(), load("digits")
    for split in SPLITS:
        index = images.index[split].numpy()
        assert np.array_equal(getattr(images, split)[:, 0].numpy() * 16, source.images[index])
        assert np.array_equal(getattr(images, f"{split}_labels").numpy(), source.target[index])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_data_sets_are_those_of_torchvision(name: str) -> None:
    from torchvision import datasets

    images = load(name)
    official = getattr(datasets, data.module(name).FOLDER)
    train, test = official(ROOT, train=True), official(ROOT, train=False)
    rows = images.index["val"]
    assert torch.equal(images.val[:, 0], train.data[rows] / 255) and torch.equal(images.val_labels, train.targets[rows])  # type: ignore[arg-type]
    assert torch.equal(images.test[:, 0], test.data / 255) and torch.equal(images.test_labels, test.targets)  # type: ignore[arg-type]


def test_published_splits_never_move() -> None:
    """A change here makes every stored score incomparable with the next."""
    assert load("digits").record["sha256"]["val"].startswith("81455cd178b08714")


def test_noisy_linear_has_the_variances_that_it_promises() -> None:
    images = load("noisy_linear", n_train=20_000, noise_variance=0.5)
    assert images.train_target is images.train
    clean, noise = images.val_target, images.val - images.val_target  # type: ignore[operator]
    assert clean is not None and noise.var().item() == pytest.approx(0.5, rel=0.03)
    spectrum = torch.linalg.svdvals(clean.reshape(len(clean), -1).double()) ** 2 / len(clean)
    assert spectrum[:5].tolist() == pytest.approx(noisy_linear.signal_variances(5).tolist(), rel=0.15)
    assert spectrum[5:].max() < 1e-9


def test_noisy_linear_without_noise_is_its_own_target() -> None:
    images = load("noisy_linear", noise_variance=0.0)
    assert images.val_target is not None and torch.equal(images.val, images.val_target)


@pytest.mark.parametrize("variance", [0.25, 1.0, 2.0])
def test_the_best_weight_penalty_on_noisy_linear_is_the_noise_variance(variance: float) -> None:
    """The trained linear autoencoder shrinks the top directions of XᵀX/n, of eigenvalue v, by (1 − λ/v)₊ (Kunin et al., 2019)."""
    images = load("noisy_linear", n_train=20_000, noise_variance=variance)
    x, val = images.train.reshape(-1, 20).double(), images.val.reshape(-1, 20).double()
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    values, vectors = values[-5:], vectors[:, -5:]
    target = images.val_target.reshape(-1, 20)  # type: ignore[union-attr]

    def risk(penalty: float) -> float:
        return half_sse.estimate(val @ vectors * (1 - penalty / values).clamp(min=0) @ vectors.T, target).value

    penalties = np.linspace(0, 4, 401)
    best = penalties[np.argmin([risk(penalty) for penalty in penalties])]
    assert best == pytest.approx(variance, rel=0.12)


def test_an_image_set_is_a_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load("digits").shape = (1, 1, 1)  # type: ignore[misc]
