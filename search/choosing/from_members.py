"""From the members of a sweep to its candidates and its answer: here `candidates` and `verdict` get what they need of a spec."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from infra.catalogue import MemberRow, config_hash
from objectives import metrics
from objectives.base import Phase, State
from objectives.registry import load
from search.asking.seeds import derive
from search.asking.space import OFF_ARM, Space
from search.choosing import candidates, front, race, verdict
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.arms import mean_of
from search.spec.keys import Spec
from search.spec.several import Asked

Curves = Mapping[int, Mapping[int, float]]


def table(
    members: Sequence[MemberRow],
    curves: Curves,
    chosen: Sequence[Candidate],
    beside: Sequence[Asked] = (),
    others: Sequence[Curves] = (),
) -> list[Row]:
    """The members, as rows for the choice. A confirmed config gets the arm that it has among today's candidates.

    `curves` holds the finite rung scores of each member by epoch, `others` the same of each metric `beside` the score.
    """
    arms = {config_hash(candidate.config): candidate.arm for candidate in chosen}
    return [
        Row(
            number=row.number,
            phase=row.phase,
            arm=arms.get(row.config_hash, "dropped") if row.phase == Phase.CONFIRM else row.arm,
            config=row.config,
            seed=row.seed,
            state=row.state or "open",
            score=row.score,
            rung_score=row.rung_score,
            epochs=row.epochs,
            seconds=row.seconds,
            curve=curves.get(row.number, {}),
            others=tuple(one.values(row.metrics) if row.state == State.COMPLETE else None for one in beside),
            other_curves=tuple(one.get(row.number, {}) for one in others),
        )
        for row in members
    ]


def to_confirm(spec: Spec, space: Space, rows: Sequence[Row]) -> list[Candidate]:
    """The configs to confirm. Raises SelectionError where there is nothing to choose from."""
    if 0 in (spec.confirm.configs, spec.confirm.seeds):
        return []
    searched = {knob.name for knob in space.knobs}
    fixed = {name: value for name, value in space.config({}).items() if name not in searched}
    if len(spec.asked) > 1:
        return front.candidates(
            rows, space.knobs, metrics=len(spec.asked), fixed=fixed, configs=spec.confirm.configs, simplify=spec.simplify
        )
    return candidates.candidates(rows, space.knobs, fixed=fixed, configs=spec.confirm.configs, simplify=spec.simplify, alone=space.alone)


def planned(spec: Spec) -> dict[str, int]:
    """How many members each phase will have at most."""
    lambdas = len(Space(spec, load(spec.objective)).lambdas)
    alone, confirm = bool(spec.alone), spec.confirm
    usual = front.USUAL if len(spec.asked) > 1 else candidates.usual(lambdas, alone)
    configs = confirm.configs if confirm.configs is not None else usual
    final = min(configs, finalists_planned(spec))
    screened = configs * confirm.screen if configs > final and confirm.seeds else 0
    return {Phase.SEARCH: spec.budget.trials, Phase.CONFIRM: screened + final * confirm.seeds}


def finalists_planned(spec: Spec) -> int:
    """How many configs the final round compares: off and the best; with several λ also the best without each, or the best of each λ.

    With several metrics: off and at most so many of the front.
    """
    if len(spec.asked) > 1:
        return 1 + front.FINALISTS
    lambdas = len(Space(spec, load(spec.objective)).lambdas)
    return 1 + lambdas if spec.alone else 2 + (lambdas if lambdas > 1 else 0)


def finalists(spec: Spec, space: Space, rows: Sequence[Row], found: Sequence[Candidate], look: race.Look, most: int) -> list[Candidate]:
    """The candidates, their finalists with the number of their final seeds."""
    lambdas = candidates.lambdas_of(space.knobs, spec.simplify)
    simpler = spec.prefer == "simpler"
    if len(spec.asked) > 1:
        return front.finalists(found, rows, space.knobs, lambdas, metrics=len(spec.asked), simpler=simpler, most=most, error=look.error)
    return race.finalists(found, rows, space.knobs, lambdas, alone=space.alone, simpler=simpler, most=most, error=look.error)


def screening_seeds(spec: Spec) -> list[int]:
    """The seeds of the race's first round."""
    return [derive(spec.seed, "confirm", "screen", index) for index in range(spec.confirm.screen)]


def final_seeds(spec: Spec, look: race.Look) -> list[int]:
    """The seeds of the race's second round. No earlier look used them."""
    return [derive(spec.seed, "confirm", look.used + index) for index in range(spec.confirm.seeds)]


def answer(
    spec: Spec,
    space: Space,
    members: Sequence[MemberRow],
    rows: Sequence[Row],
    chosen: Sequence[Candidate],
    labels: Mapping[str, str],
    look: race.Look,
) -> Answer:
    """The answer that the race gives. `labels` are the full names of metrics."""
    name, seeds = spec.score_name, set(final_seeds(spec, look))
    found = verdict.answer(
        rows,
        space.knobs,
        chosen,
        margin=spec.margin,
        score_name=name,
        simplify=spec.simplify,
        alone=space.alone,
        seeds=seeds,
        error=look.error,
    )
    if len(spec.asked) > 1:
        found = front.with_front(found, rows, chosen, spec.asked, seeds)
    final = [row for row in members if row.phase == Phase.CONFIRM and row.state == State.COMPLETE and row.seed in seeds]
    return replace(found, score_label=labels.get(name, ""), measured=_measured(spec, found, final, chosen, labels))


def to_read(
    found: Answer, members: Sequence[MemberRow], chosen: Sequence[Candidate], seeds: Collection[int]
) -> list[tuple[str, MemberRow]]:
    """The members whose weights are scored on the test split, each with its arm: members of the chosen config and of the off arm.

    Where each λ was searched alone: members of the best arm of every λ, and of the off arm. Only the final `seeds` are read: an arm was
    chosen because its weights of the first round were good, and they may be good on the test split, too.
    """
    alone = {one.arm for one in found.lambdas if one.alone is not None}
    wanted = {config_hash(one.config): one.arm for one in chosen if one.arm in alone}
    wanted[config_hash(found.best)] = "chosen"
    wanted |= {config_hash(one.config): OFF_ARM for one in chosen if race.is_off(one) and one.final}
    complete = (row for row in members if row.phase == Phase.CONFIRM and row.state == State.COMPLETE and row.seed in seeds)
    return [(wanted[row.config_hash], row) for row in complete if row.config_hash in wanted]


def _measured(
    spec: Spec, found: Answer, members: Sequence[MemberRow], chosen: Sequence[Candidate], labels: Mapping[str, str]
) -> dict[str, dict[str, dict[str, float]]]:
    """What `measure` asked for: means over the final seeds (`members`) of the chosen config and of its off arm."""
    off = next((one.config for one in chosen if race.is_off(one) and one.final), None)
    arms = {"chosen": found.best, **({OFF_ARM: off} if off is not None else {})}
    told: dict[str, dict[str, dict[str, float]]] = {}
    for name in (metric.name for file in spec.measure for metric in metrics.declared(file)):
        for arm, config in arms.items():
            values = _confirmed(members, config_hash(config), name)
            if values:
                told.setdefault(labels.get(name, name), {})[arm] = mean_of(values)
    return told


def _confirmed(members: Sequence[MemberRow], digest: str, metric: str) -> list[float]:
    """One metric, of every member of one config that has the metric."""
    values = [row.metrics.get(metric) for row in members if row.config_hash == digest]
    return [float(value) for value in values if value is not None and math.isfinite(value)]
