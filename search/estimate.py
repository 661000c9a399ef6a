"""What a sweep would do and how long it would take, before it is started.

What sweeps of the same kind in the catalogue took on a machine like this one says the time; how far the scores of their confirmed members
lay apart says the width of the interval. A member takes a fixed part (building, evaluating, writing) and a part for each epoch.
"""

from __future__ import annotations

import math
import os
import platform
import socket
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from infra import machine
from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.storage import Home, HomeLike
from objectives.base import ObjectiveError, Phase, State
from objectives.registry import load, looking
from search.asking.space import AGAINST_NOTHING, Space
from search.choosing.arms import CONFIDENCE, t_quantile
from search.choosing.from_members import between_planned, error_of, planned, seeds_asked
from search.choosing.lambda_interval import GRID, shortest
from search.choosing.race import MOST_SEEDS, Look
from search.choosing.words import number
from search.facts import CHORES
from search.schedulers import evolving
from search.spec import hours
from search.spec.faults import MIN_TRIALS
from search.spec.goals import ANY, EFFECT, MOST, Goal
from search.spec.keys import Spec
from search.spec.plain import plain_spec

# Ray, two workers with torch, and the last writes; measured on two cores. Used where no earlier sweep says how long they take.
OVERHEAD_SECONDS = 15.0
# What a training costs and how noisy it is depends on these, and on the objective, which may be written in several ways.
KIND = (
    *("model", "dataset", "likelihood", "output", "fixed", "batch_size", "precision", "resources", "pack"),
    *("metric", "measure", "features", "latents", "score"),
)
SWEEPS, MEMBERS = 10, 120  # of how many sweeps of this kind, the latest first, and of how many of their members the estimate is made


@dataclass(frozen=True)
class DryRun:
    """What a sweep would do: members and epochs by phase (at most), and how long that takes here. `basis`: what the estimate rests on.

    `expected_epochs`: by how many members ended early in earlier sweeps; None where there was none. `fits`: how many members the budget has
    room for, of all; None where it has room for all. `worker_seconds`: how long members, the preparation and the test split hold
    their resources, all together.
    """

    spec: Spec
    members: dict[str, int]
    epochs: dict[str, int]
    workers: int
    estimate_seconds: float
    basis: str
    expected_epochs: float | None = None
    fits: int | None = None
    worker_seconds: float = math.nan


@dataclass(frozen=True)
class Cost:
    """The time of one training: `fixed` seconds, and so many for each epoch. `overhead`: of the whole sweep beside its trainings."""

    fixed: float
    per_epoch: float
    overhead: float = OVERHEAD_SECONDS
    chores: float = 0.0
    """Of the overhead, for how long workers prepare the data and read the test split: this counts as members do."""

    def seconds(self, members: float, epochs: float, workers: int) -> float:
        """How long so many members with so many epochs in all take."""
        return self.overhead + (self.fixed * members + self.per_epoch * epochs) / workers

    @staticmethod
    def of(members: Sequence[MemberRow], overhead: float = OVERHEAD_SECONDS) -> Cost | None:
        """From members that were trained: the median slope between members with other numbers of epochs, and the median of what is left
        (Theil 1950, Sen 1968). All in proportion to the epochs where all members have the same number. None without members."""
        known = [(row.epochs, row.seconds) for row in members if row.epochs and row.seconds > 0]
        if not known:
            return None
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(known, 2) if a[0] != b[0]]
        slope = statistics.median(slopes) if slopes else 0.0
        fixed = statistics.median(seconds - slope * epochs for epochs, seconds in known)
        if slope <= 0.0 or fixed < 0.0:
            return Cost(0.0, statistics.median(seconds / epochs for epochs, seconds in known), overhead)
        return Cost(fixed, slope, overhead)


