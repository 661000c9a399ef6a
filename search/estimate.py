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
from search.choosing.answer import number
from search.choosing.arms import t_quantile
from search.choosing.from_members import error_of, planned, seeds_asked
from search.choosing.race import MOST_SEEDS, Look
from search.kept import plain_spec
from search.running.until import MOST
from search.spec.faults import MIN_TRIALS
from search.spec.goals import ANY, EFFECT, Goal
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
    unit = spec.metric or "the score" if noise else "sd of one training"
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


def goals_said(spec: Spec, home: Home | None = None) -> list[str]:
    """For each goal of a spec: whether the most that a sweep trains is expected to reach it, by earlier sweeps of the same kind."""
    home = home or Home.open()
    return [_effect_said(one, spec, home) if one.about == EFFECT else _lambda_said(one, spec, home) for one in spec.goals]


def _effect_said(goal: Goal, spec: Spec, home: Home) -> str:
    noise = _noise(spec, home)
    if noise is None:
        return f"{goal.text}: how noisy trainings are is not known; a sweep of this kind will tell"

    def half(seeds: int) -> float:
        return t_quantile(1 - error_of(spec, Look()) / 2, seeds - 1) * noise * math.sqrt(2 / seeds)

    needed = next((seeds for seeds in range(seeds_asked(spec), MOST_SEEDS + 1) if half(seeds) <= goal.within), None)
    if needed is not None:
        return f"{goal.text}: about {needed} final seeds are needed"
    return f"{goal.text}: cannot be reached; with {MOST_SEEDS} final seeds, the most, ± {number(half(MOST_SEEDS))} is expected"


def _lambda_said(goal: Goal, spec: Spec, home: Home) -> str:
    def lengths(catalogue: Catalogue, row: SweepRow) -> list[tuple[float, int]]:
        known = [one for one in (row.answer or {}).get("lambdas", []) if goal.about in (ANY, one["name"])]
        found = [goal.length(float(one["low"]), float(one["high"])) for one in known]
        return [(max(found), row.spec["budget"]["trials"])] if found and row.status == "complete" else []

    most = f"at most {MOST * spec.budget.trials} configs are searched"
    before = [one for found in _alike(spec, home, lengths) for one in found if math.isfinite(one[0])]
    if not before:
        return f"{goal.text}: not known beforehand; {most}"
    length, trials = statistics.median(one[0] for one in before), round(statistics.median(one[1] for one in before))
    return f"{goal.text}: earlier sweeps of this kind came to {number(length)} with {trials} trials; {most}"


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
