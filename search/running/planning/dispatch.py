"""From a job of the plan to the work that a worker gets: here settings, paths and milestones are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from infra.catalogue import MemberRow
from infra.ray.cluster import Cluster
from infra.storage import Home, silence
from objectives.base import Member, Phase
from objectives.pictures import steps
from search import schedulers
from search.asking import samplers
from search.asking.space import OFF_ARM, Space
from search.choosing.from_members import planned
from search.running.planning.plan import Job, Kind
from search.running.working.work import Assigned, Origin, Prepare, ReadTest, Setting, Show, Train, Warm, Work
from search.running.writing.ledger import Ledger
from search.spec.keys import Spec
from search.telling.mlflow.shown import caption

DRAWN = 2  # confirmed members of each config that are drawn while they train
RUN_ID_SECONDS = 5.0  # how long MLflow may take to say which run a member has


class Dispatch:
    """Turns the jobs of one sweep into work. It is pure, except that it reads the ledger."""

    def __init__(self, name: str, spec: Spec, home: Home, ledger: Ledger, up: Cluster) -> None:
        self.name, self.spec, self.home, self.ledger, self.up = name, spec, home, ledger, up
        # To a remote Ray the folder is shipped; a local worker imports from the user's current folder.
        folder = Path.cwd() if up.local else None
        settings = spec.settings(cache=str(home.cache))
        limit, gpu = spec.limits.memory_gb, spec.resources.gpu
        # A store that says nothing is a reason to end the sweep. It is heard of before the worker that waits counts as lost.
        depot = replace(home.depot, silent_s=min(silence.SILENT_S, 0.4 * spec.limits.silence_seconds))
        self._setting = Setting(spec.objective, settings, limit, folder, spec.program, gpu, depot)
        self._milestones = tuple(schedulers.make(spec.scheduler, self._setting.settings.epochs).milestones)

    def work(self, job: Job) -> Work:
        """What a worker needs for a job."""
        if job.kind is Kind.PREPARE:
            return self._prepare()
        if job.kind is Kind.READ_TEST:
            return ReadTest(self._setting, job.readings)
        milestones = self._milestones if job.rows[0].phase == Phase.SEARCH else ()
        return Train(self._setting, tuple(self._assigned(row) for row in job.rows), milestones)

    def _assigned(self, row: MemberRow) -> Assigned:
        """A member with its files."""
        kept, start = row.phase == Phase.CONFIRM, None
        if row.parent is not None and row.parent_epoch is not None:
            start = Origin(self.home.handed_on(self.name, row.parent, row.parent_epoch), row.start)
        left = self._handed_on(row) if row.phase == Phase.SEARCH else ()
        return Assigned(
            Member(
                row.number,
                row.config,
                row.seed,
                Phase(row.phase),
                row.schedule,
                self.home.own(self.name, row.number),
                self._surroundings(row.number) if self.spec.program else {},
            ),
            self.home.checkpoint(self.name, row.number),
            self.home.weights(self.name, row.number) if kept else None,
            self.home.picture(self.name, row.number) if kept else None,
            start,
            {epoch: self.home.handed_on(self.name, row.number, epoch) for epoch in left},
            self._shown(row),
        )

    def _shown(self, row: MemberRow) -> Show:
        """The first confirmed members of a config are drawn now and then, others at their end: in short trainings pictures cost much."""
        alike = self.ledger.tally.alike.get((Phase.CONFIRM, row.config_hash), ())
        first = row.phase == Phase.CONFIRM and sum(other < row.number for other in alike) < DRAWN
        epochs = steps(self.ledger.epochs) if first else [self.ledger.epochs]
        return Show(self.home.sheets(self.name, row.number), tuple(epochs), caption(row, self.spec))

    def _surroundings(self, number: int) -> dict[str, str]:
        """With what a program that uses MLflow by itself logs to the run of its member; empty where MLflow does not answer."""
        run = self.ledger.tracker.run_id(number, RUN_ID_SECONDS)
        return {"MLFLOW_TRACKING_URI": self.home.tracking_uri, "MLFLOW_RUN_ID": run} if run else {}

    def _handed_on(self, row: MemberRow) -> Sequence[int]:
        """The epochs after which others may start from a member of the search."""
        if schedulers.evolving(self.spec.scheduler):
            return self._milestones
        return (self.ledger.epochs,) if samplers.hands_on(self.spec.sampler) and row.arm != OFF_ARM else ()

    def warm(self) -> Warm:
        """What a free worker does while another worker prepares."""
        return Warm(self._setting, packs=self._pack() != 1)

    def _pack(self) -> int | str:
        """How many members make a pack. A sweep that goes on keeps its width, because which configs are asked for depends on the width."""
        return self.ledger.fact("pack").get("members") or self.spec.pack

    def _prepare(self) -> Prepare:
        """The preparation, on the assumption that every worker trains a part of each phase."""
        searched = tuple(self.spec.search or {})
        shares = [-(-members // self.up.workers) for members in planned(self.spec).values()]
        checked = searched if self.spec.check else ()
        wanted, space = self.spec.ranges or (), Space(self.spec, self.spec.trained)
        ranges = {name: space.one_on(name) for name in wanted}
        return Prepare(self._setting, checked, searched, self._pack(), max(shares), sum(shares), ranges)  # type: ignore[arg-type]
