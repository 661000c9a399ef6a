"""Images of your own in a folder: a subfolder for each class (the layout of torchvision's ImageFolder), or all in one folder, unlabelled.

Subfolders `train` beside `val` or `test` (or `valid`, `validation`, …) are your own splits; each of them is such a folder. Else a fixed
permutation of the sorted files cuts them into train, validation and test.

Without `size`, all images must have the same height and width. With `size`, each image is cropped in the middle to the same proportions and
resized (bicubic). Without `channels`, all must be gray or all in colour. Gray may have 16 bits. `ground` is the colour below transparent
pixels: white, black or [red, green, blue] of 0..255. `white` and `overlap` are those of `array_file`. Files whose names are not those of
images, and names that begin with a dot, are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.base import ObjectiveError
from objectives.data import _given, _pictures, _splits
from objectives.data._arrays import Ground
from objectives.data._image_set import kept_positions
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import choice_fault, faults_of, refuse
from objectives.data._splits import WHOLE

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})  # torchvision's
DATASET = Dataset(
    name="image_folder",
    summary="your own images of any size, in a folder; subfolders are classes",
    shape=None,
    classes=None,
    sizes={},
    licence="your own",
    source="the files under `root`",
    needs_root=True,
    options={"size": None, "channels": None, **_given.IMAGES},
)


@dataclass(frozen=True)
class Found:
    """Image files in sorted order, the class of each, and the names of the classes (none: unlabelled)."""

    paths: tuple[Path, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options and of the folder. Only the first file is opened; others when they are loaded, if a split has them."""
    wrong = choice_fault(DATASET, options, "channels", (None, 1, 3)) + _given.option_faults(DATASET, options)
    wrong += _size_faults(options.get("size"))
    try:
        n = {name: len(found.paths) for name, found in _listed(options).items()}
        if not wrong:
            shape_of(options)
    except ObjectiveError as error:
        return [*faults_of(DATASET, options), *wrong, f"dataset 'image_folder': {error}"]
    if wrong:
        return faults_of(DATASET, options) + wrong
    return faults_of(DATASET, options, max(_splits.sizes(options, n)["train"], 0)) + _splits.faults("image_folder", options, n)


