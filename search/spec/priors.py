"""What a sweep that starts from others does not go with."""

from __future__ import annotations

from search import schedulers
from search.asking import samplers
from search.options import name_of
from search.spec.keys import Spec

ONE_IN = 11  # members of the search, at most one was proposed by a prior: 1.1 n trials hold n others


def prior_faults(spec: Spec) -> list[str]:
    """Why proposals would have no place between the other members, or would change them."""
    if not spec.prior:
        return []
    found = []
    if spec.budget.trials < ONE_IN:
        found.append(
            f"prior: budget.trials must be at least {ONE_IN}, because one member in {ONE_IN} may be a proposal; "
            f"it is {spec.budget.trials}. Raise it, or leave prior out."
        )
    if not samplers.faults(spec.sampler) and samplers.hands_on(spec.sampler):
        found.append(f"prior must be left out with sampler {name_of(spec.sampler)}: its members start from each other. Leave it out.")
    if not schedulers.faults(spec.scheduler) and schedulers.evolving(spec.scheduler):
        found.append(f"prior must be left out with scheduler {name_of(spec.scheduler)}: its members replace each other. Leave it out.")
    return found
