"""Which λ is best, with what certainty, and was it worth it: a pure function of a table of members.

For scores lower is better, and no λ is in a score. A *diverged* or *collapsed* member was lost to its config, and is counted, never
averaged. A *failed* or *preempted* member is missing data, and is counted as such. `race.py` says which members the verdict is made of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from objectives.base import Knob, Phase, State, Value, lowered
from search.asking.space import BASELINE, OFF_ARM
from search.choosing import race
from search.choosing.answer import Answer, Candidate, LambdaAnswer, Row, Verdict
from search.choosing.arms import Arm, arm_of, differences, losses, mean_of, paired, promise, sign_test
from search.choosing.candidates import candidates, counts_of, lambdas_of, off_value
from search.choosing.feasibility import held, miss_of, nearest_miss, surface_of
from search.choosing.findings import Effect
from search.choosing.lambda_interval import lambda_answer, picture
from search.choosing.words import number, schedule_words
from search.modelling.surface import Surface
from search.spec.constraints import Constraint


def answer(
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    cands: Sequence[Candidate],
    *,
    margin: float = 0.01,
    absolute: bool = False,
    better: str = "lower",
    score_name: str = "",
    simplify: Sequence[str] = (),
    alone: bool = False,
    seeds: Collection[int] | None = None,
    error: float = race.FIRST,
    constraints: Sequence[Constraint] = (),
    compared: bool = True,
) -> Answer:
    """What the race says: the chosen λ, its interval, its effect over the off arm, a verdict and a promise.

    The verdict compares the finalists on the final seeds, paired by seed, with d = off − chosen, its interval [lo, hi] and
    δ = margin · |off score|, or the margin itself: `helps` if lo > 0, else `harmless` if [lo, hi] lies within ±δ, else `hurts` if hi < 0,
    else `no evidence`.
    Where seeds were lost, half of the error goes to an exact sign test of who lost more of them; either may give the verdict.

    Where each λ was searched `alone`, each λ has a verdict of its own, and the intervals hold for all λ at once. The arm that gains most is
    then `best`, and its verdict is the verdict of the answer. The costs of leaving single λ out (`without:<λ>`) hold at once, too.

    Recommended is the chosen arm if it helps, and the off arm if it hurts. Else the one whose level is lower by the surface of all members.
    The interval of λ and the curve come from that surface, too. With constraints the arm that keeps to them is recommended before one that
    does not, whatever their verdict; where neither does, the one that misses by less.

    Without one confirmed seed (none was asked for, or time ran out) the answer is the minimum of the surface, with `no evidence`.

    Args:
        rows: every member.
        knobs: the searched knobs.
        cands: the candidates; finalists are marked where the race came so far.
        margin: δ as a part of the off score. That means something only where the score has a natural zero; else a note says so.
        absolute: whether the margin is δ itself, in units of the score.
        better: which way the score is better in its own sign; scores here are turned, so that less is better.
        score_name: the metric that decides.
        simplify: the order of the λ.
        alone: whether each λ was searched alone.
        seeds: the final seeds; None: all confirmed seeds are.
        error: the probability of error that the verdict may have.
        constraints: what a config must keep to.
        compared: whether there is anything to compare with; where not, there is no effect and no margin, and the best is recommended.

    Raises:
        SelectionError: there are no candidates, and none can be found.
    """
    lambdas = lambdas_of(knobs, simplify)
    cands = list(cands) or candidates(rows, knobs, fixed=_fixed(rows, knobs), simplify=simplify, alone=alone, constraints=constraints)
    if not race.decided(cands):
        # Time ended before the race was decided.
        cands = race.finalists(cands, rows, knobs, lambdas, alone=alone, refine=False, constraints=constraints)
    surface = surface_of(rows, knobs, constraints)
    arms, off, sides, delta = against_off(rows, cands, margin, alone, seeds, error, absolute)
    notes = _remarks(arms) + ([] if absolute or not compared else _without_zero(off, margin, score_name, better))
    judged = {name: held(arm, rows, constraints, seeds, "off" if arm is off else "chosen") for name, arm in arms.items()}
    misses = {name: miss_of(arm, judged[name], rows, constraints, surface) for name, arm in arms.items()}
    best = (
        max(sides, key=lambda side: (-misses[side.arm.name], *side.rank, side.expected(surface))) if sides else Side.none(off, rows, knobs)
    )
    if not compared:
        best = replace(best, effect=Effect(math.nan, math.nan, math.nan, 0), verdict=Verdict.NO_EVIDENCE, notes=[], uncompleted=())
    notes += best.remarks(delta) if not alone else [f"{side.lambda_name}: {note}" for side in sides for note in side.remarks(delta)]
    schedule = next((one.schedule for one in cands if one.arm == best.arm.name), {})
    beyond = misses[best.arm.name] - misses.get(off.name, math.inf)
    rather_off = beyond > 0 or (beyond == 0 and best.rather_off(None if schedule else surface))
    kept = off if rather_off and off.name in arms else best.arm
    notes += _against_constant(sides, cands)
    constant = sides[0] if schedule else best
    own = {side.lambda_name: side for side in sides} if alone else {}
    found, curves = [], {}
    for knob in lambdas:
        side = own.get(knob.name, constant)
        drawn = surface if side.arm is not off else None  # a surface of the off arm alone knows nothing of λ
        config = side.arm.config if side.arm is not off else {**off.config, knob.name: off_value(knob)}
        off_worse = _off_worse(knob, side, arms, alone or len(lambdas) == 1)
        one = lambda_answer(knob, config, drawn, proven=side.verdict is Verdict.HELPS, off_worse=off_worse)
        found.append(_alone(one, own.get(knob.name), off) if alone else _with_cost(one, arms, constant.arm))
        whole = [arm_of(each, rows) for each in cands]
        curves[knob.name] = picture(knob, config, drawn, whole, knobs)
    notes += [one.warning for one in found if one.warning]
    return Answer(
        score_name=score_name,
        arm=best.arm.name,
        best=best.arm.config,
        recommended_arm=OFF_ARM if kept is off else kept.name,
        recommended=kept.config,
        lambdas=found,
        effect=best.effect,
        off_score=off.mean if compared else math.nan,
        best_score=best.arm.mean,
        margin=delta if compared else math.nan,
        verdict=best.verdict,
        promise=promise(list(kept.scores.values())),
        arms=[_arm_table(one, rows, off) for one in cands],
        curve=curves,
        spent=spent(rows),
        notes=notes,
        luckiest=_luckiest(rows),
        schedule=schedule,
        recommended_schedule={} if kept is off else schedule,
        constraints=[*(judged[best.arm.name] if best.arm is not off else []), *judged.get(off.name, [])],
        nearest=nearest_miss(rows, constraints, knobs, kept),
        uncompleted=list(best.uncompleted),
    )


def _off_worse(knob: Knob, side: Side, arms: Mapping[str, Arm], only: bool) -> bool:
    """Whether the final seeds prove that this λ at its off value is worse: by the effect where it is the `only` λ, else by its own arm."""
    without = arms.get(f"{race.WITHOUT}{knob.name}")
    if without is not None and without is not side.arm:
        return paired(differences(without, side.arm)).low > 0
    return only and side.effect.low > 0


def _against_constant(sides: Sequence[Side], cands: Sequence[Candidate]) -> list[str]:
    """What a schedule gains over the best constant config, on the same seeds."""
    steps = {one.arm: one.schedule for one in cands if one.schedule}
    found = []
    for side in sides[1:]:
        if side.arm.name in steps:
            gain = paired(differences(sides[0].arm, side.arm))
            more, less = (gain, "gains") if gain.mean >= 0 else (Effect(-gain.mean, -gain.high, -gain.low, gain.seeds), "loses")
            said = f"the schedule {schedule_words(steps[side.arm.name])}, trained from scratch, {less} {more.words()}"
            found.append(f"{said} against the best constant config, {sides[0].arm.name} ({gain.seeds} paired seeds)")
    return found


def against_off(
    rows: Sequence[Row],
    cands: Sequence[Candidate],
    margin: float,
    alone: bool,
    seeds: Collection[int] | None,
    error: float,
    absolute: bool = False,
) -> tuple[dict[str, Arm], Arm, list[Side], float]:
    """The finalists by name, the off arm (empty where it is no finalist), each λ arm against it, and δ: all that makes the verdict."""
    arms = {one.arm: arm_of(one, rows, seeds) for one in cands if one.final}
    nobody = Arm(OFF_ARM, {}, {}, (), {})
    off = next((arm for name, arm in arms.items() if name.partition(":")[0] == OFF_ARM), nobody)
    tested = [arm for arm in arms.values() if arm is not off and arm.name != BASELINE]
    moving = {one.arm for one in cands if one.schedule}
    # The chosen arm comes before those without one of its λ.
    tested = [arm for arm in tested if not arm.name.startswith(race.ABLATED)]
    tested = tested if alone else [*tested[:1], *(arm for arm in tested[1:] if arm.name in moving)]
    delta = margin if absolute else margin * abs(off.mean)
    return arms, off, [_side(off, arm, arms, delta, error, len(tested)) for arm in tested], delta


def _side(off: Arm, arm: Arm, arms: Mapping[str, Arm], delta: float, error: float, comparisons: int) -> Side:
    """A λ arm against the off arm, and against itself with every λ off where that is a finalist, too."""
    side, ablated = Side.of(off, arm, delta, error, comparisons), arms.get(race.ABLATED + arm.name)
    return side if ablated is None or not ablated.seeds else side.guarded(Side.of(ablated, arm, delta, error, comparisons), delta)


def with_test(given: Answer, read: Sequence[tuple[str, int, float]], error: str = "") -> Answer:
    """The answer with its reading of the test split: for each arm the scores by seed, and their paired improvement over the off arm.

    `recommended` is the arm that is exported once more, under the name by which a reader looks for it.

    Args:
        given: the answer as chosen on validation; nothing in it changes.
        read: arm (`chosen`, `off`, or the arm of a λ that was searched alone), seed and score of each confirmed member that was read.
        error: why the test split could not be read.
    """
    scores: dict[str, dict[int, float]] = {}
    for arm, seed, score in read:
        scores.setdefault(arm, {})[seed] = score
    test: dict[str, Any] = {"error": error} if error else {}
    for arm, by_seed in sorted(scores.items()):
        values = [by_seed[seed] for seed in sorted(by_seed)]
        test[arm] = {**mean_of(values), "scores": values}
    exported = OFF_ARM if given.keeps_off else "chosen"
    test |= {"recommended": test[exported]} if exported in test else {}

    def effect(arm: str) -> dict[str, Any]:
        seeds = sorted(set(scores[arm]) & set(scores[OFF_ARM]))
        return asdict(paired([scores[OFF_ARM][seed] - scores[arm][seed] for seed in seeds], given.effect.comparisons))

    if "chosen" in scores and OFF_ARM in scores:
        test["effect"] = effect("chosen")
        arms = {one.name: "chosen" if one.arm == given.arm else one.arm for one in given.lambdas if one.alone}
        alone = {name: effect(arm) for name, arm in arms.items() if arm in scores}
        test |= {"alone": alone} if alone else {}
    return replace(given, test=test)


def judge(low: float, high: float, delta: float) -> Verdict:
    """The verdict of an interval [low, high] of the improvement, with margin δ. A loss that is certainly within δ is harmless."""
    if low > 0.0:
        return Verdict.HELPS
    if -delta <= low and high <= delta:
        return Verdict.HARMLESS
    return Verdict.HURTS if high < 0.0 else Verdict.NO_EVIDENCE


@dataclass(frozen=True)
class Side:
    """A λ arm against the off arm: its effect, its verdict, and what is to be remarked."""

    off: Arm
    arm: Arm
    effect: Effect
    verdict: Verdict
    notes: list[str]
    uncompleted: tuple[str, ...] = ()  # see `Answer.uncompleted`

    @staticmethod
    def of(off: Arm, arm: Arm, delta: float, error: float, comparisons: int) -> Side:
        """The verdict on an arm, with this probability of error for all `comparisons` together."""
        more, less = losses(off, arm)
        share = error / 2 if off.bad or arm.bad else error
        effect = paired(differences(off, arm), comparisons, share)
        said, notes = judge(effect.low, effect.high, delta), []
        if more + less and sign_test(more, less) <= share / comparisons:
            fewer = Verdict.HELPS if more > less else Verdict.HURTS
            against = said in (Verdict.HELPS, Verdict.HURTS) and said is not fewer
            said = Verdict.NO_EVIDENCE if against else fewer
            notes.append(f"λ off was lost on {len(off.bad)} of {off.seeds} seeds, {arm.name} on {len(arm.bad)} of {arm.seeds}")
            notes += ["who is lost less often has the worse score: no verdict"] if against else []
        if not (off.scores or off.bad):
            notes.append("the off arm was not confirmed: nothing to compare λ with")
        elif not (arm.scores or arm.bad):
            notes.append("no λ arm was confirmed: the best λ is the minimum of the search's fit")
        elif off.seeds < 2:
            notes.append(f"{off.seeds} confirmed seeds: no interval; confirm on at least two, better eight")
        return Side(off, arm, effect, said, notes)

    def guarded(self, ablated: Side, delta: float) -> Side:
        """The verdict where the off arm has other nuisance knobs than the λ arm, by the λ arm with every λ off as well.

        λ helps where it helps against both, and the effect is over the better one. It hurts where it hurts with all else equal. Else what
        differs may be the work of the nuisance knobs: `harmless` or `no evidence`, and 0 is never outside the interval by their work alone.
        Each comparison may err with the whole error: "against both" errs no more often than either (intersection-union test, Berger 1982).
        """
        chosen = ablated if ablated.effect.mean < self.effect.mean else self
        low, high, verdict = min(self.effect.low, ablated.effect.low), chosen.effect.high, Verdict.NO_EVIDENCE
        if ablated.verdict is Verdict.HURTS:
            low, high, verdict, chosen = ablated.effect.low, ablated.effect.high, Verdict.HURTS, ablated
        elif self.verdict is ablated.verdict is Verdict.HELPS:
            verdict = Verdict.HELPS
        else:
            high = max(high, 0.0) if chosen is self else high
            verdict = Verdict.HARMLESS if judge(low, high, delta) is Verdict.HARMLESS else verdict
        notes = [*self.notes, *(note for note in ablated.notes if note not in self.notes)]
        if verdict is not self.verdict:
            over = f"{self.effect.words()} over {self.off.name}, which has other nuisance knobs, and {ablated.effect.words()} over itself"
            notes.append(f"{self.arm.name} gains {over} with every λ off; the verdict is about what λ does, not about what these knobs do")
        return replace(self, effect=replace(chosen.effect, low=low, high=high), verdict=verdict, notes=notes)

    @staticmethod
    def none(off: Arm, rows: Sequence[Row], knobs: Sequence[Knob]) -> Side:
        """No member with a λ on completed. λ hurts, if that is no chance: Fisher's exact test of lost members, λ on against off.

        Both sides are of the search. The nuisance knobs of confirmed off members were chosen because members with them trained. A member
        that was stopped early with a finite score is as sound as a complete one, on either side: it was not lost.
        """
        searched = [row for row in rows if row.phase == Phase.SEARCH]
        on, kept = ([row for row in searched if (row.arm == OFF_ARM) is is_off] for is_off in (False, True))
        lost, well = [sum(row.ended == "bad" for row in side) for side in (on, kept)], [sum(map(_sound, side)) for side in (on, kept)]
        chance = _as_unequal(lost[0], well[0], lost[1], well[1])
        note = f"no member with λ on completed ({counts_of(row.state for row in on)})"
        nothing = Effect(-math.inf if lost[0] else math.nan, -math.inf, math.inf, 0)
        states = Counter("stopped early" if row.state == State.STOPPED else row.state for row in on)
        told = ", ".join(f"{count} of {len(on)} {state}" for state, count in sorted(states.items())) or "none was trained"
        said = Verdict.HURTS if chance < race.FIRST else Verdict.NO_EVIDENCE
        return Side(off, off, nothing, said, [f"{note}: keep λ off"], (told, f"{well[1]} of {len(kept)} sound"))

    def remarks(self, delta: float) -> list[str]:
        """What is to be remarked, and whether the gain is below the margin."""
        below = self.verdict is Verdict.HELPS and self.effect.low > 0 and self.effect.mean <= delta
        said = f"the improvement {number(self.effect.mean)} is certain but below the margin of {number(delta)}"
        return [*self.notes, said] if below else self.notes

    @property
    def lambda_name(self) -> str:
        """The λ of an arm of its own."""
        return self.arm.name.partition(":")[2]

    @property
    def rank(self) -> tuple[bool, float]:
        """The side that helps, and then the side that gains most, is the answer's; where none was confirmed, the one `expected` to."""
        gain = self.effect.mean
        return self.verdict is Verdict.HELPS, gain if not math.isnan(gain) else -math.inf

    def expected(self, surface: Surface | None) -> float:
        """How good the arm is by the surface of all members."""
        return -float(surface.level([self.arm.config])[0]) if surface is not None else 0.0

    def rather_off(self, surface: Surface | None) -> bool:
        """Whether to train without λ: λ hurts; or nothing says that it helps, and off is expected to be better."""
        if self.verdict in (Verdict.HELPS, Verdict.HURTS) or self.arm is self.off:
            return self.verdict is not Verdict.HELPS
        if surface is None:
            return self.effect.mean < 0
        off, chosen = surface.level([self.off.config, self.arm.config])
        return bool(off < chosen)


