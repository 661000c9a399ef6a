"""Data as people have it: their own splits, torch's Dataset, 16 bits, transparency, labels that are missing, and what is said of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from objectives import base, data
from objectives.base import ObjectiveError
from objectives.data import _arrays, _given, _items, _mapped, _own
from objectives.data._kinds import SPLITS, ImageSet
from objectives.data._stored import Stored
from objectives.registry import load

H, W = 5, 7


def gray(n: int, seed: int = 0, *shape: int) -> Any:
    return np.random.RandomState(seed).randint(0, 256, (n, *(shape or (H, W))), dtype=np.uint8)


def saved(folder: Path, **arrays: Any) -> dict[str, Any]:
    np.savez(folder / "own.npz", **arrays)
    return {"name": "array_file", "path": str(folder / "own.npz")}


def notes(images: ImageSet) -> list[str]:
    found: list[str] = images.record.get("notes", [])
    return found


def returned(found: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> ImageSet:
    """What a user's function that returns this is loaded as."""
    monkeypatch.setattr(_own.registry, "attribute", lambda *_, **__: lambda: found)
    return data.load({"name": "mine:it", **options})


class Pairs:
    """As torch's Dataset: items by number, and their number."""

    def __init__(self, images: Any, labels: Any = None, item: Any = lambda image, label: (image, label)) -> None:
        self.images, self.labels, self.item = images, labels, item

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Any:
        return self.item(self.images[number], None if self.labels is None else self.labels[number])


# --- splits of the user's own ---


def rows(images: torch.Tensor) -> list[bytes]:
    return sorted(image.numpy().tobytes() for image in images)


def same(found: torch.Tensor, pixels: Any) -> bool:
    """Whether a split holds exactly these images, in any order."""
    return rows(found) == rows(torch.from_numpy(pixels).float().div(255).reshape(found.shape))


NAMES = [
    ("train", "val", "test"),
    ("x_train", "x_val", "x_test"),
    ("train_images", "val_images", "test_images"),
    ("X_train", "X_valid", "X_test"),
]


@pytest.mark.parametrize("names", NAMES)
def test_splits_in_one_file_are_used_as_they_are_and_said(names: tuple[str, str, str], tmp_path: Path) -> None:
    parts = [gray(30, 1), gray(9, 2), gray(8, 3)]
    options = saved(tmp_path, **dict(zip(names, parts, strict=True)))
    images = data.load(options)
    assert all(same(getattr(images, split), part) for split, part in zip(SPLITS, parts, strict=True))
    assert notes(images) == ["your own splits are used: train 30, val 9, test 8"]
    assert data.check(options) == [] and data.train_size_of(options) == 30 and data.shape_of(options) == (1, H, W)
    assert "train_size must be an integer from 2 to 30" in data.check({**options, "train_size": 31})[0]


