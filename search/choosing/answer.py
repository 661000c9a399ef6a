"""The input and output of choosing: rows of members, candidates to confirm, and the answer, which is plain JSON and one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from objectives.base import State, Value
from search.asking.space import OFF_ARM

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
    `others` are the final values of the metrics beside the score, lower being better, and `other_curves` their values by epoch.
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
    others: tuple[float | None, ...] = ()
    other_curves: tuple[Mapping[int, float], ...] = ()

    def by(self, metric: int) -> Row:
        """The member as it is judged by one metric: 0 is the score, 1 the first of the others."""
        if metric == 0:
            return self
        curve = self.other_curves[metric - 1]
        return replace(self, score=self.others[metric - 1], curve=curve, rung_score=curve[max(curve)] if curve else None)

    @property
    def ended(self) -> str:
        """`ok`, `bad` (λ is the cause) or `missing`. A complete member without a finite score has diverged, whatever its state says."""
        if self.state == State.COMPLETE and self.score is not None:
            return "ok" if math.isfinite(self.score) else "bad"
        return "bad" if self.state in LOST_TO_LAMBDA else "missing"


@dataclass(frozen=True)
class Candidate:
    """A config to train on fresh seeds, and why. `seeds`: on how many final seeds; 0: it is no finalist."""

    arm: str
    config: dict[str, Value]
    why: str
    seeds: int = 0

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
class Interval:
    """A mean with a 95 % interval, from so many seeds."""

    mean: float
    low: float
    high: float
    seeds: int

    def words(self) -> str:
        """Mean and interval."""
        width = self.high - self.low
        return f"{number(self.mean, width)} [{number(self.low, width)}, {number(self.high, width)}]"


@dataclass(frozen=True)
class FrontPoint:
    """A confirmed arm in all metrics, each in its own unit and direction.

    `values` are means with t intervals, each for itself. `effects` are gains over the off arm (positive is better), simultaneous over all
    arms and metrics; the off arm has none. `front`: no other arm is at least as good in every mean and better in one. `undominated` is the
    probability of that. `lost` counts seeds that the arm lost to its config.
    """

    arm: str
    config: dict[str, Value]
    values: dict[str, Interval]
    effects: dict[str, Effect]
    front: bool
    undominated: float
    lost: int = 0


@dataclass(frozen=True)
class Front:
    """What the confirmed arms say of several metrics together, from `seeds` paired seeds.

    `metrics` says which way each is better. `hypervolume` is the volume between the front and `reference`. `beside` is the arm that is best
    in the second metric among those within one standard error of the best in the first.
    """

    metrics: dict[str, str]
    points: list[FrontPoint]
    seeds: int
    hypervolume: Interval
    reference: dict[str, float]
    beside: str

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Front:
        """What `asdict` made of it."""
        points = []
        for one in plain["points"]:
            values = {name: Interval(**value) for name, value in one["values"].items()}
            effects = {name: Effect(**effect) for name, effect in one["effects"].items()}
            points.append(FrontPoint(**{**one, "values": values, "effects": effects}))
        return Front(**{**plain, "points": points, "hypervolume": Interval(**plain["hypervolume"])})

    def words(self) -> str:
        """The front in one sentence."""
        kept = [one.arm for one in self.points if one.front]
        first, second = list(self.metrics)[:2]
        smallest = f"{self.beside} is best in {second} within one standard error of the best {first}"
        return f"On the front of {' and '.join(self.metrics)}: {', '.join(kept)} of {len(self.points)} confirmed arms; {smallest}."

    def point(self, arm: str) -> FrontPoint | None:
        """The point of an arm."""
        return next((one for one in self.points if one.arm == arm), None)


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

    def interval(self) -> str:
        """The ends of the interval, with ≤ and ≥ where an end is open."""
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
    luckiest: float = math.nan  # the best score of the search: what a tuner would report
    front: Front | None = None  # only where several metrics were asked for, and arms were confirmed

    @property
    def optimism(self) -> float:
        """How much worse a new training of the exported config should score than the luckiest member of the search."""
        return self.promise.mean - self.luckiest

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: NaN and the infinities are written as strings."""
        encoded: dict[str, Any] = _encode(asdict(self))
        if self.front is None:  # with one metric the stored answer is as it always was
            del encoded["front"]
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
        parts = {"lambdas": lambdas, "effect": Effect(**plain["effect"]), "promise": Promise(**plain["promise"])}
        for arms in plain.get("measured", {}).values():
            for mean in arms.values():
                mean.setdefault("n", mean.pop("seeds", 0))  # the first answers with `n` called it `seeds`
        front = Front.from_dict(plain["front"]) if plain.get("front") else None
        return Answer(**{**plain, **parts, "verdict": Verdict(plain["verdict"]), "front": front})

    def sentence(self) -> str:
        """The answer in one plain paragraph."""
        promise = f"A new seed of the recommended config should score {self.promise.words()}."
        promise += f" {self.front.words()}" if self.front is not None else ""
        if any(one.alone for one in self.lambdas):
            return f"{self._alone_words()} {promise}"
        off = ", ".join(f"{one.name} = {number(one.off)}" for one in self.lambdas)
        if self.arm == OFF_ARM:
            names = " or ".join(one.name for one in self.lambdas)
            return f"No training with {names} on completed: keep {off} ({self.verdict}). {promise}"
        unit = self.score_name.rsplit("_", 1)[-1] if self.score_name.endswith(("_nats", "_bits")) else ""
        hurts = self.verdict is Verdict.HURTS
        values = ", ".join(f"{one.name} = {number(one.value)}{'' if hurts else f' {one.interval()}'}" for one in self.lambdas)
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