@dataclass(frozen=True)
class Past:
    """What the catalogue has of sweeps of the kind of `spec`: their rows, and the members that were trained on a machine like this one."""

    spec: Spec
    rows: list[SweepRow]
    members: dict[str, list[MemberRow]]
    elsewhere: int = 0  # members of the kind that other machines trained

    @staticmethod
    def of(spec: Spec, catalogue: Catalogue) -> Past:
        """The latest sweeps of the same objective, model, data with its options and size, and so on."""
        kind = _kind(plain_spec(spec))
        alike = [row for row in catalogue.sweeps() if _kind(row.spec) == kind and same_objective(spec.objective, row.spec["objective"])]
        rows = alike[-SWEEPS:]
        every = {row.name: [one for one in catalogue.members(row.name) if one.state is not None] for row in rows}
        here = {name: [one for one in members if _here(one.facts)] for name, members in every.items()}
        away = sum(map(len, every.values())) - sum(map(len, here.values()))
        return Past(spec, rows, here, away)

    @staticmethod
    def at(spec: Spec, home: Home) -> Past:
        """The same from a home. A missing catalogue is not created."""
        if home.catalogue_url.startswith("sqlite:///") and not Path(home.catalogue_url.removeprefix("sqlite:///")).exists():
            return Past(spec, [], {})
        with Catalogue(home.catalogue_url, create=False) as catalogue:
            return Past.of(spec, catalogue)

    @cached_property
    def cost(self) -> Cost | None:
        """What a training takes here; None where none of the kind was trained on such a machine."""
        trained = [one for members in self.members.values() for one in members if one.state in (State.COMPLETE, State.STOPPED)]
        beside = []
        for row in self.rows:
            plan = ((row.answer or {}).get("beside") or {}).get("plan") or {}
            took, workers = plan.get("came", {}).get("seconds"), plan.get("planned", {}).get("workers")
            if took and workers and self.members[row.name]:
                beside.append(max(0.0, took - sum(one.seconds for one in self.members[row.name]) / workers))
        cost = Cost.of(trained[-MEMBERS:], statistics.median(beside) if beside else OVERHEAD_SECONDS)
        chores = [sum(row.facts[CHORES].values()) for row in self.rows if self.members[row.name] and row.facts.get(CHORES)]
        return replace(cost, chores=statistics.median(chores)) if cost is not None and chores else cost

    @property
    def basis(self) -> str:
        """What the time rests on."""
        count = min(MEMBERS, sum(map(len, self.members.values())))
        sweeps = sum(bool(members) for members in self.members.values())
        return f"what {count} members of {sweeps} earlier sweep{'s' if sweeps > 1 else ''} of this kind took here"

    @cached_property
    def noise(self) -> float | None:
        """The standard deviation of a paired difference of two arms, over √2: that of one training, without what a seed gives to both.

        The median over sweeps that trained as long, or else over all. None where there is none.
        """
        every: dict[bool, list[float]] = {True: [], False: []}
        for row in self.rows:
            if row.answer and row.status == "complete":
                every[self._as_long(row)] += _noises(row.answer)
        found = every[True] or every[False]
        return statistics.median(found) if found else None

    def _as_long(self, row: SweepRow) -> bool:
        epochs: int | None = row.spec.get("budget", {}).get("epochs")
        return epochs == self.spec.budget.epochs

    def kept_share(self) -> float | None:
        """Which part of the search's epochs was trained in sweeps with this scheduler and these epochs; None without one."""
        mine, spent, most = plain_spec(self.spec), 0, 0
        for row in self.rows:
            if row.spec.get("scheduler") == mine["scheduler"] and self._as_long(row):
                ended = [one for one in self.members[row.name] if one.phase == Phase.SEARCH]
                spent, most = spent + sum(one.epochs for one in ended), most + len(ended) * (self.spec.budget.epochs or 0)
        return spent / most if most else None


def _kind(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key in KIND}


