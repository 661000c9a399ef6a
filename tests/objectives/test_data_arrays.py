"""Images that a user hands over, in a file or by a function: what is accepted, and in what words the rest is refused."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from objectives import data
from objectives.base import ObjectiveError, Settings
from objectives.data import _arrays
from objectives.data._kinds import SPLITS
from objectives.registry import load
from search.errors import SpecError
from search.spec.reading import read

REPOSITORY = Path(__file__).parents[2]
N, H, W = 40, 5, 7


def gray(n: int = N, *shape: int) -> Any:
    return np.random.RandomState(0).randint(0, 256, (n, *(shape or (H, W))), dtype=np.uint8)


def saved(folder: Path, **arrays: Any) -> dict[str, Any]:
    np.savez(folder / "own.npz", **arrays)
    return {"name": "array_file", "path": str(folder / "own.npz")}


def all_of(options: dict[str, Any]) -> torch.Tensor:
    """Every image in the order of the file."""
    images = data.load(options)
    index = torch.cat([images.index[split] for split in SPLITS])
    return torch.cat([getattr(images, split) for split in SPLITS])[index.argsort()]


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (gray(), (1, H, W)),
        (gray(N, 3, H, W), (3, H, W)),
        (gray(N, H, W, 3), (3, H, W)),
        (gray(N, H, W, 1), (1, H, W)),
        (gray().astype(np.int64), (1, H, W)),
        (gray().astype(">f4") / 255, (1, H, W)),
        ((gray() / 255).astype(np.float16), (1, H, W)),
        (gray() / 255, (1, H, W)),
        (gray() > 99, (1, H, W)),
    ],
    ids=lambda value: f"{value.dtype}-{value.shape}" if hasattr(value, "dtype") else "",
)
def test_pixels_arrive_as_they_were_saved(array: Any, shape: tuple[int, int, int], tmp_path: Path) -> None:
    options = saved(tmp_path, images=array)
    expected = np.asarray(array, np.float64) / (255 if array.dtype.kind in "ui" else 1)
    if array.ndim == 4 and shape != array.shape[1:]:
        expected = np.moveaxis(expected, 3, 1)
    assert data.check(options) == [] and data.shape_of(options) == shape
    assert all_of(options).numpy() == pytest.approx(expected.reshape(N, *shape), abs=1e-7)


def test_the_splits_are_shares_and_the_test_split_does_not_move(tmp_path: Path) -> None:
    options = saved(tmp_path, images=gray(), labels=np.arange(N) % 4 + 10)
    plain, other = data.load(options), data.load({**options, "val_size": 0.5, "train_size": 5})
    assert plain.record["sizes"] == {"train": 24, "val": 8, "test": 8} and other.record["sizes"] == {"train": 5, "val": 20, "test": 8}
    assert torch.equal(plain.test, other.test)
    assert data.load({**options, "val_size": 4, "test_size": 6}).record["sizes"] == {"train": 30, "val": 4, "test": 6}
    assert plain.classes == 4 and plain.record["label_values"] == [10, 11, 12, 13]
    assert plain.val_labels is not None and plain.val_labels.tolist() == (plain.index["val"] % 4).tolist()


def test_the_path_is_relative_to_the_root_and_npy_is_fine(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", gray())
    assert data.load({"name": "array_file", "root": str(tmp_path), "path": "own.npy"}).classes is None


def test_which_array_is_which(tmp_path: Path) -> None:
    both = saved(tmp_path, x=gray(), y=np.arange(N), more=gray(9))
    assert data.train_size_of(both) == 24 and data.load(both).classes == N
    assert data.train_size_of({**both, "images": "more"}) == 5
    assert "one label for each image, shape (9,); got shape (40,)" in data.check({**both, "images": "more"})[0]
    only = saved(tmp_path, faces=gray())
    assert data.load(only).train_labels is None
    assert "Did you mean 'faces'?" in data.check({**only, "images": "face"})[0]
    assert "'y'" in data.check({**only, "labels": "y"})[0], "labels that are asked for must be there"
    assert "got a, b. Set images: KEY" in data.check(saved(tmp_path, a=gray(), b=gray()))[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": gray(0)}, r"got an empty array of shape \(0, 5, 7\)"),
        ({"images": gray(1)}, r"at least 2 images in each of the three splits; got one image"),
        ({"images": gray(5)}, r"each split must hold at least 2 images; got 5 images, of which 3 would be left to train"),
        ({"images": gray(N)[:, 0, 0]}, r"images must have the shape \(n, height, width\).*got \(40,\)"),
        ({"images": gray(N, 3, 4, 3)}, r"got shape \(40, 3, 4, 3\). Set layout: NCHW or layout: NHWC"),
        ({"images": gray(N, 4, 5, 6)}, "Set layout"),
        ({"images": gray() * 1j}, "complex numbers"),
        ({"images": gray().astype("U3")}, "text"),
        ({"images": gray(), "labels": np.arange(N) / 2}, "labels must be whole numbers, or NaN for none; got 0.5"),
        ({"images": gray(), "labels": np.arange(N).astype("U2")}, "labels must be whole numbers; got dtype <U2"),
        ({"images": gray(), "labels": np.arange(N - 1)}, r"one label for each image, shape \(40,\); got shape \(39,\)"),
        ({"images": gray().astype(np.int32) * 2}, "got 0 to 510. Scale them to 0..255"),
        ({"images": gray().astype(np.int32) - 9}, "got -9 to 246"),
        ({"images": (gray() > 99).astype(np.uint8)}, "got 0 to 1. Save them as bool"),
        ({"images": gray().astype(float)}, r"floats must be in \[0, 1\]; got 0 to 255. Divide by 255"),
        ({"images": gray() / 127.5 - 1}, r"got -1 to 1. Use \(x \+ 1\) / 2"),
        ({"images": gray() * 9.0 - 5}, r"Use \(x \+ 5\) / 2295, for all images alike"),
        ({"images": np.where(gray() > 250, np.nan, 0.5)}, "that are NaN or infinite. Repair or drop"),
        ({"images": np.where(gray() > 250, np.inf, 0.5)}, "that are NaN or infinite"),
        ({"images": np.zeros((N, H, W))}, "every pixel is 0"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match=message):
        data.load(saved(tmp_path, **arrays))


def test_an_array_of_python_objects_is_refused_and_not_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    with pytest.raises(ObjectiveError, match="Python objects"):
        data.load(saved(tmp_path, images=np.array([Evil()] * 9, object)))
    assert not marker.exists()


def test_a_layout_that_is_said_is_believed(tmp_path: Path) -> None:
    options = saved(tmp_path, images=gray(N, 3, 4, 3))
    assert data.shape_of({**options, "layout": "NCHW"}) == (3, 4, 3) and data.shape_of({**options, "layout": "NHWC"}) == (3, 3, 4)
    last = all_of({**options, "layout": "NHWC"})
    assert torch.equal(last, all_of({**options, "layout": "NCHW"}).permute(0, 3, 1, 2))
    assert "layout must be null, NCHW or NHWC" in data.check({**options, "layout": "HW"})[0]
    assert "of rank 4" in data.check({**saved(tmp_path, images=gray()), "layout": "NCHW"})[0]


@pytest.mark.parametrize("key", ["val_size", "test_size"])
@pytest.mark.parametrize("size", [0, 1, 1.0, 0.0, -0.5, "0.2", True, None])
def test_sizes_of_splits_are_shares_or_numbers(key: str, size: Any, tmp_path: Path) -> None:
    assert f"{key} must be a share between 0 and 1" in data.check({**saved(tmp_path, images=gray()), key: size})[0]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    options = {**saved(tmp_path, images=gray()), "layout": "x", "val_size": 2.5, "images": 3, "binarize": 1, "colour": 1}
    assert len(data.check(options)) == 5


@pytest.mark.parametrize("path", [None, 3, "", "nowhere.npz", "own.csv"])
def test_a_path_that_is_none_is_refused(path: Any, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("1,2")
    assert "path must name an .npz or .npy file" in data.check({"name": "array_file", "root": str(tmp_path), "path": path})[0]


def test_a_flipped_bit_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    options = saved(tmp_path, images=gray(N, 64, 64))
    path = Path(options["path"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert data.check(options) == [], "the headers are whole"
    with pytest.raises(ObjectiveError, match=r"own\.npz must be a whole .npz"):
        data.load(options)


def test_a_file_shorter_than_its_header_says_is_refused_before_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", gray())
    whole = (tmp_path / "own.npy").read_bytes()
    (tmp_path / "own.npy").write_bytes(whole[:-3])
    assert "bytes instead of" in data.check({"name": "array_file", "path": str(tmp_path / "own.npy")})[0]
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as packed:
        packed.writestr("images.npy", whole[:-3])
    assert "bytes instead of" in data.check({"name": "array_file", "path": str(tmp_path / "own.npz")})[0]


def test_headers_alone_are_read_to_know_the_shape(tmp_path: Path) -> None:
    """A file of 4 GB, nearly all of it a hole: its shape and size are known at once, in little memory."""
    path = tmp_path / "huge.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (1_000_000, 64, 64)})
        file.truncate(file.tell() + 1_000_000 * 64 * 64)
    options = {"name": "array_file", "path": str(path)}
    assert data.check(options) == []
    assert (data.shape_of(options), data.train_size_of(options)) == ((1, 64, 64), 600_000)


def test_a_path_is_absolute_once_a_spec_is_read_for_workers_stand_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, images=gray())
    monkeypatch.chdir(tmp_path)
    alone = read({"objective": "vae", "dataset": {"name": "array_file", "path": "own.npz"}})
    below = read({"objective": "vae", "dataset": {"name": "array_file", "root": ".", "path": "own.npz"}})
    monkeypatch.chdir(tmp_path.parent)
    for spec in (alone, below):
        assert data.check(spec.settings().dataset) == []
        assert read(spec.model_dump(exclude_none=True)) == spec


def test_a_spec_of_an_array_that_does_not_fit_is_refused_on_the_driver(tmp_path: Path) -> None:
    dataset = saved(tmp_path, images=gray())
    read({"objective": "vae", "dataset": dataset})
    with pytest.raises(SpecError, match="batch_size must be at most the number of training images, 24; got 25"):
        read({"objective": "vae", "dataset": dataset, "batch_size": 25})
    with pytest.raises(SpecError, match="Choose binarize: static"):
        read({"objective": "autoencoder", "dataset": {**dataset, "binarize": "dynamic"}})
    with pytest.raises(SpecError, match="likelihood must be gaussian"):
        read({"objective": "vae", "dataset": "ring"})
    family: Any = load("vae")
    with pytest.raises(ObjectiveError, match="likelihood must be gaussian"):
        family(Settings({"name": "ring"}, 1)).prepare()


# --- a function of one's own ---

MINE = '''
"""Images of my own."""
import numpy as np

def blobs(n=40, root=None, bad=None):
    """Noise that I like."""
    images = np.random.RandomState(n).rand(n, 1, 4, 6)
    if bad == "raise":
        raise RuntimeError("the disk is full")
    return (images, np.arange(n) % 3, 1) if bad == "three" else (images, np.arange(n) % 3)

def tensors():
    import torch
    return torch.linspace(0, 1, 40 * 3 * 4 * 4).view(40, 3, 4, 4)

def nothing():
    return None
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module of a user's."""
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_function_of_ones_own_is_a_data_set(mine: str) -> None:
    options = {"name": f"{mine}:blobs", "root": None, "train_size": None, "n": 50, "val_size": 0.1}
    images = data.load(options)
    assert data.check(options) == [] and data.shape_of(options) is None and data.train_size_of(options) is None
    assert images.record["sizes"] == {"train": 35, "val": 5, "test": 10} and images.shape == (1, 4, 6) and images.classes == 3
    assert data.module(options["name"]).DATASET.summary == "Noise that I like."
    assert images.record["options"]["n"] == 50 and data.load(options).record == images.record
    smaller = data.load({**options, "train_size": 5, "binarize": "static"})
    assert len(smaller.train) == 5 and set(smaller.train.unique().tolist()) == {0.0, 1.0}
    assert data.load({"name": f"{mine}:tensors"}).shape == (3, 4, 4)


