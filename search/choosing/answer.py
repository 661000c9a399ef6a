"""The input and output of choosing: rows of members, candidates to confirm, and the answer, which is plain JSON and one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from objectives.base import State, Value, lowered
from search.asking.space import AGAINST_BASELINE, AGAINST_NOTHING, AGAINST_OFF, BASELINE, OFF_ARM
from search.choosing.beside import Beside
from search.choosing.findings import Effect, Front, Held, Promise, Reached
from search.choosing.words import number, schedule_words

UNPROMISED = "What a new seed of the recommended config scores is not known, for none was trained to its end."
LOST_TO_LAMBDA = (State.DIVERGED, State.COLLAPSED)


class SelectionError(Exception):
    """There is nothing to choose from. The message says what was found."""


class Verdict(StrEnum):
    """Was λ worth it, against the off arm."""

    HELPS = "helps"
    HURTS = "hurts"
    HARMLESS = "harmless"
    NO_EVIDENCE = "no evidence"


@dataclass(frozen=True)
class Row:
    """One member as the choice sees it.

    `score` is the final score (complete members only), `rung_score` the last cheap score that was seen, `curve` all cheap scores by epoch.
    `metrics` are the final values of constrained metrics (complete members only), `tracks` their values by epoch. `others` are the final
    values of the metrics beside the score, lower being better, and `other_curves` their values by epoch.
    """

    number: int
    phase: str
    arm: str
    config: Mapping[str, Value]
    seed: int
    state: str
    score: float | None
    rung_score: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    curve: Mapping[int, float] = field(default_factory=dict)
    parent: int | None = None  # the member from whose weights it started
    start: int = 0  # the epoch from which it counts its own, where it went on with the parent's training
    moves: bool = False  # whether knobs moved in its training

    @property
    def constant(self) -> bool:
        """Whether it trained with its config from its first epoch to its last."""
        return not (self.start or self.moves)

    metrics: Mapping[str, float] = field(default_factory=dict)
    tracks: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    others: tuple[float | None, ...] = ()
    other_curves: tuple[Mapping[int, float], ...] = ()
    astray: bool = False  # whether it ended for a reason that is not its own: see `missing.py`

    def by(self, metric: int) -> Row:
        """The member as it is judged by one metric: 0 is the score, 1 the first of the others."""
        if metric == 0:
            return self
        curve = self.other_curves[metric - 1]
        return replace(self, score=self.others[metric - 1], curve=curve, rung_score=curve[max(curve)] if curve else None)

    @cached_property
    def ended(self) -> str:
        """`ok`, `bad` (λ is the cause) or `missing`. A complete member without a finite score has diverged, whatever its state says."""
        if self.state == State.COMPLETE and self.score is not None:
            return "ok" if math.isfinite(self.score) else "bad"
        return "bad" if self.state in LOST_TO_LAMBDA else "missing"


@dataclass(frozen=True)
class Candidate:
    """A config to train on fresh seeds, and why. `seeds`: on how many final seeds; 0: it is no finalist.

    `schedule` holds the knobs that move in its training: [[epoch, value], …] each. `instead`: how many of the final seeds stand in for
    seeds that are missing for reasons that are not the members' own.
    """

    arm: str
    config: dict[str, Value]
    why: str
    seeds: int = 0
    schedule: dict[str, list[list[Value]]] = field(default_factory=dict)
    instead: int = 0

    @property
    def final(self) -> bool:
        """Whether it is one of those that the verdict compares."""
        return self.seeds > 0

    @property
    def apart(self) -> bool:
        """Whether it has no rival to be chosen from: a schedule, and the config that the user has today."""
        return bool(self.schedule) or self.arm == BASELINE


@dataclass(frozen=True)
class LambdaAnswer:
    """The best value of one λ, and the values that are not worse; NaN where this is unknown. `without` is the cost of its off value.

    `low` and `high` are the ends of the interval. Where values in between are proven worse, `pieces` are its parts, from low to high.

    Where each λ was searched alone, `alone` is the gain of its best arm `arm` over the off arm. In both arms all other λ are off, and the
    interval is simultaneous over the arms of all λ. `verdict` is this λ's own verdict, `score` the arm's mean.
    """

    name: str
    value: float
    off: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    warning: str = ""
    without: Effect | None = None
    unit: str = ""
    log: bool = False
    range: tuple[float, float] = (math.nan, math.nan)
    alone: Effect | None = None
    verdict: Verdict | None = None
    arm: str = ""
    score: float = math.nan
    # How much worse the score is expected to be at other values of this λ, all else as it is: infinite where trainings are likely lost,
    # NaN where all were stopped early.
    sensitivity: dict[str, float] = field(default_factory=dict)
    against: str = AGAINST_OFF  # what `off` is: its off value, that of the user's baseline, or nothing that is compared with
    switched_off: str = ""  # the choice that switches this λ off in the chosen config, as `loss = wasserstein`
    pieces: tuple[tuple[float, float], ...] = ()  # empty where the interval is one piece
    unfinished: tuple[tuple[float, float], ...] = ()  # where every training was stopped early: nothing sure is known there

    @property
    def parts(self) -> tuple[tuple[float, float], ...]:
        """The pieces of the interval, from low to high; one where it has no gap."""
        return self.pieces or ((self.low, self.high),)

    @property
    def reach(self) -> tuple[float, float]:
        """The ends of the interval, an open one as far as the range goes: beside an end, all may have been stopped early."""
        if math.isnan(self.low):
            return self.low, self.high
        return self.range[0] if self.open_low else self.low, self.range[1] if self.open_high else self.high

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval. An end that is open reaches beyond the range. Ends have three digits."""
        ends = [[low * (1 - 1e-6), high * (1 + 1e-6)] for low, high in self.parts]
        ends[0][0] = -math.inf if self.open_low else ends[0][0]
        ends[-1][1] = math.inf if self.open_high else ends[-1][1]
        return any(low <= value <= high for low, high in ends)

    def interval(self) -> str:
        """The ends of the interval, with ≤ and ≥ where an end is open: `[0.5, 0.7]`, or in pieces `[0.5, 0.7] or [2.9, ≥ 10]`."""
        if self.switched_off:
            return f"(off: switched off by {self.switched_off})"
        if math.isnan(self.low):
            return "[interval unknown]"
        first, last = "≤ " if self.open_low else "", "≥ " if self.open_high else ""
        ends = [[number(end) for end in piece] for piece in self.parts]
        ends[0][0], ends[-1][1] = first + ends[0][0], last + ends[-1][1]
        return " or ".join(f"[{low}, {high}]" for low, high in ends)


