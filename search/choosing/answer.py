"""The input and output of choosing: rows of members, candidates to confirm, and the answer, which is plain JSON and one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from objectives.base import State, Value
from search.asking.space import OFF_ARM
from search.choosing.beside import Beside

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

    @property
    def ended(self) -> str:
        """`ok`, `bad` (λ is the cause) or `missing`. A complete member without a finite score has diverged, whatever its state says."""
        if self.state == State.COMPLETE and self.score is not None:
            return "ok" if math.isfinite(self.score) else "bad"
        return "bad" if self.state in LOST_TO_LAMBDA else "missing"


@dataclass(frozen=True)
class Candidate:
    """A config to train on fresh seeds, and why. `seeds`: on how many final seeds; 0: it is no finalist.

    `schedule` holds the knobs that move in its training: [[epoch, value], …] each.
    """

    arm: str
    config: dict[str, Value]
    why: str
    seeds: int = 0
    schedule: dict[str, list[list[Value]]] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether it is one of those that the verdict compares."""
        return self.seeds > 0


@dataclass(frozen=True)
class Effect:
    """A paired improvement (positive is better) with its 95 % interval. The interval is simultaneous over `comparisons` arms."""

    mean: float
    low: float
    high: float
    seeds: int
    comparisons: int = 1

    def words(self) -> str:
        """Mean and interval."""
        return f"{number(self.mean)} [{number(self.low)}, {number(self.high)}]"


@dataclass(frozen=True)
class Reached:
    """How far a goal of the sweep was reached: its text, what was asked for, and what is known (the length, or half of it, see `Goal`)."""

    goal: str
    within: float
    known: float

    @property
    def reached(self) -> bool:
        """Whether as much is known as was asked for."""
        return self.known <= self.within

    def words(self) -> str:
        """`effect ± 0.2: reached (0.18)`."""
        return f"{self.goal}: {'reached' if self.reached else 'not reached'} ({number(self.known)})"


@dataclass(frozen=True)
class Promise:
    """The score to expect of one new seed: a 95 % prediction interval."""

    mean: float
    low: float
    high: float
    seeds: int

    def words(self) -> str:
        """Mean and interval, with enough digits to tell the ends apart."""
        width = self.high - self.low
        return f"{number(self.mean, width)} [{number(self.low, width)}, {number(self.high, width)}]"


