"""A system that lacks what only Linux, Unix or glibc has: infra is imported whole and does its work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.hidden import HIDDEN

WORK = """
import importlib, json, pkgutil
from pathlib import Path

import infra

for found in pkgutil.walk_packages(infra.__path__, "infra."):
    importlib.import_module(found.name)

from infra import machine
from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.errors import InfraError
from infra.storage import Home
from infra.tracking.client import alone as _alone
from infra.tracking.spool import Spool

home = Home.open(sys.argv[1])
with Catalogue(home.catalogue_url) as catalogue:
    catalogue.create_sweep(SweepRow("s", {}))
    with catalogue.lock("s"):
        driver = catalogue.locked_by("s")
        try:
            catalogue.lock("s").__enter__()
        except InfraError as error:
            refused = str(error)
        catalogue.add_members("s", [MemberRow(1, {"l2": 0.1}, 7)])
        catalogue.end_member("s", 1, state="complete", score=1.0)
    free = catalogue.locked_by("s")
    state = catalogue.member("s", 1).state

spool = Spool(home.spool / "s.jsonl")
spool.append({"kind": "log", "run": 1})
records, offset = spool.read()
spool.confirm(offset, {"experiment": "lagrange"})
left = spool.unsent_records()
with _alone(home.root / "mlflow.db"):
    alone = True

print(json.dumps({
    "cores": machine.cores(), "limited": machine.limit_memory(2.0**20), "returned": machine.return_memory(), "driver": driver,
    "refused": refused, "free": free, "state": state, "records": records, "left": left, "alone": alone,
    "sent": Spool(home.spool / "s.jsonl").sent == offset, "loaded": [name for name in ("fcntl", "resource") if name in sys.modules],
}))
"""


def test_infra_works_without_what_only_linux_has(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HIDDEN + WORK, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["cores"] >= 1
    assert found["limited"] is False and found["returned"] is False
    assert "process" in found["driver"] and "has one driver" in found["refused"] and found["free"] is None
    assert found["state"] == "complete"
    assert found["records"] == [{"kind": "log", "run": 1}] and found["left"] == 0 and found["sent"] and found["alone"]
    assert found["loaded"] == []  # else nothing was hidden
