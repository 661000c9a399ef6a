"""Files in the layouts of torchvision, read by us and by torchvision: the same pixels and labels. And folders of images."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from objectives import data
from objectives.base import ObjectiveError
from objectives.data._kinds import SPLITS, ImageSet
from search.errors import SpecError
from search.spec.reading import read


def sample(name: str, folder: Path) -> dict[str, Any]:
    return {"name": name, **data.module(name).write_sample(folder)}


def whole(images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Every image and label, in the order of the files: training before test."""
    order = torch.cat([images.index[split] for split in SPLITS]).argsort()
    pixels, labels = (torch.cat([getattr(images, f"{split}{what}") for split in SPLITS])[order] for what in ("", "_labels"))
    return pixels, labels


def unchecked(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let torchvision read files that have not the published md5."""
    for module in modules:
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: Path(path).is_file())


def unpacked(folder: Path) -> None:
    for path in folder.rglob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


def test_kmnist_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    from torchvision import datasets

    pixels, labels = whole(data.load(sample("kmnist", tmp_path)))
    unpacked(tmp_path)
    official = [datasets.KMNIST(tmp_path, train=train) for train in (True, False)]
    assert torch.equal(pixels[:, 0], torch.cat([one.data for one in official]) / 255)
    assert torch.equal(labels, torch.cat([one.targets for one in official]))


def test_emnist_is_what_torchvision_reads_but_upright_and_counted_from_0(tmp_path: Path) -> None:
    from torchvision import datasets

    pixels, labels = whole(data.load(sample("emnist", tmp_path)))
    unpacked(tmp_path)
    official = [datasets.EMNIST(tmp_path, "letters", train=train) for train in (True, False)]
    assert torch.equal(pixels[:, 0], torch.cat([one.data for one in official]).transpose(1, 2) / 255)
    assert torch.equal(labels, torch.cat([one.targets for one in official]) - 1)


def test_the_splits_of_emnist_have_their_own_files_and_classes(tmp_path: Path) -> None:
    options = sample("emnist", tmp_path)
    assert "emnist-balanced-train-images" in data.check({**options, "split": "balanced"})[0]
    assert "split must be balanced, byclass, bymerge, digits, letters or mnist; got 'words'" in data.check({**options, "split": "words"})[0]
    assert data.train_size_of({**options, "split": "digits", "download": True}) == 200_000
    unpacked(tmp_path)
    for path in (tmp_path / "EMNIST" / "raw").iterdir():
        path.rename(path.with_name(path.name.replace("letters", "digits")))
    with pytest.raises(ObjectiveError, match=r"labels from 0 to 9; got .* labels up to 26"):
        data.load({**options, "split": "digits"})


def test_cifar10_is_read_as_torchvision_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    pixels, labels = whole(data.load(sample("cifar10", tmp_path)))
    unchecked(monkeypatch, "cifar")
    with (tmp_path / "cifar-10-batches-py" / "batches.meta").open("wb") as file:
        pickle.dump({"label_names": list("abcdefghij")}, file)
    official = [datasets.CIFAR10(tmp_path, train=train) for train in (True, False)]
    assert np.array_equal((pixels * 255).round().byte().permute(0, 2, 3, 1), np.concatenate([one.data for one in official]))
    assert labels.tolist() == official[0].targets + official[1].targets


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    options, marker = sample("cifar10", tmp_path), tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    with (tmp_path / "cifar-10-batches-py" / "data_batch_2").open("wb") as file:
        pickle.dump({"data": Evil(), "labels": [0]}, file, protocol=2)
    with pytest.raises(ObjectiveError, match=r"data_batch_2 must be a file of CIFAR-10; UnpicklingError: it asks for"):
        data.load(options)
    assert not marker.exists()


def test_a_batch_that_python_2_wrote_is_read(tmp_path: Path) -> None:
    """The published files name NumPy's old module and hold texts as bytes."""
    options = sample("cifar10", tmp_path)
    pixels, _ = whole(data.load(options))
    for path in (tmp_path / "cifar-10-batches-py").iterdir():
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert torch.equal(whole(data.load(options))[0], pixels)


def test_svhn_is_read_as_torchvision_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    pixels, labels = whole(data.load(sample("svhn", tmp_path)))
    unchecked(monkeypatch, "svhn")
    official = [datasets.SVHN(tmp_path, split) for split in ("train", "test")]
    assert np.array_equal((pixels * 255).round().byte(), np.concatenate([one.data for one in official]))
    assert labels.tolist() == np.concatenate([one.labels for one in official]).tolist() and set(labels.tolist()) == set(range(10))


def test_celeba_is_cropped_and_resized_as_torchvision_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets, transforms

    options = sample("celeba", tmp_path)
    images = data.load(options)
    for name, header in {
        "identity_CelebA.txt": "",
        "list_bbox_celeba.txt": "90\nx y\n",
        "list_landmarks_align_celeba.txt": "90\nx y\n",
    }.items():
        (tmp_path / "celeba" / name).write_text(header + "".join(f"{number:06}.jpg 1\n" for number in range(1, 91)))
    unchecked(monkeypatch, "celeba")
    turned = transforms.Compose([transforms.CenterCrop(178), transforms.Resize(16), transforms.ToTensor()])
    for ours, theirs in {"train": "train", "val": "valid", "test": "test"}.items():
        official = datasets.CelebA(tmp_path, theirs, transform=turned)
        assert torch.equal(getattr(images, ours), torch.stack([official[place][0] for place in range(len(official))]))
        assert getattr(images, f"{ours}_labels").tolist() == official.attr[:, official.attr_names.index("Smiling")].tolist()
    assert data.load({**options, "attribute": None, "size": 8}).train_labels is None
    assert "Did you mean 'Smiling'?" in data.check({**options, "attribute": "Smilling"})[0]
    assert "size must be an integer from 8 to 178; got 300" in data.check({**options, "size": 300})[0]


def test_with_train_size_only_what_is_kept_of_celeba_is_read(tmp_path: Path) -> None:
    options = sample("celeba", tmp_path)
    kept = data.load({**options, "train_size": 3})
    (tmp_path / "celeba" / "img_align_celeba" / f"{int(whole_index(data.load(options))[3]) + 1:06}.jpg").unlink()
    assert torch.equal(data.load({**options, "train_size": 3}).train, kept.train)
    with pytest.raises(ObjectiveError, match="1 of 72 cannot be used"):
        data.load(options)


def whole_index(images: ImageSet) -> torch.Tensor:
    return images.index["train"]


@pytest.mark.parametrize("name", ["cifar10", "svhn"])
def test_a_train_size_beyond_what_the_files_hold_is_refused(name: str, tmp_path: Path) -> None:
    options = sample(name, tmp_path)
    with pytest.raises(ObjectiveError, match="train_size must be an integer from 2 to 90"):
        data.load({**options, "train_size": 91})


def test_a_stack_of_mnist_spells_its_label(tmp_path: Path) -> None:
    options = sample("stacked_mnist", tmp_path)
    stacks, (digits, labels) = data.load(options), whole(data.load({"name": "mnist", "root": options["root"]}))
    digit_of = {image.numpy().tobytes(): int(label) for image, label in zip(digits[:, 0], labels, strict=True)}
    for image, label in zip(stacks.train[:50], stacks.train_labels[:50].tolist(), strict=True):  # type: ignore[index]
        assert [digit_of[channel.numpy().tobytes()] for channel in image] == [label // 100, label // 10 % 10, label % 10]
    train, test = ({image.numpy().tobytes() for image in split.flatten(0, 1)} for split in (stacks.train, stacks.test))
    assert not train & test, "no digit is in two splits"
    assert not torch.equal(data.load({**options, "data_seed": 1}).train, stacks.train)
    assert torch.equal(data.load({**options, "n_train": 90}).train, stacks.train[:90])


# --- a folder of images ---


def picture(path: Path, size: tuple[int, int] = (6, 4), mode: str = "RGB", seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2}.get(mode, 1)
    pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(-1) if bands == 1 else pixels).save(path)


def folder(root: Path, n: int = 12, **options: Any) -> dict[str, Any]:
    for number in range(n):
        picture(root / f"{number:02}.png", seed=number, **options)
    return {"name": "image_folder", "root": str(root)}


def test_classes_and_order_are_those_of_torchvisions_image_folder(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import ToTensor

    for number in range(20):
        picture(tmp_path / ["ZEBRA", "cat", "bee"][number % 3] / f"{number}.{'PNG' if number % 2 else 'png'}", seed=number)
    (tmp_path / "cat" / "readme.md").write_text("no image")
    official = ImageFolder(str(tmp_path), ToTensor())
    (tmp_path / ".hidden").mkdir()  # torchvision would take it for a class
    images = data.load({"name": "image_folder", "root": str(tmp_path)})
    pixels, labels = whole(images)
    assert torch.equal(pixels, torch.stack([image for image, _ in official])) and labels.tolist() == official.targets
    assert images.record["class_names"] == official.classes and images.classes == 3


@pytest.mark.parametrize("layout", ["flat", "classes", "splits"])
def test_files_beyond_the_train_size_are_not_decoded(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chosen images are those that a whole reading would choose, and the set has the same name for both."""
    places = {"flat": [""], "classes": ["cat", "bee"], "splits": ["train/cat", "train/bee", "val/cat", "val/bee"]}[layout]
    for number in range(40):
        picture(tmp_path / places[number % len(places)] / f"{number:02}.png", seed=number)
    options = {"name": "image_folder", "root": str(tmp_path)}
    whole_set, decoded = data.load(options), []
    load = PngImageFile.load
    monkeypatch.setattr(PngImageFile, "load", lambda self: (decoded.append(self.filename), load(self))[1])
    some = data.load({**options, "train_size": 5})
    assert len(set(decoded)) == 5 + len(some.val) + len(some.test) < 40
    assert len(some.train) == 5 and torch.equal(some.train, whole_set.train[:5])
    for split in ("val", "test"):
        assert torch.equal(getattr(some, split), getattr(whole_set, split)) and torch.equal(some.index[split], whole_set.index[split])
    if layout != "flat":
        assert some.train_labels is not None and whole_set.train_labels is not None
        assert some.train_labels.tolist() == whole_set.train_labels[:5].tolist() and some.classes == whole_set.classes == 2
    assert some.record["source_sha256"] == whole_set.record["source_sha256"]
    assert data.load({**options, "channels": 1}).record["source_sha256"] != some.record["source_sha256"]


def test_a_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    options = folder(tmp_path)
    images = data.load(options)
    assert images.classes is None and images.train_labels is None and images.shape == (3, 4, 6) == data.shape_of(options)


def test_images_are_made_to_fit_where_that_is_asked_for(tmp_path: Path) -> None:
    options = folder(tmp_path)
    picture(tmp_path / "wide.png", (30, 10))
    picture(tmp_path / "gray.png", (6, 4), "L")
    with pytest.raises(ObjectiveError) as caught:
        data.load(options)
    said = str(caught.value).splitlines()
    assert "2 of 14 cannot be used" in said[0] and "gray.png: is gray while the first image is in colour; set channels" in said[1]
    assert "wide.png: has 10×30 pixels while the first image has 4×6; set size" in said[2]
    for size, channels, shape in [(8, 3, (3, 8, 8)), ([5, 9], 1, (1, 5, 9))]:
        asked = {**options, "size": size, "channels": channels}
        assert data.check(asked) == [] and data.load(asked).shape == shape == data.shape_of(asked)
    assert "size must be a number of pixels" in data.check({**options, "size": [3, 4, 5]})[0]
    assert "channels must be null, 1 or 3; got 2" in data.check({**options, "channels": 2})[0]


def test_a_crop_is_of_the_middle(tmp_path: Path) -> None:
    """An image twice as wide as high, white in the middle half: the square that is asked for is white."""
    pixels = np.zeros((10, 20), np.uint8)
    pixels[:, 5:15] = 255
    for number in range(10):
        Image.fromarray(pixels if number else np.zeros_like(pixels)).save(tmp_path / f"{number}.png")
    images = data.load({"name": "image_folder", "root": str(tmp_path), "size": 10})
    assert sorted(float(image.mean()) for split in SPLITS for image in getattr(images, split)) == [0.0] + [1.0] * 9


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    options = {"name": "image_folder", "root": str(tmp_path)}
    assert "root must hold images" in data.check(options)[0]
    assert "root must be a folder of images; got None. Set root." in data.check({"name": "image_folder"})[0]
    picture(tmp_path / "one" / "a.png")
    assert "each split must hold at least 2 images; got 1 images" in data.check(options)[0]
    picture(tmp_path / "b.png")
    assert "got 1 images beside 1 folders" in data.check(options)[0]
    (tmp_path / "b.png").unlink()
    (tmp_path / "two").mkdir()
    assert "got none in two" in data.check(options)[0]


def test_damaged_and_strange_files_are_named(tmp_path: Path) -> None:
    options = folder(tmp_path)
    (tmp_path / "05.png").write_bytes((tmp_path / "05.png").read_bytes()[:60])
    (tmp_path / "06.png").write_text("not a picture")
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "07.png")
    with pytest.raises(ObjectiveError, match="3 of 12 cannot be used") as caught:
        data.load(options)
    said = str(caught.value).splitlines()[1:]
    assert [line.partition(":")[0].rpartition("/")[2] for line in said] == ["05.png", "06.png", "07.png"]
    assert "is gray while the first image is in colour" in said[2]
    (tmp_path / "00.png").write_text("not a picture")
    assert "00.png" in data.check(options)[0], "the first is looked at before training"


def test_a_model_that_does_not_fit_a_folder_is_refused_on_the_driver(tmp_path: Path) -> None:
    options = folder(tmp_path)
    spec = read({"objective": "autoencoder", "dataset": options})
    assert spec.dataset.name == "image_folder"
    with pytest.raises(SpecError, match="batch_size must be at most the number of training images, 8"):
        read({"objective": "autoencoder", "dataset": options, "batch_size": 9})