@dataclass(frozen=True)
class Answer:
    """What a sweep found. `best` is the chosen λ config; `recommended` is the same, or the off arm where λ hurts or shows no gain."""

    score_name: str
    arm: str
    best: dict[str, Value]
    recommended_arm: str
    recommended: dict[str, Value]
    lambdas: list[LambdaAnswer]
    effect: Effect
    off_score: float
    best_score: float
    margin: float
    verdict: Verdict
    promise: Promise
    arms: list[dict[str, Any]]
    curve: dict[str, dict[str, Any]]
    spent: dict[str, dict[str, dict[str, float]]]
    notes: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)  # what is said above the verdict: see `quick_facts.py`
    test: dict[str, Any] | None = None
    better: str = "lower"  # which way the score is better
    score_label: str = ""  # the score's full name: it tells what the number depends on beside the model
    # `test` holds the arms `chosen` (the λ that was judged) and `off`, and the one of them that is exported once more, as `recommended`.
    # What `measure` asked for: full name -> arm (`chosen`, `off`) -> mean over the arm's seeds, the mean's standard error, number of seeds.
    measured: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    goals: list[Reached] = field(default_factory=list)
    # Of a path, by λ: `points` from weak to strong (scores `up` and `back`, their `gap`, the gap that luck makes), `noise`, and a `line`.
    hysteresis: dict[str, dict[str, Any]] = field(default_factory=dict)
    # The knobs that move in the training of `best`, and of `recommended`: [[epoch, value], …] each.
    schedule: dict[str, list[list[Value]]] = field(default_factory=dict)
    recommended_schedule: dict[str, list[list[Value]]] = field(default_factory=dict)
    constraints: list[Held] = field(default_factory=list)  # of the arms `chosen` (the λ that was judged) and `off`
    nearest: str = ""  # where no config keeps to every constraint: which comes nearest, and by how much it misses
    luckiest: float = math.nan  # the best score of the search: what a tuner would report
    beside: Beside = field(default_factory=Beside)
    against: str = AGAINST_OFF  # what the off arm stands for: λ off, the user's baseline, or nothing that is compared with
    baseline: dict[str, Value] = field(default_factory=dict)  # the config that the user has today; empty where none was given
    over_baseline: Effect | None = None  # what the recommended config gains over it, where both were confirmed and differ
    # Where no training with λ on completed: what became of them, and of those with λ off: `20 of 20 diverged`, `4 of 4 sound`. Else empty.
    uncompleted: list[str] = field(default_factory=list)
    unconfirmed: bool = False  # whether fresh seeds were asked for, and none was trained to its end: then nothing here is certain
    missing: str = ""  # which members are missing for reasons that are not their own; empty where none is
    front: Front | None = None  # only where several metrics were asked for, and arms were confirmed

    @property
    def verdict_word(self) -> str:
        """The verdict as people read it: a baseline is beaten or not, and where nothing is compared there is no verdict."""
        if self.against == AGAINST_NOTHING:
            return "nothing to compare"
        words = {Verdict.HELPS: "better", Verdict.HURTS: "worse"} if self.against == AGAINST_BASELINE else {}
        return words.get(self.verdict, str(self.verdict))

    @property
    def rival(self) -> str:
        """What the best config is compared with, in words."""
        return {AGAINST_OFF: "λ off", AGAINST_BASELINE: "the baseline"}.get(self.against, "the defaults")

    @property
    def uncompleted_words(self) -> str:
        """`no training with λ on completed (20 of 20 diverged; λ off: 4 of 4 sound)`; empty where some completed."""
        if not self.uncompleted:
            return ""
        what = "training with λ on" if self.against == AGAINST_OFF else "other training"
        return f"no {what} completed ({self.uncompleted[0]}; {self.rival}: {self.uncompleted[1]})"

    def effect_words(self) -> str:
        """The effect with its interval and the metric, or why there is none."""
        if not self.effect.measured:
            return f"{self.effect.words()}{f': {self.uncompleted_words}' if self.uncompleted else ''}"
        return f"{self.effect.words()} {self.score_name}"

    @property
    def keeps_off(self) -> bool:
        """Whether the exported config is what λ is compared with: the off arm."""
        return self.recommended_arm == OFF_ARM

    @property
    def recommended_score(self) -> float:
        """The mean score of the exported config over its final seeds; NaN where it was not confirmed."""
        return self.promise.mean

    @property
    def exported(self) -> dict[str, float]:
        """The value of each λ in the exported config: the one source for all that show it."""
        return {one.name: float(self.recommended.get(one.name, one.off)) for one in self.lambdas}

    def exported_words(self) -> str:
        """`beta = 0.702`, or `beta = 1 (off)` where the exported config has a λ at its off value."""
        values = self.exported
        return ", ".join(
            f"{one.name} = {number(values[one.name])}"
            + (f" ({one.against})" if values[one.name] == one.off and one.against != AGAINST_NOTHING else "")
            for one in self.lambdas
        )

    @property
    def kept_to(self) -> list[Held]:
        """What is known of the exported config and each constraint."""
        exported = "off" if self.keeps_off else "chosen"
        return [one for one in self.constraints if one.arm == exported]

    @property
    def needed_for(self) -> list[Held]:
        """What λ off does not keep to by its seeds, where the exported λ keeps to everything by its own."""
        if self.keeps_off or not all(one.within for one in self.kept_to):
            return []
        return [one for one in self.constraints if one.arm == "off" and one.seeds and not one.within]

    @property
    def optimism(self) -> float:
        """How much worse a new training of the exported config should score than the luckiest member of the search."""
        return lowered(self.promise.mean - self.luckiest, self.better)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: NaN and the infinities are written as strings."""
        encoded: dict[str, Any] = _encode(asdict(self))
        encoded["verdict_word"] = self.verdict_word
        if self.front is None:  # with one metric the stored answer is as it always was
            del encoded["front"]
        return encoded

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> Answer:
        """What `to_dict` wrote."""
        plain: dict[str, Any] = _decode({key: value for key, value in stored.items() if key != "verdict_word"})
        lambdas = []
        for entry in plain["lambdas"]:
            effects = {key: Effect(**entry[key]) if entry.get(key) else None for key in ("without", "alone")}
            verdict = Verdict(entry["verdict"]) if entry.get("verdict") else None
            runs = {name: tuple((low, high) for low, high in entry.get(name, ())) for name in ("pieces", "unfinished")}
            lambdas.append(LambdaAnswer(**{**entry, **effects, **runs, "verdict": verdict, "range": tuple(entry["range"])}))
        parts: dict[str, Any] = {"lambdas": lambdas, "effect": Effect(**plain["effect"]), "promise": Promise(**plain["promise"])}
        parts["goals"] = [Reached(**one) for one in plain.get("goals", [])]
        parts["beside"] = Beside.of(plain.get("beside"))
        parts["constraints"] = [Held(**one) for one in plain.get("constraints", [])]
        for arms in plain.get("measured", {}).values():
            for mean in arms.values():
                mean.setdefault("n", mean.pop("seeds", 0))  # the first answers with `n` called it `seeds`
        parts["over_baseline"] = Effect(**plain["over_baseline"]) if plain.get("over_baseline") else None
        front = Front.from_dict(plain["front"]) if plain.get("front") else None
        return Answer(**{**plain, **parts, "verdict": Verdict(plain["verdict"]), "front": front})

    def sentence(self) -> str:
        """The answer in one plain paragraph."""
        expected = f"A new seed of the recommended config should score {self.promise.words()}."
        promise = (expected if self.promise.seeds else UNPROMISED) + self._constraint_words()
        promise += f" {self.front.words()}" if self.front is not None else ""
        if any(one.alone for one in self.lambdas):
            return f"{self._alone_words()} {promise}"
        off = ", ".join(f"{one.name} = {number(one.off)}" for one in self.lambdas)
        if self.against == AGAINST_NOTHING:
            best = ", ".join(f"{one.name} = {number(one.value)} {one.interval()}" for one in self.lambdas)
            return f"{best} scores best in {self.score_name}. Nothing was there to compare it with: no off value and no baseline. {promise}"
        off = off if self.against == AGAINST_OFF else f"the baseline {off}"
        if self.arm == OFF_ARM:
            names = " or ".join(one.name for one in self.lambdas)
            return f"No training with {names} on completed: keep {off} ({self.verdict}). {promise}"
        unit = self.score_name.rsplit("_", 1)[-1] if self.score_name.endswith(("_nats", "_bits")) else ""
        hurts = self.verdict is Verdict.HURTS
        values = ", ".join(f"{one.name} = {number(one.value)}{'' if hurts else f' {one.interval()}'}" for one in self.lambdas)
        values = f"the schedule {schedule_words(self.schedule)}" if self.schedule else values
        amount, low, high = self.effect.mean, self.effect.low, self.effect.high
        if hurts:
            amount, low, high = -amount, -high, -low
        size = f"{number(amount)} [{number(low)}, {number(high)}]{' ' + unit if unit else ''}" if self.effect.seeds else "not measured"
        name = self.score_name or "the score"
        kept = f"; keep {off}" if self.keeps_off else ""
        text = {
            Verdict.HELPS: f"{values} improves {name} by {size} over {off}{kept}",
            Verdict.HURTS: f"{values} worsens {name} by {size} against {off}{kept}",
            Verdict.HARMLESS: f"{values} changes {name} by {size} against {off}, less than the margin of {number(self.margin)}{kept}",
            Verdict.NO_EVIDENCE: f"No evidence that {values} changes {name}: improvement {size} over {off}{kept}",
        }[self.verdict]
        return f"{text} ({self.verdict_word}; {self.effect.seeds} paired seeds). {self._baseline_words()}{promise}"

    def _baseline_words(self) -> str:
        """What is gained over the config of today, where λ off is compared with beside it."""
        if self.over_baseline is None or self.against != AGAINST_OFF:
            return ""
        return f"Over the baseline the recommended config gains {self.over_baseline.words()}. "

    def _constraint_words(self) -> str:
        """What the exported config keeps to, and what λ is needed for. Empty where there is no constraint."""
        said = [f" No config meets the constraints: {self.nearest}."] if self.nearest else []
        said += [f" Constraint {one.words()}." for one in self.kept_to]
        said += [f" λ off has {number(one.mean)}: λ is needed for {one.constraint}." for one in self.needed_for]
        return "".join(said)

    def _alone_words(self) -> str:
        """The gain of each λ alone over the off arm. A λ that hurts has a negative gain."""
        said = [f"{one.name} {one.verdict}, {one.alone.words()} at {number(one.value)}" for one in self.lambdas if one.alone]
        known = "best of them" if self.verdict is Verdict.HELPS else "lowest of them, unproven,"
        kept = "every λ off" if self.keeps_off else f"{known} {self.arm.partition(':')[2]}"
        name = self.score_name or "the score"
        return f"Gain in {name} of each λ alone over every λ off: {'; '.join(said)} ({self.effect.seeds} paired seeds). Kept: {kept}."


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _encode(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return str(value) if isinstance(value, StrEnum) else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decode(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_decode(entry) for entry in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value
