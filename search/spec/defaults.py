"""What the objective decides where a spec leaves it open."""

from __future__ import annotations

from objectives import data, models
from objectives.base import Knob, Objective
from objectives.registry import names
from search.errors import SpecError
from search.spec import several
from search.spec.keys import Range, Searched, Spec, condition, plain


def with_defaults(spec: Spec, objective: type[Objective]) -> Spec:
    """The spec, with everything written out that the objective decides."""
    knobs = objective.knobs
    search = {name: _written_out(knobs[name], wanted) for name, wanted in searched_knobs(spec, objective).items()}
    model = spec.model or next(iter(objective.models), None)
    own = models.recipe(model, objective.name) if model in names("model") else {}
    return spec.model_copy(
        update={
            "model": model,
            "fixed": {**{name: value for name, value in own.items() if name not in search}, **spec.fixed},
            "dataset": spec.dataset.model_copy(
                update={"name": spec.dataset.name or default_dataset(objective), **data.located(spec.dataset.model_dump())}
            ),
            "likelihood": spec.likelihood or next(iter(objective.likelihoods), None),
            "search": search,
            "ranges": _of_a_pilot(spec, objective),
            "budget": spec.budget.model_copy(update={"epochs": spec.budget.epochs or objective.default_epochs}),
            "metric": several.resolved(spec.metric, objective.metrics, objective.score),
            "alone": bool(searched_alone(spec, objective)),
            "simplify": spec.simplify + tuple(n for n in search if knobs[n].is_lambda and n not in spec.simplify),
        }
    )


def _of_a_pilot(spec: Spec, objective: type[Objective]) -> tuple[str, ...] | None:
    """The λ whose ranges a pilot is to find: with `auto` those of which the spec gives neither end. None: no pilot was asked for."""
    if spec.ranges != "auto":
        return spec.ranges if isinstance(spec.ranges, tuple) else None
    whole = {name: plain(wanted) for name, wanted in searched_knobs(spec, objective).items() if objective.knobs[name].is_lambda}
    return tuple(name for name, wanted in whole.items() if isinstance(wanted, Range) and wanted.low is None and wanted.high is None)


def _written_out(knob: Knob, wanted: Searched) -> Searched:
    given, when = plain(wanted), condition(wanted) or None
    if not isinstance(given, Range) or knob.choices:
        choices = tuple(knob.choices) if isinstance(given, Range) else given
        return Range(choices=choices, when=when) if when else choices
    low, high, log = bounds(knob, given)
    return Range(low=low, high=high, log=log, when=when)


def default_dataset(objective: type[Objective]) -> str:
    """`digits` where the objective takes it, because it needs no download. `none` for an objective without data."""
    known = objective.datasets
    return "digits" if "digits" in known else known[0] if known else "none"


def searched_knobs(spec: Spec, objective: type[Objective]) -> dict[str, Searched]:
    """What a spec searches, and where."""
    if spec.search is not None:
        return dict(spec.search)
    return {name: Range() for name in default_knobs(objective) if name not in spec.fixed}


def default_knobs(objective: type[Objective]) -> tuple[str, ...]:
    """The knobs that are searched where a spec names none."""
    return objective.default_search or tuple(name for name, knob in objective.knobs.items() if knob.is_lambda)


def searched_alone(spec: Spec, objective: type[Objective]) -> list[str]:
    """The λ that are searched one at a time; empty where they are searched together. A single λ is always searched alone."""
    knobs = objective.knobs
    lambdas = [name for name in searched_knobs(spec, objective) if name in knobs and knobs[name].is_lambda]
    wanted = spec.alone if spec.alone is not None else objective.default_alone
    return lambdas if wanted and len(lambdas) > 1 else []


def bounds(knob: Knob, wanted: Range) -> tuple[float, float, bool]:
    """Low, high and log of a searched knob: from the spec where it gives them, else the knob's own."""
    low = wanted.low if wanted.low is not None else knob.low
    high = wanted.high if wanted.high is not None else knob.high
    if low is None or high is None:
        raise SpecError([f"search.{knob.name} has no range of its own; give low and high."])
    return low, high, knob.log if wanted.log is None else wanted.log
