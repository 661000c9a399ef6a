"""Whether a disk is why something failed, and the sentence that says so."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.errors import InfraError, StorageError
from infra.storage import disk, replaced
from infra.tracking.spool import Spool
from objectives import _files
from objectives.programs.keeping import save_numbers

FULL = [errno.ENOSPC, errno.EDQUOT]
CLOSED = [errno.EROFS, errno.EACCES, errno.EIO]


def error_of(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


@pytest.mark.parametrize("number", FULL)
def test_no_room_is_a_reason_wherever_the_file_lies_and_however_deep_it_is_hidden(number: int, tmp_path: Path) -> None:
    try:
        try:
            raise error_of(number, tmp_path / "file")
        except OSError as error:
            raise RuntimeError("a library says it in its own words") from error
    except RuntimeError as error:
        said = disk.fault(error, [])
    assert said.startswith(f"{tmp_path / 'file'} must be writable") and "are free" in said and "make room" in said


@pytest.mark.parametrize("number", CLOSED)
def test_a_file_that_may_not_be_written_is_a_reason_only_in_our_places(number: int, tmp_path: Path) -> None:
    assert "make it writable" in disk.fault(error_of(number, tmp_path / "a" / "file"), [tmp_path])
    assert disk.fault(error_of(number, tmp_path / "file"), [tmp_path / "a"]) == ""


@given(number=st.sampled_from(sorted(set(errno.errorcode) - {*FULL, *disk._CLOSED})))
def test_no_other_error_is_a_disks(number: int) -> None:
    assert disk.fault(error_of(number, Path("/a")), [Path("/")]) == ""


def test_how_much_is_needed_is_said_where_it_is_known() -> None:
    error = error_of(errno.ENOSPC, Path("/a"))
    error.needed = 4_100_000  # type: ignore[attr-defined]
    assert "at least 4.1 MB are needed" in disk.fault(error, [])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("OSError: [Errno 28] No space left on device: '/data/x'", "/data/x"),
        ("SafetensorError: I/O error: No space left on device (os error 28)", "a disk"),
        ("Traceback …\nOSError: [Errno 122] Disk quota exceeded: '/q'", "/q"),
    ],
)
def test_the_words_of_another_process_say_it_too(words: str, named: str) -> None:
    assert disk.fault_of_words(words, []).startswith(named)


def test_words_that_say_something_else_say_nothing_of_a_disk() -> None:
    assert disk.fault_of_words("OSError: [Errno 2] No such file: '/data/x'", [Path("/data")]) == ""
    assert disk.fault_of_words("ValueError: 28", [Path("/")]) == ""


def test_a_sqlite_file_that_takes_no_more_is_a_disks_fault(tmp_path: Path) -> None:
    """SQLite itself says that it is full: here because of a limit on its pages."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(sa.exc.OperationalError) as caught, engine.begin() as connection:
        connection.exec_driver_sql("create table t (x)")
        connection.exec_driver_sql("pragma max_page_count=2")
        connection.execute(sa.text("insert into t values (zeroblob(100000))"))
    assert disk.fault(caught.value, [tmp_path / "a.db"]).startswith(f"{tmp_path / 'a.db'} must be writable, but no space is left")


