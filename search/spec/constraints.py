"""What a config must keep to, beside a good score: `constraints: {nan_rate: "<= 0.1", packed_bytes: "<= 200_000", val_kl_nats: ">= 5"}`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from objectives.registry import unknown

NAN_RATE = "nan_rate"  # no metric of a member: the share of a config's trainings that diverged or collapsed
GRAMMAR = '"<= NUMBER", "< NUMBER", ">= NUMBER" or "> NUMBER", such as "<= 200_000"'
_BOUND = re.compile(r"(?P<sign><=|>=|<|>)\s*(?P<bound>[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True)
class Constraint:
    """The expected value of `metric` must lie on one side of `bound`; `sign` is one of <=, <, >=, >."""

    metric: str
    sign: str
    bound: float

    @property
    def text(self) -> str:
        """`packed_bytes <= 200000`."""
        return f"{self.metric} {self.sign} {self.bound:.10g}"

    @property
    def is_upper(self) -> bool:
        """Whether less is better for it."""
        return self.sign.startswith("<")

    @property
    def of_losses(self) -> bool:
        """Whether it is about how often trainings are lost."""
        return self.metric == NAN_RATE

    def holds(self, value: float) -> bool:
        """Whether a value keeps to it; NaN does not."""
        if value == self.bound:
            return self.sign.endswith("=")
        return value < self.bound if self.is_upper else value > self.bound

    def excess(self, value: float) -> float:
        """How far a value lies beyond the bound, as a part of it (of 1 where the bound is 0); negative on the allowed side."""
        return (value - self.bound if self.is_upper else self.bound - value) / (abs(self.bound) or 1.0)


def constraint(metric: str, text: str) -> Constraint:
    """The constraint that a text says.

    Raises:
        ValueError: the text is none; the message has the grammar.
    """
    found = _BOUND.fullmatch(text.strip())
    try:
        bound = float(found["bound"]) if found else math.nan
    except ValueError:  # an underscore in a wrong place
        bound = math.nan
    if found is None or not math.isfinite(bound):
        raise ValueError(f"constraints.{metric} must be {GRAMMAR}, or a list of these; got {text!r}.")
    return Constraint(metric, found["sign"], bound)


def constraint_faults(given: Mapping[str, Sequence[str]], metrics: Sequence[str], score: str) -> list[str]:
    """What is wrong with the constraints of a spec.

    Args:
        given: the texts by metric.
        metrics: every metric of the objective.
        score: the metric that decides.
    """
    faults = []
    for metric, texts in given.items():
        if metric != NAN_RATE and metric not in metrics:
            near = [name for name in metrics if name.startswith(f"{metric}_") and not name.endswith("_se")]
            faults.append(unknown("constraints: a metric of the objective, or nan_rate,", metric, [*metrics, NAN_RATE]))
            faults[-1] = faults[-1].partition(" Did you mean")[0] + f" Did you mean {min(near, key=len)!r}?" if near else faults[-1]
        elif metric == score:
            faults.append(
                f"constraints must be about other metrics than the one that decides, which is made as low as it can be; got {metric}. "
                "Leave it out: the promise says what it comes to."
            )
        if not texts:
            faults.append(f"constraints.{metric} must be {GRAMMAR}, or a list of these; got an empty list.")
        found = []
        for text in texts:
            try:
                found.append(constraint(metric, text))
            except ValueError as error:
                faults.append(str(error))
        faults += _rate_faults(found) if metric == NAN_RATE else []
        faults += _excluding(found)
    return faults


def _rate_faults(found: Sequence[Constraint]) -> list[str]:
    """A share lies between 0 and 1, and nobody wants many losses."""
    rule = "constraints.nan_rate must be an upper bound of a share, at least 0 and less than 1"
    wrong = [one for one in found if not one.is_upper or not 0 <= one.bound < 1 or not one.holds(0.0)]
    return [f'{rule}; got "{one.sign} {one.bound:g}". Write such as "<= 0.1".' for one in wrong]


def _excluding(found: Sequence[Constraint]) -> list[str]:
    """Two bounds of one metric between which no value lies."""
    uppers, lowers = [one for one in found if one.is_upper], [one for one in found if not one.is_upper]
    faults = []
    for lower in lowers:
        for upper in uppers:
            if lower.bound > upper.bound or (lower.bound == upper.bound and not (lower.holds(upper.bound) and upper.holds(lower.bound))):
                faults.append(f"constraints must not exclude each other; no value is {lower.text} and {upper.text}. Change one of them.")
    return faults
