"""The books of one driver: a sweep's ledger, study and plan, read from its catalogue; and the dispatch, which turns jobs into work."""

from __future__ import annotations

from collections.abc import Callable

from infra.catalogue import Catalogue
from infra.machine import uptime_s
from infra.ray.cluster import Cluster
from infra.storage import Home
from infra.tracking import NullTracker, Tracker
from objectives.base import Phase
from search import schedulers
from search.asking.space import Space
from search.asking.study import Study
from search.choosing.answer import Candidate
from search.choosing.from_members import planned
from search.choosing.race import Look
from search.choosing.watched import Watched
from search.facts import CHORES, LOOKS, MEMORY, PRIOR
from search.running.planning.dispatch import Dispatch
from search.running.planning.plan import Plan
from search.running.planning.spending import Spending
from search.running.planning.wall import WallTime
from search.running.writing.ledger import Ledger
from search.running.writing.leftovers import Leftovers
from search.running.writing.told import PROPOSED
from search.spec.keys import Spec
from search.telling.listener import Listener, Silent
from search.telling.mlflow import mirror


def opened(
    name: str,
    spec: Spec,
    home: Home,
    catalogue: Catalogue,
    up: Cluster,
    *,
    tracker: Tracker | None = None,
    listener: Listener | None = None,
    clock: Callable[[], float] = uptime_s,
) -> tuple[Plan, Dispatch]:
    """The plan of a resolved spec, and its dispatch. The wall time of the budget starts now."""
    objective, epochs = spec.trained, spec.settings().epochs
    space = Space(spec, objective)
    ledger = Ledger(
        name,
        catalogue,
        mirror.of(name, spec, tracker or NullTracker(), planned(spec)),
        listener or Silent(),
        schedulers.make(spec.scheduler, epochs),
        epochs=epochs,
        watched=Watched(spec.demands, spec.asked[1:]),
        leftovers=Leftovers(home, name),
    )
    study = Study(space, spec.sampler, spec.seed, spec.budget.trials, spec.demands, spec.asked[1:])
    asked = [row for row in ledger.ordered() if row.phase == Phase.SEARCH and not row.start and PROPOSED not in row.facts]
    study.rebuild(asked, ledger.fact(MEMORY))
    members, row = planned(spec), catalogue.sweep(name)
    share = members[Phase.SEARCH] / sum(members.values())
    spending = Spending(spec, WallTime(spec.budget.wall_minutes, share, clock), ledger.rows.values(), share, up.workers)
    spending.add(sum(ledger.fact(CHORES).values()))
    ledger.metered = spending.counts or spec.limits.member_minutes is not None
    plan = Plan(
        spec,
        space,
        study,
        ledger,
        lambda number: home.weights(name, number),
        wall=spending,
        candidates=[Candidate(**fields) for fields in row.candidates or []],
        look=Look(**(row.facts or {}).get(LOOKS, {})),
        bundle=objective.bundle,
        workers=up.workers,
        prior=(row.facts or {}).get(PRIOR, []),
    )
    return plan, Dispatch(name, spec, home, ledger, up)