def test_a_split_that_is_missing_is_cut_from_the_training_images_and_labels_stay_with_theirs(tmp_path: Path) -> None:
    train, test = gray(30, 1), gray(8, 2)
    options = saved(tmp_path, x_train=train, y_train=train[:, 0, 0] % 3, x_test=test, y_test=test[:, 0, 0] % 3)
    images = data.load(options)
    assert images.record["sizes"] == {"train": 24, "val": 6, "test": 8} and same(images.test, test)
    assert same(torch.cat([images.train, images.val]), train)
    assert "val cut from your training images" in notes(images)[0]
    for split in SPLITS:
        pixels = (getattr(images, split)[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(getattr(images, f"{split}_labels"), pixels % 3)


def test_an_array_that_is_named_is_the_whole_set(tmp_path: Path) -> None:
    images = data.load({**saved(tmp_path, train=gray(40, 1), test=gray(9, 2)), "images": "train"})
    assert images.record["sizes"] == {"train": 24, "val": 8, "test": 8} and not notes(images)


def test_splits_in_folders_are_used_as_they_are(tmp_path: Path) -> None:
    parts = {"train": gray(12, 1), "valid": gray(4, 2), "test": gray(4, 3)}
    for folder, pixels in parts.items():
        for number, image in enumerate(pixels):
            place = tmp_path / folder / ("cat", "dog")[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number}.png")
    options = {"name": "image_folder", "root": str(tmp_path)}
    images = data.load(options)
    assert all(same(getattr(images, split), part) for split, part in zip(SPLITS, parts.values(), strict=True))
    assert images.record["class_names"] == ["cat", "dog"] and images.classes == 2 and data.train_size_of(options) == 12
    assert notes(images) == ["your own splits are used: train 12, val 4, test 4"]
    (tmp_path / "bird").mkdir()
    assert "got train, valid, test beside bird" in data.check(options)[0]
    (tmp_path / "bird").rmdir()
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "wolf")
    assert data.load(options).record["class_names"] == ["cat", "dog", "wolf"], "classes have one number in all splits"


@pytest.mark.parametrize("how", ["dictionary", "tuple", "datasets", "arrays", "pairs"])
def test_splits_that_a_function_returns_are_used_as_they_are(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [gray(30, 1), gray(9, 2), gray(8, 3)]
    pairs = [(part, part[:, 0, 0] % 2) for part in parts]
    given: dict[str, Any] = {
        "dictionary": dict(zip(("train", "validation", "test"), pairs, strict=True)),
        "tuple": tuple(pairs),
        "datasets": {split: Pairs(*pair) for split, pair in zip(SPLITS, pairs, strict=True)},
        "arrays": tuple(torch.from_numpy(part) for part in parts),
        "pairs": (pairs[0], pairs[2]),
    }
    images = returned(given[how], monkeypatch)
    assert same(images.test, parts[2]) and "your own splits are used" in notes(images)[0]
    if how == "pairs":
        assert images.record["sizes"] == {"train": 24, "val": 6, "test": 8}
    else:
        assert same(images.train, parts[0]) and same(images.val, parts[1])
    assert images.classes == (None if how == "arrays" else 2)


@pytest.mark.parametrize("how", ["pairs", "dictionaries", "images", "PIL", "channels last", "TensorDataset"])
def test_a_torch_dataset_is_a_data_set(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = gray(40, 1, 4, 6, 3), np.arange(40) % 3
    floats = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    sets: dict[str, Any] = {
        "pairs": Pairs(floats, y),
        "dictionaries": Pairs(x, y, lambda image, label: {"image": Image.fromarray(image), "label": label}),
        "images": Pairs(floats, None, lambda image, _: image),
        "PIL": Pairs(x, y, lambda image, label: (Image.fromarray(image), int(label))),
        "channels last": Pairs(x, torch.from_numpy(y)),
        "TensorDataset": torch.utils.data.TensorDataset(floats, torch.from_numpy(y)),
    }
    images = returned(sets[how], monkeypatch)
    expected = returned((floats, y), monkeypatch)
    assert all(torch.equal(getattr(images, split), getattr(expected, split)) for split in SPLITS)
    assert images.classes == (None if how == "images" else 3)


def test_floats_that_were_bytes_are_kept_as_bytes_and_others_are_not() -> None:
    x = gray(40).astype(np.float32) / np.float32(255)
    for images, kind in ((x, np.uint8), (x * np.float32(0.999), np.float32), (x.astype(np.float64), np.float64), (x * 2 - 1, np.float32)):
        found, _ = _items.arrays(Pairs(images))
        assert found["whole"].dtype == kind
        back = found["whole"] / np.float32(255) if kind == np.uint8 else found["whole"]
        assert np.array_equal(back, images), "to the bit"


def test_loaders_are_taken_for_their_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [torch.utils.data.TensorDataset(torch.from_numpy(gray(n, n)), torch.arange(n) % 2) for n in (30, 9, 8)]
    loaders = tuple(torch.utils.data.DataLoader(one, batch_size=4) for one in sets)
    images = returned(loaders, monkeypatch)
    assert same(images.train, gray(30, 30)) and same(images.test, gray(8, 8)) and images.classes == 2
    alone, bare = (returned(one, monkeypatch) for one in (torch.utils.data.DataLoader(sets[0]), sets[0]))
    assert torch.equal(alone.train, bare.train) and alone.record["sizes"] == {"train": 18, "val": 6, "test": 6}

    class Endless(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            yield 1

    with pytest.raises(ObjectiveError, match="must have a length and items by number"):
        returned(Endless(), monkeypatch)


def test_a_module_may_hold_the_data_set_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"mine_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "import numpy as np\nimages = np.arange(40 * 35, dtype=np.uint8).reshape(40, 5, 7)\nnothing = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert data.load({"name": f"{name}:images"}).shape == (1, H, W)
    assert "takes no options" in data.check({"name": f"{name}:images", "radius": 2})[0].replace("takes no the options", "takes no options")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Pairs([np.zeros((3, 4)), np.zeros((4, 4)), np.ones((3, 4))]), r"item 0 has the shape \(3, 4\), and 1 of 3 .*\(item 1 \(4, 4\)\)"),
        (Pairs(range(9), None, lambda *_: np.random.rand(4, 4)), "the same item for the same number.*Take its random transforms out"),
        (Pairs([]), "a Dataset must have items; got none"),
        (Pairs(gray(9), None, lambda image, _: {"picture": image}), "an item must have an image.*got picture"),
        ({"train": gray(9), "holdout": gray(9)}, "a dictionary of splits must have train, and val or test.*got train, holdout"),
        ({"train": gray(20, 1), "test": gray(9, 2, 4, 4)}, r"splits must hold images of one shape; got train \(1, 5, 7\), test"),
        ({"train": gray(20, 1), "test": gray(9, 2) / 255}, "splits must be of one kind of numbers; got train uint8, test float64"),
        ({"train": (gray(20, 1), np.arange(20)), "test": gray(9, 2)}, "labels must be given for every split or .* none for test"),
        ({"train": gray(20, 1), "val": gray(9, 2), "test": gray(1, 3)}, "test: there must be at least 2 images"),
    ],
)  # fmt: skip
def test_what_cannot_be_put_together_is_said(found: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ObjectiveError, match=message):
        returned(found, monkeypatch)


def test_splits_that_overlap_are_refused_with_the_count(tmp_path: Path) -> None:
    train = gray(200, 1)
    options = saved(tmp_path, train=train, val=np.concatenate([gray(40, 2), train[:3]]), test=gray(40, 3))
    with pytest.raises(ObjectiveError, match=r"3 of 43 images of val are in train, too. Remove them .* or set overlap: accept"):
        data.load(options)
    assert "3 of 43 images of val are in train, too" in notes(data.load({**options, "overlap": "accept"}))
    few = saved(tmp_path, train=train, val=gray(40, 2), test=np.concatenate([gray(149, 3), train[:1]]))
    assert "1 of 150 images of test are in train, too" in notes(data.load(few)), "few are said"
    assert "overlap must be refuse or accept; got 'yes'" in data.check({**options, "overlap": "yes"})[0]


def test_copies_in_a_set_that_is_cut_here_are_said(tmp_path: Path) -> None:
    images = data.load(saved(tmp_path, images=np.concatenate([gray(30, 1)] * 2)))
    assert any("the set holds copies, so scores are too good" in note for note in notes(images))


# --- values ---


def test_values_a_rounding_error_outside_are_set_to_the_end(tmp_path: Path) -> None:
    floats = gray(40).astype(np.float32) / 255
    floats[0, 0, 0], floats[1, 0, 0] = 1.0000002, -1e-7
    images = data.load(saved(tmp_path, images=floats))
    whole = torch.cat([getattr(images, split) for split in SPLITS])
    assert float(whole.min()) == 0 and float(whole.max()) == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (gray(40) / 255 + 0.05, r"got 0.05 to 1.05. Clip them: np.clip\(x, 0, 1\)"),
        (gray(40) / 255 * 16, "Divide by 16, or set white: 16"),
        (gray(40) / 255 * 65535, "Divide by 65535, or set white: 65535"),
        (gray(40) / 100 - 1.2, r"Use \(x \+ 2\) / 4"),
        (gray(40).astype(np.int32) - 9, "Add 9 to all of them"),
        (gray(40).astype(np.int32) * 300 - 9, r"Write \(x \+ 9\) / 76500, as floats"),
        (gray(40).astype(np.int32) * 2, "or set white: 510"),
    ],
)
def test_a_remedy_fits_the_numbers(array: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match=message):
        data.load(saved(tmp_path, images=array))