def _sound(row: Row) -> bool:
    """Whether a member was not lost: it completed, or was stopped early with a finite score."""
    return row.ended == "ok" or (row.state == State.STOPPED and row.rung_score is not None and math.isfinite(row.rung_score))


def _as_unequal(lost_on: int, sound_on: int, lost_off: int, sound_off: int) -> float:
    """The one-sided p-value of Fisher's exact test: the probability that chance alone loses so many members with λ on, or more."""
    on, lost, total = lost_on + sound_on, lost_on + lost_off, lost_on + sound_on + lost_off + sound_off
    ways = sum(math.comb(on, k) * math.comb(total - on, lost - k) for k in range(lost_on, min(on, lost) + 1))
    return ways / math.comb(total, lost)


def _without_zero(off: Arm, margin: float, score_name: str, better: str) -> list[str]:
    """A share of a score means nothing where scores lie on both sides of 0, or below it."""
    if margin == 0 or not off.scores or min(lowered(score, better) for score in off.scores.values()) > 0:
        return []
    luck = f"{off.error * math.sqrt(len(off.scores)):.2g}" if len(off.scores) > 1 else "AMOUNT"
    advice = f"give it in units of the score, such as the luck of one seed: margin: {luck} {score_name or 'SCORE'}"
    return [f"the margin is a share of the off arm's score, which says little of scores that are not above 0; {advice}"]


