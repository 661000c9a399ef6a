"""Every data set, found by listing the folder: fixed disjoint splits, hashes, and faults that can be read without torch.

What cannot be downloaded here is read from tiny files in its real layout, which it writes itself (`write_sample`); the published files are
read as well where they are at hand.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from objectives import data
from objectives.base import ObjectiveError
from objectives.data import _files, _given, _idx, _image_set, noisy_linear
from objectives.data._kinds import SPLITS, ImageSet
from objectives.data._stored import Stored
from objectives.metrics import half_sse
from objectives.registry import names

pytestmark = pytest.mark.turns(3)

REPOSITORY = Path(__file__).parents[2]
ROOT = Path(os.environ.get("LAGRANGE_DATA") or REPOSITORY.parent / "shared" / "data")
NAMES = names("dataset")
FEW = 1000  # training images that are loaded of published files


def options_of(name: str) -> dict[str, Any]:
    """Options that load the published files of a data set; skips the test where they are not at hand."""
    chosen = {"name": name, "root": str(ROOT)}
    if data.check(chosen):
        pytest.skip(f"{name} is not under {ROOT}; set LAGRANGE_DATA to its folder")
    return chosen


@pytest.fixture(scope="module", params=NAMES)
def options(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options that load a data set here: a sample, if it reads files."""
    name: str = request.param
    write = getattr(data.module(name), "write_sample", None)
    return {"name": name, **(write(tmp_path_factory.mktemp(name)) if write else {})}


@pytest.fixture(scope="module")
def images(options: dict[str, Any]) -> ImageSet:
    return data.load(options)