@dataclass(frozen=True)
class LambdaAnswer:
    """The best value of one λ, and the values that are not worse; NaN where this is unknown. `without` is the cost of its off value.

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
    # How much worse the score is expected to be at other values of this λ, all else as it is; infinite where trainings are likely lost.
    sensitivity: dict[str, float] = field(default_factory=dict)
    switched_off: str = ""  # the choice that switches this λ off in the chosen config, as `loss = wasserstein`

    def interval(self) -> str:
        """The ends of the interval, with ≤ and ≥ where an end is open."""
        if self.switched_off:
            return f"(off: switched off by {self.switched_off})"
        if math.isnan(self.low):
            return "[interval unknown]"
        return f"[{'≤ ' if self.open_low else ''}{number(self.low)}, {'≥ ' if self.open_high else ''}{number(self.high)}]"


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
    test: dict[str, Any] | None = None
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
    luckiest: float = math.nan  # the best score of the search: what a tuner would report
    beside: Beside = field(default_factory=Beside)

    @property
    def optimism(self) -> float:
        """How much worse a new training of the exported config should score than the luckiest member of the search."""
        return self.promise.mean - self.luckiest

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: NaN and the infinities are written as strings."""
        encoded: dict[str, Any] = _encode(asdict(self))
        return encoded

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> Answer:
        """What `to_dict` wrote."""
        plain: dict[str, Any] = _decode(dict(stored))
        lambdas = []
        for entry in plain["lambdas"]:
            effects = {key: Effect(**entry[key]) if entry.get(key) else None for key in ("without", "alone")}
            verdict = Verdict(entry["verdict"]) if entry.get("verdict") else None
            lambdas.append(LambdaAnswer(**{**entry, **effects, "verdict": verdict, "range": tuple(entry["range"])}))
        parts: dict[str, Any] = {"lambdas": lambdas, "effect": Effect(**plain["effect"]), "promise": Promise(**plain["promise"])}
        parts["goals"] = [Reached(**one) for one in plain.get("goals", [])]
        parts["beside"] = Beside.of(plain.get("beside"))
        for arms in plain.get("measured", {}).values():
            for mean in arms.values():
                mean.setdefault("n", mean.pop("seeds", 0))  # the first answers with `n` called it `seeds`
        return Answer(**{**plain, **parts, "verdict": Verdict(plain["verdict"])})

    def sentence(self) -> str:
        """The answer in one plain paragraph."""
        promise = f"A new seed of the recommended config should score {self.promise.words()}."
        if any(one.alone for one in self.lambdas):
            return f"{self._alone_words()} {promise}"
        off = ", ".join(f"{one.name} = {number(one.off)}" for one in self.lambdas)
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
        size = f"{number(amount)} [{number(low)}, {number(high)}]{' ' + unit if unit else ''}"
        name = self.score_name or "the score"
        kept = f"; keep {off}" if self.recommended_arm == OFF_ARM else ""
        text = {
            Verdict.HELPS: f"{values} improves {name} by {size} over {off}",
            Verdict.HURTS: f"{values} worsens {name} by {size} against {off}{kept}",
            Verdict.HARMLESS: f"{values} changes {name} by {size} against {off}, less than the margin of {number(self.margin)}{kept}",
            Verdict.NO_EVIDENCE: f"No evidence that {values} changes {name}: improvement {size} over {off}{kept}",
        }[self.verdict]
        return f"{text} ({self.verdict}; {self.effect.seeds} paired seeds). {promise}"

    def _alone_words(self) -> str:
        """The gain of each λ alone over the off arm. A λ that hurts has a negative gain."""
        said = [f"{one.name} {one.verdict}, {one.alone.words()} at {number(one.value)}" for one in self.lambdas if one.alone]
        known = "best of them" if self.verdict is Verdict.HELPS else "lowest of them, unproven,"
        kept = "every λ off" if self.recommended_arm == OFF_ARM else f"{known} {self.arm.partition(':')[2]}"
        name = self.score_name or "the score"
        return f"Gain in {name} of each λ alone over every λ off: {'; '.join(said)} ({self.effect.seeds} paired seeds). Kept: {kept}."


def schedule_words(steps: Mapping[str, Sequence[Sequence[Value]]]) -> str:
    """`beta = 0.2, after 10 epochs 0.5; lr = …`."""
    said = []
    for name, ((_, first), *later) in steps.items():
        moved = [f"after {start} epochs {number(float(value))}" for start, value in later]
        said.append(", ".join([f"{name} = {number(float(first))}", *moved]))
    return "; ".join(said)


def number(value: float, known_to: float = math.inf) -> str:
    """Three significant digits, or as many as an interval of width `known_to` needs (two digits of the width). ∞ stands for infinity."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    decimals = 1 - math.floor(math.log10(known_to)) if 0 < known_to < math.inf else 0
    if value and 10 ** (decimals + 1) * abs(value) > 1000 and 0 < decimals < 12:
        return f"{value:,.{decimals}f}".replace("-", "−")
    shown = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return shown.replace("-", "−")


def listed(parts: Sequence[object], most: int, joint: str = ", ") -> str:
    """The first parts of a list. A list that is cut says how many are left out, so that nobody takes it for the whole."""
    shown = joint.join(str(part) for part in parts[:most])
    return f"{shown}{joint}{more(len(parts) - most)}" if len(parts) > most else shown


def more(count: int) -> str:
    """How a list that was cut ends."""
    return f"… and {count} more"


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
