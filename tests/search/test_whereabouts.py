"""A sweep remembers where its files are; from elsewhere it is said where they stay."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.errors import InfraError
from infra.storage import HOME, STORAGE, Home
from search import kept
from search.cli import app
from search.loaded import _why_none, best_of, weights_of
from search.running.where import IN_PROCESS
from search.sweep import resume, run

TOY: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}},
    "dataset": {"name": "none"},
    "budget": {"trials": 4, "epochs": 2},
    "confirm": {"configs": 2, "seeds": 2},
}


def lagrange(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def row_of(home: Home, name: str, *members: int, **more: Any) -> None:
    """A sweep in the catalogue, as one that ran in this home leaves it."""
    with Catalogue(home.catalogue_url) as catalogue:
        catalogue.create_sweep(SweepRow(name=name, spec=TOY, objective="mine.py", status="complete", **{"facts": home.remembered, **more}))
        for number in members:
            catalogue.add_members(name, [MemberRow(number=number, phase="confirm", config={"l2": 1.0}, seed=number)])


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, str]:
    return {"catalogue_url": f"sqlite:///{tmp_path}/shared.db"}


def test_a_folder_is_remembered_as_a_url_is_and_one_that_moved_is_named(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home", storage=tmp_path / "storage")
    run(TOY, name="s", home=home, address=IN_PROCESS, tracking=False)
    plain = Home.open(tmp_path / "home")
    with Catalogue(plain.catalogue_url) as catalogue:
        row, members = catalogue.seen("s"), catalogue.members("s")
    assert row.facts[HOME] == str(home.root), "what preparing found out takes nothing away"
    assert row.facts[STORAGE] == str(tmp_path / "storage") and plain.placed(row.facts).storage == home.storage
    best = best_of(row, members, plain)
    assert weights_of(plain, "s", best).is_relative_to(home.storage)
    assert resume("s", home=plain, trials=2, address=IN_PROCESS, tracking=False).status == "complete"
    assert not plain.storage.exists()

    (tmp_path / "storage").rename(tmp_path / "moved")
    with pytest.raises(InfraError, match=r"not in .*/storage/s\. Name the folder where they are: LAGRANGE_STORAGE"):
        best_of(row, members, plain)
    moved = Home.open(tmp_path / "home", storage=tmp_path / "moved")
    assert weights_of(moved, "s", best).is_relative_to(tmp_path / "moved")
    assert resume("s", home=moved, trials=2, address=IN_PROCESS, tracking=False).status == "complete"
    assert weights_of(plain, "s", best).is_relative_to(tmp_path / "moved"), "a sweep that went on remembers where it went on"
    assert kept.remove("s", home=plain) == []
    assert not list((tmp_path / "moved").iterdir())


def test_a_storage_in_the_home_moves_with_it(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    assert home.remembered == {HOME: str(tmp_path / "home")}
    row_of(home, "s", 0)
    home.weights("s", 0).parent.mkdir(parents=True)
    (tmp_path / "home").rename(tmp_path / "new")
    moved = Home.open(tmp_path / "new")
    with Catalogue(moved.catalogue_url) as catalogue:
        assert moved.placed(catalogue.sweep("s").facts) == moved
    assert kept.remove("s", home=moved) == [], "it was here"
    assert not moved.files("s").exists()


def test_what_stays_in_another_home_is_said(tmp_path: Path, shared: dict[str, str]) -> None:
    home, other = Home.open(tmp_path / "home", **shared), Home.open(tmp_path / "other", **shared)
    for name in ("s", "t", "u"):
        row_of(home, name, 0)
        home.weights(name, 0).parent.mkdir(parents=True)
        home.reports(name).mkdir(parents=True)
    done = lagrange("rm", "s", "--yes", "--home", other.root, "--catalogue-url", shared["catalogue_url"])
    assert done.exit_code == 0
    assert f"files of it stay in the home where it ran: {home.reports('s')}, {home.files('s')}" in done.stderr
    assert kept.remove("t", home=home) == [] and not home.files("t").exists()
    shutil.move(home.root, tmp_path / "away")
    (said,) = kept.remove("u", home=other)
    assert f"it ran in the home {home.root}, which is not on this machine" in said and str(home.files("u")) in said


def test_the_files_of_another_storage_are_removed_and_not_said_to_stay(tmp_path: Path, shared: dict[str, str]) -> None:
    home = Home.open(tmp_path / "home", storage=tmp_path / "storage", **shared)
    other = Home.open(tmp_path / "other", **shared)
    row_of(home, "s", 0)
    home.weights("s", 0).parent.mkdir(parents=True)
    assert kept.remove("s", home=other) == []
    assert not home.files("s").exists()


def test_of_a_sweep_that_remembers_nothing_it_is_said_that_files_may_stay(tmp_path: Path, shared: dict[str, str]) -> None:
    row_of(Home.open(tmp_path / "home", **shared), "s", facts={})
    (said,) = kept.remove("s", home=Home.open(tmp_path / "other", **shared))
    assert "where it ran in another home, its reports, weights and spool stay there" in said


def test_a_log_that_is_not_found_says_where_it_may_be(tmp_path: Path, shared: dict[str, str]) -> None:
    home, other = Home.open(tmp_path / "home", **shared), Home.open(tmp_path / "other", **shared)
    row_of(home, "s", 0)
    words = ("show", "s", "--log", "--member", 0, "--catalogue-url", shared["catalogue_url"], "--home")
    said = lagrange(*words, other.root).stderr
    assert f"it ran in the home {home.root}. Give --home {home.root}" in said and "printed nothing" not in said
    home.own("s", 0).mkdir(parents=True)
    assert "it printed nothing" in lagrange(*words, home.root).stderr
    (home.own("s", 0) / "log.txt").write_text("epoch 1\n")
    assert lagrange(*words, home.root).stdout == "epoch 1\n"


def test_a_function_that_hands_no_weights_is_said_to_hand_none(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    row_of(home, "s", 0)
    with Catalogue(home.catalogue_url) as catalogue:
        row, (member,) = catalogue.sweep("s"), catalogue.members("s")
    home.member("s", 0).mkdir(parents=True)
    assert "its files are gone. Train it" in _why_none(row, [member], home)
    home.own("s", 0).mkdir(parents=True)
    (home.own("s", 0) / "reports.jsonl").write_text("")
    said = _why_none(row, [member], home)
    assert "trial.finish(weights=" in said and "confirm.seeds" not in said and "lagrange train" not in said
    assert "confirm.seeds 0 trains none" in _why_none(row, [], home)


def test_a_command_that_may_not_write_says_it_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that is read-only, as a backup or another's is: a report goes elsewhere, and what else is written is named."""
    home = Home.open(tmp_path / "home")
    run(TOY, name="s", home=home, address=IN_PROCESS)
    real = Path.write_text

    def read_only(path: Path, *given: Any, **named: Any) -> int:
        if path.is_relative_to(home.root):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, *given, **named)

    monkeypatch.setattr(Path, "write_text", read_only)
    done = lagrange("report", "s", "--home", home.root)
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert f"{home.reports('s')} takes none (Read-only file system). Name another file: -o FILE." in done.stderr
    assert lagrange("report", "s", "--home", home.root, "-o", tmp_path / "r.html").exit_code == 0
    done = lagrange("query", "--home", home.root, "--csv", home.root / "runs.csv")
    assert done.exit_code == 2 and "must be writable, but it is read-only" in done.stderr and "Errno" not in done.stderr
    monkeypatch.setattr("infra.tracking.query._client", lambda *given: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system")))
    done = lagrange("query", "--home", home.root)
    assert done.exit_code == 2 and f"{home.root} may not be written to. Copy the home" in done.stderr
