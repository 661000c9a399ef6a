"""Files behind a URL: brought, kept whole or not at all, removed. And what cannot be used is a sentence."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from infra.errors import InfraError, StorageError
from infra.storage import Home, silence
from infra.storage.depot import Depot
from tests import s3


class Disk(LocalFileSystem):
    """A store in which a file is seen while it is written, as on any server of files."""

    protocol = "disk"
    broken = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return LocalFileSystem._strip_protocol(str(path).removeprefix("disk://"))

    def put_file(self, path1: Any, path2: Any, callback: Any = None, **kwargs: Any) -> None:
        super().put_file(path1, path2)
        if Disk.broken:
            raise OSError("the line is dead")


fsspec.register_implementation("disk", Disk, clobber=True)


@pytest.fixture(params=["folder", "memory", "disk", pytest.param("s3", marks=pytest.mark.cluster)])
def depot(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Depot]:
    here = tmp_path / "here"
    if request.param == "s3":
        with s3.served(monkeypatch):
            yield Depot(f"s3://{s3.BUCKET}/a/b", here)
        return
    yield Depot({"folder": "", "memory": f"memory://{tmp_path.name}", "disk": f"disk://{tmp_path}/there"}[request.param], here)


def elsewhere(depot: Depot) -> Depot:
    """The same files from another machine."""
    return Depot(depot.url, depot.here.with_name("other") if depot.url else depot.here)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_one_machine_keeps_another_one_finds(depot: Depot) -> None:
    first, second = written(depot.here / "s/00001/weights.pt", "one"), written(depot.here / "s/00001/own/files/x", "two")
    depot.put(first, second)
    other = pickle.loads(pickle.dumps(elsewhere(depot)))
    assert other.has(other.here / "s/00001/weights.pt") and not other.has(other.here / "s/00001/none")
    assert other.fetch(other.here / "s/00001/weights.pt").read_text() == "one"
    assert other.fetch(other.here / "s/00001/own") == other.here / "s/00001/own"
    assert (other.here / "s/00001/own/files/x").read_text() == "two"
    assert other.names(other.here / "s/00001", "w*.pt") == [other.here / "s/00001/weights.pt"]
    assert other.tree(other.here) == [other.here / "s/00001/own/files/x", other.here / "s/00001/weights.pt"]


def test_the_newest_is_fetched_and_what_is_gone_is_gone_here_too(depot: Depot) -> None:
    path, other = depot.here / "s/1/checkpoint.pt", elsewhere(depot)
    depot.put(written(path, "old"))
    there = other.fetch(other.here / "s/1/checkpoint.pt")
    depot.put(written(path, "new"))
    assert other.fetch(there).read_text() == "new"
    depot.remove(path, depot.here / "s/1/never.json")
    assert not other.fetch(there).exists() and not depot.has(path)


def test_a_folder_is_removed_and_its_neighbour_stays(depot: Depot) -> None:
    depot.put(written(depot.here / "s-1/0/a", "a"), written(depot.here / "s-10/0/a", "b"))
    depot.remove_folder(depot.here / "s-1")
    depot.remove_folder(depot.here / "never")
    assert depot.tree(depot.here) == [depot.here / "s-10/0/a"]


def test_a_file_of_which_only_a_part_arrived_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depot = Depot(f"disk://{tmp_path}/there", tmp_path / "here")
    path = written(depot.here / "s/weights", "old")
    depot.put(path)
    monkeypatch.setattr(Disk, "broken", True)
    path.write_text("new")
    with pytest.raises(InfraError, match="the line is dead"):
        depot.put(path)
    assert elsewhere(depot).fetch(tmp_path / "other/s/weights").read_text() == "old"


def test_a_download_that_breaks_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depot = Depot(f"disk://{tmp_path}/there", tmp_path / "here")
    path = written(depot.here / "s/weights", "old")
    depot.put(path)

    def torn(self: Disk, remote: str, local: str, **more: Any) -> None:
        Path(local).write_text("ne")
        raise OSError("the line is dead")

    monkeypatch.setattr(Disk, "get_file", torn)
    with pytest.raises(InfraError):
        depot.fetch(path)
    assert path.read_text() == "old" and [one.name for one in path.parent.iterdir()] == ["weights"]


def test_an_object_that_would_lie_outside_is_not_fetched(tmp_path: Path) -> None:
    """Who can write into a bucket may name objects as they like."""
    depot = Depot(f"memory://{tmp_path.name}", tmp_path / "home" / "copies")
    store = fsspec.filesystem("memory")
    for name in ("s/../../../planted", "s/..\\..\\planted"):
        store.pipe_file(f"memory://{tmp_path.name}/{name}", b"planted")
    depot.put(written(depot.here / "s/mine", "mine"))
    depot.fetch(depot.here / "s")
    assert depot.tree(depot.here) == [depot.here / "s/mine"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


# What cannot be used ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "s3://KEY:HUSH@bucket/x",
        "s3://HUSH@bucket",
        "s3://KEY:HU/SH@bucket/x",
        "s3://bucket/x?secret=HUSH",
        "sftp://me:HUSH@host/x",
        "s3://",
        "simplecache::s3://bucket",
        "s3://a b",
    ],
)
def test_a_url_with_a_secret_or_without_a_name_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    with pytest.raises(InfraError) as refused:
        Home.open(tmp_path, storage=text)
    assert "plain URL" in str(refused.value) and "HUSH" not in str(refused.value) and "SH" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://b/x/", "s3://b/x"),
        ("S3://b", "s3://b"),
        ("gs://b/x", "gs://b/x"),
        ("abfs://box@account.x.net/p", "abfs://box@account.x.net/p"),
    ],
)
def test_a_url_is_kept_as_it_is_and_a_folder_stays_a_folder(given: str, url: str, tmp_path: Path) -> None:
    home = Home.open(tmp_path, storage=given)
    assert (home.storage_url, home.kept_at) == (url, url)
    assert home.weights("s", 3).is_relative_to(tmp_path)
    for folder in (str(tmp_path / "x"), f"file://{tmp_path / 'x'}"):
        home = Home.open(tmp_path, storage=folder)
        assert (home.storage_url, home.storage, home.kept_at) == ("", tmp_path / "x", str(tmp_path / "x"))


@pytest.mark.parametrize(
    "text",
    [
        "s3:bucket",
        "S3:bucket/x",
        "gs:",
        "s3:/bucket",
        "s3//bucket",
        " s3://bucket",
        "https:/h/x",
        "https://h/x",
        "HTTP://h",
        "file:/x",
        "file:x",
        "abfs:box",
        "file://",
        "FILE://",
        "s3:KEY:HUSH@bucket",
    ],
)
def test_what_was_meant_as_a_url_makes_no_folder(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InfraError, match=r"A storage must .* Name ") as refused:
        Home.open(tmp_path, storage=text)
    assert "HUSH" not in str(refused.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["./s3:bucket", "C:/members", "s3", "a/b:c", "~/x", "members//s3"])
def test_a_folder_may_have_any_name(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not Home.open(tmp_path, storage=text).storage_url
    assert Home.open(tmp_path, storage=f"FILE://{tmp_path}/x").storage == tmp_path / "x"


def test_a_protocol_that_nobody_knows_and_a_package_that_is_missing_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"nosuch://x must have a protocol that fsspec knows"):
        Depot("nosuch://x", tmp_path).prove()
    fsspec.register_implementation("absent", "no_such_package.Store", clobber=True, errtxt="Install no_such_package")
    with pytest.raises(InfraError, match=r"absent://x needs a package that is not installed: Install no_such_package\. Install it on all"):
        Depot("absent://x", tmp_path).prove()


def test_a_store_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "ANSWER_S", 0.05)
    monkeypatch.setattr(Disk, "pipe_file", lambda *given, **more: time.sleep(1))
    with pytest.raises(InfraError, match="must answer; it did not within"):
        Depot(f"disk://{tmp_path}/there", tmp_path).prove()


def test_so_is_one_that_falls_silent_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENT_S", 0.05)
    monkeypatch.setattr(Disk, "isfile", lambda *given, **more: time.sleep(1))
    at = Depot(f"disk://{tmp_path}/there", tmp_path)
    with pytest.raises(StorageError, match=r"must be reachable: it said nothing for 0\.05 s while looking for x\. Look whether it runs"):
        at.has(tmp_path / "x")


ASKED: dict[str, Callable[[Depot, Path], object]] = {
    "looking for": lambda depot, path: depot.has(path),
    "fetching": lambda depot, path: depot.fetch(path),
    "sending": lambda depot, path: depot.put(path),
    "removing": lambda depot, path: depot.withdraw(path),
    "listing": lambda depot, path: depot.tree(path),
    "writing": lambda depot, path: depot.write(path, "x"),
    "reading": lambda depot, path: depot.read(path),
}


@pytest.mark.parametrize("size", [10, 3 * silence.PART], ids=["one part", "several"])
def test_nothing_that_is_asked_of_a_silent_server_waits_without_an_end(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection. Neither what is sent nor what is asked for comes to an end by itself for minutes."""
    monkeypatch.setattr(silence, "SILENT_S", 0.3)
    depot, path = Depot(f"s3://{s3.BUCKET}/a", tmp_path), tmp_path / "s" / "00001" / "checkpoint.pt"
    with s3.silent(monkeypatch):
        for doing, ask in ASKED.items() if size == 10 else [("sending", ASKED["sending"])]:
            written(path, "x" * size)
            with pytest.raises(StorageError) as gone:
                ask(depot, path)
            seconds = "0.6" if size > 10 else "0.3"  # of much that is sent a store may say nothing before it has all of it
            said = f"The storage {depot.url} must be reachable: it said nothing for {seconds} s while {doing} s/00001/checkpoint.pt. "
            assert str(gone.value) == said + "Look whether it runs, and whether this machine reaches it."
        assert "it said nothing for 0.3 s while removing s" in depot.remove_folder(path.parent.parent)
        depot.remove(path)
    assert not path.exists(), "what lies here is removed all the same"


