"""From the members of a sweep to its candidates and its answer: here `candidates` and `verdict` get what they need of a spec."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from infra.catalogue import MemberRow, config_hash
from objectives import metrics
from objectives.base import Phase, State
from search import schedulers as stopping
from search.asking.seeds import derive
from search.asking.space import AGAINST_NOTHING, AGAINST_OFF, BASELINE, OFF_ARM, Space
from search.choosing import between, candidates, front, insight, race, schedules, verdict
from search.choosing.answer import Answer, Candidate, LambdaAnswer, Row, SelectionError
from search.choosing.arms import arm_of, differences, mean_of, paired
from search.choosing.feasibility import surface_of
from search.choosing.findings import Reached
from search.choosing.hysteresis import with_paths
from search.choosing.lambda_interval import lambda_answer
from search.choosing.missing import gone, missing_words
from search.choosing.table import Curves, Table
from search.choosing.watched import Watched
from search.options import name_of
from search.spec.goals import ANY, EFFECT, MOST
from search.spec.hours import limit
from search.spec.keys import Spec


def table(members: Sequence[MemberRow], curves: Curves, chosen: Sequence[Candidate], watched: Watched | None = None) -> list[Row]:
    """The members, as rows for the choice, once: see `Table`."""
    return Table(curves, watched).of(members, chosen)


def to_confirm(spec: Spec, space: Space, rows: Sequence[Row]) -> list[Candidate]:
    """The configs to confirm. Raises SelectionError where there is nothing to choose from."""
    if 0 in (spec.confirm.configs, spec.confirm.seeds):
        return []
    searched = {knob.name for knob in space.knobs}
    fixed = {name: value for name, value in space.config({}).items() if name not in searched}
    given: dict[str, Any] = {"fixed": fixed, "configs": spec.confirm.configs, "simplify": spec.simplify, "constraints": spec.demands}
    if len(spec.asked) > 1:
        return _without_defaults(front.candidates(rows, space.knobs, metrics=len(spec.asked), **given), space)
    found = candidates.candidates(rows, space.knobs, alone=space.alone, **given)
    return _with_todays(_without_defaults(found, space) + schedules.candidate(rows, space.knobs), space, 0)


def _without_defaults(found: list[Candidate], space: Space) -> list[Candidate]:
    """The candidates without an off arm that would be the defaults, unless no other config completed."""
    return found if _has_off(space) else [one for one in found if not race.is_off(one)] or found


def _has_off(space: Space) -> bool:
    """Whether an off arm is confirmed. It is not where it would be the defaults, which nobody asked about."""
    return space.against != AGAINST_NOTHING


def _with_todays(found: Sequence[Candidate], space: Space, seeds: int) -> list[Candidate]:
    """The candidates with the config that the user has today, on so many final seeds, where it is not what the off arm stands for.

    Two candidates with one config would be one arm, so a finalist with this config is enough. Another candidate gives it its place.
    """
    if not space.baseline or space.against != AGAINST_OFF:
        return list(found)
    today = config_hash(space.baseline)
    alike = [one for one in found if config_hash(one.config, one.schedule) == today]
    if any(one.final or (not seeds and not one.apart) for one in alike):
        return list(found)
    return [one for one in found if one not in alike] + [Candidate(BASELINE, dict(space.baseline), "the config of today", seeds)]


def planned(spec: Spec) -> dict[str, int]:
    """How many members each phase will have at most."""
    configs, final = _configs_planned(spec)
    space = Space(spec, spec.trained)
    sides = _has_off(space) + (len(space.lambdas) if spec.alone else 1)  # with more configs some are rivals (`race.has_rivals`)
    screened = configs * spec.confirm.screen if configs > sides and spec.confirm.seeds else 0
    against_off = space.against == AGAINST_OFF
    apart = bool(stopping.evolving(spec.scheduler)) + bool(spec.baseline and against_off)  # a schedule, the baseline
    more = (apart + ablated_planned(spec)) * spec.confirm.seeds if final else 0
    return {Phase.SEARCH: spec.budget.trials, Phase.CONFIRM: screened + between_planned(spec) + final * spec.confirm.seeds + more}


def _configs_planned(spec: Spec) -> tuple[int, int]:
    """How many configs the first round trains at most, and how many of them the final round."""
    space = Space(spec, spec.trained)
    usual = front.USUAL if len(spec.asked) > 1 else candidates.usual(len(space.lambdas), bool(spec.alone))
    configs = spec.confirm.configs if spec.confirm.configs is not None else usual
    configs -= 0 if _has_off(space) or not configs else 1
    return configs, min(configs, finalists_planned(spec))


def between_planned(spec: Spec) -> int:
    """How many members are searched between the rounds at most. They get only epochs that early stopping saved."""
    configs, final = _configs_planned(spec)
    if len(spec.asked) > 1 or not spec.confirm.seeds or configs <= final or spec.scheduler == "none":
        return 0
    return spec.confirm.between * spec.confirm.screen


def ablated_planned(spec: Spec) -> int:
    """How many λ arms the final round may train without any λ as well: see `race`."""
    space = Space(spec, spec.trained)
    alike = not _has_off(space) or not space.nuisances or min(_configs_planned(spec)) < 2
    return 0 if alike else len(space.lambdas) if spec.alone else 1


def searched_between(spec: Spec, space: Space, rows: Sequence[Row], found: Sequence[Candidate]) -> list[Candidate]:
    """The configs that are searched between the rounds. They get only epochs that the search left; none where there were some before."""
    each, epochs = spec.confirm.screen, spec.settings().epochs
    if not between_planned(spec) or any(between.is_between(one.arm) for one in found):
        return []
    left = sum(epochs - (row.epochs - row.start) for row in rows if row.phase == Phase.SEARCH)
    return between.proposals(
        [one for one in found if not one.apart],
        rows,
        space.knobs,
        candidates.lambdas_of(space.knobs, spec.simplify),
        min(spec.confirm.between, left // (each * epochs)),
        alone=space.alone,
        constraints=spec.demands,
    )


def finalists_planned(spec: Spec) -> int:
    """How many configs the final round compares: off (if there is one) and the best; with several λ also that without each, or each's best.

    With several metrics: off and at most so many of the front.
    """
    space = Space(spec, spec.trained)
    if len(spec.asked) > 1:
        return front.FINALISTS + _has_off(space)
    lambdas = len(space.lambdas)
    if not _has_off(space):
        return 1
    return 1 + lambdas if spec.alone else 2 + (lambdas if lambdas > 1 and space.against == AGAINST_OFF else 0)


def width_asked(spec: Spec) -> float | None:
    """Half the length that the effect's interval may have; None where no goal says it."""
    return next((one.within for one in spec.goals if one.about == EFFECT), None)