@given(low=st.floats(-1e4, 1e4), width=st.floats(1e-2, 1e4), whole=st.booleans())
@example(low=1.0, width=0.0625, whole=False)
@example(low=-0.09375, width=0.0625, whole=False)
@settings(max_examples=200)
def test_what_follows_the_remedy_is_accepted(low: float, width: float, whole: bool) -> None:
    """The remedy is done to the numbers as it is written, and what comes of it has no fault."""
    x: Any = np.array([low, low + width])
    x = np.rint(x * 3).astype(np.int64) if whole else x
    faults = _arrays.value_faults(x.dtype, _arrays.values_of([x]))
    if not faults or "all alike" in faults[0] or "as bool" in faults[0]:
        return
    white = re.search(r"set white: (\d+)", faults[0])
    if white:
        assert not _arrays.value_faults(x.dtype, _arrays.values_of([x]), int(white.group(1)))
    if found := re.search(r"\(x ([+-]) ([\d.e+]+)\) / ([\d.e+]+)|Divide by (\d+)|(np.clip)|Add (\d+) to", faults[0]):
        sign, shift, scale, divisor, clip, added = found.groups()
        done = np.clip(x, 0, 1) if clip else x / int(divisor) if divisor else x + int(added) if added else None
        done = (x + float(f"{sign}{shift}")) / float(scale) if done is None else done
        assert not _arrays.value_faults(done.dtype, _arrays.values_of([done])), faults[0]
    assert white or found, f"no remedy in {faults[0]!r}"


