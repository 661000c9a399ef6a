"""The script of Slurm, end to end: stand-ins for sbatch, srun and scontrol record how they are called; Ray and the sweep are real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from infra.catalogue import Catalogue
from infra.storage import Home

pytestmark = [pytest.mark.cluster, pytest.mark.turns(2)]

DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"
SCRIPT = DEPLOY / "slurm.sh"
SPEC = (
    "objective: toy\ndataset: {name: none, noise: 0.5, seconds_per_epoch: 0.5}\nsearch: {l2: {}}\nscheduler: none\n"
    "budget: {trials: 8, epochs: 3}\nconfirm: {configs: 2, seeds: 2}\n"
)
# Each writes its arguments down. srun runs the command once for each task, in its own place, so that a signal reaches it.
SRUN = """#!/usr/bin/env python3
import json, os, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith("--")]
first = next(place for place, word in enumerate(sys.argv[1:], 1) if not word.startswith("--"))
command = sys.argv[first:]
options = sys.argv[1:first]
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps({"srun": options, "command": command}) + "\\n")
said = dict(option[2:].partition("=")[::2] for option in options)
assert set(said) == {"overlap", "nodes", "ntasks", "ntasks-per-node", "nodelist"}, said
for _ in range(int(said["ntasks"]) - 1):
    subprocess.run(command, check=True)
os.execvp(command[0], command)
"""
# sbatch runs the script at once, in its own place, with the variables that Slurm sets by its #SBATCH lines.
SBATCH = """#!/usr/bin/env python3
import json, os, re, sys
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps({"sbatch": sys.argv[1:]}) + "\\n")
asked = dict(re.findall(r"^#SBATCH --([\\w-]+)=(\\S+)", open(sys.argv[1]).read(), re.MULTILINE))
assert asked["nodes"] == "2" and asked["signal"].startswith("B:TERM@"), asked
os.environ.update(SLURM_JOB_NODELIST="[one,two]", SLURM_JOB_NUM_NODES=asked["nodes"], SLURM_CPUS_PER_TASK="1")
os.execvp("bash", ["bash", *sys.argv[1:]])
"""
SCONTROL = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps({"scontrol": sys.argv[1:]}) + "\\n")
if sys.argv[1:3] == ["show", "hostnames"]:
    print("one\\ntwo")
"""


@dataclass
class Job:
    """A job of Slurm."""

    here: Path
    number: int

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_", "LAGRANGE_"))}
        return {
            **own,
            "PATH": f"{self.here / 'bin'}:{os.environ['PATH']}",
            "RECORD": str(self.record),
            "SLURM_JOB_ID": str(self.number),
            "VENV": str(Path(sys.executable).parents[1]),
            "LAGRANGE_DEPLOY": str(DEPLOY),
            "PYTHONPATH": str(DEPLOY.parents[1]),
        }

    @property
    def record(self) -> Path:
        return self.here / "record.jsonl"

    @property
    def folder(self) -> Path:
        """What Ray writes on a node."""
        return Path(f"/tmp/lr-{self.number}")

    def start(self) -> subprocess.Popen[bytes]:
        with (self.here / "out.log").open("ab") as log:
            command = ["sbatch", str(SCRIPT), "spec.yaml", "night"]
            return subprocess.Popen(command, cwd=self.here, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def left(self) -> list[str]:
        """What of Ray still runs when it has had some seconds to end."""
        deadline = time.monotonic() + 30
        while (found := self._running()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def _running(self) -> list[str]:
        with_folder = [one for one in psutil.process_iter(["cmdline", "environ"]) if one.info["environ"]]
        return [str(one.info["cmdline"]) for one in with_folder if one.info["environ"].get("RAY_TMPDIR") == str(self.folder)]

    def called(self, name: str) -> list[list[str]]:
        return [one[name] for one in map(json.loads, self.record.read_text().splitlines()) if name in one]


@pytest.fixture
def job() -> Iterator[Job]:
    here = Path(tempfile.mkdtemp(prefix="slurm-"))  # pytest's own names are too long
    (here / "bin").mkdir()
    (here / "spec.yaml").write_text(SPEC)
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
        path = here / "bin" / name
        path.write_text(text.replace("/usr/bin/env python3", sys.executable))
        path.chmod(0o755)
    found = Job(here, 700_000_000 + os.getpid())
    yield found
    for process in psutil.process_iter(["environ"]):  # of a test that failed
        if (process.info["environ"] or {}).get("RAY_TMPDIR") == str(found.folder):
            process.kill()
    shutil.rmtree(here, ignore_errors=True)
    shutil.rmtree(found.folder, ignore_errors=True)


def ended(home: Home) -> int:
    """How many members have ended."""
    if not (home.root / "lagrange.db").exists():
        return 0
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        return sum(row.state is not None for row in catalogue.members("night")) if catalogue.has_sweep("night") else 0


def test_a_job_stops_before_its_limit_goes_back_into_the_queue_and_goes_on(job: Job) -> None:
    home = Home.open(job.here / "mlflow_runs")
    known = Path("/tmp/ray/ray_current_cluster")
    before = known.read_text() if known.exists() else None
    running = job.start()
    try:
        deadline = time.monotonic() + 240
        while ended(home) < 3:
            assert running.poll() is None, (job.here / "out.log").read_text()
            assert time.monotonic() < deadline, (job.here / "out.log").read_text()
            time.sleep(0.3)
        running.send_signal(signal.SIGTERM)  # as `--signal=B:TERM@120` has Slurm do: to the batch script alone
        assert running.wait(timeout=180) == 130, (job.here / "out.log").read_text()
        assert job.called("scontrol")[-1] == ["requeue", str(job.number)]
        assert not job.folder.exists()
        assert job.left() == [], "a cluster that stays would answer the next job, with another token"
        assert not list(job.here.glob(".ray-token-*"))
        first = ended(home)

        running = job.start()  # Slurm starts a job that was put back again
        assert running.wait(timeout=300) == 0, (job.here / "out.log").read_text()
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(timeout=60)
    with Catalogue(home.catalogue_url) as catalogue:
        rows = catalogue.members("night")
        assert catalogue.sweep("night").status == "complete"
    assert {row.state for row in rows} == {"complete"}
    assert len(rows) > first >= 3
    assert len({row.facts["node"] for row in rows}) >= 2, "both nodes trained; each start of the cluster has nodes of its own"
    assert sum(call[:1] == ["requeue"] for call in job.called("scontrol")) == 1
    assert not job.folder.exists()
    assert (known.read_text() if known.exists() else None) == before, "a local sweep would take this job's cluster for its own"
    # Ray is started on each node by its name, with a token that no argument shows.
    started = [one for one in map(json.loads, job.record.read_text().splitlines()) if one.get("command", [])[:2] == ["ray", "start"]]
    assert [one["srun"][-1] for one in started] == ["--nodelist=one", "--nodelist=two"] * 2
    assert not any("token" in word for one in started for word in one["command"])


def test_a_mistake_is_not_tried_again(job: Job) -> None:
    (job.here / "spec.yaml").write_text("objective: teo\n")
    assert job.start().wait(timeout=180) == 2
    assert "Did you mean 'toy'" in (job.here / "out.log").read_text()
    assert not any(call[:1] == ["requeue"] for call in job.called("scontrol"))
    assert not job.folder.exists()