def _luckiest(rows: Sequence[Row]) -> float:
    """The best score of the search."""
    searched = (row.score for row in rows if row.phase == Phase.SEARCH and row.ended == "ok" and row.score is not None)
    return min(searched, default=math.nan)


def _fixed(rows: Sequence[Row], knobs: Sequence[Knob]) -> dict[str, Value]:
    """The knobs that have one value in all members, from the first member."""
    first = min(rows, key=lambda row: row.number, default=None)
    searched = {knob.name for knob in knobs}
    return {name: value for name, value in first.config.items() if name not in searched} if first else {}


def _with_cost(one: LambdaAnswer, arms: Mapping[str, Arm], chosen: Arm) -> LambdaAnswer:
    """The cost of leaving this λ out, where that was tried. The intervals hold for all λ at once."""
    tried = [name for name in arms if name.startswith(race.WITHOUT) and name != chosen.name]
    without = arms.get(race.WITHOUT + one.name)
    if without is None or without is chosen or not without.scores:
        return one
    return replace(one, without=paired(differences(without, chosen), len(tried)))


def _alone(one: LambdaAnswer, side: Side | None, off: Arm) -> LambdaAnswer:
    """The gain of a λ alone over the off arm, and its verdict. A λ of which no member completed has no value."""
    if side is None:
        nothing = Effect(-math.inf, -math.inf, math.inf, 0)
        unknown = replace(one, value=math.nan, low=math.nan, high=math.nan, warning=f"{one.name}: no member with it on completed")
        return replace(unknown, alone=nothing, verdict=Verdict.NO_EVIDENCE)
    return replace(one, alone=side.effect, verdict=side.verdict, arm=side.arm.name, score=side.arm.mean)


