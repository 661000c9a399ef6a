"""Where a sweep runs: which Ray an address names, what goes there, and the end of a Ray that was started for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.errors import InfraError
from infra.ray import addresses
from infra.ray.addresses import Raylet
from infra.ray.cluster import Cluster
from infra.storage import Home
from search.running import in_process
from search.running.where import IN_PROCESS, Where, shipped
from search.spec.reading import read


class Told(list[str]):
    """A listener that keeps what it is told."""

    def note(self, text: str) -> None:
        self.append(text)


def test_garbage_of_the_training_is_collected_before_ray_is_shut_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to an object of Ray's that is collected while another thread shuts Ray down ends the process (Ray 2.60, exit code 1)."""
    order: list[str] = []

    class Reference:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            order.append("collected")

    def carry_out(*_: Any) -> bool:
        Reference()
        return True

    monkeypatch.setattr(in_process, "carry_out", carry_out)
    up = Cluster(None, 1, {}, lambda: order.append("shut down"))
    dispatch: Any = SimpleNamespace(up=up)
    plan: Any = SimpleNamespace(halted="")
    assert Where(Home.open(tmp_path), address=IN_PROCESS).carry_out(plan, dispatch, lambda: False)
    assert order == ["collected", "shut down"]


def test_it_is_said_which_ray_auto_has_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    told: Any = Told()
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert Where(Home.open(tmp_path), address="auto", listener=told)._resolved() == "head:6379"
    assert told == ["--address auto: the Ray at head:6379"]
    assert Where(Home.open(tmp_path), address="10.0.0.1:6379", listener=told)._resolved() == "10.0.0.1:6379" and len(told) == 1
    assert Where(Home.open(tmp_path))._resolved() is None
    for address, words in (("ray://h:1", "lagrange submit"), ("http://h:1", "lagrange submit"), ("nothing", "auto, HOST:PORT")):
        with pytest.raises(InfraError, match=words):
            Where(Home.open(tmp_path), address=address)._resolved()


def test_an_address_is_looked_at_before_ray_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refused(address: str, **_: Any) -> str:
        asked.append(address)
        raise InfraError("nobody listens")

    monkeypatch.setattr(addresses, "checked", refused)
    spec = read({"objective": "toy", "dataset": {"name": "none"}})
    with pytest.raises(InfraError, match="nobody listens"), Where(Home.open(tmp_path), address="10.0.0.1:6379", tracking=False).up(spec):
        pass
    assert asked == ["10.0.0.1:6379"] and not list(tmp_path.iterdir())


def test_a_remote_ray_gets_what_the_spec_names_and_a_local_one_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    for name in ("train.py", "other.py", ".env"):
        (tmp_path / name).write_text("")
    spec = read(
        {
            "objective": "command",
            "command": "python train.py --lr {lr} --seed {seed} .env",
            "knobs": {"lr": {"low": 0.1, "high": 1}},
            "score": "x",
        }
    )
    told = Told()
    with shipped([spec], "10.0.0.1:6379", told.note) as folder:
        assert folder is not None and [path.name for path in folder.iterdir()] == ["train.py"]
    assert told == [".env does not go to the nodes: hidden files, stores and keys are never shipped"]
    for address in (None, IN_PROCESS):
        with shipped([spec], address) as folder:
            assert folder is None
    with shipped([read({"objective": "toy", "dataset": {"name": "none"}})], "10.0.0.1:6379") as folder:
        assert folder is None
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"working_dir": "gcs://a.zip"}}')
    with shipped([spec], "10.0.0.1:6379") as folder:
        assert folder is None


def test_two_rays_of_this_user_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(addresses, "raylets", lambda: [Raylet("a:1", True, False), Raylet("b:2", True, False)])
    with pytest.raises(InfraError, match="it finds a:1, b:2"):
        addresses.resolved("auto", addresses.raylets)