def test_facts_and_checks_need_neither_torch_nor_torchvision(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from objectives import data
from objectives.registry import names
for name in names("dataset"):
    module, options = data.module(name), {{"name": name}}
    assert module.DATASET.name == name
    if hasattr(module, "write_sample"):
        options |= module.write_sample(Path({str(tmp_path)!r}) / name)
    assert not data.check(options), (name, data.check(options))
    data.shape_of(options), data.train_size_of(options)
    assert data.check({{**options, "train_size": 1}}), name
heavy = {{"torch", "torchvision", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_complete(name: str) -> None:
    facts = data.module(name).DATASET
    assert set(facts.sizes) == (set(SPLITS) if facts.shape else set()), "files decide either both, or none"
    assert all(getattr(facts, field) for field in ("summary", "licence", "source", "likelihoods"))
    assert not set(facts.options) & {"name", "root", "train_size"}


def test_splits_have_the_promised_form(options: dict[str, Any], images: ImageSet) -> None:
    facts = data.module(options["name"]).DATASET
    for split in SPLITS:
        x, labels, target = getattr(images, split), getattr(images, f"{split}_labels"), getattr(images, f"{split}_target")
        assert x.dtype == torch.float32 and x.shape == (len(x), *images.shape) and len(x) >= 2
        assert x.is_contiguous() and torch.isfinite(x).all()
        assert target is None or (target.shape == x.shape and target.dtype == torch.float32)
        if images.classes is None:
            assert labels is None
        else:
            assert labels.shape == (len(x),) and labels.dtype == torch.int64
            assert labels.min() >= 0 and labels.max() < images.classes
        if "binarize" in facts.options:
            assert 0 <= x.min() < x.max() <= 1
    if "binarize" in facts.options:
        assert images.train.min() == 0 and images.train.max() == 1, "black is 0 and white is 1"


def test_how_images_are_kept_changes_no_number(options: dict[str, Any], images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """As bytes, and by index where they are a user's: the same tensors, and the same hashes of the splits."""
    pixels = "binarize" in data.module(options["name"]).DATASET.options
    for constant in ("SMALL", "LARGE"):
        monkeypatch.setattr(_image_set if constant == "SMALL" else _given, constant, 0)
        other = data.load(options)
        assert all(torch.equal(getattr(other, split), getattr(images, split)) for split in SPLITS)
        assert other.record["sha256"] == images.record["sha256"]
        assert isinstance(other.train, Stored) == pixels


def test_what_is_said_before_loading_is_what_is_loaded(options: dict[str, Any], images: ImageSet) -> None:
    facts = data.module(options["name"]).DATASET
    assert data.check(options) == []
    assert data.shape_of(options) == images.shape
    assert data.train_size_of(options) in (None, len(images.train))
    if "root" not in options:
        assert (images.shape, images.classes, images.record["sizes"]) == (facts.shape, facts.classes, facts.sizes)
    n = len(images.train)
    assert not data.check(options, n)
    if data.train_size_of(options) is not None:
        assert f"at most the number of training images, {n}; got {n + 1}" in data.check(options, n + 1)[0]


def test_no_position_is_in_two_splits(images: ImageSet) -> None:
    positions = torch.cat([images.index[split] for split in SPLITS])
    assert len(positions.unique()) == len(positions) == sum(len(getattr(images, split)) for split in SPLITS)


def test_the_record_is_plain_and_hashes_tell_the_splits_apart(options: dict[str, Any], images: ImageSet) -> None:
    found = json.loads(json.dumps(images.record))
    assert found["name"] == options["name"] and found["sizes"] == {split: len(getattr(images, split)) for split in SPLITS}
    assert len(set(images.record["sha256"].values()) | {images.record["source_sha256"]}) == 4
    assert data.load({"name": options["name"], **found["options"]}).record == images.record, "the record's options load it again"


def test_loading_twice_gives_the_same_bytes_whatever_the_global_seed(options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    first = data.load({**options, "train_size": 50})
    torch.manual_seed(2)
    np.random.seed(2)
    second = data.load({**options, "train_size": 50})
    assert first.record == second.record
    assert all(torch.equal(getattr(first, split), getattr(second, split)) for split in SPLITS)


def test_train_size_keeps_the_first_images_and_leaves_the_rest_alone(options: dict[str, Any]) -> None:
    small, larger = (data.load({**options, "train_size": size}) for size in (20, 60))
    assert torch.equal(small.train, larger.train[:20]) and len(small.train) == 20
    assert small.record["sha256"]["train"] != larger.record["sha256"]["train"]
    for key in ("val", "test"):
        assert torch.equal(getattr(small, key), getattr(larger, key))
        assert small.record["sha256"][key] == larger.record["sha256"][key]
    assert small.record["source_sha256"] == larger.record["source_sha256"]


@pytest.mark.parametrize("size", [1, 0, -3, 10**9, 2.5, True, "100"])
def test_a_train_size_out_of_range_is_refused_with_the_range(options: dict[str, Any], size: Any) -> None:
    with pytest.raises(ObjectiveError, match=r"train_size must be an integer from 2 to \d+.*got"):
        data.load({**options, "train_size": size})


def test_static_binarization_is_one_fixed_draw_of_the_gray_values(options: dict[str, Any], images: ImageSet) -> None:
    if "binarize" not in data.module(options["name"]).DATASET.options:
        assert "'binarize'" in data.check({**options, "binarize": "static"})[0]
        return
    static, again = (data.load({**options, "binarize": "static"}) for _ in range(2))
    for split in SPLITS:
        x, gray = getattr(static, split), getattr(images, split).double()
        assert ((x == 0) | (x == 1)).all() and torch.equal(x, getattr(again, split))
        assert torch.equal(x[gray == 0], torch.zeros_like(x[gray == 0])) and (x[gray == 1] == 1).all()
        # each pixel is 1 with the probability of its value: their mean is within 5 standard errors of that of the values
        assert abs(float(x.double().mean() - gray.mean())) < 5 * float((gray * (1 - gray)).sum().sqrt()) / gray.numel()
        assert static.record["sha256"][split] != images.record["sha256"][split]
    assert static.record["source_sha256"] != images.record["source_sha256"], "features are cached under this name"
    assert torch.equal(data.load({**options, "binarize": "static", "train_size": 20}).train, static.train[:20])


def test_dynamic_binarization_is_left_to_the_likelihood(options: dict[str, Any], images: ImageSet) -> None:
    if "binarize" not in data.module(options["name"]).DATASET.options:
        return
    dynamic = {**options, "binarize": "dynamic"}
    found = data.load(dynamic)
    assert torch.equal(found.train, images.train) and found.record["sha256"] == images.record["sha256"]
    assert not data.check(dynamic, likelihood="bernoulli")
    for other in ("gaussian", ""):
        assert "Choose binarize: static" in data.check(dynamic, likelihood=other)[0]
    assert "binarize must be null, static or dynamic; got 'yes'" in data.check({**options, "binarize": "yes"})[0]


def test_a_class_that_is_held_out_is_in_no_split(options: dict[str, Any], images: ImageSet) -> None:
    if "hold_out" not in data.module(options["name"]).DATASET.options:
        return
    if images.classes is None:
        with pytest.raises(ObjectiveError, match="hold_out"):
            data.load({**options, "hold_out": 1})
        return
    whole = data.load({**options, "train_size": None})
    known = data.load({**options, "train_size": None, "hold_out": 1})
    for split in SPLITS:
        labels, kept = getattr(whole, f"{split}_labels"), getattr(known, split)
        assert torch.equal(kept, getattr(whole, split)[labels != 1]) and (getattr(known, f"{split}_labels") != 1).all()
        if split != "train":
            assert torch.equal(getattr(known, f"{split}_novel"), getattr(whole, split)[labels == 1])
    assert known.record["sha256"] != whole.record["sha256"]
    for wrong in (images.classes, -1, True, "1"):
        with pytest.raises(ObjectiveError, match="hold_out must be a class, an integer from 0"):
            data.load({**options, "hold_out": wrong})


def test_real_values_need_a_likelihood_of_real_values(options: dict[str, Any], images: ImageSet) -> None:
    faults = data.check(options, likelihood="bernoulli")
    assert bool(faults) == ("bernoulli" not in data.module(options["name"]).DATASET.likelihoods)
    assert not data.check(options, likelihood="gaussian") and not data.check(options, likelihood="")


def test_an_unknown_option_is_answered_with_the_nearest(options: dict[str, Any]) -> None:
    faults = data.check({**options, "trian_size": 10})
    assert len(faults) == 1 and "'train_size'" in faults[0]


def test_an_unknown_name_is_answered_with_the_names() -> None:
    assert "Did you mean 'digits'?" in data.check({"name": "digit"})[0]
    with pytest.raises(ObjectiveError, match="must be one of"):
        data.load({})


def test_every_fault_is_reported_at_once() -> None:
    faults = data.check({"name": "noisy_linear", "noise_variance": -1.0, "rank": 0, "dim": 2.5, "train_size": 0, "colour": 1})
    assert len(faults) == 5
    assert "rank must be at most dim" in data.check({"name": "noisy_linear", "rank": 9, "dim": 3})[0]


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(data.module(name), "write_sample")])
@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_file_is_named(name: str, damage: str, tmp_path: Path) -> None:
    options = {"name": name, **data.module(name).write_sample(tmp_path)}
    largest = max((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: (path.stat().st_size, path.name))
    content = largest.read_bytes()
    largest.write_bytes({"cut": content[: len(content) // 2], "garbage": b"no such data" * 30, "empty": b""}[damage])
    with pytest.raises(ObjectiveError, match=re.escape(largest.name)):
        data.load(options)


@pytest.mark.parametrize("name", [name for name in NAMES if data.module(name).DATASET.needs_root])
def test_a_root_without_the_files_is_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match=r"root must hold .*; got"):
        data.load({"name": name, "root": str(tmp_path)})
    assert "Set root" in data.check({"name": name})[0]
    if "download" in data.module(name).DATASET.options:
        assert "download: true" in data.check({"name": name, "root": str(tmp_path)})[0]
        faults = data.check({"name": name, "root": str(tmp_path), "download": True})
        assert all("pip install" in fault for fault in faults)
        assert "false or true" in data.check({"name": name, "root": str(tmp_path), "download": "yes"})[0]


def test_idx_files_are_read_plain_or_gzipped_and_damage_is_noticed(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + pixels.tobytes()  # the format, written out by hand
    for name, written in {"plain": content, "packed.gz": gzip.compress(content)}.items():
        path = tmp_path / name.replace(".", "-idx3.") if "." in name else tmp_path / f"{name}-idx3"
        path.write_bytes(written)
        assert np.array_equal(_idx._read(path), pixels)
        path.write_bytes(written[:-9])
        with pytest.raises(ObjectiveError, match="Fetch the file again"):
            _idx._read(path)
    flat = tmp_path / "flat-idx1"
    flat.write_bytes(content)
    with pytest.raises(ObjectiveError, match="IDX file of unsigned bytes of rank 1"):
        _idx._read(flat)


def test_a_download_is_moved_into_place_whole(tmp_path: Path) -> None:
    files = tuple(data.module("mnist").FILES.layout.files)

    def fake(root: str) -> None:
        raw = Path(root) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in files:
            (raw / name).write_bytes(name.encode())

    def offline(root: str) -> None:
        raise RuntimeError("Error downloading.")

    facts = data.module("mnist").DATASET
    _files.fetched(facts, _files.Layout("MNIST/raw", files, fake), tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new" / "MNIST" / "raw").iterdir()) == sorted(files)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["MNIST"]
    _files.fetched(facts, _files.Layout("MNIST/raw", files, offline), tmp_path / "new")  # nothing is missing
    with pytest.raises(ObjectiveError, match=r"Error downloading.*by hand"):
        _files.fetched(facts, _files.Layout("MNIST/raw", files, offline), tmp_path / "other")


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source, images = load_digits(), data.load({"name": "digits"})
    for split in SPLITS:
        index = images.index[split].numpy()
        assert np.array_equal(getattr(images, split)[:, 0].numpy() * 16, source.images[index])
        assert np.array_equal(getattr(images, f"{split}_labels").numpy(), source.target[index])


@pytest.mark.parametrize("name", [name for name in NAMES if data.module(name).DATASET.needs_root and data.module(name).DATASET.sizes])
def test_published_files_hold_what_is_said_of_them(name: str) -> None:
    options = options_of(name)
    facts, images = data.module(name).DATASET, data.load({**options, "train_size": FEW})
    assert {**images.record["sizes"], "train": data.train_size_of(options)} == facts.sizes
    assert (images.shape, images.classes) == (facts.shape, facts.classes) and images.test.min() == 0 and images.test.max() == 1
    if images.test_labels is not None:
        classes = images.classes or 0
        assert images.test_labels.max() == classes - 1 and len(images.test_labels.unique()) >= 0.99 * classes


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_data_sets_are_those_of_torchvision(name: str) -> None:
    from torchvision import datasets

    images = data.load(options_of(name))
    official = getattr(datasets, data.module(name).FILES.layout.folder.partition("/")[0])
    train, test = official(ROOT, train=True), official(ROOT, train=False)
    rows = images.index["val"]
    assert torch.equal(images.val[:, 0], train.data[rows] / 255) and torch.equal(images.val_labels, train.targets[rows])  # type: ignore[arg-type]
    assert torch.equal(images.test[:, 0], test.data / 255) and torch.equal(images.test_labels, test.targets)  # type: ignore[arg-type]


def test_published_splits_never_move() -> None:
    """A change here makes every stored score incomparable with the next."""
    assert data.load({"name": "digits"}).record["sha256"]["val"].startswith("81455cd178b08714")


def test_noisy_linear_has_the_variances_that_it_promises() -> None:
    images = data.load({"name": "noisy_linear", "n_train": 20_000, "noise_variance": 0.5})
    assert images.train_target is images.train
    clean, noise = images.val_target, images.val - images.val_target  # type: ignore[operator]
    assert clean is not None and noise.var().item() == pytest.approx(0.5, rel=0.03)
    spectrum = torch.linalg.svdvals(clean.reshape(len(clean), -1).double()) ** 2 / len(clean)
    assert spectrum[:5].tolist() == pytest.approx(noisy_linear.signal_variances(5).tolist(), rel=0.15)
    assert spectrum[5:].max() < 1e-9


def test_noisy_linear_without_noise_is_its_own_target() -> None:
    images = data.load({"name": "noisy_linear", "noise_variance": 0.0})
    assert images.val_target is not None and torch.equal(images.val, images.val_target)


@pytest.mark.parametrize("variance", [0.25, 1.0, 2.0])
def test_the_best_weight_penalty_on_noisy_linear_is_the_noise_variance(variance: float) -> None:
    """The trained linear autoencoder shrinks the top directions of XᵀX/n, of eigenvalue v, by (1 − λ/v)₊ (Kunin et al., 2019)."""
    images = data.load({"name": "noisy_linear", "n_train": 20_000, "noise_variance": variance})
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
        data.load({"name": "digits"}).shape = (1, 1, 1)  # type: ignore[misc]