def test_a_set_that_uses_little_of_its_range_is_remarked_upon_and_white_mends_it(tmp_path: Path) -> None:
    dark = saved(tmp_path, images=gray(40) % 17)
    assert "images use 0 to 16 of the range 0 to 255" in notes(data.load(dark))[0] and "set white: 16" in notes(data.load(dark))[0]
    mended = data.load({**dark, "white": 16})
    assert not notes(mended) and float(mended.train.max()) == 1
    assert "white must be the whole number that is white" in data.check({**dark, "white": 0})[0]
    with pytest.raises(ObjectiveError, match=r"values must be in 0..white, and white is 9; got 0 to 16. Divide by 16, or set white: 16"):
        data.load({**dark, "white": 9})
    flat = saved(tmp_path, images=gray(40) % 17 + 200)
    assert "stretch their contrast" in notes(data.load(flat))[0]


def test_arrays_of_16_bits(tmp_path: Path) -> None:
    deep = gray(40).astype(np.uint16) * 257
    images, eight = data.load(saved(tmp_path, images=deep)), data.load(saved(tmp_path, images=gray(40)))
    assert torch.equal(images.train, eight.train), "65535 is white"
    twelve = data.load({**saved(tmp_path, images=gray(40).astype(np.uint16) * 16), "white": 4095})
    assert 0.99 < float(twelve.train.max()) <= 1


def test_transparent_pixels_of_an_array_show_the_ground(tmp_path: Path) -> None:
    x = gray(40, 1, 5, 6, 4)
    x[..., 3] = 255
    x[:, 0, 0, 3], x[:, 0, 1, 3] = 0, 51
    options = saved(tmp_path, images=x)
    assert "set ground: white or ground: black" in data.check(options)[0]
    images = data.load({**options, "ground": [10, 20, 30]})
    assert images.shape == (3, 5, 6) == data.shape_of({**options, "ground": [10, 20, 30]})
    pixels = (images.train * 255).round().numpy()
    assert np.array_equal(pixels[0, :, 0, 0], [10, 20, 30])
    first = x[int(images.index["train"][0])].astype(float)
    assert np.array_equal(pixels[0, :, 0, 1], np.rint(first[0, 1, :3] * 0.2 + np.array([10, 20, 30]) * 0.8))
    assert np.array_equal(pixels[0, :, 1:], first[1:, :, :3].transpose(2, 0, 1))
    assert "ground must be white, black" in data.check({**options, "ground": "pink"})[0]


# --- folders ---


def pictures(folder: Path, arrays: Any, mode: str | None = None) -> dict[str, Any]:
    for number, pixels in enumerate(arrays):
        Image.fromarray(pixels, mode).save(folder / f"{number:02}.png")
    return {"name": "image_folder", "root": str(folder)}


