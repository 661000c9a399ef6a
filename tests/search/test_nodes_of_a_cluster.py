"""Nodes that are too small, that join, leave, start slowly or run other code: with real nodes of Ray, as processes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.catalogue import Catalogue, MemberRow
from infra.storage import Home
from tests.search.nodes import Nodes, nodes, ray_ip

pytestmark = [pytest.mark.cluster, pytest.mark.turns(3)]

SPEC = """
objective: toy
dataset: {name: none, noise: 0.5, seconds_per_epoch: SECONDS}
search: {l2: {}}
scheduler: none
budget: {trials: 12, epochs: 3}
confirm: {configs: 2, seeds: 2, between: 0}
"""
LIMIT_S = 400


def spec(seconds: float = 0.5, more: str = "") -> str:
    return SPEC.replace("SECONDS", str(seconds)) + more


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Nodes]:
    with nodes(tmp_path) as found:
        yield found


def rows(up: Nodes, name: str = "s") -> list[MemberRow]:
    with Catalogue(Home.open(up.folder / "home").catalogue_url) as catalogue:
        return catalogue.members(name) if catalogue.has_sweep(name) else []


def per_node(up: Nodes, name: str = "s") -> Counter[str]:
    return Counter(row.facts["node"] for row in rows(up, name) if "node" in row.facts)


def until_trained(up: Nodes, count: int, name: str = "s") -> None:
    """Wait until so many members have ended."""
    deadline = time.monotonic() + LIMIT_S
    while sum(row.state is not None for row in rows(up, name)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_member_that_no_node_can_hold_is_refused_unless_a_node_may_come(up: Nodes) -> None:
    up.add(), up.add()
    done = up.sweep(spec(0.1, "resources: {cpu: 2}\n"))
    said, _ = done.communicate(timeout=LIMIT_S)
    assert done.returncode == 2 and "needs 2 CPU, 0 GPU. The nodes have: " in said and "(1 CPU, 0 GPU, " in said, said
    assert not rows(up)
    waits = up.sweep(spec(0.1, "resources: {cpu: 2, wait_minutes: 5}\n"))
    time.sleep(10)
    up.add(cpus=2)
    said, _ = waits.communicate(timeout=LIMIT_S)
    assert waits.returncode == 0, said
    assert "waiting for one, at most 5 min" in said and len(per_node(up)) == 1


def test_a_node_that_joins_is_used_and_one_that_leaves_loses_no_member(up: Nodes) -> None:
    up.add()
    sweep = up.sweep(spec(1.0))
    until_trained(up, 2)
    joined = up.add()
    deadline = time.monotonic() + LIMIT_S
    while len(per_node(up)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    up.kill(joined)
    said, _ = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 0, said
    assert "the cluster has room for 2 members at once now" in said and "left the cluster" in said
    assert {row.state for row in rows(up)} == {"complete"}


def test_a_node_whose_worker_starts_more_slowly_than_a_member_trains_gets_its_part(up: Nodes) -> None:
    """Its imports take 15 s. It is told nothing before it is up, and then trains as the other does."""
    here = up.folder / "here"
    here.mkdir()
    (here / "slow.py").write_text(
        "import os, time\nfrom objectives.toy import Toy\n"
        "time.sleep(float(os.environ.get('SLOW_S', '0')))\n\n\nclass Mine(Toy):\n    pass\n"
    )
    up.add()
    up.add(environment={"SLOW_S": "15"})
    sweep = up.sweep(spec(1.0).replace("objective: toy", "objective: slow:Mine"), here=here)
    said, _ = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 0, said
    trained = per_node(up)
    assert len(trained) == 2 and min(trained.values()) >= 3, trained


def test_a_node_with_other_code_is_refused_at_the_start_and_left_out_later(up: Nodes) -> None:
    """Else its members would be trained by other code, and compared with the rest."""
    root, other = Path(__file__).parents[2], up.folder / "other"
    for folder in ("infra", "objectives", "search"):
        shutil.copytree(root / folder, other / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "objectives" / "losses.py").open("a") as file:
        file.write("# another line\n")
    up.add()
    sweep = up.sweep(spec(1.0))
    until_trained(up, 1)
    joined = up.add(environment={"PYTHONPATH": str(other)})
    said, _ = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 0, said
    assert "the code of Lagrange" in said and "left out: " in said
    assert len(per_node(up)) == 1
    assert joined.poll() is None
    refused = up.sweep(spec(), "t")
    said, _ = refused.communicate(timeout=LIMIT_S)
    assert refused.returncode == 2 and "Every node must run what the driver runs" in said and "the code of Lagrange" in said, said
    assert not rows(up, "t")


def test_two_sweeps_share_the_cluster_and_the_second_says_what_it_waits_for(up: Nodes) -> None:
    """While the file `held` is there, no member of the first goes on: so the second must wait, however fast the machine is."""
    here, held = up.folder / "here", up.folder / "held"
    here.mkdir()
    (here / "halting.py").write_text(
        "import os, time\nfrom pathlib import Path\nfrom objectives.toy import Toy\n\n\nclass Mine(Toy):\n"
        "    def at_epoch(self, *given):\n        while Path(os.environ.get('HELD', 'none')).exists():\n            time.sleep(0.05)\n"
        "        return super().at_epoch(*given)\n"
    )
    up.add(cpus=2, environment={"HELD": str(held)})
    first = up.sweep(spec(1.0).replace("trials: 12", "trials: 500").replace("toy", "halting:Mine"), "first", here=here)
    until_trained(up, 3, "first")
    held.touch()
    second = up.sweep(spec(0.2), "second")
    assert second.stdout
    said = ""
    while "waiting for 1 other sweep" not in said:
        line = second.stdout.readline()
        assert line, said
        said += line
    held.unlink()
    said += second.communicate(timeout=LIMIT_S)[0]
    assert second.returncode == 0, said
    assert first.poll() is None, "the second did not wait for the end of the first"
    first.terminate()
    told, _ = first.communicate(timeout=LIMIT_S)
    assert "1 worker up" in told, told  # one of its two went to the second
    assert {row.facts["node"] for row in rows(up, "second")} == set(per_node(up, "first"))


def test_members_see_only_their_gpu_and_parts_of_gpus_add_up(up: Nodes) -> None:
    """The GPUs are simulated: Ray is told of two, and no device is there."""
    here, seen = up.folder / "here", up.folder / "seen"
    here.mkdir(), seen.mkdir()
    (here / "seeing.py").write_text(
        "import os\nfrom pathlib import Path\nfrom objectives.toy import Toy\n"
        "seen = os.environ.get('CUDA_VISIBLE_DEVICES', 'all')\n"
        "Path(os.environ.get('SEEN', '.'), f'{os.getpid()}:{seen}').touch()\nclass Mine(Toy):\n    pass\n"
    )
    up.add("--num-gpus=2", cpus=8, environment={"SEEN": str(seen)})
    own = spec(1.5).replace("objective: toy", "objective: seeing:Mine")
    refused = up.sweep(own + "resources: {gpu: 3}\n", "refused", here=here)
    said, _ = refused.communicate(timeout=LIMIT_S)
    assert refused.returncode == 2 and "needs 1 CPU, 3 GPU. The nodes have: (8 CPU, 2 GPU" in said, said
    assert not rows(up, "refused")
    shutil.rmtree(seen), seen.mkdir()
    halves = up.sweep(own + "resources: {gpu: 0.5}\n", here=here)
    said, _ = halves.communicate(timeout=LIMIT_S)
    assert halves.returncode == 0, said
    workers = {str(row.facts["pid"]) for row in rows(up)}
    gpus = Counter(file.name.partition(":")[2] for file in seen.iterdir() if file.name.partition(":")[0] in workers)
    assert gpus == {"0": 2, "1": 2}, (gpus, said)


def test_a_node_that_does_not_share_the_storage_is_refused(up: Nodes) -> None:
    """It has a folder of the same name on a disk of its own; here by a mount that only its processes see."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("to mount a folder takes root and a namespace")
    storage = up.folder / "storage"
    storage.mkdir()
    up.add()
    up.add(within=["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {storage} && exec "$@"', "sh"])
    refused = up.sweep(spec(), "s", "--storage", str(storage))
    said, _ = refused.communicate(timeout=LIMIT_S)
    assert refused.returncode == 2 and "All nodes must share the storage" in said, said
    assert not rows(up) and not list(storage.iterdir())


@pytest.mark.parametrize(
    ("asked", "zones"),
    [
        ("{placement: spread}", {"a": 1, "b": 1}),
        ("{placement: pack}", {"a": 2}),
        ('{labels: {zone: "!a"}, custom: {license: 1}}', {"b": 2}),
    ],
    ids=["spread", "pack", "labels"],
)
def test_workers_are_where_the_spec_wants_them(up: Nodes, asked: str, zones: dict[str, int]) -> None:
    up.add("--labels=zone=a", cpus=2)
    up.add("--labels=zone=b", '--resources={"license": 4}', cpus=3)
    sweep = up.sweep(spec(0.5, f"resources: {asked}\nworkers: 2\n"))
    said, _ = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 0, said
    workers = Counter(node for _, node in {(row.facts["pid"], row.facts["node"]) for row in rows(up)})
    assert sorted(workers.values()) == sorted(zones.values()), workers
    assert "2 workers up" in said


def test_an_autoscaler_hears_what_a_sweep_waits_for(up: Nodes) -> None:
    """A head without processors; Ray's own autoscaler starts nodes of 2 CPUs, as in a cloud. `workers: 4` asks for two."""
    empty = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands", "cluster_synced_files")
    lists = {
        name: list[str]() for name in (*empty, "head_start_ray_commands", "worker_start_ray_commands", "rsync_exclude", "rsync_filter")
    }
    kinds = {
        "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "small": {"resources": {"CPU": 2, "object_store_memory": 80_000_000}, "node_config": {}, "min_workers": 0, "max_workers": 3},
    }
    provider = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True, "disable_launch_config_check": True}
    config = up.folder / "autoscaler.json"
    config.write_text(
        json.dumps(
            {
                **lists,
                "cluster_name": "fake",
                "max_workers": 3,
                "provider": {**provider, "gcs_address": f"{ray_ip()}:{up.port}"},
                "available_node_types": kinds,
                "head_node_type": "head",
                "upscaling_speed": 1.0,
                "idle_timeout_minutes": 10,
                "auth": {},
                "docker": {},
                "file_mounts": {},
                "file_mounts_sync_continuously": False,
            }
        )
    )
    up.add(f"--autoscaling-config={config}", cpus=0, environment={"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"})
    sweep = up.sweep(spec(1.0, "workers: 4\nresources: {wait_minutes: 5}\n"))
    said, _ = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 0, said
    assert "waiting for one, at most 5 min" in said
    assert len(per_node(up)) == 2, said
