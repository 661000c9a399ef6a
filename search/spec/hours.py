"""What members cost: hours of GPUs and CPUs, and money. One second of a member is a second of all that `resources` gives it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import ValidationError

from search.choosing.words import number
from search.errors import SpecError
from search.spec.keys import Budget, Spec

HOUR_S = 3600.0
TOTALS = ("gpu_hours", "cpu_hours", "cost")  # the totals that a budget may limit, beside the wall time
NAMES = {"gpu_hours": "GPU-hours", "cpu_hours": "CPU-hours", "cost": "in money"}


def used(spec: Spec, seconds: float) -> dict[str, float]:
    """What so many seconds of members come to, by the names of `TOTALS`. The cost is left out where the budget names no price."""
    budget, hours = spec.budget, seconds / HOUR_S
    found = {"gpu_hours": hours * spec.resources.gpu, "cpu_hours": hours * spec.resources.cpu}
    if budget.price_per_gpu_hour is None and budget.price_per_cpu_hour is None:
        return found
    cost = found["gpu_hours"] * (budget.price_per_gpu_hour or 0.0) + found["cpu_hours"] * (budget.price_per_cpu_hour or 0.0)
    return {**found, "cost": cost}


def limit(spec: Spec) -> tuple[float, str]:
    """How many seconds of members the tightest total of the budget has room for, and which one it is; (∞, "") without one."""
    each = used(spec, 1.0)
    rooms = [(most / each[name], name) for name in TOTALS if (most := getattr(spec.budget, name)) is not None and each.get(name)]
    return min(rooms, default=(math.inf, ""))


def words(spec: Spec, seconds: float) -> str:
    """`3.2 of 20 GPU-hours, 6.4 CPU-hours`: what is used, beside what the budget gives; GPUs are left out where none is asked for."""
    said = []
    for name, value in used(spec, seconds).items():
        most = getattr(spec.budget, name)
        if value or most is not None:
            said.append(f"{number(value)}{f' of {number(most)}' if most is not None else ''} {NAMES[name]}")
    return ", ".join(said)


def hour_faults(spec: Spec) -> list[str]:
    """What is wrong with the totals of a budget: one that nothing is counted for would never be used up."""
    budget, found = spec.budget, []
    if budget.gpu_hours is not None and not spec.resources.gpu:
        found.append(f"budget.gpu_hours must go with GPUs; got {budget.gpu_hours:g} and resources.gpu 0. Set that, or use cpu_hours.")
    if budget.cost is not None and not used(spec, 1.0).get("cost"):
        found.append(
            f"budget.cost must go with the price of what members use; got {budget.cost:g} without one. "
            f"Set budget.{'price_per_gpu_hour' if spec.resources.gpu else 'price_per_cpu_hour'}."
        )
    return found


def with_budget(budget: Budget, totals: Mapping[str, float]) -> Budget:
    """A budget with other totals.

    Raises:
        SpecError: a name is none of those, or a number is none that a budget may have.
    """
    known = ("wall_minutes", *TOTALS)
    if unknown := [name for name in totals if name not in known]:
        raise SpecError([f"a total of the budget is one of {', '.join(known)}; got {', '.join(unknown)}. Use one of these."])
    try:
        return Budget.model_validate({**budget.model_dump(), **totals})
    except ValidationError as error:
        raise SpecError([f"budget.{one['loc'][0]}: {one['msg']}; got {one['input']!r}." for one in error.errors()]) from None