def test_features_of_a_function_do_not_depend_on_train_size(mine: str) -> None:
    from objectives.features import whole

    options = {"name": f"{mine}:blobs", "n": 50}
    assert torch.equal(whole(data.load({**options, "train_size": 5})).train, data.load(options).train)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("blobs", {"colour": 1}, "must take the options beyond .*unexpected keyword argument 'colour'"),
        ("blobs", {"bad": "raise"}, r"it raised RuntimeError: the disk is full \(.*, line 9\)"),
        ("blobs", {"bad": "three"}, "got a tuple of 3"),
        ("blobs", {"n": 1}, "got one image"),
        ("blobs", {"n": 6}, "each split must hold at least 2 images; got 6 images"),
        ("blobs", {"train_size": 1}, "train_size must be an integer from 2"),
        ("blobs", {"train_size": 99}, "train_size must be an integer from 2 to 24"),
        ("nothing", {}, "Python objects"),
        ("blob", {}, "Did you mean 'blobs'?"),
    ],
)
def test_what_a_function_does_wrong_is_said(mine: str, function: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ObjectiveError, match=message.replace("?", r"\?")):
        data.load({"name": f"{mine}:{function}", **options})


def test_a_module_that_is_not_there_is_a_fault_of_the_spec() -> None:
    with pytest.raises(SpecError, match="must be importable from the current folder"):
        read({"objective": "vae", "dataset": {"name": "no_such_module:images"}})


def test_the_driver_checks_a_users_function_without_torch(mine: str, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from search.spec.reading import read
spec = read({{"objective": "vae", "dataset": {{"name": "{mine}:blobs", "n": 60}}}})
assert spec.own and spec.settings().dataset["n"] == 60
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_an_array_without_a_fault_is_brought_into_one_form() -> None:
    """The three layouts of one picture are the same picture."""
    first = gray(N, 3, H, W)
    last = first.transpose(0, 2, 3, 1)
    assert np.array_equal(_arrays.as_pixels(first, None, 255), _arrays.as_pixels(last, None, 255))
    assert np.array_equal(_arrays.as_pixels(first[:, 0], None, 255), _arrays.as_pixels(first[:, :1], None, 255))
