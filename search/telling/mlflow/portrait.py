"""How the members of a sweep look in MLflow: their names, parameters, numbers and tags, so that a person finds one among thousands."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from infra.catalogue import MemberRow, ReportRow
from infra.tracking.notes import NOTE
from objectives.base import Knob, Phase, Report, Value, lowered
from search.asking.space import OFF_ARM, SEARCH_ARM, Space
from search.choosing.missing import INFRASTRUCTURE, not_its_own
from search.choosing.words import number
from search.spec.keys import Spec
from search.spec.several import LOWER, own_sign

MOST_PARAMS: Final = 15
MOST_NAMED: Final = 3
CURVE: Final = "rung_score"
"""The metric of every epoch that learning curves show: the cheap score that schedulers compare, in its own sign."""
# The colours of arms in MLflow's charts, of the palette of Okabe and Ito. What is searched is grey, λ off is orange.
_OFF, _SEARCHED, _ARMS = "#E69F00", "#8A8A8A", ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F3C8D", "#222222")


@dataclass
class Portrait:
    """What is the same for all members of a sweep, and how it makes them look.

    `knobs` are the searched ones, every λ first. `usual` are the values that all knobs have where nobody chose any. `labels` are the full
    names of metrics. `seeds` and `arms` count those of the members, in the order of the members that had them first.
    """

    sweep: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    knobs: tuple[Knob, ...] = ()
    usual: Mapping[str, Value] = field(default_factory=dict)
    better: str = LOWER
    score: str = ""  # the name of the metric that decides
    labels: Mapping[str, str] = field(default_factory=dict)
    seeds: dict[int, int] = field(default_factory=dict)
    arms: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(sweep: str, spec: Spec) -> Portrait:
        """The portrait of a resolved spec's members."""
        space, objective = Space(spec, spec.trained), spec.trained
        tags = {"objective": spec.objective, "model": spec.model or "", "dataset": spec.dataset.name or ""}
        usual = {name: knob.default for name, knob in objective.knobs.items()}
        return Portrait(sweep, tags, (*space.lambdas, *space.nuisances), usual, spec.asked[0].better, spec.score_name)

    def know(self, rows: Iterable[MemberRow]) -> None:
        """Members are there now, or will be: say so in the order of their numbers."""
        for row in rows:
            self.seeds.setdefault(row.seed, len(self.seeds) + 1)
            if row.phase == Phase.CONFIRM and row.arm != OFF_ARM:
                self.arms.setdefault(row.arm, len(self.arms))

    def name(self, row: MemberRow) -> str:
        """What differs, first: `0041 β=1.47 edge s3` is member 41, in arm `edge`, on the third seed of the sweep."""
        shown = [f"{self._sign(knob)}={_value(row.config[knob.name])}" for knob in self.knobs[:MOST_NAMED] if knob.name in row.config]
        arm = row.arm if row.arm != SEARCH_ARM else ""
        return " ".join(part for part in (f"{row.number:04d}", *shown, arm, f"s{self.seeds.get(row.seed, 0)}") if part)

    def params(self, row: MemberRow) -> dict[str, Any]:
        """The searched knobs, and those of the others that are not at their defaults: 15 at most. The spec has all."""
        searched = [knob.name for knob in self.knobs if knob.name in row.config]
        others = [name for name, value in row.config.items() if name not in searched and self.usual.get(name) != value]
        return {name: row.config[name] for name in [*searched, *others][:MOST_PARAMS]}

    def metrics(self, row: MemberRow) -> dict[str, float]:
        """The searched knobs as numbers, for parameters are text in MLflow. Of those on a log range the logarithm, too: axes are linear."""
        found: dict[str, float] = {}
        for knob in self.knobs:
            value = row.config.get(knob.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                found[self.metric(knob)] = float(value)
                if knob.log and value > 0:
                    found[f"log10_{knob.name}"] = math.log10(value)
        return found

    @staticmethod
    def metric(knob: Knob) -> str:
        """The name of a knob among the metrics."""
        return "knob.score" if knob.name == "score" else knob.name

    def begun(self, row: MemberRow) -> dict[str, str]:
        """The tags of a member when it begins."""
        told = {"phase": row.phase, "arm": row.arm, "seed": str(row.seed), "config_hash": row.config_hash, "member": str(row.number)}
        return {**self.tags, **told, "sweep": self.sweep, "state": "running", "reason": "", "mlflow.runColor": self._colour(row)}

    def ended(self, row: MemberRow) -> dict[str, str]:
        """The tags of a member when it ends: how, why, and the full names of what was measured of it."""
        labels = {f"label.{name}": self.labels[name] for name in row.metrics if name in self.labels}
        lost = not_its_own(row)
        astray = {INFRASTRUCTURE: str(lost).lower()} if lost or "earlier" in row.facts else {}
        return {"state": row.state or "", "reason": row.reason[:400], NOTE: self.described(row), **astray, **labels}

    def described(self, row: MemberRow) -> str:
        """One line on a member that has ended: `beta 0.702, bit_flip 0.1 probability, seed 12: complete, val_nll_nats 23.432`."""
        shown = [f"{knob.name} {_word(_value(row.config[knob.name]))}{_unit(knob)}" for knob in self.knobs if knob.name in row.config]
        score = own_sign([row], self.better)[0].score
        ended = [str(row.state or ""), *([f"{_word(self.score or 'score')} {score:.5g}"] if score is not None else [])]
        why = f" ({plain(row.reason[:200])})" if row.reason else ""
        return f"{', '.join([*shown, f'seed {row.seed}'])}: {', '.join(ended)}{why}"

    def reported(self, report: Report | ReportRow) -> dict[str, float]:
        """What a member measured after an epoch."""
        score = report.rung_score
        return (
            {**report.metrics, CURVE: lowered(score, self.better)} if score is not None and math.isfinite(score) else dict(report.metrics)
        )

    def final(self, row: MemberRow) -> dict[str, float]:
        """The last metrics of a member as far as they are finite, and its score in its own sign."""
        (row,) = own_sign([row], self.better)
        found = {key: value for key, value in row.metrics.items() if math.isfinite(value)}
        return found if row.score is None else {**found, "score": row.score}

    def _colour(self, row: MemberRow) -> str:
        """The colour of a member's arm in charts."""
        if row.arm == OFF_ARM:
            return _OFF
        return _ARMS[self.arms[row.arm] % len(_ARMS)] if row.phase == Phase.CONFIRM and row.arm in self.arms else _SEARCHED

    def _sign(self, knob: Knob) -> str:
        return self._signs.get(knob.name, knob.name)

    @cached_property
    def _signs(self) -> dict[str, str]:
        """The Greek letters of those knobs whose names are the letters' names, where their equations use them."""
        found = {}
        for knob in self.knobs:
            try:
                letter = unicodedata.lookup(f"GREEK SMALL LETTER {knob.name.upper()}")
            except KeyError:
                continue
            if letter in knob.formula:
                found[knob.name] = letter
        return found


def plain(text: str) -> str:
    """Text that means nothing to Markdown or HTML."""
    for sign in ("\\", "*", "_", "`", "|", "<", "["):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ").replace("~", "\\~")


def _word(text: str) -> str:
    """A name as it is: an underscore inside of a word means nothing, and MLflow's tables show the text itself."""
    return text if text.isidentifier() and not text.startswith("_") and not text.endswith("_") else plain(text)


def _unit(knob: Knob) -> str:
    return f" {plain(knob.unit)}" if knob.unit not in ("", "1", "-") else ""


def _value(value: Value) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)[:20]
