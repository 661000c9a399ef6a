"""202,599 aligned photographs of faces: the middle 178×178 pixels, resized to `size`.

Without labels, unless `attribute` names one of its 40 binary attributes (Male, Smiling, …). The splits are the published ones. At 64×64 the
whole set takes 10 GB as float32, and decoding takes minutes in every process. With `train_size` only the kept images are read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data import _files, _pictures
from objectives.data._image_set import image_set
from objectives.data._kinds import SPLITS, Dataset, ImageSet
from objectives.data._options import LABELLED, PIXELS, digest, number_fault, refuse
from objectives.registry import unknown

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

WIDTH, HEIGHT = 178, 218
IMAGES, PARTITION, ATTRIBUTES = "img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt"
DATASET = Dataset(
    name="celeba",
    summary="202,599 photographs of faces, cropped and resized to 64×64 colour pixels",
    shape=(3, 64, 64),
    classes=None,
    sizes={"train": 162_770, "val": 19_867, "test": 19_962},
    licence="non-commercial research only",
    source="Liu et al., Deep learning face attributes in the wild, arXiv 1411.7766",
    needs_root=True,
    options={"size": 64, "attribute": None, "download": False, **PIXELS, **LABELLED},
)


def _fetch(root: str) -> None:
    from torchvision import datasets

    datasets.CelebA(root, download=True)


LAYOUT = _files.Layout("celeba", (IMAGES, PARTITION, ATTRIBUTES), _fetch)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files and what a download needs included."""
    faults = _files.check(DATASET, LAYOUT, options, _sizes)
    faults += number_fault(DATASET, options, "size", 8, integer=True, high=WIDTH)
    attribute, root = options.get("attribute"), options.get("root")
    if attribute is not None and not isinstance(attribute, str):
        faults.append(f"dataset 'celeba': attribute must be null or one of its 40 names; got {attribute!r}.")
    if faults:
        return faults
    if LAYOUT.missing(root):
        return [] if importlib.util.find_spec("gdown") else [_gdown()]
    known = _attributes(root)[0] if attribute else []
    return [] if attribute is None or attribute in known else [unknown("dataset 'celeba': attribute", attribute, known)]


def shape_of(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """Colour images of `size`."""
    size = options.get("size", DATASET.options["size"])
    return (3, size, size)


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images that the published list names."""
    root = options["root"]
    return DATASET.sizes["train"] if LAYOUT.missing(root) else _sizes(root)["train"]


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 3, size, size) in [0, 1] of the published splits; labels (n,) are 1 where the image has the attribute.

    Raises:
        ObjectiveError: an option is wrong, or files under `root` are missing or damaged.
    """
    refuse(check(options))
    import numpy as np

    root, attribute = options["root"], options.get("attribute")
    _files.fetched(DATASET, LAYOUT, root)
    refuse(check(options))  # again: the names of the attributes are in a file that may have just been downloaded
    named, part = _partition(root)
    index = {split: np.flatnonzero(part == number).astype(np.int64) for number, split in enumerate(SPLITS)}
    size, labels = shape_of(options)[1], None
    if attribute is not None:
        known, table = _attributes(root)
        labels = table[:, known.index(attribute)]
        if len(labels) != len(named):
            raise ObjectiveError(f"{ATTRIBUTES} must have a row for each of {len(named)} images; got {len(labels)}. Fetch the file again.")

    def take(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        paths = [LAYOUT.at(root) / IMAGES / named[row] for row in rows]
        return _pictures.read(paths, partial(_face, size=size), "Fetch the files again.").astype(np.uint8, copy=False)

    source = digest(part, np.array([size]), np.frombuffer("\n".join(named).encode(), np.uint8))
    return image_set(DATASET, options, take, labels, index, 255, source, device, classes=2)


def write_sample(root: Path) -> dict[str, Any]:
    """Tiny files in the real layout below `root`; the options that load them."""
    import numpy as np
    from PIL import Image

    folder = LAYOUT.at(root)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    names = [f"{number:06}.jpg" for number in range(1, 91)]
    for number, name in enumerate(names):
        coarse = np.random.RandomState(number).randint(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST).save(folder / IMAGES / name)
    (folder / PARTITION).write_text("".join(f"{name} {number % 10 // 8 + number % 10 // 9}\n" for number, name in enumerate(names)))
    rows = "".join(f"{name} {1 if number % 3 else -1}  1\n" for number, name in enumerate(names))
    (folder / ATTRIBUTES).write_text(f"{len(names)}\nSmiling Young \n{rows}")
    return {"root": str(root), "size": 16, "attribute": "Smiling"}


def _gdown() -> str:
    rule = "download: true needs the package gdown, for the images are on Google Drive"
    return f"dataset 'celeba': {rule}; got none. Install it (pip install gdown), or copy the files into {LAYOUT.folder} below root."


def _face(image: Image, size: int) -> Image:
    """The middle square, resized as torchvision's CenterCrop(178) and Resize(size) do."""
    from PIL.Image import Resampling

    if image.size != (WIDTH, HEIGHT):
        raise ObjectiveError(f"must have {WIDTH}×{HEIGHT} pixels; got {image.size[0]}×{image.size[1]}")
    top = (HEIGHT - WIDTH) // 2
    square = _pictures.as_channels(image, 3).crop((0, top, WIDTH, top + WIDTH))
    return square.resize((size, size), Resampling.BILINEAR)


def _sizes(root: Any) -> dict[str, int]:
    import numpy as np

    _, part = _partition(root)
    counts = np.bincount(part, minlength=3)
    return {split: int(counts[number]) for number, split in enumerate(SPLITS)}


def _partition(root: Any) -> tuple[list[str], NDArray[np.int64]]:
    """File names, and for each the split that it is in (0, 1 or 2)."""
    import numpy as np

    rows = _rows(root, PARTITION)
    try:
        part = np.array([int(number) for _, number in rows], np.int64)
    except ValueError as error:
        raise _damaged(root, PARTITION, "a file name and 0, 1 or 2 in each line", str(error)) from error
    if sorted(set(part.tolist())) != [0, 1, 2] or min(np.bincount(part)) < 2:
        raise _damaged(root, PARTITION, "at least two images of each of the splits 0, 1 and 2", f"{sorted(set(part.tolist()))}")
    return [name for name, _ in rows], part


def _attributes(root: Any) -> tuple[list[str], NDArray[np.int64]]:
    """The attributes' names, and for each image 1 where it has one, else 0: (n, attributes)."""
    import numpy as np

    rows = _rows(root, ATTRIBUTES)
    try:
        table = np.array([[int(value) for value in row[1:]] for row in rows[2:]], np.int64)
    except ValueError as error:
        raise _damaged(root, ATTRIBUTES, "1 or -1 for each attribute in each line", str(error)) from error
    if len(rows) < 3 or table.ndim != 2 or table.shape[1] != len(rows[1]):
        raise _damaged(root, ATTRIBUTES, "a count, the attributes' names and a line for each image", f"{len(rows)} lines")
    return rows[1], (table > 0).astype(np.int64)


def _rows(root: Any, name: str) -> list[list[str]]:
    try:
        return [line.split() for line in (LAYOUT.at(root) / name).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ObjectiveError(f"{LAYOUT.at(root) / name} must be readable; {error}. Fetch the file again.") from error


def _damaged(root: Any, name: str, rule: str, given: str) -> ObjectiveError:
    return ObjectiveError(f"{LAYOUT.at(root) / name} must hold {rule}; got {given}. Fetch the file again.")