def _remarks(arms: Mapping[str, Arm]) -> list[str]:
    """What is missing or was lost."""
    found = []
    for arm in arms.values():
        total = arm.seeds + len(arm.missing)
        if arm.missing:
            found.append(
                f"arm {arm.name}: {len(arm.missing)} of {total} seeds are missing ({counts_of(arm.missing)}); their pairs are left out"
            )
        if arm.bad:
            found.append(f"arm {arm.name} diverged or collapsed on {len(arm.bad)} of {total} seeds; the scores are those of the others")
    return found


def _arm_table(one: Candidate, rows: Sequence[Row], off: Arm) -> dict[str, Any]:
    """A candidate on all its confirmed seeds. The gain is what these seeds say, without a correction for the choice of the arm."""
    arm = arm_of(one, rows)
    gain = paired(differences(off, arm)) if arm.name != off.name and off.scores and arm.scores else None
    return {
        "arm": arm.name,
        "config": arm.config,
        "n": len(arm.scores),
        "mean": arm.mean,
        "se": arm.error,
        "states": arm.states,
        "final": one.final,
        "gain": asdict(gain) if gain else None,
    }


Spent = dict[str, dict[str, dict[str, float]]]
CHORES = {"prepare": "preparation", "read_test": "test split"}  # what phases are called in which no member is trained