def same_objective(one: str, other: str) -> bool:
    """Whether two names are of one objective: `u.py` and `./u.py:train` are, where `train` is the only one that the file declares."""
    (file, _, name), (its_file, _, its_name) = one.partition(":"), other.partition(":")
    if one == other or not file.endswith(".py") or os.path.normpath(file) != os.path.normpath(its_file):
        return one == other
    if name and its_name:
        return name == its_name
    try:
        only, named = load(file), load(f"{file}:{name or its_name}" if name or its_name else file)
    except ObjectiveError:  # the file declares several now, or none of that name any more
        return False
    return getattr(only, "training", only) is getattr(named, "training", named)


def _noises(answer: Mapping[str, Any]) -> list[float]:
    """What an answer says of the noise: the paired differences of its λ arm, or where these are too few, the scores of each arm."""
    arms = [one for one in answer["arms"] if one["n"] > 2 and isinstance(one["se"], float)]
    gains = [one["gain"] for one in arms if one["arm"] == answer["arm"] and one.get("gain") and one["gain"]["seeds"] > 2]
    if not gains:
        return [one["se"] * math.sqrt(one["n"]) for one in arms]
    # The inverse of `arms.paired`, whose half width is t(1 − error/2, S−1) s / √S.
    halves = [((one["high"] - one["low"]) / 2, one["seeds"]) for one in gains]
    return [half * math.sqrt(seeds / 2) / t_quantile(1 - CONFIDENCE / 2, seeds - 1) for half, seeds in halves]


def _here(facts: Mapping[str, Any]) -> bool:
    """Whether a member was trained on this machine, or on one with the same kind of processor and as many cores."""
    alike = (facts.get("cores"), facts.get("processor")) == (machine.cores(), platform.machine())
    return facts.get("host") == socket.gethostname() or alike


def dry_run(spec: Spec, *, home: HomeLike | None = None, workers: int | None = None, past: Past | None = None) -> DryRun:
    """The plan of a sweep and a time estimate: from members of the same kind in the catalogue, else from a training here and now.

    The time is NaN where nothing is known and code of the user's would have to be called, but is only looked at.
    """
    home = Home.open(home)
    past = past or Past.at(spec, home)
    cost, basis = past.cost, past.basis
    if cost is None and _uncalled(spec):
        return _counted(spec, past, workers or _workers(spec))
    if cost is None:
        cost, basis = _trained_now(spec, home), "what was trained here and now"
        basis += f"; the {past.elsewhere} members of this kind were trained on other machines" if past.elsewhere else ""
    return _with_time(_counted(spec, past, workers or _workers(spec)), cost, basis)


def _counted(spec: Spec, past: Past, workers: int) -> DryRun:
    """Members and epochs, without a time."""
    members = planned(spec)
    each, more = spec.budget.epochs or 0, between_planned(spec)
    epochs = {phase: count * each for phase, count in members.items()}
    epochs[Phase.CONFIRM] -= more * each  # members between the rounds get epochs that the search left
    share = past.kept_share()
    expected = share * epochs[Phase.SEARCH] + epochs[Phase.CONFIRM] if share is not None else None
    if expected is not None:
        expected = min(expected + more * each, sum(epochs.values()))
    return DryRun(spec, members, epochs, workers, math.nan, "", expected)


def _with_time(plan: DryRun, cost: Cost, basis: str) -> DryRun:
    members, epochs = sum(plan.members.values()), sum(plan.epochs.values())
    expected = plan.expected_epochs if plan.expected_epochs is not None else epochs
    held, budget = cost.seconds(members, expected, 1) - cost.overhead, plan.spec.budget
    total_s = hours.limit(plan.spec)[0] - cost.chores
    room = max(0.0, total_s)
    if budget.wall_minutes is not None:
        room = min(room, plan.workers * max(0.0, 60 * budget.wall_minutes - cost.overhead))
    fits = int(members * room / held) if held > room else None
    return replace(
        plan, estimate_seconds=cost.seconds(members, expected, plan.workers), basis=basis, fits=fits, worker_seconds=held + cost.chores
    )