@pytest.mark.parametrize("ask", [pytest.param(ask, id=name) for name, ask in ASKED.items() if name not in ("sending", "removing")])
def test_a_folder_of_a_server_that_is_away_is_given_up(
    ask: Callable[[Depot, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does: each call waits in the kernel."""
    never = threading.Event()
    monkeypatch.setattr(silence, "SILENT_S", 0.2)
    for name in ("is_file", "exists", "glob", "rglob", "mkdir", "read_text"):
        monkeypatch.setattr(Path, name, lambda self, *given, **more: never.wait(20))
    try:
        with pytest.raises(
            StorageError, match=r"The storage /.* must answer: /.*x could not be .* within 0\.2 s\. Look whether the server"
        ):
            ask(Depot("", tmp_path), tmp_path / "x")
    finally:
        never.set()


def test_a_transfer_may_take_longer_than_the_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both where a store tells of each part, and where it tells nothing and the file grows."""
    monkeypatch.setattr(silence, "SILENT_S", 1.0)
    monkeypatch.setattr(silence, "LOOK_S", 0.05)
    depot = Depot(f"disk://{tmp_path}/there", tmp_path / "here")

    def slowly(self: Disk, remote: str, local: str, callback: Any = None, **more: Any) -> None:
        with Path(local).open("w") as file:
            for _ in range(15):
                time.sleep(0.1)
                if remote.endswith("told"):
                    callback.relative_update(1)
                else:
                    file.write("x")
                    file.flush()

    depot.put(written(depot.here / "told", "x"), written(depot.here / "grows", "x"))
    monkeypatch.setattr(Disk, "get_file", slowly)
    assert depot.fetch(depot.here / "told").read_text() == ""
    assert depot.fetch(depot.here / "grows").read_text() == 15 * "x"


def test_a_store_that_was_silent_is_given_less_time_until_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENT_S", 0.3)
    monkeypatch.setattr(silence, "ANSWER_S", 0.1)
    depot, path, real = Depot(f"disk://{tmp_path}/there", tmp_path / "here"), tmp_path / "here" / "x", Disk.isfile
    for seconds in ("0.3", "0.1", "0.1"):
        monkeypatch.setattr(Disk, "isfile", lambda *given, **more: time.sleep(1))
        with pytest.raises(StorageError, match=f"nothing for {seconds} s"):
            depot.has(path)
    monkeypatch.setattr(Disk, "isfile", real)
    assert not depot.has(path)
    monkeypatch.setattr(Disk, "isfile", lambda *given, **more: time.sleep(1))
    with pytest.raises(StorageError, match=r"nothing for 0\.3 s"):
        depot.has(path)


def test_a_probe_leaves_nothing(depot: Depot) -> None:
    depot.prove(alone=True)
    assert depot.tree(depot.here) == []


def test_a_store_in_memory_is_no_store_for_workers(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="seen by this process only"):
        Depot("memory://x", tmp_path).prove()
