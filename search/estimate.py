"""What a sweep would do and how long it would take, before it is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra import machine
from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.registry import load
from search.asking.space import Space
from search.choosing.from_members import planned
from search.spec.keys import Spec


@dataclass(frozen=True)
class DryRun:
    """What a sweep would do: members and epochs by phase (at most), and how long that takes here. `basis`: what the estimate rests on."""

    spec: Spec
    members: dict[str, int]
    epochs: dict[str, int]
    workers: int
    estimate_seconds: float
    basis: str


# Ray, two workers with torch, and the last writes; measured on two cores.
OVERHEAD_SECONDS = 15.0


def dry_run(spec: Spec, *, home: Home | None = None, workers: int | None = None) -> DryRun:
    """The plan of a sweep and a time estimate: from members of the same kind in the catalogue, else from a training here and now."""
    home = home or Home.open()
    members = planned(spec)
    epochs = {phase: count * (spec.budget.epochs or 0) for phase, count in members.items()}
    count = workers or max(1, int(machine.cores() // max(spec.resources.cpu, 1e-9)))
    per_epoch, basis = _seconds_per_epoch(spec, home)
    estimate = OVERHEAD_SECONDS + per_epoch * sum(epochs.values()) / count
    return DryRun(spec, members, epochs, count, estimate, basis)


def _seconds_per_epoch(spec: Spec, home: Home) -> tuple[float, str]:
    kind = (spec.objective, spec.model or "", spec.dataset.name or "")
    if not home.catalogue_url.startswith("sqlite:///") or Path(home.catalogue_url.removeprefix("sqlite:///")).exists():
        with Catalogue(home.catalogue_url, create=False) as catalogue:
            alike = [row.name for row in catalogue.sweeps() if (row.objective, row.model, row.dataset) == kind]
            costs = sorted(row.seconds / row.epochs for name in alike for row in catalogue.members(name) if row.epochs)
            if costs:
                return costs[len(costs) // 2], f"the median of {len(costs)} members trained before"
    trained = load(spec.objective)(spec.settings(cache=str(home.cache)))
    trained.prepare()
    return trained.epoch_seconds(Space(spec, load(spec.objective)).config({})), "what was trained here and now"