def test_files_of_16_bits_keep_them(tmp_path: Path) -> None:
    deep = np.random.RandomState(0).randint(0, 65536, (20, 6, 6)).astype(np.uint16)
    options = pictures(tmp_path, deep)
    assert data.check(options) == [] and data.shape_of(options) == (1, 6, 6)
    images = data.load(options)
    whole = torch.cat([getattr(images, split) for split in SPLITS])[torch.cat([images.index[split] for split in SPLITS]).argsort()]
    assert np.array_equal(whole[:, 0].numpy(), deep.astype(np.float32) / np.float32(65535))
    smaller = data.load({**options, "size": 3})
    assert smaller.shape == (1, 3, 3) and len(np.unique((smaller.train * 65535).round().numpy() % 257)) > 20, "still 16 bits"
    Image.fromarray(gray(1, 5, 6, 6)[0]).save(tmp_path / "00.png")
    mixed = data.load(options)
    first = next(getattr(mixed, split)[mixed.index[split] == 0] for split in SPLITS if (mixed.index[split] == 0).any())
    assert np.allclose(first.numpy(), gray(1, 5, 6, 6) / 255), "8 bits among them are the same gray"


def test_transparent_files_are_put_on_the_ground_that_is_named(tmp_path: Path) -> None:
    x = gray(20, 1, 6, 6, 4)
    x[..., 3] = 255
    options = pictures(tmp_path, x)
    opaque = data.load(options)
    x[3, 2, 2, 3] = 0
    pictures(tmp_path, x)
    with pytest.raises(ObjectiveError, match=r"(?s)1 of 20 cannot be used.*03.png: has transparent pixels; set ground: white"):
        data.load(options)
    white = data.load({**options, "ground": "white"})
    split = next(split for split in SPLITS if (white.index[split] == 3).any())
    (place,) = (white.index[split] == 3).nonzero().flatten().tolist()
    changed = (getattr(white, split) != getattr(opaque, split)).any(1)
    assert changed.nonzero().tolist() == [[place, 2, 2]] and getattr(white, split)[place, :, 2, 2].tolist() == [1, 1, 1]


def test_a_folder_of_images_that_are_all_alike_is_refused_as_an_array_is(tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match="images must not be all alike; every pixel is 7"):
        data.load(pictures(tmp_path, np.full((20, 6, 6), 7, np.uint8)))


# --- labels ---


@pytest.mark.parametrize("missing", [-1, np.nan])
def test_a_label_that_is_missing_is_no_class(missing: float, tmp_path: Path) -> None:
    labels = np.where(np.arange(60) % 4 == 3, missing, np.arange(60) % 4 + 5)
    images = data.load(saved(tmp_path, images=gray(60), labels=labels if np.isnan(missing) else labels.astype(int)))
    assert images.classes == 3 and images.record["label_values"] == [5, 6, 7]
    for split in SPLITS:
        expected = torch.where(images.index[split] % 4 == 3, -1, images.index[split] % 4)
        assert torch.equal(getattr(images, f"{split}_labels"), expected)
    assert "15 labels are -1 or NaN" in notes(images)[0]
    nobody = data.load(saved(tmp_path, images=gray(60), labels=np.full(60, missing)))
    assert nobody.classes is None and nobody.train_labels is None


@pytest.mark.trains
def test_metrics_of_labels_leave_images_without_one_out(tmp_path: Path) -> None:
    """Where the missing labels are those of images that were left out, probes find the same as without these images."""
    from objectives import metrics
    from objectives.metrics._subject import Subject

    x = gray(240) // 4 + (np.arange(240) % 2 * 120).astype(np.uint8)[:, None, None]
    labels = np.where(np.arange(240) % 3 == 0, -1, np.arange(240) % 2)
    family = load("autoencoder")(
        base.Settings(saved(tmp_path, images=x, labels=labels), 1, measure=("linear_probe", "knn_probe", "clustering"))
    )
    run: Any = family.start([base.Member(0, {}, 1)])
    net = run.regularization.plain(run.judge.current(0))
    found = metrics.measured(Subject(run.family, net, run.images, "val"), ["linear_probe", "knn_probe", "clustering"])
    known = {split: getattr(run.images, f"{split}_labels") >= 0 for split in SPLITS}
    parts = {split: getattr(run.images, split)[known[split]] for split in SPLITS}
    parts |= {f"{split}_labels": getattr(run.images, f"{split}_labels")[known[split]] for split in SPLITS}
    from dataclasses import replace

    less = Subject(run.family, net, replace(run.images, **parts), "val")
    assert found == metrics.measured(less, ["linear_probe", "knn_probe", "clustering"])


