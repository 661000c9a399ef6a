"""Data sets: one file each, and the file name is the name in a spec.

A data file holds `DATASET` (facts, readable without torch), `check(options)` (every fault of the options at once, without torch) and
`load(options, device)`, which returns an `ImageSet`. Splits are fixed: in every sweep the same images are trained on, validated on and
tested on, so that scores of different sweeps can be compared. A data file may also hold

- `shape_of(options)` and `train_size_of(options)`, where these depend on options or files. They read headers, without torch, so that a
  spec that cannot work is refused before anything is loaded. They are called only where `check` found no fault;
- `facts_of(options)`, where `DATASET` itself depends on them: likewise;
- `write_sample(root) -> options`: writes a tiny valid instance of the files under the folder `root`, and returns the options that load it.
  The contract suite reads it where the real files are missing.

Common options. `train_size` keeps the first training images. `binarize` is for gray and colour images: `static` draws every pixel once, 1
with the probability of its value; the draw does not depend on `train_size`. `dynamic` leaves the images as they are, and says that the
VAE's likelihood `bernoulli` redraws them for every training batch. It does so anyway; so `dynamic` is refused where nothing would redraw
them. `hold_out` is for images with classes: it keeps one class out of every split.

A data set of your own is written `package.module:name`: see `_own.py`. What users hand over, in a file, a folder or from a function, goes
through `_given.py`: whole or in splits (`_splits.py`), images (`_arrays.py`) or tables (`_tables.py`). `_stored.py` is how many images are
kept: as bytes, or by index in a mapped file (`_mapped.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.base import ObjectiveError
from objectives.data._kinds import DEFAULT, Dataset, ImageSet
from objectives.data._own import Own
from objectives.registry import names, unknown


def module(name: str) -> Any:
    """The data file called `name`, or an object like it for a user's function. Imports no torch.

    Raises:
        ObjectiveError: no data set has this name, or the function cannot be imported.
    """
    if ":" in name:
        return Own(name)
    known = names("dataset")
    if name not in known:
        raise ObjectiveError(unknown("dataset", name, known) + meant(name))
    return importlib.import_module(f"objectives.data.{name}")


def meant(name: str) -> str:
    """How a data set of a user's own is written, to follow an unknown name; where it is that of a file or folder, with it."""
    if Path(name).expanduser().is_dir():
        return f" For images in that folder: dataset: {{name: image_folder, root: {name}}}."
    if name.endswith((".npz", ".npy")):
        return f" For arrays in that file: dataset: {{name: array_file, path: {name}}}."
    return " A data set of your own is written package.module:name."


def serving(objective: str) -> tuple[str, ...]:
    """The data sets that an objective can be trained on, the one that needs no download first."""
    found = (name for name in names("dataset") if objective in (module(name).DATASET.serves or (objective,)))
    return tuple(sorted(found, key=lambda name: (name != DEFAULT, name)))


def shape_of(options: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """(channels, height, width) of the images that these options load, if that is known without loading them; else None."""
    found = module(str(options.get("name", "")))
    shape: tuple[int, int, int] | None = getattr(found, "shape_of", lambda _: found.DATASET.shape)(options)
    return shape


def train_size_of(options: Mapping[str, Any]) -> int | None:
    """The number of training images that these options load, where it is known without loading them."""
    found = module(str(options.get("name", "")))
    size: int | None = options.get("train_size") or getattr(found, "train_size_of", lambda _: found.DATASET.sizes["train"])(options)
    return size


def check(options: Mapping[str, Any], batch_size: int | None = None, likelihood: str | None = None) -> list[str]:
    """Every fault of a spec's data-set options, in words; empty when `load` would accept them. Imports no torch.

    `batch_size` is the spec's batch size, if it gives one: a minibatch must not be larger than the training split. `likelihood` is the
    objective's likelihood: "" where it has none, None where it is unknown.
    """
    try:
        found = module(str(options.get("name", "")))
    except ObjectiveError as error:
        return [str(error)]
    faults: list[str] = found.check(options)
    if not faults and batch_size is not None and (n := train_size_of(options)) is not None and batch_size > n:
        faults = [f"batch_size must be at most the number of training images, {n}; got {batch_size}. Lower it."]
    facts = found.DATASET if faults else getattr(found, "facts_of", lambda _: found.DATASET)(options)
    return faults + ([] if likelihood is None else likelihood_faults(facts, options, likelihood))


def located(options: Mapping[str, Any]) -> dict[str, str]:
    """Options that name a file or folder relative to the current folder, made absolute: a worker has another current folder."""
    own = ("root",) if options.get("root") else ("path",)
    paths = {key: Path(options[key]).expanduser() for key in own if isinstance(options.get(key), str)}
    return {key: str(path.absolute()) for key, path in paths.items() if not path.is_absolute() and path.exists()}


def likelihood_faults(dataset: Dataset, options: Mapping[str, Any], likelihood: str) -> list[str]:
    """Why such data do not go with a likelihood ("": the objective has none)."""
    faults = []
    if likelihood and likelihood not in dataset.likelihoods:
        suited = " or ".join(dataset.likelihoods)
        faults.append(f"dataset {dataset.name!r}: likelihood must be {suited}, for it holds no pixels; got {likelihood!r}.")
    if options.get("binarize") == "dynamic" and likelihood != "bernoulli":
        rule = "binarize: dynamic means that the likelihood bernoulli redraws the pixels for every batch"
        faults.append(f"dataset {dataset.name!r}: {rule}; got likelihood {likelihood or None!r}. Choose binarize: static, or leave it out.")
    return faults


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """The data set that `options["name"]` names, on `device`.

    Raises:
        ObjectiveError: an option is wrong or the files are missing; all faults in one message.
    """
    images: ImageSet = module(str(options.get("name", ""))).load(options, device)
    return images
