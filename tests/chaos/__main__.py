"""Chaos: a sweep while every ten seconds a part of its cluster is killed, frozen or filled, or its clock is set; then the sweep in quiet.

    make chaos ARGS='--minutes 10 --seed 0'              with the driver beside the cluster
    make chaos ARGS='--minutes 10 --seed 0 --submit'     with the driver as a job on it

The driver is started again whenever it ends before its sweep is complete, by the one command that RayJob and Slurm run. At the end no
member may be lost or doubled, no point may be lost or doubled in MLflow, and the answer must be that of the quiet run. The sampler draws at
random and nobody is stopped early, so the answer does not depend on the order in which members end. Prints how long each part took to
recover: from the fault to the next epoch in the catalogue.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from infra.catalogue import Catalogue
from infra.catalogue.tables import REPORTS
from infra.errors import InfraError
from infra.ray.jobs import Job, Jobs
from infra.storage import Home
from search.sweep import run
from tests.chaos.parts import Cluster, Server, until

NAME, EVERY_S = "chaos", 10.0
EPOCHS, SILENCE_S = 8, 20
FULL_S, AWAY_S, FROZEN_S, LOOK_S, JUMP_S = 8.0, 6.0, 8.0, 2.0, 3600
LAGRANGE = str(Path(sys.executable).parent / "lagrange")


def spec(trials: int, seconds_per_epoch: float) -> dict[str, Any]:
    """A sweep whose answer does not depend on the order in which its members end."""
    return {
        "objective": "toy",
        "dataset": {"name": "none", "noise": 0.5, "seconds_per_epoch": seconds_per_epoch},
        "sampler": "random",
        "scheduler": "none",
        "budget": {"trials": trials, "epochs": EPOCHS},
        "confirm": {"configs": 3, "seeds": 3, "between": 0},
        "limits": {"silence_seconds": SILENCE_S, "retries": 50, "retries_total": 5000},
    }


class Driver:
    """`lagrange sweep … --resume`, started again until it ends well."""

    def __init__(self, cluster: Cluster, file: Path, home: Path) -> None:
        command = [LAGRANGE, "sweep", str(file), "--name", NAME, "--resume", "--address", cluster.address, "--plain"]
        command += ["--home", str(home), "--storage", str(cluster.storage)]
        environment = cluster.environment | cluster.clocks.environment("driver")
        self.server = Server("driver", command, environment, cluster.folder, lambda: True)
        self.codes: list[Any] = []

    def look(self) -> bool:
        """Start it where it is not running. Returns whether its sweep is complete."""
        process = self.server.process
        if process is not None and process.poll() is None:
            return False
        if process is not None:
            self.codes.append(process.returncode)
            if process.returncode == 0:
                return True
        self.server.start()
        return False

    def signalled(self, number: int) -> None:
        """Send a signal to the driver, and to what it has started."""
        self.server.signalled(number)


class Submitted(Driver):
    """`lagrange submit`, again until its job ends well. The driver is a process of the head, and shares its clock."""

    def __init__(self, cluster: Cluster, file: Path, home: Path) -> None:
        super().__init__(cluster, file, home)
        self.cluster, self._looked = cluster, 0.0
        where = ["--home", str(home), "--storage", str(cluster.storage), "--address", cluster.dashboard]
        self.server.command = [LAGRANGE, "submit", str(file), "--name", NAME, *where]
        self.server.environment = cluster.environment

    def job(self) -> Job | None:
        """Its newest job; None where the head has none, or does not answer."""
        with suppress(InfraError):
            return next(iter(Jobs(self.cluster.dashboard).of(NAME)), None)
        return None

    def look(self) -> bool:
        submitting = self.server.process is not None and self.server.process.poll() is None
        if submitting or time.monotonic() - self._looked < LOOK_S:
            return False
        self._looked = time.monotonic()
        job = self.job()
        if job is not None and job.alive:
            return False
        if job is not None:
            self.codes.append(job.exit_code if job.exit_code is not None else job.status)
            self._keep_log(job)
            if job.status == "SUCCEEDED":
                return True
        self.server.start()
        return False

    def _keep_log(self, job: Job) -> None:
        with suppress(InfraError), (self.cluster.folder / "jobs.log").open("a") as sink:
            sink.write(f"== {job.id}: {job.status} {job.exit_code} {job.message}\n{Jobs(self.cluster.dashboard).log(job)}\n")

    def signalled(self, number: int) -> None:
        for one in self.cluster.processes(f"--name {NAME} --resume"):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    def stop(self) -> None:
        """As `lagrange stop` asks it."""
        if (job := self.job()) is not None and job.alive:
            with suppress(InfraError):
                Jobs(self.cluster.dashboard).stop(job)

    def orphaned(self) -> None:
        """What watches the job dies. Ray then calls the job failed; what the driver does is the lock's matter."""
        for one in self.cluster.processes("JobSupervisor"):
            with suppress(psutil.NoSuchProcess):
                one.kill()