# --- large arrays ---


@pytest.mark.parametrize("how", ["npy", "npz", "function"])
def test_a_large_array_is_mapped_and_read_by_index(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = gray(60, 1, H, W, 3)
    monkeypatch.setattr(_given, "LARGE", 1000)
    monkeypatch.setattr("objectives.data.array_file.SHORT", 1000)
    np.save(tmp_path / "own.npy", x)
    opened: list[Any] = []
    monkeypatch.setattr(_mapped, "rows_of", lambda array, plain=_mapped.rows_of: opened.append(array) or plain(array))
    if how == "function":
        images = returned(np.load(tmp_path / "own.npy", mmap_mode="r"), monkeypatch, train_size=5)
    else:
        options = saved(tmp_path, images=x, labels=np.arange(60) % 2)
        images = data.load({**options, "path": str(tmp_path / f"own.{how}"), "train_size": 5})
    assert not notes(images)
    monkeypatch.setattr(_given, "MANY", 11)
    assert len(opened) == 1 and isinstance(opened[0], np.memmap)
    assert all(isinstance(getattr(images, split), Stored) for split in SPLITS)
    expected = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    assert all(torch.equal(getattr(images, split), expected[images.index[split]]) for split in SPLITS)


def test_an_array_that_is_compressed_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "own.npz", images=gray(60))
    monkeypatch.setattr(_given, "LARGE", 100)
    monkeypatch.setattr("objectives.data.array_file.SHORT", 100)
    assert _mapped.member(tmp_path / "own.npz", "images") is None
    images = data.load({"name": "array_file", "path": str(tmp_path / "own.npz")})
    assert same(images.train, gray(60)[images.index["train"].numpy()])


def test_only_what_is_kept_of_a_large_array_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = gray(60) / 255
    kept = data.load({**saved(tmp_path, images=x), "train_size": 5}).index
    used = np.concatenate([kept[split].numpy() for split in SPLITS])
    x[np.setdiff1d(np.arange(60), used)] = np.nan
    options = {**saved(tmp_path, images=x), "train_size": 5}
    with pytest.raises(ObjectiveError, match="that are NaN or infinite"):
        data.load(options)
    monkeypatch.setattr(_given, "LARGE", 1000)
    assert torch.isfinite(data.load(options).train).all()
    with pytest.raises(ObjectiveError, match="that are NaN or infinite"):
        data.load({**options, "train_size": 30})


def test_pages_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "own.npy", gray(60))
    array = _mapped.npy_file(tmp_path / "own.npy")
    given_back: list[int] = []

    class Pages:
        def madvise(self, advice: int) -> None:
            given_back.append(advice)

    monkeypatch.setattr(_mapped, "_pages", lambda _: Pages())
    monkeypatch.setattr(_mapped, "PAGES", 1)
    monkeypatch.setattr(_mapped, "HELD", 10 * H * W)
    take = _mapped.rows_of(array)
    order = np.arange(60)[::-1].copy()
    assert np.array_equal(take(order), gray(60)[::-1])
    assert len(given_back) == 5, "after each ten rows but the last"


# --- tables ---


def table(n: int = 90, columns: int = 6) -> Any:
    random = np.random.RandomState(0)
    return random.standard_normal((n, 3)) @ random.standard_normal((3, columns)) * 10.0 ** np.arange(columns) + 1000


def test_a_table_is_standardized_by_its_training_rows_unless_that_is_refused(tmp_path: Path) -> None:
    x = table()
    options = saved(tmp_path, data=x)
    assert data.check(options) == [] and data.shape_of(options) == (1, 1, 6)
    assert "likelihood must be gaussian" in data.check(options, likelihood="bernoulli")[0] and not data.check(
        options, likelihood="gaussian"
    )
    assert not data.check({**options, "standardize": False}, likelihood="bernoulli"), "its values are not known yet"
    images, few = data.load(options), data.load({**options, "train_size": 20})
    whole = images.train.flatten(1).double()
    assert torch.allclose(whole.mean(0), torch.zeros(6).double(), atol=1e-5)
    assert torch.allclose(whole.std(0, correction=0), torch.ones(6).double(), atol=1e-5)
    assert torch.equal(few.train, images.train[:20]) and torch.equal(few.val, images.val), "whatever train_size says"
    back = whole * torch.tensor(images.record["column_deviations"]) + torch.tensor(images.record["column_means"])
    assert np.allclose(back, x[images.index["train"].numpy()], rtol=1e-4, atol=1e-3)
    plain = data.load({**options, "standardize": False})
    assert np.array_equal(plain.train.flatten(1).numpy(), x[plain.index["train"].numpy()].astype(np.float32))
    assert "the widest ones decide" in notes(plain)[0] and "columns are standardized" in notes(images)[0]


