"""What is wrong with a spec whose members start from others: by a sampler (`path`) or by a scheduler (`pbt`, `pb2`)."""

from __future__ import annotations

import math
import random

from objectives.base import Objective
from search import schedulers
from search.asking import samplers
from search.asking.space import OFF_EVERY
from search.options import Chosen, name_of, options_of, said
from search.schedulers._evolving import movable
from search.spec import several
from search.spec.defaults import searched_alone, searched_knobs
from search.spec.keys import Range, Spec, condition, plain


def stopping(spec: Spec) -> Chosen:
    """The scheduler of a spec. Where members start from earlier ones, the default is that each is trained whole."""
    unsaid = spec.scheduler == (several.SCHEDULER if len(spec.asked) > 1 else type(spec).model_fields["scheduler"].default)
    handing_on = not samplers.faults(spec.sampler) and samplers.hands_on(spec.sampler)
    return "none" if handing_on and unsaid else spec.scheduler


def trained_whole(spec: Spec) -> list[str]:
    """What is to be said of a resolved spec whose sampler leaves no scheduler a choice."""
    if not samplers.hands_on(spec.sampler):
        return []
    return [f"sampler {name_of(spec.sampler)}: no member is stopped early (scheduler none), because each is the start of the next"]


def handing_on_faults(spec: Spec) -> list[str]:
    """What a sampler whose members start from earlier ones does not go with."""
    if samplers.faults(spec.sampler) or not samplers.hands_on(spec.sampler):
        return []
    name, found = name_of(spec.sampler), []
    if stopping(spec) != "none":
        found.append(f"scheduler must be none with sampler {name}: each member is the start of the next; got {said(spec.scheduler)}.")
    if spec.points:
        found.append(f"points must be left out with sampler {name}: its own points make a path; got {len(spec.points)}. Leave them out.")
    return found + _goal_faults(spec, f"sampler {name}")


def _goal_faults(spec: Spec, what: str) -> list[str]:
    goals = [text for text in spec.until if not text.strip().startswith("effect")]
    return [f"until: a goal must be about the effect with {what}, whose members are counted beforehand; got {text!r}." for text in goals]


def evolving_faults(spec: Spec, objective: type[Objective]) -> list[str]:
    """What a scheduler that moves knobs in training cannot do in this sweep."""
    search, knobs = searched_knobs(spec, objective), objective.knobs
    if schedulers.faults(spec.scheduler) or not schedulers.evolving(spec.scheduler) or not search or any(n not in knobs for n in search):
        return []
    name = name_of(spec.scheduler)
    found = _goal_faults(spec, f"scheduler {name}")
    if schedulers.WRAPS in options_of(spec.scheduler):
        found.append(f"scheduler {name} must stand alone: it replaces whom it ends; it wraps another. Remove {schedulers.WRAPS}.")
    if not objective.hands_on:
        found.append(f"scheduler {name} must have an objective whose members can hand on their weights. Choose another scheduler.")
    if searched_alone(spec, objective):
        found.append(f"scheduler {name} must move all λ together; alone is true. Set alone: false, or search one λ.")
    if gated := [one for one, wanted in search.items() if condition(wanted)]:
        found.append(f"scheduler {name} must move knobs that act in every member; {', '.join(gated)} has a condition. Remove it.")
    lambdas = [one for one in search if knobs[one].is_lambda]
    still = [one for one in lambdas if not movable(knobs[one]) or not isinstance(plain(search[one]), Range)]
    if lambdas and len(still) == len(lambdas):
        found.append(f"scheduler {name} must have a λ that may move in training; {', '.join(still)} may not (choice, count, structure).")
    epochs, members = spec.budget.epochs or objective.default_epochs, spec.budget.trials - math.ceil(spec.budget.trials / OFF_EVERY)
    scheduler = schedulers.make(name_of(spec.scheduler) if found else spec.scheduler, epochs)
    if not scheduler.milestones:
        found.append(f"scheduler {name} must have a milestone before the last epoch; budget.epochs is {epochs}. Raise it.")
    elif not scheduler.replaced(dict.fromkeys(range(members), 0.0), random.Random(0)):  # type: ignore[attr-defined]
        found.append(f"scheduler {name} must have members to replace; {members} are too few for its quantile. Raise budget.trials.")
    return found
