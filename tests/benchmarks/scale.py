"""What a large sweep costs its driver: the real plan, schedulers, catalogue and tracking on a cluster that does not exist.

    python -m tests.benchmarks.scale --members 1000,3000,10000 --gpus 1000 --tracking server

`search.sweep.run` is what runs. Only Ray and the trainings are played (`cluster_of`). CPU is that of this process without the players:
with `--tracking server` MLflow's server is another process, as on a cluster, and only records what it is told.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

import threadpoolctl

from infra.catalogue import Catalogue
from infra.ray.cluster import Cluster
from infra.storage import Home
from infra.tracking import MlflowTracker
from search.running.planning.dispatch import Dispatch
from search.running.planning.plan import Plan
from search.running.where import Where
from search.sweep import Outcome, run
from tests.benchmarks.cluster_of import Simulation, nothing
from tests.study.worlds import WORLDS

NAME = "large"
BEHIND = 2_000_000  # bytes that MLflow may be behind: trainings that take their time would let it keep up


@contextmanager
def simulated(simulation: Simulation) -> Iterator[None]:
    """`search.run` in this block has the simulated cluster."""

    @contextmanager
    def up(self: Where, spec: Any) -> Iterator[Cluster]:
        yield Cluster(None, simulation.gpus, {})

    def carry_out(self: Where, plan: Any, dispatch: Any, interrupted: Any) -> bool:
        with threadpoolctl.threadpool_limits(1, user_api="blas"):  # as the real one does
            return simulation.carry_out(plan, dispatch, interrupted)

    with patch.object(Where, "up", up), patch.object(Where, "carry_out", carry_out):
        yield


def spec_of(world: str, members: int, epochs: int, sampler: str, scheduler: str, seed: int = 0) -> dict[str, Any]:
    """The sweep of a world."""
    more = {"budget": {"trials": members, "epochs": epochs}, "sampler": sampler, "scheduler": scheduler}
    return {**WORLDS[world].spec(seed), **more}


def paced(dispatch: Dispatch) -> None:
    """Wait where MLflow is far behind."""
    tracker = dispatch.ledger.tracker
    if isinstance(tracker, MlflowTracker) and tracker._spool.unsent_bytes() > BEHIND:
        tracker.flush(600.0)


def peak_mb() -> int:
    """The most memory that this process has had, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def progress(simulation: Simulation, since: float) -> Callable[[Plan], None]:
    """Who says now and then on stderr what the members so far cost."""

    def said(plan: Plan) -> None:
        used, members = time.process_time() - since - simulation.own.seconds, len(plan.ledger.rows)
        print(f"{members} members: {used:.1f} CPU s of the driver, {peak_mb()} MiB", file=sys.stderr, flush=True)

    return said


def measured(home: Home, simulation: Simulation, spec: dict[str, Any], tracking: bool) -> tuple[Outcome, dict[str, Any]]:
    """One sweep, and what it cost."""
    cpu, began = time.process_time(), time.monotonic()
    simulation.paced = paced if tracking else nothing
    simulation.said = progress(simulation, cpu)
    with simulated(simulation):
        outcome = run(spec, name=NAME, home=home, tracking=tracking)
    last_cpu, last = simulation.marks["last member"]
    used, wall, after, peak = (
        time.process_time() - cpu - simulation.own.seconds,
        time.monotonic() - began,
        time.monotonic() - last,
        peak_mb(),
    )
    with Catalogue(home.catalogue_url) as catalogue:
        members = catalogue.members(NAME)
        states: dict[str, int] = {}
        for row in members:
            states[str(row.state)] = states.get(str(row.state), 0) + 1
    return outcome, {
        "members": len(members),
        "driver_cpu_s": round(used, 1),
        "ms_a_member": round(1000 * used / len(members), 2),
        "ms_a_member_until_the_last": round(1000 * (last_cpu - cpu) / len(members), 2),
        "peak_mb": peak,
        "after_the_last_s": round(after, 1),
        "wall_s": round(wall, 1),
        "virtual_h": round(simulation.now / 3600, 1),
        "nodes_failed": simulation.failures,
        "members_hit": simulation.deaths,
        "jobs": simulation.jobs,
        "reports": simulation.reports,
        "states": states,
        "stored_mb": {path.name: round(path.stat().st_size / 1e6, 1) for path in sorted(home.root.glob("*.db"))},
        "answer": "" if outcome.answer is None else outcome.answer.sentence(),
        "problem": outcome.problem,
        "notes": [note[:200] for note in outcome.notes],
    }


def main() -> None:
    """Print one JSON object for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", default="200,1000,3000")
    parser.add_argument("--gpus", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--world", default="digits", choices=sorted(WORLDS))
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--scheduler", default="auto")
    parser.add_argument("--mtbf-hours", type=float, default=24.0)
    parser.add_argument("--tracking", choices=("none", "local", "server"), default="server")
    parser.add_argument("--catalogue", default="", help="a PostgreSQL URL; SQLite in the home without it")
    parser.add_argument("--home", type=Path, help="keep the sweep here")
    parser.add_argument("--profile", type=Path, help="write what cProfile sees here")
    given = parser.parse_args()
    for members in map(int, given.members.split(",")):
        with tempfile.TemporaryDirectory() as folder, _server(Path(folder), given.tracking == "server") as uri:
            root = given.home / str(members) if given.home else Path(folder) / "home"
            home = Home.open(root, catalogue_url=given.catalogue or None, tracking_uri=uri)
            simulation = Simulation(WORLDS[given.world], given.gpus, mtbf_s=3600 * given.mtbf_hours)
            spec = spec_of(given.world, members, given.epochs, given.sampler, given.scheduler)
            profiled = _profiled(given.profile) if given.profile else nullcontext()
            with profiled:
                _, found = measured(home, simulation, spec, given.tracking != "none")
            if uri:
                with urlopen(f"{uri}/told") as answer:
                    found["mlflow"] = json.load(answer)
            print(json.dumps(found), flush=True)


@contextmanager
def _server(folder: Path, wanted: bool) -> Iterator[str | None]:
    """The address of an MLflow server that only records, in a process of its own; None where none is wanted."""
    if not wanted:
        yield None
        return
    command = [sys.executable, "-m", "tests.benchmarks.recording_server", str(folder / "artifacts")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def _profiled(path: Path) -> Iterator[None]:
    import cProfile

    profile = cProfile.Profile()
    with profile:
        yield
    profile.dump_stats(path)


if __name__ == "__main__":
    main()
