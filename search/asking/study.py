"""Everything that touches Optuna: ask for a config, tell how a member ended, and rebuild the study at any time from the catalogue's rows.

The study lives in memory. The catalogue is the truth; `projection.py` writes what people open with Optuna's own tools. The random stream
of each ask is a function of (sweep seed, member number). So a rebuilt study asks for the same configs as the study before it.

An ask costs as much in a large sweep as in a small one. A sampler that does not learn gets an empty study for each ask. One that learns
gets at most `MOST` trials of its arm. When there are more, the study is narrowed to the `BEST` and the newest, `KEPT` in all, of which
at most `OPEN` are in training. The other open ones are away: when they have ended, the next narrowing may take them. Which these are is
written down, because a driver that comes later must go on with the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from infra.catalogue import MemberRow
from objectives.base import State, Value
from search.asking.samplers import adaptive, sampler_for
from search.asking.space import OFF_ARM, SEARCH_ARM, SEED, Space
from search.options import Chosen
from search.spec.constraints import Constraint
from search.spec.several import Asked

BROKEN = 10.0  # the excess of a member that has no value of a metric, in parts of the bound
SLIGHTLY = 1e-12  # the excess at the bound itself, where a constraint is strict
# Trials of an arm that a sampler learns from; how many remain when there are more; the best of these; those of members in training.
MOST, KEPT, BEST, OPEN = 512, 256, 64, 64


class Study:
    """The studies of one sweep: one study for each arm, over the knobs that are asked for in that arm.

    For the off arm these are the nuisance knobs. For other arms they are all searched knobs; or, where each λ is searched alone, the
    arm's λ and the nuisance knobs. `beside` are the metrics that are asked for beside the score.
    """

    def __init__(
        self,
        space: Space,
        sampler: Chosen,
        seed: int,
        trials: int,
        constraints: Sequence[Constraint] = (),
        beside: Sequence[Asked] = (),
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._sampler, self._seed, self._trials = space, sampler, seed, trials
        self._beside, self._directions = tuple(beside), ["minimize"] * (1 + len(beside))
        self._learns = adaptive(sampler)
        self._studies = {arm: self._new() for arm in (*space.arms, OFF_ARM)}
        self._open: dict[int, tuple[Any, Any]] = {}  # of open members the study and the trial
        self._held: dict[str, list[int]] = {arm: [] for arm in self._studies}  # the members whose trials a sampler learns from
        self._away: dict[str, list[int]] = {arm: [] for arm in self._studies}  # those that were open when the study was narrowed
        self._constraints = constraints

    def _new(self) -> Any:
        import optuna

        return optuna.create_study(directions=self._directions)

    def _study(self, arm: str) -> Any:
        return self._studies[arm] if self._learns else self._new()

    def ask(self, number: int, arm: str, index: int, draw: int | None = None) -> dict[str, Value]:
        """A full config for member `number`, the `index`-th of its arm. `draw` numbers the random stream; None: as the member."""
        study = self._study(arm)
        trials = self._space.trials(arm, self._trials)
        stream = number if draw is None else draw
        study.sampler = sampler_for(self._sampler, self._seed, stream, space=self._space, trials=trials, arm=arm, index=index)
        return self._drawn(study, number, arm)

    def enqueue(self, number: int, params: Mapping[str, Value], arm: str = SEARCH_ARM) -> dict[str, Value]:
        """A config that the user wants to try first, as a trial of the study of its arm."""
        study = self._study(arm)
        study.enqueue_trial(dict(params))
        return self._drawn(study, number, arm)

    def _drawn(self, study: Any, number: int, arm: str) -> dict[str, Value]:
        """The config of a new trial. A knob whose condition does not hold is not asked for, so that nobody learns from its value."""
        trial = study.ask(self._space.unconditional(arm))
        if self._learns:
            self._open[number] = study, trial
            self._held[arm].append(number)
        return self._space.drawn(trial, arm)

    def seeded(self, number: int, seed: int) -> None:
        """Note the seed of the member that was asked for last."""
        if number in self._open:
            self._open[number][1].set_user_attr(SEED, seed)

    def tell(self, row: MemberRow) -> None:
        """Tell Optuna how a member ended: only a complete member is COMPLETE; a stopped one is PRUNED."""
        study, trial = self._open.pop(row.number, (None, None))
        if trial is None:
            return
        state, values = _outcome(row, self._beside)
        if self._reported(row, state):
            trial.report(row.rung_score, max(row.epochs, 0))
        for name, excess in excesses(row, self._constraints, self._beside).items():
            trial.set_constraint(name, excess)
        study.tell(trial, values, state=state)

    def _reported(self, row: MemberRow, state: Any) -> bool:
        """Whether the trial of a member has a rung score. With several metrics it has none, because Optuna takes none."""
        return state.name == "PRUNED" and not self._beside and row.rung_score is not None and math.isfinite(row.rung_score)

    def rebuild(self, rows: Sequence[MemberRow], memory: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Put in what an earlier driver asked and was told, in the order of asking.

        `memory` holds what `narrowed` said last of each arm.
        """
        import optuna

        self._away |= {arm: list(one["away"]) for arm, one in (memory or {}).items()}
        for row in sorted(_remembered(rows, memory or {}), key=lambda row: row.number) if self._learns else ():
            distributions = self._space.asked_in(row.arm, row.config)
            params = {name: row.config[name] for name in distributions}
            if row.state is None:
                study = self._studies[row.arm]
                study.enqueue_trial(params)
                self._drawn(study, row.number, row.arm)
                self.seeded(row.number, row.seed)
                continue
            state, values = _outcome(row, self._beside)
            self._held[row.arm].append(row.number)
            self._studies[row.arm].add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions=distributions,
                    state=state,
                    values=values,
                    user_attrs={SEED: row.seed},
                    intermediate_values={max(row.epochs, 0): row.rung_score} if self._reported(row, state) else None,
                    constraints=excesses(row, self._constraints, self._beside),
                )
            )

    def full(self, arm: str) -> bool:
        """Whether the sampler would learn from more than `MOST` trials of an arm."""
        return len(self._held[arm]) >= MOST

    def narrowed(self, arm: str, rows: Mapping[int, MemberRow]) -> dict[str, Any]:
        """Forget most trials of an arm. Returns which are left, for `rebuild`."""
        pool = [rows[number] for number in sorted({*self._held[arm], *self._away[arm]})]
        ended, open_ = [row for row in pool if row.state is not None], [row for row in pool if row.state is None]
        kept = {row.number for row in open_[-OPEN:]}
        kept |= {row.number for row in sorted(ended, key=lambda row: (*_worth(row, self._beside), row.number))[:BEST]}
        kept |= set([row.number for row in ended if row.number not in kept][-max(KEPT - len(kept), 1) :])
        for row in pool:
            self._open.pop(row.number, None)
        self._studies[arm], self._held[arm] = self._new(), []
        self._away[arm] = [row.number for row in open_ if row.number not in kept]
        self.rebuild([row for row in pool if row.number in kept])
        return {"before": pool[-1].number, "kept": sorted(kept), "away": self._away[arm]}