def shape_of(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width): from the options, else from the first image."""
    size, channels = _pair(options.get("size")), options.get("channels")
    if size is None or channels is None:
        first = next(iter(_listed(options).values())).paths[0]
        height, width, own = _look(first)
        size, channels = size or (height, width), channels or own
    return (channels, *size)


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images, by a count of the files."""
    return _splits.sizes(options, {name: len(found.paths) for name, found in _listed(options).items()})["train"]


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, C, H, W) in [0, 1]: the folder's own splits; else 60 % to train, 20 % to validate, 20 % to test.

    `val_size` and `test_size` say otherwise.

    Raises:
        ObjectiveError: an option is wrong, files are damaged (the first few are named), or they disagree in size or colour.
    """
    refuse(check(options))
    listed, shape = _listed(options), shape_of(options)
    resized, converted = options.get("size") is not None, options.get("channels") is not None
    ground = _given.ground_of(options)

    def fitted(image: Image) -> Image:
        return _fitted(image, shape, resized, converted, ground)

    names, sizes = next(iter(listed.values())).names, {name: len(found.paths) for name, found in listed.items()}
    labels = {name: np.array(found.classes, np.int64) for name, found in listed.items() if names}
    paths, wanted = [path for found in listed.values() for path in found.paths], _wanted(options, sizes, labels)
    try:  # all at once, so that one list names all damaged files, and all have 8 bits or all have 16
        pixels = _pictures.read([paths[which] for which in wanted], fitted, "Repair or remove these files.")
        own = {key: options.get(key) for key in ("size", "channels", "ground", "white")}
        source = _given.of_files(paths, Path(options["root"]).expanduser(), (sizes, own))
    except ObjectiveError as error:
        raise ObjectiveError(f"dataset 'image_folder': {error}") from error
    ends = np.searchsorted(wanted, list(accumulate(sizes.values(), initial=0)))
    images = {name: pixels[start:end] for name, start, end in zip(sizes, ends, ends[1:], strict=False)}
    given = _given.Given(images, labels, "NCHW", _given.Read(sizes, wanted, source))
    facts = {"class_names": list(names)} if names else {}
    return _given.load(DATASET, options, given, device, lambda fault: f"dataset 'image_folder': {fault}", facts)


def _wanted(options: Mapping[str, Any], sizes: Mapping[str, int], labels: Mapping[str, Any]) -> _given.Positions:
    """The positions of the images that are in a split, or put aside: files beyond `train_size` are not read. Names alone decide."""
    index = _splits.positions(options, sizes)
    known = np.concatenate([*labels.values()]) if labels else None
    kept, novel = kept_positions(DATASET, options, known, index, len(set(known.tolist())) if known is not None else None)
    return np.sort(np.concatenate([*kept.values(), *novel.values()]))


def write_sample(root: Path) -> dict[str, Any]:
    """Tiny images in two classes below `root`; the options that load them."""
    from PIL import Image

    for number in range(120):
        folder = root / ("left", "right")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(number).randint(0, 256, (7, 5, 3), dtype=np.uint8)
        pixels[0, 0] = 0, 255, 0
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    (root / "notes.txt").write_text("not an image")
    return {"root": str(root)}


def _size_faults(size: Any) -> list[str]:
    sides = size if isinstance(size, list | tuple) else [size, size]
    if size is None or (len(sides) == 2 and all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in sides)):
        return []
    return [f"dataset 'image_folder': size must be a number of pixels, [height, width] or null; got {size!r}. Write size: 32."]


def _pair(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return height, width


def _listed(options: Mapping[str, Any]) -> dict[str, Found]:
    """The image files, by split if the folder has splits.

    Raises:
        ObjectiveError: no folder, no image, images both beside and in subfolders, or splits beside other folders.
    """
    given = options.get("root")
    if not isinstance(given, str | os.PathLike) or not str(given) or not Path(given).expanduser().is_dir():
        raise ObjectiveError(f"root must be a folder of images; got {given!r}. Set root.")
    root = Path(given).expanduser()
    folders = {path.name: path for path in _folders(root)}
    splits = _splits.named(folders)
    if not splits:
        return {WHOLE: _found(root)}
    if others := [name for name in folders if name not in splits.values()]:
        told = f"got {', '.join(splits.values())} beside {', '.join(others)} in {str(root)!r}"
        raise ObjectiveError(f"folders must all be splits, or all classes; {told}. Move the others away, or rename them.")
    return _alike({split: _found(folders[name]) for split, name in splits.items()})


def _alike(splits: dict[str, Found]) -> dict[str, Found]:
    """Splits whose classes have the same numbers in all of them."""
    if without := [split for split, found in splits.items() if not found.names]:
        if len(without) < len(splits):
            rule = "folders of classes must be in every split or in none"
            raise ObjectiveError(f"{rule}; got none in {' and '.join(without)}. Sort these images into classes, or the others out of them.")
        return splits
    names = tuple(sorted({name for found in splits.values() for name in found.names}))
    number = {name: names.index(name) for name in names}
    return {
        split: Found(found.paths, tuple(number[found.names[which]] for which in found.classes), names) for split, found in splits.items()
    }


def _found(root: Path) -> Found:
    """The image files of one folder, which is a split or the whole set."""
    inside, flat = {folder.name: _images(folder) for folder in _folders(root)}, _images(root, deep=False)
    if not flat and not any(inside.values()):
        raise ObjectiveError(f"root must hold images ({', '.join(sorted(SUFFIXES))}); got none in {str(root)!r}.")
    if flat and any(inside.values()):
        given = f"got {len(flat)} images beside {len(inside)} folders of images in {str(root)!r}"
        raise ObjectiveError(f"images must be in subfolders, one for each class, or all in root; {given}. Move them.")
    if flat:
        return Found(tuple(flat), (), ())
    if empty := [name for name, paths in inside.items() if not paths]:
        raise ObjectiveError(f"each class's folder must hold images; got none in {', '.join(empty)}. Remove these folders, or fill them.")
    classes = tuple(number for number, paths in enumerate(inside.values()) for _ in paths)
    return Found(tuple(path for paths in inside.values() for path in paths), classes, tuple(inside))


def _folders(root: Path) -> list[Path]:
    """The subfolders of a folder, sorted; hidden ones are left out."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path, deep: bool = True) -> Sequence[Path]:
    """Image files of a folder, and of those below it, sorted."""
    found = folder.rglob("*") if deep else folder.iterdir()
    shown = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in shown if path.suffix.lower() in SUFFIXES and path.is_file())


def _look(path: Path) -> tuple[int, int, int]:
    """Height, width and channels of an image, from its header."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width, _pictures.channels_of(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ObjectiveError(f"image files must be readable; {path}: {error}. Repair or remove the file.") from error


def _fitted(image: Image, shape: tuple[int, int, int], resized: bool, converted: bool, ground: Ground | None) -> Image:
    """An image of the wanted shape. An image of another shape is refused, unless the options ask to change it."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    channels, height, width = shape
    if not converted and _pictures.channels_of(image) != channels:
        kind = {1: "gray", 3: "in colour"}
        raise ObjectiveError(f"is {kind[4 - channels]} while the first image is {kind[channels]}; set channels: 1 or channels: 3")
    if not resized and (image.height, image.width) != (height, width):
        given = f"has {image.height}×{image.width} pixels while the first image has {height}×{width}"
        raise ObjectiveError(f"{given}; set size: {height} or size: [height, width]")
    image = _pictures.as_channels(image, channels, ground)
    return ImageOps.fit(image, (width, height), Resampling.BICUBIC) if resized else image