def seeds_asked(spec: Spec) -> int:
    """How many final seeds are trained at most before the effect is looked at."""
    return spec.confirm.seeds if width_asked(spec) is None else max(spec.confirm.seeds, race.WATCHED_FROM)


def error_of(spec: Spec, look: race.Look) -> float:
    """The probability of error that the verdict of a look may have."""
    return look.error if width_asked(spec) is None else race.WATCHED * look.error


def lambda_goals(spec: Spec, space: Space, rows: Sequence[Row]) -> list[Reached]:
    """How far the goals about λ are reached by the members so far: the intervals of λ at the minimum of the surface."""
    lambdas = [knob for knob in space.lambdas if any(one.covers(knob) for one in spec.goals)]
    surface = surface_of(rows, space.knobs, spec.demands)
    try:
        found = {one.arm: one.config for one in to_confirm(spec, space, rows)}
    except SelectionError:
        found = {}
    answers = []
    for knob in lambdas:
        config = found.get(f"min:{knob.name}" if space.alone else "min")
        if config is None or surface is None:  # nothing to read an interval of
            return [Reached(one.text, one.within, math.inf) for one in spec.goals if one.about != EFFECT]
        answers.append(lambda_answer(knob, config, surface))
    return _reached(spec, answers)


def _reached(spec: Spec, lambdas: Sequence[LambdaAnswer]) -> list[Reached]:
    """The goals about λ, by the intervals of all λ. An interval that is open ends at the range; more members do not take it farther.

    A λ that the chosen config switches off has one value there, so nothing is left to know of it.
    """
    found = []
    for goal in spec.goals:
        mine = [one for one in lambdas if goal.about in (one.name, ANY)]
        lengths = [0.0 if one.switched_off else goal.length(*one.reach) for one in mine]
        if goal.about != EFFECT:
            longest = math.inf if not lengths or any(map(math.isnan, lengths)) else max(lengths)
            found.append(Reached(goal.text, goal.within, longest))
    return found


