"""The runs of a sweep as MLflow has them, each member once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.tracking import images
from infra.tracking.notes import guarded
from infra.tracking.spool import SWEEP_RUN


@dataclass(slots=True)
class Run:
    """What a run in MLflow is known to hold."""

    id: str
    epoch: int = -1
    started: bool = False
    ended: str = ""
    pictured: bool = False  # whether MLflow may hold images of it
    last: dict[str, float] = field(default_factory=dict)
    found: dict[str, tuple[int, float]] = field(default_factory=dict)  # step and value of each metric, as MLflow had them
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)  # of the sweep's own run
    facts: frozenset[str] = frozenset()  # the metrics that it had when it was found
    data: bool = False  # whether it says which data it trains on
    shown: dict[str, str] | None = None  # the tags of a member that had ended when it was found; None: it was told them since
    held: dict[str, str] = field(default_factory=dict)  # the tags of a beginning that wait for what comes after it

    @staticmethod
    def of(run: Any, number: int) -> Run:
        """A run as MLflow has it."""
        points = {point.key: (point.step, point.value) for point in run.data._metric_objs}
        ended = run.data.tags.get("lagrange.ended", "") if run.info.status not in ("RUNNING", "SCHEDULED") else ""
        known = Run(run.info.run_id, -1, bool(run.data.params), ended, found=points, name=run.info.run_name, facts=frozenset(points))
        known.tags = dict(run.data.tags) if number == SWEEP_RUN else {}
        known.shown = dict(run.data.tags) if ended and number != SWEEP_RUN else None
        known.pictured = images.TAG in run.data.tags
        known.data = bool(run.inputs and run.inputs.dataset_inputs)
        return known

    def due(self, tags: Mapping[str, str], *, begins: bool, state: str) -> dict[str, str]:
        """Which tags of a member must be written, where it is told that it `begins`, or that it ended in a `state`.

        Every driver tells the beginning of all members again, and what follows it may come in another round. So of a member that has ended
        the tags wait for that: new epochs, or its end. `running` would stay beside a run that has ended. Of an end that is told again only
        those are written that MLflow has lost, for instance to a slow server that carried out an older call last.
        """
        if self.ended and not state:
            self.held.update(tags if begins else {})
            return {} if begins else dict(tags)
        told, self.held = {**self.held, **tags}, {}
        if not state or self.ended != state:
            return guarded(told, {})
        shown, self.shown = self.shown, None
        return {} if shown is None else {key: value for key, value in guarded(told, shown).items() if shown.get(key) != value}

    def forget(self, state: str) -> None:
        """It ended in a state. Of an ended run little is asked, and there are many of them."""
        self.ended, self.last, self.facts, self.shown = state, {}, frozenset(), None

    def look_up(self, ours: set[str]) -> None:
        """Read the newest epoch off the metrics that are ours. A program that logs by itself may count in steps."""
        known = {name: self.found[name] for name in ours if name in self.found}
        if known:
            self.epoch = max(step for step, _ in known.values())
            self.last = {name: value for name, (step, value) in known.items() if step == self.epoch}
            self.found = {}


def found(client: Any, experiment: str, sweep: str, created: str, known: Mapping[int, str]) -> dict[int, Run]:
    """The runs of a sweep by member, from one search. `known` are the ids of those that we write to.

    A server that is too slow may carry out what was given up and asked again. Of two runs of a member the one that holds less is removed.
    """
    wanted = f"tags.`lagrange.sweep` = '{sweep}'" + (f" and tags.`lagrange.created` = '{created}'" if created else "")
    same: dict[int, list[Any]] = {}
    token: str | None = None
    while token is None or token:
        page = client.search_runs([experiment], wanted, max_results=1000, order_by=["start_time ASC"], page_token=token)
        for run in page:
            same.setdefault(int(run.data.tags.get("lagrange.member", SWEEP_RUN)), []).append(run)
        token = page.token or ""
    kept = {number: runs[0] for number, runs in same.items()}
    parents = [run.data.tags.get("mlflow.parentRunId") for runs in same.values() for run in runs]
    for number, runs in same.items():
        if len(runs) > 1:
            kept[number] = _fullest(runs, known.get(number, ""), parents)
        for run in runs:
            if run is not kept[number]:
                client.delete_run(run.info.run_id)
    return {number: Run.of(run, number) for number, run in kept.items()}


def _fullest(runs: list[Any], known: str, parents: list[str | None]) -> Any:
    """Of the runs of one member the one that we write to, that has members, or that holds most."""
    return max(runs, key=lambda run: (run.info.run_id == known, parents.count(run.info.run_id), len(run.data._metric_objs)))
