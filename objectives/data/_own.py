"""A data set of your own: a function, named `package.module:function` in a spec, that returns images, or images and labels.

    def blobs(radius=3):                       # dataset: {name: "mine:blobs", radius: 2, val_size: 0.1}
        ...
        return images, labels                  # (n, C, H, W) or (n, H, W), an array or a tensor; labels (n,) may be left out

Images are whole numbers 0..255, floats in [0, 1] or truth values. The function gets by keyword every option of the spec except `name`,
`train_size`, `val_size`, `test_size` and `binarize`. It also gets `root`, if it has such a parameter. It must return the same images at
every call: every process calls it once, and splits are cut by a fixed permutation. Import torch only inside functions, so that a sweep's
driver stays light.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from objectives import base, registry
from objectives.data import _arrays, _shares
from objectives.data._image_set import image_set
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import COMMON, LABELLED, PIXELS, digest, faults_of, refuse

OURS = (*COMMON, *_shares.SHARES, *PIXELS, *LABELLED)


class Own:
    """The functions of a data file, for a user's function."""

    def __init__(self, name: str) -> None:
        self._function = registry.attribute("dataset", name)
        summary = (inspect.getdoc(self._function) or "a function of your own").partition("\n")[0]
        options = {**_shares.SHARES, **PIXELS, **LABELLED}
        self.DATASET = Dataset(name, summary, None, None, {}, "your own", name, options=options)

    def check(self, options: Mapping[str, Any]) -> list[str]:
        """Faults of the options. What the function returns is known only when it is loaded."""
        name = self.DATASET.name
        ours = {key: value for key, value in options.items() if key in OURS}
        faults = faults_of(self.DATASET, ours) + _shares.faults(name, options, None)
        try:
            inspect.signature(self._function).bind(**self._handed(options))
        except TypeError as error:
            faults.append(f"dataset {name!r}: the function must take the options beyond {', '.join(OURS)}; {error}.")
        return faults

    def shape_of(self, options: Mapping[str, Any]) -> None:
        """None: the shape is unknown before the function is called."""

    def train_size_of(self, options: Mapping[str, Any]) -> None:
        """None: the size is unknown before the function is called."""

    def load(self, options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
        """Images (n, C, H, W) in [0, 1]: 60 % to train, 20 % to validate, 20 % to test, unless `val_size` and `test_size` say otherwise.

        Raises:
            ObjectiveError: an option is wrong, the function raises, or what it returns cannot be trained on.
        """
        refuse(self.check(options))
        name = self.DATASET.name
        images, labels = self._called(options)
        layout = "NCHW" if images.ndim == 4 else None
        wrong = _arrays.header_faults(images.dtype, images.shape, layout)
        if labels is not None and images.ndim:
            wrong += _arrays.label_faults(labels.dtype, labels.shape, len(images))
        refuse([f"dataset {name!r}: {fault}" for fault in wrong or _arrays.value_faults(images)])
        refuse(_shares.faults(name, options, len(images)))
        pixels, white = _arrays.as_pixels(images, layout)
        numbered, values = (None, []) if labels is None else _arrays.as_classes(labels)
        facts = {"label_values": values} if values else {}
        index, source = _shares.positions(options, len(pixels)), digest(pixels, numbered)
        return image_set(
            self.DATASET, options, pixels.__getitem__, numbered, index, white, source, device, classes=len(values), facts=facts
        )

    def _handed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments of the function."""
        takes = inspect.signature(self._function).parameters
        root = {"root": options["root"]} if options.get("root") is not None and "root" in takes else {}
        return {**root, **{key: value for key, value in options.items() if key not in OURS}}

    def _called(self, options: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """What the function returns, as arrays."""
        rule = f"dataset {self.DATASET.name!r}: the function must return images, or images and labels"
        try:
            found = self._function(**self._handed(options))
            pair = found if isinstance(found, tuple) else (found, None)
            if len(pair) != 2:
                raise base.ObjectiveError(f"{rule}; got a tuple of {len(pair)}.")
            return _array(pair[0]), None if pair[1] is None else _array(pair[1])
        except base.ObjectiveError:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{last.filename}, line {last.lineno}"
            raise base.ObjectiveError(f"{rule}; it raised {type(error).__name__}: {error} ({place}).") from error


def _array(found: Any) -> NDArray[Any]:
    """Convert to an array; the input may be a tensor."""
    import numpy as np

    return np.asarray(found.detach().cpu().numpy() if hasattr(found, "detach") else found)