def _why_not(spec: Spec, one: Reached, searched: int, finals: int) -> str:
    """What ended a sweep before it had reached a goal: its most members, its most final seeds, or its wall time."""
    about = next(goal.about for goal in spec.goals if goal.text == one.goal)
    if about == EFFECT and finals >= race.MOST_SEEDS:
        return f"{race.MOST_SEEDS} final seeds are the most that a sweep trains"
    if about != EFFECT and searched >= MOST * spec.budget.trials:
        return f"{searched} searched configs are the most, {MOST} times the trials"
    if spec.budget.wall_minutes is not None:
        return f"the wall time of {spec.budget.wall_minutes:g} min was over"
    if limit(spec)[1]:
        return "the budget was used up, or had no room for more"
    if about == EFFECT:
        return f"too few of {finals} final seeds ended with a score in both arms"
    if math.isinf(one.known):
        return "too few members completed for an interval"
    return f"it was reached after {searched} searched configs, and what the race found made the interval longer"


def finalists(spec: Spec, space: Space, rows: Sequence[Row], found: Sequence[Candidate], look: race.Look, most: int) -> list[Candidate]:
    """The candidates, their finalists with the number of their final seeds."""
    lambdas = candidates.lambdas_of(space.knobs, spec.simplify)
    simpler = spec.prefer == "simpler"
    if len(spec.asked) > 1:
        error = error_of(spec, look)
        return front.finalists(
            found, rows, space.knobs, lambdas, metrics=len(spec.asked), simpler=simpler, most=most, error=error, constraints=spec.demands
        )
    error, fewer = error_of(spec, look), width_asked(spec) is None
    apart = [one for one in found if one.apart]
    found = [one for one in found if not one.apart]
    chosen = race.finalists(
        found,
        rows,
        space.knobs,
        lambdas,
        alone=space.alone,
        simpler=simpler,
        most=most,
        error=error,
        fewer=fewer,
        constraints=spec.demands,
    )
    # How many seeds settle the verdict on a schedule is not known beforehand.
    seeds = most if any(one.schedule for one in apart) else max((one.seeds for one in chosen), default=0)
    final = [replace(one, seeds=seeds if one.final else 0) for one in chosen]
    return _with_todays([*final, *(replace(one, seeds=seeds) for one in apart if one.schedule)], space, seeds)


def screening_seeds(spec: Spec, more: int = 0) -> list[int]:
    """The seeds of the race's first round, with so many more that stand in for others."""
    return [derive(spec.seed, "confirm", "screen", index) for index in range(spec.confirm.screen + more)]


def screened(rivals: Sequence[Candidate], rows: Sequence[Row], spec: Spec) -> list[int]:
    """The seeds of the first round, with one more for each that a rival misses for a reason that is not its own; at most twice as many.

    As in the final round all rivals are trained on a seed that stands in, and it may be missing, too.
    """
    seeds = screening_seeds(spec)
    while len(more := screening_seeds(spec, min(len(gone(rivals, rows, seeds)), spec.confirm.screen))) > len(seeds):
        seeds = more
    return seeds


def final_seeds(spec: Spec, look: race.Look, count: int = 0) -> list[int]:
    """The seeds of the race's second round, `count` of them where that is more than were asked for. No earlier look used them."""
    return [derive(spec.seed, "confirm", look.used + index) for index in range(max(seeds_asked(spec), count))]


