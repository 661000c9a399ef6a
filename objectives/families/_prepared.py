"""What a family finds out before members are trained: facts of the data for the record, and the full names of its metrics."""

from __future__ import annotations

from string import Formatter
from typing import Any, ClassVar, Protocol

from objectives import base, metrics
from objectives.base import Phase
from objectives.data._kinds import ImageSet
from objectives.families import _reach
from objectives.features import Extractor
from objectives.metrics._subject import MOST
from objectives.training.mathematics import Mathematics

FEW_IMAGES = 100  # fewer to validate on are remarked upon
CHEAP_IMAGES = 2000  # images of a per-epoch evaluation


class Preparing(Mathematics, Protocol):
    """A family as its preparation sees it."""

    metrics: ClassVar[Any]
    offers: ClassVar[tuple[str, ...]]

    def warm_up(self, images: ImageSet) -> dict[str, Any]:
        """Compute what all members share; facts for the record."""
        ...

    def data_notes(self, images: ImageSet) -> list[str]:
        """What is to be known of the data before a sweep: what the data set says of itself; a family adds what it does with the values."""
        return [str(note) for note in images.record.get("notes", [])]

    def label_facts(self) -> dict[str, Any]:
        """What the family's own metrics need in their full names."""
        ...


def facts(family: Preparing) -> dict[str, Any]:
    """Load the data and train what is cached; plain facts for the record."""
    from objectives.training.built import parameter_counts, remarks

    images = family.load_data()
    notes = [f"{family.model}: {remark}" for remark in remarks(family, images.shape)]
    sizes = parameter_counts(family, images.shape)
    _reach.of_tables(family, images)
    dataset = dict(images.record)
    dataset.pop("notes", None)
    found = {"dataset": dataset, "model": family.model, "parameters": sizes, **family.warm_up(images)}
    notes += [*family.data_notes(images), *found.pop("notes", [])]
    extractor = family.features() if compares(family) else None
    if extractor:
        found["features"] = {"label": extractor.label, **extractor.record}
    if silent := misfits(family, images, extractor):
        found["not_measured"] = silent
    if len(images.val) < FEW_IMAGES:
        notes.append(
            f"only {len(images.val)} validation images: every score, paired seeds too, is about these few; "
            f"with {FEW_IMAGES} or more an effect says something about new images"
        )
    found |= {"notes": notes} if notes else {}
    if constant := getattr(family, "constant", None):
        found["constant"] = constant(images)
    return {**found, "labels": labels(family, images)}


def compares(family: Preparing) -> bool:
    """Whether anything that will be measured compares images in features."""
    return metrics.needs(family.measured[Phase.CONFIRM], "features")


def misfits(family: Preparing, images: ImageSet, extractor: Extractor | None) -> dict[str, str]:
    """Metrics of the family's own that say nothing about this data set, and why.

    Raises:
        ObjectiveError: one of them was asked for, decides, or is constrained.
    """
    reasons = {name: metrics.misfit(name, images, extractor) for name in family.measured[Phase.CONFIRM]}
    found = {name: reason for name, reason in reasons.items() if reason}
    needed = {metrics.file_of(name, list(found)) for name in (family.deciding, *family.settings.beside)}
    if wrong := [f"metric {name!r}: {reason}" for name, reason in found.items() if name in family.settings.measure or name in needed]:
        raise base.ObjectiveError("\n".join(wrong))
    return found


def labels(family: Preparing, images: ImageSet) -> dict[str, str]:
    """The full names of metrics: what a number depends on beside the model (features, number of images and of samples).

    A metric of the validation has a twin of the test. Names that need features are left out where nothing is compared in them.
    """
    known = {**({"features": family.features().label} if compares(family) else {}), **family.label_facts()}
    askable = metrics.measurable(frozenset(family.offers))
    found = {}
    for name, metric in family.metrics.items():
        wanted = {field for _, field, _, _ in Formatter().parse(metric.label) if field}
        if not metric.label or not wanted <= {"n", *known}:
            continue
        found[name] = metric.label.format(n=min(CHEAP_IMAGES, len(images.val)), **known)
        if name.startswith("val_"):
            n = min(MOST["test"] if metrics.file_of(name, askable) else CHEAP_IMAGES, len(images.test))
            found[name.replace("val_", "test_", 1)] = metric.label.format(n=n, **known)
    return found
