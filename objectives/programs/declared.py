"""What a user declares of a training: its knobs, its score, and how many epochs it has."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from objectives.base import Better, Knob, Metric, ObjectiveError, Value

Between = Sequence[float | None]

# What a trial has beside its knobs. A knob of such a name could not be read.
TAKEN = frozenset(
    [
        "better",
        "between",
        "config",
        "device",
        "epochs",
        "finish",
        "folder",
        "load",
        "max_epochs",
        "metrics",
        "number",
        "phase",
        "report",
        "save",
        "score",
        "seed",
    ]
)


def knob(
    low: float | None = None,
    high: float | None = None,
    *,
    choices: Sequence[Value] = (),
    log: bool = False,
    integer: bool = False,
    off: Value | None = None,
    default: Value | None = None,
    more: Literal["high", "low"] | None = None,
    unit: str = "1",
    summary: str = "",
) -> Knob:
    """A hyperparameter of a user's training; its name is the keyword under which `objective` gets it.

    Args:
        low, high: the range in which it is searched.
        choices: the values that it may have, in place of a range.
        log: whether the range is searched on a log scale.
        integer: whether it takes whole numbers only.
        off: the value at which it does not regularize, which makes it a λ; it may lie outside of the range. None: a nuisance knob, which is
            tuned with and without λ, and is not judged.
        default: the value where nobody says one (None: the off value, else the middle of the range or the first choice).
        more: which end regularizes more (None: the end that is farther from `off`; `high` where `off` lies inside of the range).
        unit, summary: words for people.
    """
    if default is None:
        default = off if off is not None else choices[0] if choices else _middle(low, high, log, integer)
    if off is not None and not isinstance(off, str) and more is None:
        more = "low" if high is not None and off >= high else "high"
    return Knob(
        name="",
        summary=summary,
        formula="",
        unit=unit,
        default=default,
        low=low,
        high=high,
        log=log,
        off=off,
        more=more if off is not None else None,
        integer=integer,
        choices=tuple(choices),
    )


def _middle(low: float | None, high: float | None, log: bool, integer: bool) -> float | int:
    if low is None or high is None or (log and low <= 0):
        return 0.0  # `faults` says what is wrong
    middle = math.sqrt(low * high) if log else (low + high) / 2
    return round(middle) if integer else middle


@dataclass(frozen=True)
class Declared:
    """A training as its user declares it.

    `score` names the metric that decides, `better` which way. `epochs` is how many epochs a training has where a spec does not say.
    `metrics` are other metrics that it reports and that a spec may ask for or constrain, each with the direction that is better.
    `between` are the least and the greatest value that the score can have; None: it has no ends, or none on that side.
    """

    score: str
    better: Better = "lower"
    epochs: int = 1
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    metrics: Mapping[str, Better] = field(default_factory=dict)
    between: Between | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value of the score."""
        low, high = self.between or (None, None)
        return -math.inf if low is None else float(low), math.inf if high is None else float(high)

    def beyond(self, value: float) -> str:
        """What is wrong with a score that lies outside of its ends, in words; empty where it does not. 1e-6 are rounding."""
        low, high = self.ends
        if low - _rounding(low) <= value <= high + _rounding(high) or math.isnan(value):
            return ""
        must = f"at least {low:g}" if math.isinf(high) else f"at most {high:g}" if math.isinf(low) else f"between {low:g} and {high:g}"
        return f"{self.score} must be {must} (`between` of its declaration); got {value:g}"

    @property
    def named(self) -> dict[str, Knob]:
        """The knobs by name, each with its name."""
        return {name: replace(one, name=name, summary=one.summary or name) for name, one in self.knobs.items()}

    @property
    def measured(self) -> dict[str, Metric]:
        """The metrics by name: the score, which decides, and the others."""
        score = Metric(self.score, self.score, "", "", decides=True, better=self.better, ends=self.ends)
        return {self.score: score, **{name: Metric(name, name, "", "", better=way) for name, way in self.metrics.items()}}

    @property
    def test_score(self) -> str:
        """The name under which the score on the test split is reported: `test_nll` for `val_nll`."""
        return "test_" + self.score.removeprefix("val_")


def checked(declared: Declared, title: str) -> Declared:
    """The declaration, if it can be searched.

    Raises:
        ObjectiveError: with all that is wrong with it.
    """
    if faults := [f"{title}: {fault}" for fault in _faults(declared)]:
        raise ObjectiveError("\n".join(faults))
    return declared


