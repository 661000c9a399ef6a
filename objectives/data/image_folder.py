"""Images of your own in a folder: a subfolder for each class (the layout of torchvision's ImageFolder), or all in one folder, unlabelled.

Without `size`, all images must have the same height and width. With `size`, each image is cropped in the middle to the same proportions and
resized (bicubic). Without `channels`, all must be gray or all in colour. Transparency is dropped. Files whose names are not those of
images, and names that begin with a dot, are ignored. A fixed permutation of the sorted files cuts them into train, validation and test.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from objectives.base import ObjectiveError
from objectives.data import _pictures, _shares
from objectives.data._image_set import image_set
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import LABELLED, PIXELS, choice_fault, digest, faults_of, refuse

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
    options={"size": None, "channels": None, **_shares.SHARES, **PIXELS, **LABELLED},
)


class Found(NamedTuple):
    """Image files in sorted order, the class of each, and the names of the classes (none: unlabelled)."""

    paths: tuple[Path, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options and of the folder. Only the first file is opened; the others are opened when they are loaded."""
    wrong = choice_fault(DATASET, options, "channels", (None, 1, 3)) + _shares.faults("image_folder", options, None)
    wrong += _size_faults(options.get("size"))
    try:
        n = len(_listed(options).paths)
        if not wrong:
            shape_of(options)
    except ObjectiveError as error:
        return [*faults_of(DATASET, options), *wrong, f"dataset 'image_folder': {error}"]
    if wrong:
        return faults_of(DATASET, options) + wrong
    return faults_of(DATASET, options, max(_shares.sizes(options, n)["train"], 0)) + _shares.faults("image_folder", options, n)


def shape_of(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width): from the options, else from the first image."""
    size, channels = _pair(options.get("size")), options.get("channels")
    if size is None or channels is None:
        first = _listed(options).paths[0]
        height, width, own = _look(first)
        size, channels = size or (height, width), channels or own
    return (channels, *size)


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images, by a count of the files."""
    return _shares.sizes(options, len(_listed(options).paths))["train"]


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, C, H, W) in [0, 1]: 60 % to train, 20 % to validate, 20 % to test, unless `val_size` and `test_size` say otherwise.

    Raises:
        ObjectiveError: an option is wrong, files are damaged (the first few are named), or they disagree in size or colour.
    """
    refuse(check(options))
    import numpy as np

    found, shape = _listed(options), shape_of(options)
    resized, converted = options.get("size") is not None, options.get("channels") is not None

    def fitted(image: Image) -> Image:
        return _fitted(image, shape, resized, converted)

    try:
        pixels = _pictures.read(found.paths, fitted, "Repair or remove these files.")
    except ObjectiveError as error:
        raise ObjectiveError(f"dataset 'image_folder': {error}") from error
    labels = np.array(found.classes, np.int64) if found.names else None
    index, names = _shares.positions(options, len(pixels)), list(found.names)
    facts = {"class_names": names} if names else {}
    source = digest(pixels, labels)
    return image_set(DATASET, options, pixels.__getitem__, labels, index, 255, source, device, classes=len(names), facts=facts)


def write_sample(root: Path) -> dict[str, Any]:
    """Tiny images in two classes below `root`; the options that load them."""
    import numpy as np
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


def _listed(options: Mapping[str, Any]) -> Found:
    """The image files.

    Raises:
        ObjectiveError: no folder, no image, or images both beside and in subfolders.
    """
    given = options.get("root")
    if not isinstance(given, str | os.PathLike) or not str(given) or not Path(given).expanduser().is_dir():
        raise ObjectiveError(f"root must be a folder of images; got {given!r}. Set root.")
    root = Path(given).expanduser()
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    inside, flat = {folder.name: _images(folder) for folder in folders}, _images(root, deep=False)
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


def _fitted(image: Image, shape: tuple[int, int, int], resized: bool, converted: bool) -> Image:
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
    image = _pictures.as_channels(image, channels)
    return ImageOps.fit(image, (width, height), Resampling.BICUBIC) if resized else image
