"""Metrics: one file each, with `METRIC` (facts, readable without torch) and `estimate`, a pure function of tensors in float64.

`estimate` returns a value with its standard error over images, where one exists. That error says how well the *validation images* pin the
number down for one trained model; seeds, not images, are the unit that a sweep's answer counts.

A metric that any family can be asked for (a spec's `measure:`, or its `metric:` where it decides) has two things more:

- `NEEDS`: what it takes of a `subject.Subject`, a subset of what `subject.py` lists;
- `measure(subject)`: estimates by name without the split's prefix (`METRIC` of `val_kid` answers under `kid`). `ALSO` declares the
  metrics beyond `METRIC` that it returns;
- `unfit(images) -> str`, if not every data set will do: why this one does not, or nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from objectives import base

if TYPE_CHECKING:
    from objectives.data import ImageSet
    from objectives.subject import Subject


def module(name: str) -> ModuleType:
    """The metric file called `name`; imports no torch."""
    return importlib.import_module(f"{__name__}.{name}")


@lru_cache
def measurable(offers: frozenset[str]) -> tuple[str, ...]:
    """The metrics that a family which offers this can be asked for; labels are a matter of the data set."""
    known = ((name, module(name)) for name in base.names("metric"))
    return tuple(name for name, found in known if hasattr(found, "NEEDS") and set(found.NEEDS) <= {*offers, "labels"})


def declared(name: str) -> tuple[base.Metric, ...]:
    """Every number that a metric file answers with."""
    found = module(name)
    return (found.METRIC, *getattr(found, "ALSO", ()))


def file_of(metric: str, among: Sequence[str]) -> str | None:
    """The metric file that answers under `metric` (`val_kid`), or None."""
    return next((name for name in among if metric in {one.name for one in declared(name)}), None)


def unfit(images: ImageSet, names: Collection[str]) -> list[str]:
    """Which of these metric files cannot be measured on a data set, and why, in words."""
    found = []
    for name in names:
        if "labels" in module(name).NEEDS and (images.train_labels is None or images.val_labels is None):
            found.append(f"metric {name!r} needs labelled images; {images.record.get('name', 'this data set')!r} has no labels.")
        if why := getattr(module(name), "unfit", lambda _: "")(images):
            found.append(f"metric {name!r}: {why}.")
    return found


def measured(subject: Subject, names: Collection[str]) -> dict[str, float]:
    """The numbers of these metric files, with the prefix of the subject's split."""
    found: dict[str, float] = {}
    for name in names:
        for short, estimate in module(name).measure(subject).items():
            found.update(estimate.as_metrics(f"{subject.split}_{short}"))
    return found
