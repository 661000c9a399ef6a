"""Metrics: one file each, with `METRIC` (facts, readable without torch) and `estimate`, a pure function of tensors in float64.

`estimate` returns a value with its standard error over images, where one exists. This error says how exactly the *validation images*
determine the number for one trained model. A sweep's answer counts seeds, not images.

A spec can ask any family for some metrics (`measure:`, or `metric:` where the metric decides). Their files have two things more:

- `NEEDS`: what the metric takes from a `subject.Subject`, a subset of the list in `metrics/_subject.py`;
- `measure(subject)`: estimates by name, without the split's prefix (`METRIC` of `val_kid` has the name `kid`). `ALSO` declares the metrics
  beyond `METRIC` that it returns. A fact about the weights, which no split changes, has no prefix.

`CHEAP = True` says that a metric costs so little that it is measured after every epoch, where a spec asks for it beside the score: so early
stopping can see it.

A file may have `misfit(images, extractor) -> str`: why the metric says nothing about a data set, in words, or an empty string. It is called
before anything is trained; the extractor is None for a metric that does not need `features`. `METRIC.label` is the number's full name: what
it depends on beside the model (`{features}`, `{n}`) is filled in when the data are known.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from functools import lru_cache
from types import ModuleType

from objectives import base, registry
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.metrics._subject import Subject

OF_DATA = ("labels", "features")  # needs that the data set fills, not the model


def module(name: str) -> ModuleType:
    """The metric file called `name`; imports no torch."""
    return importlib.import_module(f"{__name__}.{name}")


@lru_cache
def measurable(offers: frozenset[str]) -> tuple[str, ...]:
    """The metrics that can be asked for if a family offers this. Labels and features depend on the data set."""
    known = ((name, module(name)) for name in registry.names("metric"))
    return tuple(name for name, found in known if hasattr(found, "NEEDS") and set(found.NEEDS) <= {*offers, *OF_DATA})


def declared(name: str) -> tuple[base.Metric, ...]:
    """Every number that a metric file returns."""
    found = module(name)
    return (found.METRIC, *getattr(found, "ALSO", ()))


def file_of(metric: str, among: Sequence[str]) -> str | None:
    """The metric file that returns `metric` (`val_kid`, or its standard error, `val_kid_se`), or None."""
    wanted = metric.removesuffix("_se")
    return next((name for name in among if wanted in {one.name for one in declared(name)}), None)


def files_of(wanted: Sequence[str], offers: frozenset[str]) -> tuple[str, ...]:
    """The metric files that return these metrics, if a family offers this. A family's own metrics need none."""
    found = (file_of(metric, measurable(offers)) for metric in wanted)
    return tuple(dict.fromkeys(file for file in found if file is not None))


def cheap(name: str) -> bool:
    """Whether a metric file is measured after every epoch where a spec asks for it beside the score."""
    return bool(getattr(module(name), "CHEAP", False))


def needs(names: Collection[str], what: str) -> bool:
    """Whether any of these metric files needs this."""
    return any(what in module(name).NEEDS for name in names)


def misfit(name: str, images: ImageSet, extractor: Extractor | None) -> str:
    """Why a metric file says nothing about a data set (no labels, too few images, …), or an empty string."""
    found = module(name)
    missing = [split for split in ("train", "val", "test") if getattr(images, f"{split}_labels") is None]
    if "labels" in found.NEEDS and missing:
        return f"it needs labelled images; {images.record.get('name', 'this data set')!r} has no labels for {' and '.join(missing)}."
    reason: str = getattr(found, "misfit", lambda *_: "")(images, extractor if "features" in found.NEEDS else None)
    return reason


def measured(subject: Subject, names: Collection[str]) -> dict[str, float]:
    """The numbers of these metric files, with the prefix of the subject's split."""
    found: dict[str, float] = {}
    for name in names:
        of_weights = module(name).NEEDS == ("weights",)
        for short, estimate in module(name).measure(subject).items():
            found.update(estimate.as_metrics(short if of_weights else f"{subject.split}_{short}"))
    return found
