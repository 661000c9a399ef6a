"""The first step off the laptop: a Ray cluster that is already up, with two nodes, a shared path, and a user's own objective."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.catalogue import Catalogue
from infra.storage import Home

pytestmark = pytest.mark.cluster

PORT = 6399  # below Ray's range of worker ports
OWN = """
    '''A user's own objective: the toy under another name, defined in the folder the user stands in.'''
    import os
    from objectives.toy import Toy

    class Mine(Toy):
        pass
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A head and a second node of one CPU each; both are stopped by their own process group, and nothing else is."""
    short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path holds 107 characters at most
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 4)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    ray = str(Path(sys.executable).parent / "ray")
    common = ["--num-cpus=1", "--block", f"--temp-dir={short}", "--object-store-memory=80000000", "--disable-usage-stats"]
    head = [ray, "start", "--head", f"--port={PORT}", "--include-dashboard=false", *common]
    node = [ray, "start", f"--address=127.0.0.1:{PORT}", *[word for word in common if not word.startswith("--temp-dir")]]
    started = []
    try:
        for command, log in ((head, "head.log"), (node, "node.log")):
            with (tmp_path / log).open("w") as sink:
                started.append(subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, start_new_session=True))
            _wait_until_up(tmp_path / log)
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=60)
        shutil.rmtree(short, ignore_errors=True)


def _wait_until_up(log: Path) -> None:
    """Asking a head that is not up yet blocks for a minute, so its own word is awaited."""
    deadline = time.monotonic() + 90
    while "Ray runtime started" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def test_a_users_objective_is_trained_on_both_nodes_of_a_cluster_that_is_up(cluster: dict[str, str], tmp_path: Path) -> None:
    """Members sleep for long enough that one node cannot train them all while the other, on a busy machine, still starts its worker."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "mine.py").write_text(textwrap.dedent(OWN))
    (here / "spec.yaml").write_text(
        "objective: mine:Mine\ndataset: {name: none, noise: 0.5, seconds_per_epoch: 2.0}\n"
        "search: {l2: {}}\nscheduler: none\nbudget: {trials: 10, epochs: 3}\nconfirm: {configs: 3, seeds: 2}\n"
    )
    command = [str(Path(sys.executable).parent / "lagrange"), "sweep", "spec.yaml", "--name", "s", "--address", f"127.0.0.1:{PORT}"]
    command += ["--storage", str(tmp_path / "shared"), "--home", str(tmp_path / "home"), "--plain"]
    done = subprocess.run(command, cwd=here, env=cluster, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with Catalogue(Home.open(tmp_path / "home").catalogue_url) as catalogue:
        rows = catalogue.members("s")
    assert all(row.state == "complete" for row in rows)
    assert len({row.facts["node"] for row in rows}) == 2
    weights = list((tmp_path / "shared").rglob("weights.safetensors"))
    assert len(weights) == sum(row.phase == "confirm" for row in rows)