def longer(spec: Spec, rows: Sequence[Row], chosen: Sequence[Candidate], look: race.Look) -> list[Candidate]:
    """The candidates with more final seeds, where the effect is not yet known to what was asked; the same ones where it is.

    Only the lengths of intervals are looked at, never the effects.
    """
    half, finals = width_asked(spec), [one for one in chosen if one.final]
    if half is None or not finals or finals[0].seeds >= race.MOST_SEEDS:
        return list(chosen)
    used = set(final_seeds(spec, look, finals[0].seeds))
    _, _, sides, _ = verdict.against_off(rows, chosen, 0.0, bool(spec.alone), used, error_of(spec, look))  # no margin: no verdict is read
    if all(side.effect.high - side.effect.low <= 2 * half or side.effect.seeds < 2 for side in sides):
        return list(chosen)
    more = race.next_seeds(finals[0].seeds)
    return [replace(one, seeds=more) if one.final else one for one in chosen]


def with_others(chosen: Sequence[Candidate], rows: Sequence[Row], spec: Spec, look: race.Look) -> list[Candidate]:
    """The candidates with one more final seed for each that a finalist misses for a reason that is not its own; at most as many as asked.

    Which seeds are missing does not depend on a score, so the seeds that stand in for them judge as well.
    """
    finals = [one for one in chosen if one.final]
    if not finals:
        return list(chosen)
    seeds, had = final_seeds(spec, look, finals[0].seeds)[: finals[0].seeds], finals[0].instead
    more = min(len(gone(finals, rows, seeds)), finals[0].seeds - had) - had
    return [replace(one, seeds=one.seeds + more, instead=had + more) if one.final and more > 0 else one for one in chosen]


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
    name, seeds = spec.score_name, set(final_seeds(spec, look, max((one.seeds for one in chosen), default=0)))
    found = verdict.answer(
        rows,
        space.knobs,
        chosen,
        margin=float(spec.margin.split()[0]) if isinstance(spec.margin, str) else spec.margin,
        absolute=bool(spec.margin_unit),
        better=spec.asked[0].better,
        score_name=name,
        simplify=spec.simplify,
        alone=space.alone,
        seeds=seeds,
        error=error_of(spec, look),
        constraints=spec.demands,
        compared=space.against != AGAINST_NOTHING,
    )
    found = replace(found, promise=found.promise.within(*_limits(spec)))
    if len(spec.asked) > 1:
        found = front.with_front(found, rows, chosen, spec.asked, seeds, spec.demands, error_of(spec, look))
        blind = front.unwatched(rows, spec.asked) if spec.scheduler != "none" else []
        found = replace(
            found, notes=[*found.notes, *(f"{name} is measured at the last epoch only, so nobody was stopped early" for name in blind)]
        )
    if stopping.evolving(spec.scheduler) and not found.schedule:
        found = replace(found, notes=[*found.notes, *schedules.missing(rows, space.knobs, chosen, name_of(spec.scheduler))])
    final = [row for row in members if row.phase == Phase.CONFIRM and row.state == State.COMPLETE and row.seed in seeds]
    goals = _reached(spec, found.lambdas)
    if (half := width_asked(spec)) is not None:
        effects = [one.alone for one in found.lambdas if one.alone is not None] or [found.effect]
        text = next(one.text for one in spec.goals if one.about == EFFECT)
        goals.append(Reached(text, half, max((one.high - one.low) / 2 for one in effects)))
    searched = sum(row.phase == Phase.SEARCH and not row.start for row in rows)
    finals = max((one.seeds for one in chosen), default=0)
    goals = [one if one.reached else replace(one, why=_why_not(spec, one, searched, finals)) for one in goals]
    found = replace(
        found,
        goals=goals,
        notes=[*found.notes, *between.said(chosen, candidates.lambdas_of(space.knobs, spec.simplify))],
        score_label=labels.get(name, ""),
        missing=missing_words(members),
        unconfirmed=0 not in (spec.confirm.configs, spec.confirm.seeds) and not any(one["n"] for one in found.arms),
        measured=_measured(spec, found, final, chosen, labels),
        spent=verdict.spent([row if row.phase != Phase.CONFIRM else replace(row, phase=_round(row, spec)) for row in rows]),
        beside=insight.beside(
            rows,
            space.knobs,
            chosen,
            found,
            seeds=seeds,
            simplify=spec.simplify,
            alone=space.alone,
            simplest=spec.prefer == "simpler",
            constraints=spec.demands,
        ),
    )
    return with_paths(_with_baseline(found, space, rows, chosen, seeds), space, rows)


