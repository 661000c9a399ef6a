"""An answer about a score of which more is better.

All of search minimizes, so it works with such a score with its sign changed. At the end the answer is turned round, once: levels of the
score get their own sign back. Differences (effects, gains, margins) stay, for a gain is a gain either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from objectives.base import lowered
from search.choosing.answer import Answer

_LEVELS = ("mean", "low", "high")


def turned(answer: Answer, better: str) -> Answer:
    """The answer in the score's own sign. Applied again it gives the answer back."""
    if lowered(1.0, better) == 1.0:
        return answer
    promise = replace(answer.promise, mean=-answer.promise.mean, low=-answer.promise.high, high=-answer.promise.low)
    return replace(
        answer,
        better=better,
        off_score=-answer.off_score,
        best_score=-answer.best_score,
        luckiest=-answer.luckiest,
        promise=promise,
        arms=[{**arm, "mean": -arm["mean"]} for arm in answer.arms],
        curve={name: _curve(one) for name, one in answer.curve.items()},
        lambdas=[replace(one, score=-one.score, sensitivity={at: -cost for at, cost in one.sensitivity.items()}) for one in answer.lambdas],
        test=answer.test and {arm: _read(one) for arm, one in answer.test.items()},
    )


def _curve(curve: Mapping[str, Any]) -> dict[str, Any]:
    lines = {name: [-float(value) for value in curve[name]] for name in _LEVELS if name in curve}
    swapped = {**lines, "low": lines.get("high", []), "high": lines.get("low", [])}
    points = [{**one, "mean": -one["mean"], "low": -one["high"], "high": -one["low"]} for one in curve.get("points", [])]
    return {**curve, **swapped, "points": points}


def _read(arm: Any) -> Any:
    """An arm on the test split. Effects, which have an interval, are differences."""
    if not isinstance(arm, Mapping) or "scores" not in arm:
        return arm
    return {**arm, "mean": -arm["mean"], "scores": [-value for value in arm["scores"]]}
