"""What keeps others out of a local Ray: its token goes with the process, and its switch is set for its start alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from infra.ray import private

BEGIN = "from infra.ray import private; import os; private.token(); print(os.environ['RAY_AUTH_TOKEN_PATH'])"


def token_of(ending: str, folder: Path) -> Path:
    """The token of a process that ends so."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}; {ending}"], env={**own, "TMPDIR": str(folder)}, capture_output=True, text=True, check=False
    )
    return Path(done.stdout.strip())


def test_a_token_is_for_its_user_and_goes_with_its_process(tmp_path: Path) -> None:
    looked = "p = os.environ['RAY_AUTH_TOKEN_PATH']; m = os.stat(p).st_mode & 0o777, os.stat(os.path.dirname(p)).st_mode & 0o777"
    assert token_of(f"{looked}; assert m == (0o600, 0o700) and len(open(p).read()) == 64, m; raise SystemExit(3)", tmp_path).name == "token"
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_forked_does_not_take_the_token_along(tmp_path: Path) -> None:
    fork = "child = os.fork(); os.waitpid(child, 0) if child else __import__('sys').exit()"
    kept = "open('kept', 'w').write(str(os.path.exists(os.environ['RAY_AUTH_TOKEN_PATH'])))"
    assert token_of(f"os.chdir(os.environ['TMPDIR']); {fork}; {kept}", tmp_path).name == "token"
    assert (tmp_path / "kept").read_text() == "True"
    (tmp_path / "kept").unlink()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = token_of("os.kill(os.getpid(), 9)", tmp_path)
    assert left.exists()
    living = tmp_path / f"{private.PREFIX}{os.getpid()}-x"
    other = tmp_path / "lagrange-others"
    for folder in (living, other):
        folder.mkdir()
    (tmp_path / f"{private.PREFIX}1-link").symlink_to(other)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    private.remove_left()
    assert not left.exists()
    assert living.exists() and other.exists()


def test_a_ray_is_bound_to_loopback_while_it_starts_and_clusters_may_be_joined_after(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray._private.ray_constants as constants

    import infra.ray.cluster

    seen: list[Any] = []
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **_: seen.append((os.environ.get(private._CLUSTERS), constants.ENABLE_RAY_CLUSTER)))
    node = {"NodeID": "a", "NodeManagerHostname": "a", "Alive": True, "Resources": {"CPU": 2.0}}
    monkeypatch.setattr("ray.nodes", lambda: [node])
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.setattr("ray.shutdown", lambda: None)
    before = os.environ.get(private._CLUSTERS), constants.ENABLE_RAY_CLUSTER
    with infra.ray.cluster.connect(workers=1):
        assert seen == [("0", False)]
        assert (os.environ.get(private._CLUSTERS), constants.ENABLE_RAY_CLUSTER) == before
