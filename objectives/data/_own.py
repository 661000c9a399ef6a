"""A data set of your own, named `package.module:name` in a spec: a function that returns it, or the thing itself.

    def blobs(radius=3):                       # dataset: {name: "mine:blobs", radius: 2, val_size: 0.1}
        ...
        return images, labels                  # (n, C, H, W) or (n, H, W), an array or a tensor; labels (n,) may be left out

It is images, or images and labels; or a table (n, d); or a torch `Dataset`, whose items are images, pairs of image and label, or
dictionaries with `image` and `label`. Or it is splits of these, which are used as they are: `{"train": …, "val": …, "test": …}`, a tuple
(train, val, test), or (train, test). Images are whole numbers of 8 or 16 bits, floats in [0, 1] or truth values.

The function gets by keyword every option of the spec that is not Lagrange's own (`OURS`). It also gets `root`, if it has such a parameter.
It must return the same images at every call: every process calls it once, and splits are cut by a fixed permutation. Import torch only
inside functions, so that a sweep's driver stays light.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from objectives import base, registry
from objectives.data import _given, _items
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import COMMON, faults_of, refuse

OURS = (*COMMON, *_given.OPTIONS)


class Own:
    """The functions of a data file, for what a user names."""

    def __init__(self, name: str) -> None:
        self._function: Any = None
        self._made: Any = None
        self._signature: inspect.Signature | None = None
        if registry.looking():
            looked = registry.looked_at("dataset", name)
            self._signature, summary = looked.signature, looked.doc.partition("\n")[0]
        else:
            found = registry.attribute("dataset", name, called=False)
            self._function, self._made = found if callable(found) else None, found
            with suppress(ValueError):  # of what is written in C it may be unknown
                self._signature = inspect.signature(self._function or _nothing)
            summary = (inspect.getdoc(found) or "").partition("\n")[0] if self._function else ""
        self.DATASET = Dataset(name, summary or "a data set of your own", None, None, {}, "your own", name, options=_given.OPTIONS)

    def check(self, options: Mapping[str, Any]) -> list[str]:
        """Faults of the options. What the function returns is known only when it is loaded."""
        name = self.DATASET.name
        ours = {key: value for key, value in options.items() if key in OURS}
        faults = faults_of(self.DATASET, ours) + _given.option_faults(self.DATASET, options)
        try:
            if self._signature is not None:
                self._signature.bind(**self._handed(options))
        except TypeError as error:
            what = "the function must take" if self._function or self._made is None else "what is no function takes no"
            faults.append(f"dataset {name!r}: {what} the options beyond {', '.join(OURS)}; {error}.")
        return faults

    def shape_of(self, options: Mapping[str, Any]) -> None:
        """None: the shape is unknown before the function is called."""

    def train_size_of(self, options: Mapping[str, Any]) -> None:
        """None: the size is unknown before the function is called."""

    def load(self, options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
        """The user's splits; else 60 % to train, 20 % to validate, 20 % to test, unless `val_size` and `test_size` say otherwise.

        Raises:
            ObjectiveError: an option is wrong, the function raises, or what it returns cannot be trained on.
        """
        refuse(self.check(options))
        images, labels = self._called(options)
        given = _given.Given(images, labels, _layout(next(iter(images.values())).shape))
        return _given.load(self.DATASET, options, given, device, lambda fault: f"dataset {self.DATASET.name!r}: {fault}")

    def _handed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments of the function."""
        takes = self._signature.parameters if self._signature else {}
        root = {"root": options["root"]} if options.get("root") is not None and "root" in takes else {}
        return {**root, **{key: value for key, value in options.items() if key not in OURS}}

    def _called(self, options: Mapping[str, Any]) -> tuple[_items.Arrays, _items.Arrays]:
        """What the function returns, as arrays. A Dataset is read item by item here, so its errors are the user's, too."""
        name = f"dataset {self.DATASET.name!r}"
        try:
            found = self._function(**self._handed(options)) if self._function else self._made
            return _items.arrays(found, _given.ground_of(options))
        except base.ObjectiveError as error:
            raise base.ObjectiveError(f"{name}: {error}") from error
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{last.filename}, line {last.lineno}"
            raise base.ObjectiveError(f"{name}: {_items.RULE}; it raised {type(error).__name__}: {error} ({place}).") from error


def _nothing() -> None:
    """Takes no options."""


def _layout(shape: tuple[int, ...]) -> str | None:
    """Channels first, as torch has them, unless only the last axis can be channels."""
    last = len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3)
    return ("NHWC" if last else "NCHW") if len(shape) == 4 else None
