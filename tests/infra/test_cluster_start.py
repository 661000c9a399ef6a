"""Ray that does not start is the user's to know of, in words."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from infra.errors import InfraError
from infra.ray import cluster
from infra.ray.nodes import Need
from infra.ray.unbroken import unbroken
from search.running.where import WORKERS_SOON


def test_a_ray_that_does_not_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def late(**_: Any) -> None:
        raise Exception("The current node timed out during startup.\nA page of hints")

    monkeypatch.setattr(ray, "init", late)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with (
        pytest.raises(InfraError, match=r"did not: The current node timed out during startup\. If the machine is very busy") as found,
        cluster.connect(),
    ):
        pass
    assert "page of hints" not in str(found.value)


def a_node(resources: dict[str, float], alive: bool = True, **labels: str) -> dict[str, Any]:
    """A node as Ray tells of it."""
    name = f"{labels or resources}"
    return {"NodeID": name, "NodeManagerHostname": "host", "Alive": alive, "Resources": resources, "Labels": labels}


class _Ray:
    """Ray as `connect` uses it, without processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import ray

        self.preloaded: list[str | None] = []
        self.nodes = [a_node({"CPU": 2.0, "GPU": 1.0})]
        self.went = threading.Event()
        self.downs: list[str] = []
        monkeypatch.setattr(ray, "init", lambda **_: self.preloaded.append(os.environ.get(cluster.PRELOAD)))
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0, "GPU": 1.0})
        monkeypatch.setattr(ray, "nodes", lambda: self.nodes)
        monkeypatch.setattr(ray, "shutdown", self._shutdown)

    def _shutdown(self) -> None:
        assert self.went.wait(60)
        self.downs.append(threading.current_thread().name)


@pytest.mark.parametrize(("need", "preloaded"), [({}, "one,two"), ({"cpu": 0.5}, "one,two"), ({"cpu": 2}, None), ({"gpu": 1}, None)])
def test_only_workers_that_will_train_import_ahead(monkeypatch: pytest.MonkeyPatch, need: dict[str, float], preloaded: str | None) -> None:
    ray = _Ray(monkeypatch)
    ray.went.set()
    monkeypatch.setenv(cluster.PRELOAD, "of an earlier sweep")
    with cluster.connect(workers=1, workers_ahead=("one", "two"), need=Need(**need)):
        assert ray.preloaded == [preloaded]


def test_a_released_ray_goes_down_once_while_other_things_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = _Ray(monkeypatch)
    with cluster.connect(workers=1) as up:
        up.release()  # would wait forever if it waited for the end
        assert not ray.downs
        ray.went.set()
    assert ray.downs == ["lagrange-shutdown"]


def test_a_ray_that_nobody_releases_goes_down_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = _Ray(monkeypatch)
    ray.went.set()
    with cluster.connect(workers=1):
        pass
    assert ray.downs == ["MainThread"]


def test_the_ray_of_others_is_not_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray as real

    ray = _Ray(monkeypatch)
    monkeypatch.setattr(real, "is_initialized", lambda: True)
    with cluster.connect(workers=1) as up:
        up.release()
    assert not ray.downs


def test_what_workers_import_ahead_uses_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would say so, but only after numpy and torch are there."""
    from infra.ray import one_thread

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    importlib.reload(one_thread)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    importlib.reload(one_thread)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert WORKERS_SOON[0] == one_thread.__name__


def test_a_member_that_no_single_node_can_hold_is_refused_with_what_the_nodes_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes of one processor each hold no member of two, though they have two in all."""
    ray = _Ray(monkeypatch)
    ray.went.set()
    ray.nodes = [a_node({"CPU": 1.0}, zone="a"), a_node({"CPU": 1.0}, zone="b"), a_node({"CPU": 64.0}, alive=False)]
    monkeypatch.setattr(cluster, "autoscaled", lambda: False)
    with pytest.raises(InfraError, match=r"needs 2 CPU, 0 GPU\. The nodes have: \(1 CPU.*zone: a"), cluster.connect(need=Need(cpu=2)):
        pass
    with cluster.connect(need=Need(cpu=1)) as up:
        assert up.workers == 2
    with cluster.connect(need=Need(cpu=1), workers=1) as up:
        assert (up.workers, up.most) == (1, 1)


@pytest.mark.parametrize("why", ["minutes", "autoscaled", "head"])
def test_where_nodes_may_come_one_is_waited_for_and_it_is_said(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ray, said, looks = _Ray(monkeypatch), list[str](), list[float]()
    ray.went.set()
    ray.nodes = [a_node({"CPU": 0.0} if why == "head" else {"CPU": 1.0})]

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            ray.nodes = [*ray.nodes, a_node({"CPU": 4.0})]

    monkeypatch.setattr(cluster.time, "sleep", sleep)
    monkeypatch.setattr(cluster, "autoscaled", lambda: why == "autoscaled")
    monkeypatch.setattr(cluster, "asked_for", lambda need: contextlib.nullcontext())
    monkeypatch.setattr(cluster, "_start", lambda *_: None)
    with cluster.connect("head:1", need=Need(cpu=2), wait_minutes=5 if why == "minutes" else None, note=said.append) as up:
        assert (up.workers, len(looks)) == (2, 3)
    assert "no node has room for a member (2 CPU, 0 GPU) yet" in said[0]


def test_waiting_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = _Ray(monkeypatch)
    ray.went.set()
    monkeypatch.setattr(cluster, "asked_for", lambda need: contextlib.nullcontext())
    with pytest.raises(InfraError, match="came within 0 min"), cluster.connect(need=Need(cpu=9), wait_minutes=0):
        pass


class _Stopped(BaseException):
    """What a handler raises."""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("address", [None, "127.0.0.1:6379"])
def test_a_signal_in_the_midst_of_rays_start_is_heard_when_ray_is_up(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, address: str | None
) -> None:
    """An exception inside Ray's start leaves it half made, and Ray then aborts the process. Its own handlers end it with other codes."""
    import ray

    told: list[str] = []

    def stop(number: int, frame: Any) -> None:
        told.append("heard")
        raise _Stopped

    def begin(**_: Any) -> None:
        ray._private.utils.set_sigterm_handler(lambda *_: told.append("Ray's handler"))
        signal.raise_signal(number)
        told.append("up")

    monkeypatch.setattr(ray, "init", begin)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: told.append("down"))
    monkeypatch.setattr(cluster.addresses, "checked", lambda address: address)
    setting, before = ray._private.utils.set_sigterm_handler, signal.signal(number, stop)
    try:
        with pytest.raises(_Stopped), cluster.connect(address):
            pass
        assert told == ["up", "heard", "down"] and signal.getsignal(number) is stop
        assert ray._private.utils.set_sigterm_handler is setting
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_second_signal_is_not_kept_waiting_and_who_listens_to_no_sigterm_leaves_it_to_ray() -> None:
    import ray

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(KeyboardInterrupt), unbroken(SimpleNamespace(_private=ray._private, shutdown=lambda: None)):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second one was kept waiting")
        theirs = signal.SIG_IGN
        with unbroken(ray):
            ray._private.utils.set_sigterm_handler(theirs)
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