def _remembered(rows: Sequence[MemberRow], memory: Mapping[str, Mapping[str, Any]]) -> list[MemberRow]:
    """The members that a sampler was told of, without those that it has forgotten."""
    kept = {arm: (one["before"], set(one["kept"])) for arm, one in memory.items()}
    return [row for row in rows if row.arm not in kept or row.number > kept[row.arm][0] or row.number in kept[row.arm][1]]


def _worth(row: MemberRow, beside: Sequence[Asked]) -> tuple[bool, float]:
    """The order of trials, the best first: by the score of complete ones. Of several metrics the score alone is looked at."""
    values = _outcome(row, beside)[1]
    return values is None, math.inf if values is None else values[0]


def _outcome(row: MemberRow, beside: Sequence[Asked]) -> tuple[Any, list[float] | None]:
    """Optuna's state and values. A diverged or collapsed member is worse than any finite score, so that its λ is not asked for again.

    A complete member without one of the metrics says nothing, as one that failed.
    """
    from optuna.trial import TrialState

    values = [row.score, *(one.values(row.metrics) for one in beside)]
    if row.state == State.COMPLETE and row.score is not None and None in values:
        return TrialState.FAIL, None
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if row.state == State.COMPLETE and len(finite) == len(values):
        return TrialState.COMPLETE, finite
    if row.state in (State.DIVERGED, State.COLLAPSED, State.COMPLETE):
        return TrialState.COMPLETE, [math.inf] * len(values)
    if row.state == State.STOPPED:
        return TrialState.PRUNED, None
    return TrialState.FAIL, None


def excesses(row: MemberRow, constraints: Sequence[Constraint], beside: Sequence[Asked]) -> dict[str, float]:
    """How far a member is beyond each constraint, as Optuna keeps it: 0 or less is feasible.

    Only of members that trained to their end or were lost; what a stopped member would have come to is unknown. A value that is missing
    or not finite breaks its constraint.
    """
    values = _outcome(row, beside)[1]
    if row.state == State.STOPPED or values is None:
        return {}
    lost = math.inf in values
    found = {}
    for one in constraints:
        value = float(lost) if one.of_losses else row.metrics.get(one.metric, math.nan)
        excess = one.excess(value) if math.isfinite(value) and not (lost and not one.of_losses) else BROKEN
        found[one.text] = excess if excess != 0.0 or one.holds(value) else SLIGHTLY
    return found