@dataclass
class Fault:
    """What was done, when, and when the next epoch came (seconds since the trial began)."""

    what: str
    at: float
    after: float | None = None


class Chaos:
    """The faults, drawn at random; `self.faults` remembers them."""

    def __init__(self, cluster: Cluster, driver: Driver, seed: int) -> None:
        self.cluster, self.driver, self.random = cluster, driver, random.Random(seed)
        self.faults: list[Fault] = []
        self.kinds: dict[str, Callable[[], None]] = {
            "worker killed": lambda: self._worker(signal.SIGKILL),
            "worker frozen": lambda: self._worker(signal.SIGSTOP),
            "node killed": lambda: self._away(cluster.node),
            "head killed": self._head,
            "driver killed": lambda: driver.signalled(signal.SIGKILL),
            "driver asked to stop": lambda: driver.signalled(signal.SIGTERM),
            "driver frozen": lambda: self._frozen(driver),
            "database killed": lambda: self._away(cluster.postgres),
            "database frozen": lambda: self._frozen(cluster.postgres),
            "MLflow killed": lambda: self._away(cluster.mlflow),
            "MLflow frozen": lambda: self._frozen(cluster.mlflow),
            **({"storage full": self._full} if cluster.mounted else {}),
            **(
                {f"clock of the {part} set": partial(self._clock, part) for part in ("driver", "head", "node")}
                if cluster.clocks.there
                else {}
            ),
        }
        if isinstance(driver, Submitted):
            self.kinds |= {"job stopped": driver.stop, "job's supervisor killed": driver.orphaned}
            self.kinds.pop("clock of the driver set", None)
        self._left: list[str] = []

    def strike(self, now: float) -> None:
        """The next fault: each kind once, in an order of its own, then again."""
        self._left = self._left or self.random.sample(sorted(self.kinds), len(self.kinds))
        what = self._left.pop()
        fault = Fault(what, now)
        self.faults.append(fault)
        self.kinds[what]()

    def _worker(self, number: int) -> None:
        if workers := self.cluster.workers():
            self.random.choice(workers).send_signal(number)

    def _away(self, part: Server) -> None:
        part.kill()
        time.sleep(AWAY_S)
        part.start()

    def _clock(self, part: str) -> None:
        """An hour ahead or behind, and back: the clock jumps twice."""
        self.cluster.clocks.jump(part, self.random.choice((-JUMP_S, JUMP_S)))
        time.sleep(AWAY_S)
        self.cluster.clocks.jump(part, 0)

    def _frozen(self, part: Server | Driver) -> None:
        part.signalled(signal.SIGSTOP)
        time.sleep(FROZEN_S)
        part.signalled(signal.SIGCONT)

    def _head(self) -> None:
        self.cluster.node.kill()
        self._away(self.cluster.head)
        self.cluster.node.start()

    def _full(self) -> None:
        filler = self.cluster.storage / ".filler"
        with suppress(OSError), filler.open("wb") as sink:
            while True:
                sink.write(bytes(2**20))
        time.sleep(FULL_S)
        filler.unlink()


def chaos(cluster: Cluster, asked: dict[str, Any], minutes: float, seed: int) -> tuple[Chaos, Driver, float]:
    """Run the sweep to its end: faults for so many minutes, then quiet. Returns what was done, the driver, and the seconds it took."""
    file = cluster.folder / "spec.yaml"
    file.write_text(json.dumps(asked))
    driver = (Submitted if cluster.jobs else Driver)(cluster, file, cluster.folder / "home")
    found = Chaos(cluster, driver, seed)
    began, struck = time.monotonic(), 0.0
    watched = Watched(cluster.catalogue_url)
    until(lambda: driver.look() or watched.epochs() > 0, "the first epoch must come", 300)
    while not driver.look():
        now = time.monotonic() - began
        if now < 60 * minutes and now - struck >= EVERY_S:
            struck = now
            found.strike(now)
        for fault in found.faults:
            if fault.after is None and watched.since(began + fault.at):
                fault.after = time.monotonic() - began - fault.at
        watched.epochs()
        time.sleep(0.3)
        assert now < 60 * (minutes + 15), "the sweep must end within fifteen minutes of the last fault"
    return found, driver, time.monotonic() - began


class Watched:
    """How many epochs the catalogue has, and when one came last."""

    def __init__(self, url: str) -> None:
        patience = {"connect_timeout": 2, "options": "-c statement_timeout=2000"}
        self._engine = sa.create_engine(url, connect_args=patience, poolclass=sa.NullPool)
        self._count, self._moved = 0, 0.0

    def epochs(self) -> int:
        """How many reports there are; the last known number where the database does not answer."""
        with suppress(sa.exc.SQLAlchemyError), self._engine.connect() as connection:
            count = int(connection.execute(sa.select(sa.func.count()).select_from(REPORTS)).scalar_one())
            if count > self._count:
                self._count, self._moved = count, time.monotonic()
        return self._count

    def since(self, moment: float) -> bool:
        """Whether an epoch came after a moment."""
        return self._moved > moment