def test_what_is_wrong_with_a_table_is_said(tmp_path: Path) -> None:
    x = table()
    assert "white must be left out for a table" in data.check({**saved(tmp_path, data=x), "white": 3})[0]
    assert "standardize must be left out for images" in data.check({**saved(tmp_path, images=gray(40)), "standardize": True})[0]
    x[3, 2] = np.nan
    with pytest.raises(ObjectiveError, match="a table must be finite; got 1 of 540 that are NaN or infinite"):
        data.load(saved(tmp_path, data=x))
    x[3, 2], x[:, 4] = 0, 5
    assert "1 of 6 columns are the same in all training rows" in notes(data.load(saved(tmp_path, data=x)))[0]
    flat = data.load(saved(tmp_path, data=gray(40).reshape(40, -1)[:, :16]))
    assert "if they are images, reshape them to (n, 4, 4)" in " ".join(notes(flat))


@pytest.mark.trains
@pytest.mark.parametrize(
    ("name", "model", "likelihood"), [("autoencoder", None, None), ("vae", None, "gaussian"), ("gan", "mlp_table", None)]
)
def test_a_table_can_be_trained_on(name: str, model: str | None, likelihood: str | None, tmp_path: Path) -> None:
    family: Any = load(name)
    made = family(base.Settings(saved(tmp_path, data=table(400)), 1, model=model, likelihood=likelihood))
    made.prepare()
    (report,) = made.start([base.Member(0, {}, 1)]).step()
    assert report.state is base.State.COMPLETE and np.isfinite(report.score)


@pytest.mark.parametrize(
    ("name", "model", "likelihood", "message"),
    [
        ("gan", None, None, "'mlp_small' makes values in .0, 1., and array_file has .* model: mlp_table"),
        ("autoencoder", "mlp512", None, "'mlp512' makes values in .0, 1..* model: .*mlp"),
        ("vae", None, None, "Choose likelihood: gaussian"),
    ],
)
def test_what_cannot_make_the_values_of_a_table_is_refused(
    name: str, model: str | None, likelihood: str | None, message: str, tmp_path: Path
) -> None:
    family: Any = load(name)
    with pytest.raises(ObjectiveError, match=message):
        family(base.Settings(saved(tmp_path, data=table(400)), 1, model=model, likelihood=likelihood)).prepare()


# --- what is said beside the answer ---


def test_gray_images_that_are_about_to_be_made_black_and_white_are_remarked_upon(tmp_path: Path) -> None:
    family: Any = load("vae")

    def said(likelihood: str, **options: Any) -> str:
        made = family(base.Settings({**saved(tmp_path, images=gray(600)), **options}, 1, likelihood=likelihood))
        return " ".join(made.prepare().get("notes", []))

    assert "99% of the pixels are gray" in said("bernoulli") and "likelihood: gaussian, with fixed: {optimal_sigma: 1}" in said("bernoulli")
    assert not said("gaussian") and not said("bernoulli", binarize="static")


def test_notes_of_the_data_come_with_the_preparation(tmp_path: Path) -> None:
    family: Any = load("autoencoder")
    found = family(base.Settings(saved(tmp_path, train=gray(300, 1), val=gray(120, 2), test=gray(90, 3)), 1)).prepare()
    assert found["notes"] == ["your own splits are used: train 300, val 120, test 90"] and "notes" not in found["dataset"]


def test_a_dictionary_of_arrays_is_told_from_a_dataset() -> None:
    assert _items.is_dataset(Pairs([1])) and not any(map(_items.is_dataset, (np.zeros(3), torch.zeros(3), [1], (1,), {"a": 1}, "a", Pairs)))