def with_chores(given: Spent, seconds: Mapping[str, float]) -> Spent:
    """What was spent, with the time of the steps in which no member is trained. Steps that are in it already are counted anew."""
    found = {phase: states for phase, states in given.items() if phase not in CHORES.values()}
    before = sum(given[phase]["total"]["seconds"] for phase in given if phase in CHORES.values())
    more = {CHORES[kind]: {"total": {"members": 0.0, "epochs": 0.0, "seconds": took}} for kind, took in seconds.items() if kind in CHORES}
    whole = {"members": 0, "epochs": 0, "seconds": 0.0} | given.get("total", {}).get("total", {})
    whole["seconds"] += sum(states["total"]["seconds"] for states in more.values()) - before
    return {**found, **more, "total": {"total": whole}} if more else given


def spent(rows: Sequence[Row]) -> Spent:
    """Members, epochs and seconds by phase and state, and in total."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in sorted(rows, key=lambda row: row.number):
        epochs, seconds = row.epochs - row.start, row.seconds
        for phase, state in ((row.phase, row.state), (row.phase, "total"), ("total", "total")):
            states = found.get(phase) or found.setdefault(phase, {})
            entry = states.get(state) or states.setdefault(state, {"members": 0, "epochs": 0, "seconds": 0.0})
            entry["members"] += 1
            entry["epochs"] += epochs
            entry["seconds"] += seconds
    return found