def verdict(cluster: Cluster, quiet: Home) -> list[str]:
    """What is wrong: members lost or doubled, points lost or doubled, another answer. Empty where all is well."""
    wrong = []
    with Catalogue(cluster.catalogue_url, create=False) as ours, Catalogue(quiet.catalogue_url, create=False) as theirs:
        mine, other = _members(ours), _members(theirs)
        wrong += [f"lost: {key}" for key in other.keys() - mine.keys()]
        wrong += [f"not in the quiet run: {key}" for key in mine.keys() - other.keys()]
        wrong += [f"doubled: {key}" for key, ends in mine.items() if len(ends) > 1]
        wrong += [f"{key} ended {mine[key]}, in quiet {other[key]}" for key in mine.keys() & other.keys() if mine[key] != other[key]]
        answers = [_said(c.sweep(NAME).answer) for c in (ours, theirs)]
        if answers[0] != answers[1]:
            wrong.append(f"the answer is {answers[0]}, in quiet {answers[1]}")
        expected: dict[int, list[int]] = defaultdict(list)
        for report in ours.reports(NAME):
            expected[report.number].append(report.epoch)
    seen = points(cluster.tracking_uri)
    for number in expected.keys() | seen.keys():
        if sorted(expected.get(number, [])) != seen.get(number, []):
            wrong.append(f"member {number}: MLflow has the epochs {seen.get(number)}, the catalogue {sorted(expected.get(number, []))}")
    return wrong


def _members(catalogue: Catalogue) -> dict[str, list[tuple[str | None, float | None]]]:
    """How each member ended: by its phase, arm, seed and config, which name it whatever its number is."""
    found: dict[str, list[tuple[str | None, float | None]]] = defaultdict(list)
    for one in catalogue.members(NAME):
        found[f"{one.phase} {one.arm} {one.seed} {json.dumps(one.config, sort_keys=True)}"].append((one.state, one.score))
    return found


def _said(answer: dict[str, Any] | None) -> dict[str, Any]:
    """What an answer says, without what a run took."""
    kept = ("verdict", "best", "recommended", "effect", "promise", "lambdas", "best_score", "off_score")
    return {key: (answer or {}).get(key) for key in kept}


def points(uri: str) -> dict[int, list[int]]:
    """The epochs of each member's score in MLflow, doubled ones twice."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: dict[int, list[int]] = defaultdict(list)
    for one in client.search_runs(experiments, filter_string=f"tags.`lagrange.sweep` = '{NAME}'", max_results=5000):
        if "lagrange.member" in one.data.tags:
            history = client.get_metric_history(one.info.run_id, "val_risk")
            found[int(one.data.tags["lagrange.member"])] += sorted(metric.step for metric in history)
    return found


def table(faults: list[Fault]) -> str:
    """How long each part took to recover: median and longest, in seconds from the fault to the next epoch."""
    by: dict[str, list[float]] = defaultdict(list)
    for fault in faults:
        by[fault.what].append(fault.after if fault.after is not None else float("inf"))
    rows = ["| fault | times | recovery, median s | longest s |", "|---|---|---|---|"]
    rows += [f"| {what} | {len(took)} | {statistics.median(took):.0f} | {max(took):.0f} |" for what, took in sorted(by.items())]
    return "\n".join(rows)


def main() -> None:
    """One trial; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults go on")
    parser.add_argument("--seed", type=int, default=0, help="the order of the faults")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seconds-per-epoch", type=float, default=1.0)
    parser.add_argument("--keep", type=Path, help="a folder for the logs, which is kept")
    parser.add_argument("--submit", action="store_true", help="the driver is a job (`lagrange submit`), which needs the extra `cluster`")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    asked = spec(given.trials, given.seconds_per_epoch)
    quiet = Home.open(folder / "quiet")
    run({**asked, "dataset": {**asked["dataset"], "seconds_per_epoch": 0.0}}, name=NAME, home=quiet, address="in-process", tracking=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else the parts would live on
    cluster = Cluster(folder, jobs=given.submit)
    try:
        cluster.start()
        found, driver, took = chaos(cluster, asked, given.minutes, given.seed)
        wrong = verdict(cluster, quiet)
    finally:
        cluster.stop()
    print(f"{len(found.faults)} faults in {took:.0f} s; the driver ended {len(driver.codes)} times: {driver.codes}")
    print(table(found.faults))
    print("\n".join(wrong) or "nothing lost, nothing doubled, the quiet run's answer")
    if not given.keep:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    with suppress(InfraError):
        main()
