"""Real small disks, with Ray: a storage, a home and a folder of temporary files that fill up or turn read-only in mid-sweep; and signals.

A disk is a file system in memory, in a mount namespace of its own that ends with the test. It needs root, or user namespaces.
"""

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
from pathlib import Path

import pytest

from infra.catalogue import Catalogue
from infra.storage import Home
from search.exit_codes import INTERRUPTED, OK, STORE_GONE
from search.running.where import IN_PROCESS

LAGRANGE = str(Path(sys.executable).parent / "lagrange")
UNSHARE = ["unshare", "--mount", *([] if getattr(os, "geteuid", lambda: 1)() == 0 else ["--user", "--map-root-user"])]


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()], capture_output=True, check=False)
    return tried.returncode == 0


pytestmark = [
    pytest.mark.cluster,
    pytest.mark.turns(2),
    pytest.mark.skipif(not _can_mount(), reason="no right to mount a small file system here"),
]

SPEC = """
objective: autoencoder
dataset: {name: digits}
search: {l2: {}}
budget: {trials: 4, epochs: 4}
confirm: {configs: 2, seeds: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a spec, an empty home and the mount point of a disk."""
    for name in ("home", "disk"):
        (tmp_path / name).mkdir()
    (tmp_path / "spec.yaml").write_text(SPEC)
    yield tmp_path


def on_a_disk(folder: Path, script: str, **environment: str) -> list[tuple[int, str]]:
    """Run a script of bash in `folder`, in a mount namespace of its own. Exit code and output of each command that it calls by `try`."""
    prelude = """
        n=0
        try() { n=$((n+1)); timeout 300 "$@" > out$n 2>&1; echo $? > code$n; }
    """
    command = [*UNSHARE, "bash", "-c", prelude + script]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    codes = sorted(folder.glob("code*"))
    return [(int(code.read_text()), (folder / code.name.replace("code", "out")).read_text()) for code in codes]


def stopped(out: str) -> str:
    """The one line that says why a sweep stopped."""
    lines = [line for line in out.splitlines() if "must be writable" in line]
    assert len(lines) == 1 and "Traceback" not in out, out
    return lines[0]


@pytest.mark.parametrize("address", [None, IN_PROCESS])
def test_a_storage_that_fills_up_in_mid_sweep(folder: Path, address: str | None) -> None:
    where = f"--home home --storage disk {f'--address {address}' if address else '--workers 2'} --plain"
    (before, out), (after, done) = on_a_disk(
        folder,
        f"""
        mount -t tmpfs -o size=300k tmpfs disk
        try {LAGRANGE} sweep spec.yaml --name s {where}
        ls -A disk/s | grep -c '^[.]' > hidden || true
        find disk \\( -name '.*' -o -name '*-new*' \\) -type f > left
        mount -o remount,size=100m disk
        try {LAGRANGE} resume s {where}
        """,
    )
    line = stopped(out)
    assert before == STORE_GONE and str(folder / "disk" / "s") in line and "are free" in line and "lagrange resume s" in line
    assert (folder / "left").read_text() == "" and (folder / "hidden").read_text().strip() == "0"
    assert after == OK, done
    with Catalogue(Home.open(folder / "home").catalogue_url) as catalogue:
        assert {row.state for row in catalogue.members("s")} <= {"complete", "stopped"}


READ_ONLY = ("disk", "mount -o remount,ro disk", "mount -o remount,rw disk", "it is read-only")
FULL = ("home", "dd if=/dev/zero of=home/ballast bs=64k", "rm home/ballast", "no space is left")  # open files forbid a remount


@pytest.mark.parametrize(("place", "broken", "mended", "words"), [READ_ONLY, FULL])
def test_a_disk_that_takes_no_more_in_mid_sweep(folder: Path, place: str, broken: str, mended: str, words: str) -> None:
    """Members that sleep keep the sweep in training while its disk changes."""
    spec = folder / "spec.yaml"
    spec.write_text("objective: toy\ndataset: {name: none, seconds_per_epoch: 1.0}\nbudget: {trials: 6, epochs: 4}\nconfirm: {seeds: 2}\n")
    where = "--home home --storage disk --workers 2 --plain"
    (before, out), (after, done) = on_a_disk(
        folder,
        f"""
        mount -t tmpfs -o size=50m tmpfs {place}
        try {LAGRANGE} sweep spec.yaml --name s {where} &
        until grep -q '^s: toy' out1; do sleep 0.2; done
        sleep 3
        {broken}
        wait
        {mended}
        n=1
        try {LAGRANGE} resume s {where}
        """,
    )
    line = stopped(out)
    assert before == STORE_GONE and words in line and str(folder / place) in line
    assert after == OK, done


def test_a_full_folder_of_temporary_files_is_refused_before_anything_begins(folder: Path) -> None:
    ((code, out),) = on_a_disk(
        folder,
        f"""
        mount -t tmpfs -o size=64k tmpfs disk
        try {LAGRANGE} sweep spec.yaml --name s --home home --plain
        """,
        TMPDIR=str(folder / "disk"),
    )
    assert code == STORE_GONE and str(folder / "disk") in stopped(out)
    assert not list((folder / "home").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_sweep_whose_members_do_not_listen(number: int, tmp_path: Path) -> None:
    """An epoch takes an hour: only who ends the worker can end the sweep."""
    (tmp_path / "spec.yaml").write_text(
        "objective: toy\ndataset: {name: none, seconds_per_epoch: 3600}\nlimits: {silence_seconds: 7200}\ncheck: false\n"
    )
    with (tmp_path / "out").open("w") as out:
        command = [LAGRANGE, "sweep", "spec.yaml", "--name", "s", "--home", "home", "--workers", "2", "--plain"]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out)
    home = Home.open(tmp_path / "home")
    deadline = time.monotonic() + 240
    while not _training(home):
        assert time.monotonic() < deadline and process.poll() is None, (tmp_path / "out").read_text()
        time.sleep(0.2)
    process.send_signal(number)
    began = time.monotonic()
    assert process.wait(timeout=240) == INTERRUPTED, (tmp_path / "out").read_text()
    (tmp_path / "seconds.json").write_text(json.dumps(time.monotonic() - began))  # for whoever wants to know
    assert "lagrange resume s" in (tmp_path / "out").read_text()
    with Catalogue(home.catalogue_url) as catalogue:
        assert catalogue.seen("s").status == "interrupted"


def _training(home: Home) -> bool:
    if not (home.root / "lagrange.db").exists():
        return False
    with Catalogue(home.catalogue_url) as catalogue:
        return catalogue.has_sweep("s") and bool(catalogue.members("s"))
