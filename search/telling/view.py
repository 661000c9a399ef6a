"""What a sweep is, read once from the catalogue, as figures and reports need it: a plain value in the score's own sign."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.storage import Home
from objectives.base import Knob, ObjectiveError, Phase, Value, lowered
from objectives.registry import load, names
from search.asking.space import OFF_ARM
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.from_members import table
from search.choosing.verdict import spent, with_chores
from search.choosing.watched import Watched
from search.facts import CHORES, LOOKS
from search.spec.several import Asked, asked, own_sign
from search.telling.evenly import evenly
from search.telling.promised import final_seeds

STRIP = "strip"  # the name of the sweep's strip of pictures, as a file and in MLflow
TABLE = "pareto.csv"  # what a sweep leaves of quality against cost
CURVES = 300  # members whose learning curves are read: all that were confirmed, then searched ones evenly over their order


@dataclass(frozen=True)
class View:
    """One sweep, as it is shown. Scores and curves have the score's own sign.

    `rows` are all members, with the arms of today's answer; of `CURVES` of them the learning curves are there. `metrics` are the final
    metrics of each member, `reasons` says why members were lost. `config` is the exported file; empty where there is no answer. `strip` is
    the picture of λ from off to its strongest, where there is one. `trade` names the metrics of quality, cost and budget of an objective
    that trades them. `per_hour` is what an hour of training costs, in the user's money.
    """

    name: str
    sweep: SweepRow
    answer: Answer | None
    rows: Sequence[Row]
    metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    config: str = ""
    strip: Path | None = None
    trade: tuple[str, str, str] | None = None
    per_hour: float | None = None

    @cached_property
    def asked(self) -> tuple[Asked, ...]:
        """The metrics that were asked for, the score first."""
        return asked(self.sweep.spec.get("metric")) or (Asked("score"),)

    @property
    def better(self) -> str:
        """Which way the score is better."""
        return self.asked[0].better

    @property
    def title(self) -> str:
        """What was searched, in a line."""
        return " · ".join(part for part in (self.sweep.objective, self.sweep.model, self.sweep.dataset) if part and part != "none")

    @cached_property
    def knobs(self) -> list[Knob]:
        """The searched knobs, λ first, with the ranges of this sweep. No objective is loaded for them: its file may be gone."""
        told = {one.name: one for one in self.answer.lambdas} if self.answer is not None else {}
        names = {*told, *self.sweep.spec.get("simplify", ())}
        found = [self._knob(name, wanted, name in names) for name, wanted in (self.sweep.spec.get("search") or {}).items()]
        return sorted(found, key=lambda knob: not knob.is_lambda)

    def _knob(self, name: str, wanted: Any, is_lambda: bool) -> Knob:
        told = next((one for one in self.answer.lambdas if one.name == name), None) if self.answer is not None else None
        said: Mapping[str, Any] = wanted if isinstance(wanted, Mapping) else {"choices": wanted}
        values = [row.config[name] for row in self.rows if name in row.config]
        off = told.off if told is not None else next((row.config.get(name) for row in self.rows if row.arm == OFF_ARM), None)
        numbers = [float(value) for value in values if isinstance(value, int | float)] or [0.0, 1.0]
        on = [value for value in numbers if value != off] or numbers
        low, high = told.range if told is not None else (math.nan, math.nan)
        low, high = (_first(said.get(end), own, seen) for end, own, seen in (("low", low, min(on)), ("high", high, max(on))))
        choices = tuple(said.get("choices") or ())
        return Knob(
            name,
            "",
            "",
            told.unit if told is not None else "",
            default=values[0] if values else 0.0,
            low=None if choices else low,
            high=None if choices else high,
            log=bool(said.get("log")) or bool(told is not None and told.log),
            off=off if is_lambda else None,
            more="high" if is_lambda else None,
            choices=choices,
        )

    @cached_property
    def lambdas(self) -> list[Knob]:
        """The searched λ, in the order of the answer."""
        return [knob for knob in self.knobs if knob.is_lambda]

    @cached_property
    def searched(self) -> list[Row]:
        """The members of the search."""
        return [row for row in self.rows if row.phase == Phase.SEARCH]

    @cached_property
    def confirmed(self) -> list[Row]:
        """The members on fresh seeds."""
        return [row for row in self.rows if row.phase == Phase.CONFIRM]

    @cached_property
    def final(self) -> set[int]:
        """The seeds that judge."""
        used = (self.sweep.facts or {}).get(LOOKS, {}).get("used", 0)
        return final_seeds(int(self.sweep.spec.get("seed", 0)), int(used), self.sweep.candidates or [])

    @cached_property
    def spent(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Members, epochs and seconds by phase and state, as the answer says, or as far as the sweep has come."""
        return self.answer.spent if self.answer is not None else with_chores(spent(self.rows), (self.sweep.facts or {}).get(CHORES, {}))

    @cached_property
    def lowered(self) -> list[Row]:
        """The members as all of search compares them: lower is better."""
        return own_rows(self.rows, self.better)

    @cached_property
    def off_arm(self) -> str:
        """The arm that the best λ was compared with: of several with every λ off that of the final round; empty where there is none."""
        arms = [one for one in self.answer.arms if one["arm"].partition(":")[0] == OFF_ARM] if self.answer is not None else []
        return next((str(one["arm"]) for one in sorted(arms, key=lambda one: not one["final"])), "")

    @property
    def exported_arm(self) -> str:
        """The arm that is exported; empty where there is no answer."""
        if self.answer is None:
            return ""
        return self.off_arm or OFF_ARM if self.answer.keeps_off else self.answer.recommended_arm

    def scores(self, arm: str) -> dict[int, float]:
        """The final scores of an arm by seed, on the seeds that judge (all confirmed seeds where none of them is known)."""
        mine = [row for row in self.confirmed if row.arm == arm and row.ended == "ok" and row.score is not None]
        judging = [row for row in mine if row.seed in self.final] or mine
        return {row.seed: float(row.score) for row in judging if row.score is not None}


