"""What a sweep would do and how long it would take, before it is started."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infra import machine
from infra.catalogue import Catalogue, SweepRow
from infra.storage import Home
from objectives.registry import load
from search.asking.space import Space
from search.choosing.arms import t_quantile
from search.choosing.from_members import planned
from search.choosing.race import Look
from search.kept import plain_spec
from search.spec.faults import MIN_TRIALS
from search.spec.keys import Spec

T = TypeVar("T")


@dataclass(frozen=True)
class DryRun:
    """What a sweep would do: members and epochs by phase (at most), and how long that takes here. `basis`: what the estimate rests on."""

    spec: Spec
    members: dict[str, int]
    epochs: dict[str, int]
    workers: int
    estimate_seconds: float
    basis: str


# Ray, two workers with torch, and the last writes; measured on two cores.
OVERHEAD_SECONDS = 15.0


def dry_run(spec: Spec, *, home: Home | None = None, workers: int | None = None) -> DryRun:
    """The plan of a sweep and a time estimate: from members of the same kind in the catalogue, else from a training here and now."""
    home = home or Home.open()
    members = planned(spec)
    epochs = {phase: count * (spec.budget.epochs or 0) for phase, count in members.items()}
    count = workers or max(1, int(machine.cores() // max(spec.resources.cpu, 1e-9)))
    per_epoch, basis = _seconds_per_epoch(spec, home)
    estimate = OVERHEAD_SECONDS + per_epoch * sum(epochs.values()) / count
    return DryRun(spec, members, epochs, count, estimate, basis)


@dataclass(frozen=True)
class Budget:
    """One of the budgets that a plan compares. `width`: what the interval of the effect is expected to span, in `unit`."""

    trials: int
    seeds: int
    members: int
    epochs: int
    seconds: float
    width: float
    unit: str


def budgets(spec: Spec, *, home: Home | None = None, workers: int | None = None) -> tuple[list[Budget], str]:
    """Half of a spec's budget, the whole and twice as much, with what each is expected to cost and to tell; and what that rests on.

    The interval is that of paired differences between two arms, each with the noise of one training: 2 t(1 − error/2, S−1) σ √2 / √S. σ is
    taken from sweeps of the same kind in the catalogue. Without one the width is in standard deviations of one training.
    """
    home = home or Home.open()
    noise = _noise(spec, home)
    unit = spec.score_name or "the score" if noise else "sd of one training"
    found, basis = [], ""
    for factor in (0.5, 1, 2):
        trials, seeds = max(MIN_TRIALS, round(factor * spec.budget.trials)), max(2, round(factor * spec.confirm.seeds))
        sized = spec.model_copy(
            update={
                "budget": spec.budget.model_copy(update={"trials": trials}),
                "confirm": spec.confirm.model_copy(update={"seeds": seeds}),
            }
        )
        plan = dry_run(sized, home=home, workers=workers)
        width = 2 * t_quantile(1 - Look().error / 2, seeds - 1) * (noise or 1.0) * math.sqrt(2 / seeds)
        found.append(Budget(trials, seeds, sum(plan.members.values()), sum(plan.epochs.values()), plan.estimate_seconds, width, unit))
        basis = plan.basis
    return found, basis


def _noise(spec: Spec, home: Home) -> float | None:
    """The standard deviation of one training: the median over the confirmed arms of sweeps of this kind; None where there is none."""
    found = []
    for arms in _alike(spec, home, lambda catalogue, row: row.answer["arms"] if row.answer and row.status == "complete" else []):
        found += [one["se"] * math.sqrt(one["n"]) for one in arms if one["n"] > 2 and isinstance(one["se"], float)]
    return statistics.median(found) if found else None


# What a training costs and how noisy it is depends on these.
KIND = ("objective", "model", "dataset", "likelihood", "batch_size", "precision", "metric", "features", "latents", "resources")


def _alike(spec: Spec, home: Home, read: Callable[[Catalogue, SweepRow], T]) -> list[T]:
    """What `read` finds in each sweep of the same kind: same objective, model, data with its options and size, and so on."""
    if home.catalogue_url.startswith("sqlite:///") and not Path(home.catalogue_url.removeprefix("sqlite:///")).exists():
        return []
    kind = {key: value for key, value in plain_spec(spec).items() if key in KIND}
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        rows = catalogue.sweeps()
        return [read(catalogue, row) for row in rows if {key: value for key, value in row.spec.items() if key in KIND} == kind]


def _seconds_per_epoch(spec: Spec, home: Home) -> tuple[float, str]:
    members = [row for found in _alike(spec, home, lambda catalogue, row: catalogue.members(row.name)) for row in found]
    costs = sorted(row.seconds / row.epochs for row in members if row.epochs)
    if costs:
        return costs[len(costs) // 2], f"the median of {len(costs)} members trained before"
    trained = load(spec.objective)(spec.settings(cache=str(home.cache)))
    trained.prepare()
    return trained.epoch_seconds(Space(spec, load(spec.objective)).config({})), "what was trained here and now"