def _limits(spec: Spec) -> tuple[float, float]:
    """The least and the greatest value that the score can have, as it is compared: lower is better."""
    metric = spec.trained.metrics.get(spec.score_name)
    ends = (-math.inf, math.inf) if metric is None else metric.ends
    return min(spec.asked[0].lower(end) for end in ends), max(spec.asked[0].lower(end) for end in ends)


def _with_baseline(found: Answer, space: Space, rows: Sequence[Row], chosen: Sequence[Candidate], seeds: Collection[int]) -> Answer:
    """The answer with what it is compared with, and with what the recommended config gains over the config of today."""
    lambdas = [replace(one, against=space.against) for one in found.lambdas]
    found = replace(found, against=space.against, baseline=dict(space.baseline), lambdas=lambdas)
    if space.against == AGAINST_NOTHING and found.front is not None:  # what it gains over the defaults, nobody asked
        points = [replace(one, effects={}) for one in found.front.points]
        found = replace(found, front=replace(found.front, points=points))
    arms = {config_hash(one.config, one.schedule): one for one in chosen if one.final}
    today = arms.get(config_hash(space.baseline)) if space.baseline else None
    best = arms.get(config_hash(found.recommended, found.recommended_schedule))
    if today is None or best is None or today == best:
        return found
    return replace(found, over_baseline=paired(differences(arm_of(today, rows, seeds), arm_of(best, rows, seeds))))


def _round(row: Row, spec: Spec) -> str:
    """What the phase of a confirmed member is called where it is told what each phase cost."""
    if row.seed not in screening_seeds(spec, spec.confirm.screen):  # and those that may stand in
        return "final round"
    return "between the rounds" if between.is_between(row.arm) else "first round"


def to_read(
    found: Answer, members: Sequence[MemberRow], chosen: Sequence[Candidate], seeds: Collection[int]
) -> list[tuple[str, MemberRow]]:
    """The members whose weights are scored on the test split, each with its arm: members of the chosen config and of the off arm.

    Where each λ was searched alone: members of the best arm of every λ, and of the off arm. Only the final `seeds` are read: an arm was
    chosen because its weights of the first round were good, and they may be good on the test split, too.
    """
    alone = {one.arm for one in found.lambdas if one.alone is not None}
    wanted = {config_hash(one.config, one.schedule): one.arm for one in chosen if one.arm in alone}
    wanted[config_hash(found.best, found.schedule)] = "chosen"
    wanted |= {config_hash(one.config, one.schedule): OFF_ARM for one in chosen if race.is_off(one) and one.final}
    complete = (row for row in members if row.phase == Phase.CONFIRM and row.state == State.COMPLETE and row.seed in seeds)
    return [(wanted[row.config_hash], row) for row in complete if row.config_hash in wanted]


def _measured(
    spec: Spec, found: Answer, members: Sequence[MemberRow], chosen: Sequence[Candidate], labels: Mapping[str, str]
) -> dict[str, dict[str, dict[str, float]]]:
    """What `measure` asked for: means over the final seeds (`members`) of the chosen config and of its off arm."""
    off = next((one.config for one in chosen if race.is_off(one) and one.final), None)
    arms = {"chosen": config_hash(found.best, found.schedule), **({OFF_ARM: config_hash(off)} if off is not None else {})}
    told: dict[str, dict[str, dict[str, float]]] = {}
    for name in (metric.name for file in spec.measure for metric in metrics.declared(file)):
        for arm, digest in arms.items():
            values = _confirmed(members, digest, name)
            if values:
                told.setdefault(labels.get(name, name), {})[arm] = mean_of(values)
    return told


def _confirmed(members: Sequence[MemberRow], digest: str, metric: str) -> list[float]:
    """One metric, of every member of one config that has the metric."""
    values = [row.metrics.get(metric) for row in members if row.config_hash == digest]
    return [float(value) for value in values if value is not None and math.isfinite(value)]