def test_a_catalogue_that_takes_no_more_says_which_file_and_has_an_error_of_its_own(tmp_path: Path) -> None:
    with Catalogue(f"sqlite:///{tmp_path / 'a.db'}") as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))

        def small(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute("pragma max_page_count=1")

        catalogue.close()
        sa.event.listen(catalogue._database._engine, "connect", small)
        with pytest.raises(StorageError, match=r"a\.db must be writable, but no space is left"):
            catalogue.add_members("s", [MemberRow(n, {"l2": 0.1}, 7, phase="search", arm="x" * 1000) for n in range(200)])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("hidden", [False, True])
def test_a_file_that_did_not_fit_leaves_nothing_and_its_error_has_path_and_number(
    hidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch says `unexpected pos 64 vs 0` where its file did not fit. Then the disk is asked."""
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("before")
    if hidden:
        monkeypatch.setattr(_files, "_refused", lambda error, folder: errno.ENOSPC)
    with pytest.raises(OSError, match="No space left") as caught, _files.replaced(path) as beside:
        beside.write_bytes(bytes(1000))
        if hidden:
            raise RuntimeError("unexpected pos 64 vs 0")
        Path("/dev/full").write_bytes(b"x")
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path) and caught.value.needed == 1000  # type: ignore[attr-defined]
    assert [one.name for one in path.parent.iterdir()] == ["file"] and path.read_text() == "before"


def test_what_a_writer_raises_on_a_disk_with_room_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), _files.replaced(tmp_path / "file"):
        raise ValueError("mine")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_others_may_read_a_file_as_the_umask_says_whoever_wrote_it(umask: int, tmp_path: Path) -> None:
    """safetensors writes by way of a file of its own, which its owner alone may read."""
    before = os.umask(umask)
    try:
        (tmp_path / "ours").touch()
        save_numbers({"a": 1.0}, tmp_path / "weights")
        with _files.replaced(tmp_path / "closed") as beside:
            beside.touch(mode=0o600)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("ours", "weights", "closed"), modes["ours"])


def test_a_probe_leaves_nothing_and_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    disk.refuse_full([tmp_path, tmp_path / "a" / "b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("below", ["", "x", "x/y"])
@pytest.mark.parametrize("kind", ["file", "link to nothing", "device", "proc", "too long", "circle"])
def test_a_place_that_can_hold_no_files_is_said_before_anything_is_written(kind: str, below: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("")
    elif kind == "link to nothing":
        place.symlink_to(tmp_path / "nowhere")
    elif kind == "circle":
        place.symlink_to(place)
    place = {"device": Path("/dev/null"), "proc": Path("/proc/x"), "too long": tmp_path / ("x" * 300)}.get(kind, place) / below
    with pytest.raises(StorageError, match=r"must .*, but .*name another place \(--storage\)$") as refused:
        disk.refuse_full({place: "--storage"})
    assert str(refused.value).startswith(str(place))


def test_of_a_place_in_one_that_takes_no_files_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StorageError) as refused:
        disk.refuse_full({tmp_path / "home": "--home", tmp_path / "home" / "members": "--storage"})
    assert "--home" in str(refused.value) and "--storage" not in str(refused.value)


def test_a_file_in_the_place_of_one_of_our_folders_is_a_disks_and_in_a_programs_own_folder_its_own(tmp_path: Path) -> None:
    for number, at in ((1, "s"), (2, "s/00001"), (3, "s/00001/own")):
        place, file = tmp_path / str(number) / "s", tmp_path / str(number) / at
        file.parent.mkdir(parents=True)
        file.write_text("")
        with pytest.raises(OSError) as caught:  # which one depends on how deep it is
            (place / "00001" / "own").mkdir(parents=True, exist_ok=True)
        assert disk.fault(caught.value, [place]).startswith(f"{file} must be a folder, but it is a file"), at
    mine = tmp_path / "s" / "00001" / "own" / "mine"
    mine.parent.mkdir(parents=True)
    mine.write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        (mine / "x").write_text("")
    assert disk.fault(caught.value, [tmp_path / "s"]) == ""


def test_all_places_that_take_nothing_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match=r"/a must be .*; .*/b must be"):
        disk.refuse_full([tmp_path / "a", tmp_path / "b"])
    assert not list(tmp_path.iterdir())


def test_a_record_that_did_not_fit_spoils_no_other_one(tmp_path: Path) -> None:
    """A disk that is nearly full takes a part of a record, and then says so."""

    class Short:
        """A file that once takes only seven bytes."""

        def __init__(self, file: object) -> None:
            self.file, self.short = file, True

        def write(self, data: bytes) -> int:
            part, self.short = data[:7] if self.short else data, False
            return int(self.file.write(part))  # type: ignore[attr-defined]

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    spool = Spool(tmp_path / "s.jsonl")
    spool.append({"kind": "log", "n": 1})
    spool._file = Short(spool._file)
    with pytest.raises(OSError, match="No space left"):
        spool.append({"kind": "log", "n": 2})
    spool.append({"kind": "log", "n": 3})
    assert [record["n"] for record in spool.read()[0]] == [1, 3]


def test_our_own_files_say_it_as_well(tmp_path: Path) -> None:
    with pytest.raises((OSError, InfraError)) as caught, replaced(tmp_path / "a"):
        raise error_of(errno.ENOSPC, tmp_path / "a")
    assert disk.fault(caught.value, []) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", CLOSED)
def test_an_error_that_names_no_file_is_a_disks_only_where_our_place_takes_nothing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that may not be sent, or a terminal that is gone, has such numbers, too."""
    error = OSError(number, os.strerror(number))
    assert disk.fault(error, [tmp_path]) == ""
    monkeypatch.setattr(disk, "probed", lambda place: f"{place} takes nothing")
    assert disk.fault(error, [tmp_path]).startswith(f"{tmp_path} must be writable")
