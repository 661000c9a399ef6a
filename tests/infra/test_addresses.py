"""An address of a Ray that cannot be used is one clear sentence, before Ray itself is asked."""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.ray import addresses
from infra.ray.addresses import Raylet, checked, raylets, require_token, resolved

HERE = {"ray": "2.60.0", "python": platform.python_version(), "mine": "2.60.0"}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine on which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


MINE, OTHER, PRIVATE = Raylet("10.0.0.1:6379", True, False), Raylet("10.0.0.2:6379", False, False), Raylet("10.0.0.3:1", True, True)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([], "there is none, and RAY_ADDRESS is not set"),
        ([OTHER], "does not take those of other users: 10.0.0.2:6379"),
        ([PRIVATE], "there is none, and"),
        ([MINE, Raylet("10.0.0.9:6379", True, False)], "it finds 10.0.0.1:6379, 10.0.0.9:6379. Name one"),
    ],
)
def test_auto_takes_no_ray_that_may_be_the_wrong_one(seen: list[Raylet], words: str) -> None:
    with pytest.raises(InfraError, match="--address auto must find") as caught:
        resolved("auto", lambda: seen)
    assert words in str(caught.value)


def test_auto_takes_the_one_ray_of_this_user_or_what_the_variable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved("auto", lambda: [MINE, MINE, OTHER, PRIVATE]) == MINE.gcs  # two nodes of one cluster on this machine
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert resolved("auto", lambda: [MINE]) == "head:6379"
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(InfraError, match="lagrange submit"):
        resolved("auto", lambda: [MINE])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ray://head:10001", "lagrange submit SPEC --address http://head:8265"),
        ("http://head:8265", "lagrange submit"),
        ("head", "auto or HOST:PORT"),
        ("head:0", "auto or HOST:PORT"),
        ("head:99999", "auto or HOST:PORT"),
        ("a b:1", "auto or HOST:PORT"),
        ("postgresql://user:secret@host/x", "auto or HOST:PORT"),
    ],
)
def test_what_is_no_address_of_a_ray_is_answered_with_what_to_use(address: str, words: str) -> None:
    with pytest.raises(InfraError) as caught:
        resolved(address)
    assert words in str(caught.value) and "secret" not in str(caught.value)


def test_nobody_listens_and_no_such_machine() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can take the port, and nobody answers
        with pytest.raises(InfraError, match="nothing listens there"):
            checked(f"127.0.0.1:{server.getsockname()[1]}", ask=lambda _: pytest.fail("Ray was asked"))
    with pytest.raises(InfraError, match=r"no machine has the name|cannot be reached"):
        checked("no-such-host.invalid:6379", ask=lambda _: pytest.fail("Ray was asked"))


@pytest.mark.parametrize(
    "theirs", [{"ray": "2.41.0"}, {"python": "3.9.1"}, {"python": platform.python_version() + "9"}], ids=["ray", "python", "patch"]
)
def test_another_ray_or_python_is_named_with_both_versions(port: int, theirs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = {**HERE, **theirs}
    with pytest.raises(InfraError, match=f"has Ray {found['ray']} and Python {found['python']}, here are Ray 2.60.0") as caught:
        checked(f"127.0.0.1:{port}", ask=lambda _: found, seen=lambda: [])
    assert "lagrange submit SPEC --address http://127.0.0.1:8265" in str(caught.value)
    monkeypatch.setenv("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "minor")
    if theirs.get("python", "").startswith(platform.python_version()):
        assert checked(f"127.0.0.1:{port}", ask=lambda _: found, seen=lambda: [Raylet(f"10.0.0.1:{port}", True, False)])


def test_a_machine_that_is_no_node_of_the_cluster_is_told_how_to_become_one(port: int) -> None:
    with pytest.raises(InfraError, match="must be a node of the cluster"):
        checked(f"127.0.0.1:{port}", ask=lambda _: HERE, seen=lambda: [MINE])
    node = Raylet(f"10.0.0.1:{port}", False, False)
    assert checked(f"127.0.0.1:{port}", ask=lambda _: HERE, seen=lambda: [node]) == f"127.0.0.1:{port}"


def test_a_token_that_is_missing_empty_or_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_token()  # no token is asked for
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InfraError, match=r"auth_token cannot be read: No such file"):
        require_token()
    file = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    for content, words in ((b"", "it is empty"), (b"\xff\xfe", "it is no text")):
        file.write_bytes(content)
        with pytest.raises(InfraError, match=words):
            require_token()
    file.write_text("abc\n")
    require_token()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('{"error": "AuthenticationError", "reason": "no"}', "wants a token, and this process sends none"),
        ('{"error": "RpcError", "reason": "http2"}', "does not answer as Ray does: http2"),
        ("", "no answer within"),
        ("not json", "no answer within"),
    ],
)
def test_what_the_process_that_asks_has_found(said: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = type("Done", (), {"stdout": f"noise of a library\n{said}\n"})
    monkeypatch.setattr(addresses.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(InfraError, match=words):
        addresses.versions("head:6379")


class Process:
    """A process as psutil shows it."""

    def __init__(self, words: list[str], parent: Process | None = None, user: str = "me") -> None:
        self.words, self.above, self.user = words, parent, user

    def name(self) -> str:
        return Path(self.words[0]).name if self.words else ""

    def cmdline(self) -> list[str]:
        return self.words

    def username(self) -> str:
        return self.user

    def parent(self) -> Process | None:
        return self.above


def test_the_rays_of_this_machine_and_who_keeps_one_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    started = Process(["/venv/bin/python", "/venv/bin/ray", "start", "--head", "--block"])
    driver = Process(["/venv/bin/python", "-m", "search.cli", "sweep"])
    raylet = ["/x/raylet/raylet", "--node_id=1"]
    processes = [
        Process([*raylet, "--gcs-address=10.0.0.1:1"], started),
        Process([*raylet, "--gcs-address=10.0.0.2:2"], Process(["/sbin/init"])),
        Process([*raylet, "--gcs-address=10.0.0.3:3"], driver),
        Process([*raylet, "--gcs-address=10.0.0.4:4"], None, user="other"),
        Process(["python", "--gcs-address=10.0.0.5:5"], started),
    ]
    monkeypatch.setattr(psutil, "process_iter", lambda: processes)
    monkeypatch.setattr(psutil, "Process", lambda: Process([]))
    assert raylets() == [
        Raylet("10.0.0.1:1", True, False),
        Raylet("10.0.0.2:2", True, False),
        Raylet("10.0.0.3:3", True, True),
        Raylet("10.0.0.4:4", False, False),
    ]


def test_of_two_tokens_the_one_that_is_sent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/right")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    assert "RAY_AUTH_TOKEN" not in addresses.which_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "stale")
    assert "RAY_AUTH_TOKEN, which is taken before RAY_AUTH_TOKEN_PATH: unset it" in addresses.which_token()
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    assert addresses.which_token().endswith("that of RAY_AUTH_TOKEN")