def _faults(declared: Declared) -> list[str]:
    found = []
    if not isinstance(declared.score, str) or not declared.score:
        found.append(f"score must name the metric that decides, such as 'val_loss'; got {declared.score!r}.")
    for name, way in {"better": declared.better, **{f"metrics.{one}": way for one, way in declared.metrics.items()}}.items():
        if way not in ("lower", "higher"):
            found.append(f"{name} must be 'lower' or 'higher'; got {way!r}.")
    if not _is_between(declared.between):
        found.append(
            "between must be the least and the greatest value that the score can have: (0, 1), or (0, None) where it has one only; "
            f"got {declared.between!r:.60}."
        )
    if isinstance(declared.epochs, bool) or not isinstance(declared.epochs, int) or declared.epochs < 1:
        found.append(f"epochs must be a whole number of at least 1; got {declared.epochs!r}.")
    if not declared.knobs:
        found.append("at least one knob must be declared; got none. Write, for example, beta=knob(0.01, 10, log=True, off=1.0).")
    for name, one in declared.knobs.items():
        found += _knob_faults(name, one)
    return found


def _is_between(given: Any) -> bool:
    if given is None:
        return True
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 2 or all(one is None for one in given):
        return False
    if not all(one is None or _is_number(one) for one in given):
        return False
    return None in given or given[0] < given[1]


def _rounding(end: float) -> float:
    return 1e-6 * max(1.0, abs(end)) if math.isfinite(end) else 0.0


def name_faults(name: str) -> list[str]:
    """What is wrong with a knob's name: it is an attribute of `trial`, and a keyword of `objective`."""
    if keyword.iskeyword(name):
        return [f"a knob's name must be no word of Python's own; got {name!r}. Rename it, for example {name + '_'!r}."]
    if not name.isidentifier() or name.startswith("_") or name in TAKEN:
        return [f"a knob's name must be a Python name, and none of {', '.join(sorted(TAKEN))}; got {name!r}. Rename it."]
    return []


def _odd_fields(name: str, given: Knob) -> list[str]:
    """What is of another type than it must be; what comes after it compares and counts."""
    ends = {"low": given.low, "high": given.high}
    values = {"off": given.off, "default": given.default, **{f"choices[{k}]": one for k, one in enumerate(given.choices)}}
    switches, words = {"log": given.log, "integer": given.integer}, {"unit": given.unit, "summary": given.summary}
    found = [
        f"{name}: {key} must be a finite number; got {one!r:.60}." for key, one in ends.items() if one is not None and not _is_number(one)
    ]
    found += [
        f"{name}: {key} must be a number, a word, or true or false; got {one!r:.60}."
        for key, one in values.items()
        if one is not None and not isinstance(one, str | bool) and not _is_number(one)
    ]
    found += [f"{name}: {key} must be true or false; got {one!r:.60}." for key, one in switches.items() if not isinstance(one, bool)]
    found += [f"{name}: {key} must be a text; got {one!r:.60}." for key, one in words.items() if not isinstance(one, str)]
    if given.more not in (None, "high", "low"):
        found.append(f"{name}: more must be 'high' or 'low'; got {given.more!r}.")
    return found


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _knob_faults(name: str, given: Any) -> list[str]:
    if not isinstance(given, Knob):
        return [f"{name} must be a knob, as knob(low, high) makes it; got {given!r}."]
    found = []
    found += name_faults(name)
    if odd := _odd_fields(name, given):
        return found + odd
    if given.choices:
        if given.low is not None or given.high is not None:
            found.append(f"{name} must have either choices or a range; it has both. Keep one.")
        for what, value in (("off", given.off), ("default", given.default)):
            if value is not None and value not in given.choices:
                found.append(f"{name}: {what} must be one of the choices {list(given.choices)}; got {value!r}.")
        return found
    if given.low is None or given.high is None:
        return [*found, f"{name} must have low and high, or choices; got low {given.low!r}, high {given.high!r}."]
    if not given.low < given.high:
        found.append(f"{name}: low must be below high; got low {given.low:g}, high {given.high:g}.")
    if given.log and given.low <= 0:
        found.append(f"{name}: a log range must have low > 0; got {given.low:g}. An off value of 0 is tried in any case (off=0).")
    if isinstance(given.off, str) or isinstance(given.default, str):
        found.append(f"{name}: off and default must be numbers where low and high are; got off {given.off!r}, default {given.default!r}.")
    return found
