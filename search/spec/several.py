"""The metrics that a sweep is asked for: one, or several with a direction each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from objectives.base import Metric, lowered
from objectives.registry import unknown

LOWER, HIGHER = "lower", "higher"
SCHEDULER = "pareto"  # where several metrics are asked for and the spec names none
Given = str | tuple[str, ...] | dict[str, str] | None


@dataclass(frozen=True)
class Asked:
    """A metric and which way it is better."""

    name: str
    better: str = LOWER

    def lower(self, value: float) -> float:
        """The value as all of search compares it: lower is better. Applied again it gives the value back."""
        return lowered(value, self.better)

    def values(self, metrics: Mapping[str, Any]) -> float | None:
        """The value among these metrics, lower being better; None where it was not measured."""
        found = metrics.get(self.name)
        return None if found is None else self.lower(float(found))


def given(value: Any) -> Any:
    """`metric` as a spec gives it: a name, a list of names, or a mapping of names to directions.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
        return tuple(value)
    if isinstance(value, Mapping) and value and all(isinstance(one, str) for pair in value.items() for one in pair):
        return dict(value)
    raise ValueError("must be a name, a list of names, or a mapping of names to lower or higher")


def several(value: Any) -> bool:
    """Whether a spec asks for more than one metric."""
    return isinstance(value, list | tuple | Mapping) and len(value) > 1


def asked(metric: Given) -> tuple[Asked, ...]:
    """The metrics of a resolved spec, the score first; none where the spec leaves it to the objective."""
    if metric is None or isinstance(metric, str):
        return (Asked(metric),) if metric else ()
    said = metric if isinstance(metric, dict) else dict.fromkeys(metric, LOWER)
    return tuple(Asked(name, better) for name, better in said.items())


def own_sign(rows: Any, better: str) -> Any:
    """Rows of the catalogue, of members or of reports, with their scores in the score's own sign."""
    names = ("score", "rung_score")
    return [
        replace(row, **{name: lowered(value, better) for name in names if (value := getattr(row, name, None)) is not None}) for row in rows
    ]


def better_of(spec: Mapping[str, Any]) -> str:
    """Which way the score of a stored spec is better."""
    return next((one.better for one in asked(spec.get("metric"))), LOWER)


def resolved(metric: Given, metrics: Mapping[str, Metric], score: str) -> str | dict[str, str]:
    """The metrics with their directions written out. One metric of which less is better is its name alone."""
    names = [metric or score] if metric is None or isinstance(metric, str) else list(metric)
    if len(names) == 1:
        return {names[0]: HIGHER} if metrics[names[0]].direction == HIGHER else names[0]
    said = metric if isinstance(metric, dict) else {}
    return {name: said.get(name) or metrics[name].direction or LOWER for name in names}


def faults(metric: Given, metrics: Mapping[str, Metric], objective: str) -> list[str]:
    """What is wrong with the metrics that are asked for."""
    if metric is None:
        return []
    names = [metric] if isinstance(metric, str) else list(metric)
    found = [unknown(f"a metric of {objective!r}", name, list(metrics)) for name in dict.fromkeys(names) if name not in metrics]
    twice = sorted({name for name in names if names.count(name) > 1})
    found += [f"metric must name each metric once; got {name!r} {names.count(name)} times. Leave the others out." for name in twice]
    if names[0] in metrics and not metrics[names[0]].decides:
        deciding = ", ".join(name for name, one in metrics.items() if one.decides)
        first = "" if isinstance(metric, str) else " as the first, which is the score"
        found.append(f"metric must be one that can decide; got {names[0]!r}{first}. Choose one of {deciding}.")
    said = metric if isinstance(metric, dict) else {}
    for name in dict.fromkeys(names):
        if name in metrics and not isinstance(metric, str):
            found += _direction_faults(name, said.get(name), metrics[name], score=name == names[0])
    return found


def _direction_faults(name: str, said: str | None, metric: Metric, score: bool) -> list[str]:
    own = metric.direction
    if said is not None and said not in (LOWER, HIGHER):
        return [f"metric.{name} must be lower or higher; got {said!r}. Write `{name}: {own or LOWER}`."]
    if said is None and own is None and not score:
        return [
            f"metric {name!r} has no direction of its own; it must be said which way is better. "
            f"Write the metrics as a mapping, with `{name}: lower` or `{name}: higher`."
        ]
    if said is not None and own is not None and said != own:
        return [f"metric.{name} must be {own}, as the metric says: {metric.summary}; got {said!r}. Write `{name}: {own}`."]
    return []