def _workers(spec: Spec) -> int:
    return spec.workers or max(1, int(machine.cores() // max(spec.resources.cpu, 1e-9)))


@dataclass(frozen=True)
class Budget:
    """One of the budgets that a plan compares. `width`: what the interval of the effect is expected to span, in `unit`; NaN without one."""

    trials: int
    seeds: int
    members: int
    epochs: int
    seconds: float
    width: float
    unit: str
    overhead: float  # the part of `seconds` that no training takes
    expected_epochs: float | None = None
    fits: int | None = None
    hours: str = ""  # of GPUs and CPUs, and what they cost, in words


def budgets(spec: Spec, *, home: HomeLike | None = None, workers: int | None = None) -> tuple[list[Budget], str]:
    """Half of a spec's budget, the whole and twice as much, with what each is expected to cost and to tell; and what that rests on.

    The interval is that of paired differences between two arms: 2 t(1 − error/2, S−1) s / √S. Their standard deviation s is taken from
    sweeps of the same kind in the catalogue. Without one it is σ √2, and the width is in standard deviations σ of one training.
    """
    home = Home.open(home)
    past = Past.at(spec, home)
    noise = 1.0 if past.noise is None else past.noise
    unit = "sd of one training" if past.noise is None else spec.score_name or "the score"
    if past.cost is not None:
        cost, basis = past.cost, past.basis
    elif _uncalled(spec):
        cost, basis = Cost(math.nan, math.nan, 0.0), ""
    else:
        cost, basis = _trained_now(spec, home), "what was trained here and now"
    found = []
    for factor in (0.5, 1, 2):
        trials, seeds = max(MIN_TRIALS, round(factor * spec.budget.trials)), max(2, round(factor * spec.confirm.seeds))
        sized = spec.model_copy(
            update={
                "budget": spec.budget.model_copy(update={"trials": trials}),
                "confirm": spec.confirm.model_copy(update={"seeds": seeds}),
            }
        )
        plan = _with_time(_counted(sized, past, workers or _workers(spec)), cost, basis)
        members, epochs = sum(plan.members.values()), sum(plan.epochs.values())
        width = _width(seeds, noise) if _compared(spec) else math.nan
        seconds, overhead, said = plan.estimate_seconds, cost.overhead, hours.words(spec, plan.worker_seconds)
        found.append(Budget(trials, seeds, members, epochs, seconds, width, unit, overhead, plan.expected_epochs, plan.fits, said))
    return found, basis


def _compared(spec: Spec) -> bool:
    """Whether there will be an effect: an off value or a baseline to compare with."""
    return Space(spec, spec.trained).against != AGAINST_NOTHING


def _width(seeds: int, noise: float, error: float = Look().error) -> float:
    return 2 * t_quantile(1 - error / 2, seeds - 1) * noise * math.sqrt(2 / seeds)


def goals_said(spec: Spec, home: HomeLike | None = None) -> list[str]:
    """For each goal of a spec: whether the most that a sweep trains is expected to reach it, by earlier sweeps of the same kind."""
    past = Past.at(spec, Home.open(home))
    return [_effect_said(one, past) if one.about == EFFECT else _lambda_said(one, past) for one in spec.goals]


def _effect_said(goal: Goal, past: Past) -> str:
    spec, noise = past.spec, past.noise
    if noise is None:
        return f"{goal.text}: how noisy trainings are is not known; a sweep of this kind will tell"

    def half(seeds: int) -> float:
        return _width(seeds, noise, error_of(spec, Look())) / 2

    needed = next((seeds for seeds in range(seeds_asked(spec), MOST_SEEDS + 1) if half(seeds) <= goal.within), None)
    if needed is not None:
        return f"{goal.text}: about {needed} final seeds are needed"
    return f"{goal.text}: cannot be reached; with {MOST_SEEDS} final seeds, the most, ± {number(half(MOST_SEEDS))} is expected"


def _lambda_said(goal: Goal, past: Past) -> str:
    most, before = f"at most {MOST * past.spec.budget.trials} configs are searched", []
    for knob in Space(past.spec, past.spec.trained).lambdas:
        least = min((goal.length(*ends) for ends in shortest(knob)), default=0.0) if goal.covers(knob) else 0.0
        if goal.within < least:
            unit = "decades" if goal.decades else knob.unit if knob.unit != "1" else ""
            why = f"the interval of {knob.name} is read off a grid of {GRID} values, so it is at least {number(least)} {unit}".rstrip()
            return f"{goal.text}: cannot be reached; {why}. Ask for more than that, or search a shorter range"
    for row in past.rows:
        known = [one for one in (row.answer or {}).get("lambdas", []) if goal.about in (ANY, one["name"])]
        lengths = [goal.length(float(one["low"]), float(one["high"])) for one in known]
        if lengths and row.status == "complete" and math.isfinite(max(lengths)):
            before.append((max(lengths), row.spec["budget"]["trials"]))
    if not before:
        return f"{goal.text}: not known beforehand; {most}"
    length, trials = statistics.median(one[0] for one in before), round(statistics.median(one[1] for one in before))
    return f"{goal.text}: earlier sweeps of this kind came to {number(length)} with {trials} trials; {most}"


def _uncalled(spec: Spec) -> bool:
    """Whether to train now would call code of the user's, which is only to be looked at."""
    return looking() and spec.own


def _trained_now(spec: Spec, home: Home) -> Cost:
    """From a training here and now."""
    trained = spec.trained(spec.settings(cache=str(home.cache)))
    started = time.monotonic()
    trained.prepare()
    chores = time.monotonic() - started
    return Cost(0.0, trained.epoch_seconds(Space(spec, spec.trained).config({})), chores=chores)


@dataclass(frozen=True)
class Promised:
    """The plan that is kept beside a sweep: what it would do at most, and take, by what was known before its first member.

    None where nothing was known. `width` is that of the effect's interval, in `unit`. `beside` says which members may come beside those.
    """

    members: int
    epochs: int
    workers: int
    expected_epochs: float | None = None
    seconds: float | None = None
    width: float | None = None
    unit: str = ""
    beside: str = ""


def promised(spec: Spec, catalogue: Catalogue, name: str, workers: int) -> dict[str, Any]:
    """The plan of a sweep that begins, or goes on with more trials, as plain data. Nothing is trained for it.

    Args:
        spec: with all trials that the sweep is to have.
        catalogue: where earlier sweeps are, and the members of this one, where it goes on.
        name: this sweep.
        workers: how many members are trained at once.
    """
    earlier = [row for row in catalogue.members(name) if row.phase == Phase.CONFIRM] if catalogue.has_sweep(name) else []
    past = Past.of(spec, catalogue)
    plan = _counted(spec, past, workers)
    if past.cost is not None:
        plan = _with_time(plan, past.cost, past.basis)
    before = sum(row.epochs for row in earlier)
    seconds = plan.estimate_seconds if past.cost is not None else None
    width = _width(spec.confirm.seeds, past.noise) if past.noise is not None and spec.confirm.seeds > 1 and _compared(spec) else None
    found = Promised(
        sum(plan.members.values()) + len(earlier),
        sum(plan.epochs.values()) + before,
        workers,
        plan.expected_epochs + before if plan.expected_epochs is not None else None,
        seconds + sum(row.seconds for row in earlier) / workers if seconds is not None else None,
        width,
        spec.score_name if width is not None else "",
        _beside(spec),
    )
    return asdict(found)


def _beside(spec: Spec) -> str:
    """Which members may come beside those that are planned; an empty string where none may."""
    more = ["those that a goal asks for"] * bool(spec.until) + ["those that take the places of others"] * evolving(spec.scheduler)
    return " and ".join(more)


def came(members: Sequence[MemberRow], seconds: float, workers: int, width: float) -> dict[str, float]:
    """What came of a plan. A driver that was killed left no time; the trainings took at least theirs."""
    least = sum(row.seconds for row in members) / workers
    return {
        "members": len(members),
        "epochs": sum(row.epochs - row.start for row in members),
        "seconds": max(seconds, least),
        "width": width,
    }