def _first(*values: Any) -> float:
    """The first value that is a finite number."""
    return next((float(one) for one in values if isinstance(one, int | float) and math.isfinite(one)), 0.0)


def own_rows(rows: Sequence[Row], better: str) -> list[Row]:
    """Rows with their scores and curves turned, if more of the score is better. Applied again it gives the rows back."""
    if lowered(1.0, better) == 1.0:
        return list(rows)
    return [replace(row, curve={epoch: lowered(value, better) for epoch, value in row.curve.items()}) for row in own_sign(rows, better)]


def view_of(
    sweep: SweepRow,
    members: Sequence[MemberRow],
    curves: Mapping[int, Mapping[int, float]],
    *,
    config: str = "",
    folder: Path | None = None,
    answer: Answer | None = None,
    trade: tuple[str, str, str] | None = None,
) -> View:
    """The view of a sweep from its rows as the catalogue has them.

    Args:
        sweep: its row.
        members: all its members.
        curves: rung scores by member and epoch, of `with_curves(members)`.
        config: the exported file.
        folder: where its reports are.
        answer: the answer, if the row does not have it yet.
        trade: what the objective trades, if that is known already.
    """
    if answer is None and sweep.answer is not None:
        answer = Answer.from_dict(sweep.answer)
    wanted = asked(sweep.spec.get("metric"))
    finite = {number: {epoch: y for epoch, y in curve.items() if math.isfinite(y)} for number, curve in curves.items()}
    candidates = [Candidate(**one) for one in sweep.candidates or []]
    rows = table(members, finite, candidates, Watched((), wanted[1:]))
    strip = folder / f"{STRIP}.png" if folder is not None else None
    return View(
        name=sweep.name,
        sweep=sweep,
        answer=answer,
        rows=own_rows(rows, wanted[0].better if wanted else "lower"),
        metrics={row.number: row.metrics for row in members},
        reasons={row.number: row.reason.splitlines()[0] for row in members if row.reason},
        config=config,
        strip=strip if strip is not None and strip.is_file() else None,
        trade=trade or _trade(sweep.objective, folder),
    )


def with_curves(members: Collection[MemberRow]) -> list[int]:
    """The numbers of the members whose learning curves are shown."""
    confirmed = [row.number for row in members if row.phase == Phase.CONFIRM]
    searched = [row.number for row in members if row.phase == Phase.SEARCH]
    return sorted([*evenly(confirmed, CURVES), *evenly(searched, max(CURVES - len(confirmed), CURVES // 3))])


def read(
    sweep: SweepRow,
    members: Sequence[MemberRow],
    catalogue: Catalogue,
    home: Home,
    config: str = "",
    answer: Answer | None = None,
    trade: tuple[str, str, str] | None = None,
) -> View:
    """The view of a sweep whose rows are read already. Its learning curves are read now."""
    curves = catalogue.rung_scores(sweep.name, with_curves(members))
    return view_of(sweep, members, curves, config=config, folder=home.reports(sweep.name), answer=answer, trade=trade)


def _trade(objective: str, folder: Path | None) -> tuple[str, str, str] | None:
    """The trade of an objective of ours that has left its table. Others are not loaded: that takes time, and a user's file may be gone."""
    if folder is None or not (folder / TABLE).is_file() or objective not in names("objective"):
        return None
    with suppress(ObjectiveError):
        found: tuple[str, str, str] | None = getattr(load(objective), "trade", None)
        return found
    return None


def short(config: Mapping[str, Value], knobs: Sequence[Knob]) -> str:
    """The searched part of a config in a line."""
    said = ((knob.name, config[knob.name]) for knob in knobs if knob.name in config)
    return ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in said)
