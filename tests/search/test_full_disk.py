"""A disk that takes no more ends a sweep with one sentence; when there is room it goes on to the answer that it would have had."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue
from infra.errors import StorageError
from infra.storage import Home
from infra.tracking.spool import SWEEP_RUN, Spool
from objectives.families import _computed, toy
from search.exit_codes import UNREACHABLE
from search.retrain import train
from search.running import in_process
from search.running.where import IN_PROCESS
from search.running.working import checkpoints
from search.running.writing.leftovers import Leftovers
from search.sweep import resume, run
from search.telling.files import exports
from search.telling.listener import Silent
from search.telling.mlflow import mirror
from tests.search.kept import kept, said
from tests.search.test_servers import points

pytestmark = pytest.mark.turns(2)

SPEC: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 6, "epochs": 9},
    "confirm": {"configs": 2, "seeds": 2},
}
# Where a disk is written to: owner, function, and which call of it finds the disk full.
POINTS: dict[str, tuple[Any, str, int]] = {
    "weights": (_computed.ComputedRun, "save_weights", 2),
    "picture": (_computed.ComputedRun, "save_picture", 2),
    "checkpoint": (_computed.ComputedRun, "save", 3),
    "record": (checkpoints, "replaced", 4),
    "epoch": (_computed.ComputedRun, "step", 20),
    "member's own file": (toy.Toy, "at_epoch", 30),
    "preparation": (toy.Toy, "prepare", 1),
    "test split": (toy.Toy, "read_test", 2),
    "catalogue": (Catalogue, "add_reports", 5),
    "catalogue at the end": (Catalogue, "end_member", 4),
    "files of the driver": (Leftovers, "ended", 5),
    "report": (exports, "write_reports", 1),
}


def full(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def refused(path: Path) -> OSError:
    return OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def plant(monkeypatch: pytest.MonkeyPatch, point: str, error: BaseException) -> Callable[[], None]:
    """Let one call at the point fail, and all that follow. Returns what makes room again."""
    owner, name, count = POINTS[point]
    real, calls = getattr(owner, name), [0]

    def failing(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] >= count:
            raise error
        return real(*given, **named)

    monkeypatch.setattr(owner, name, failing)
    return lambda: monkeypatch.setattr(owner, name, real)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    home = Home.open(tmp_path_factory.mktemp("undisturbed"))
    return said(run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False)), kept(home, "s")


@pytest.mark.sampled(8)
@pytest.mark.parametrize("broken", [full, refused])
@pytest.mark.parametrize("point", POINTS)
def test_the_sweep_says_which_path_and_goes_on_when_there_is_room(
    point: str, broken: Callable[[Path], OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[Any, Any]
) -> None:
    home = Home.open(tmp_path)
    file = home.cache / "file" if point == "preparation" else home.storage / "s" / "00003" / "file"
    make_room = plant(monkeypatch, point, broken(file))
    outcome = run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert outcome.status == UNREACHABLE
    assert outcome.problem.startswith(f"{file} must be writable, but") and "\n" not in outcome.problem
    with Catalogue(home.catalogue_url) as catalogue:
        assert catalogue.seen("s").status == "interrupted" and catalogue.locked_by("s") is None
        assert all(row.state not in ("failed", "preempted") for row in catalogue.members("s"))
    again = resume("s", home=home, address=IN_PROCESS, tracking=False)
    assert again.status == UNREACHABLE and again.problem.startswith(f"{file} must be writable"), "it is still full"
    make_room()
    answer = said(resume("s", home=home, address=IN_PROCESS, tracking=False))
    assert (answer, kept(home, "s")) == undisturbed
    assert not [path for path in home.storage.rglob("*") if path.name.startswith(".") or "new" in path.name], "half-written files"


@pytest.mark.parametrize("point", ["weights", "checkpoint"])
def test_what_fails_around_a_training_is_tried_again_and_then_said(point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that is no disk's: the sweep ends by itself, and says what was raised. Before, it waited for ever."""
    home = Home.open(tmp_path)
    plant(monkeypatch, point, KeyError("a mistake in code of the user's"))
    assert run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False).status in ("complete", "failed")
    reasons = {row.state: row.reason for row in kept(home, "s")[0]}
    assert None not in reasons and "a mistake in code of the user's" in reasons["failed"] and "KeyError" in reasons["failed"]


def test_a_member_is_not_complete_before_its_weights_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.open(tmp_path)
    plant(monkeypatch, "weights", full(tmp_path))
    run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        confirmed = [row for row in catalogue.members("s") if row.phase == "confirm" and row.state == "complete"]
    assert len(confirmed) == 1 and home.weights("s", confirmed[0].number).exists()


def test_a_failed_write_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a new checkpoint a member goes on from the one that it has."""
    home = Home.open(tmp_path)
    plant(monkeypatch, "checkpoint", full(tmp_path))
    run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False)
    number = next(row.number for row in kept(home, "s")[0] if row.state is None)
    before = home.checkpoint("s", number).read_text() if home.checkpoint("s", number).exists() else None
    resume("s", home=home, address=IN_PROCESS, tracking=False)
    after = home.checkpoint("s", number).read_text() if home.checkpoint("s", number).exists() else None
    assert before == after


def test_a_place_that_is_full_from_the_start_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: (_ for _ in ()).throw(full(tmp_path)) if len(data) > 1000 else real(handle, data))
    with pytest.raises(StorageError, match="must be writable"):
        run(SPEC, name="s", home=Home.open(tmp_path / "home"), address=IN_PROCESS, tracking=False)
    assert not list(tmp_path.iterdir())


def test_a_plan_that_waits_with_nothing_running_fails_and_says_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fault of that kind is known. This one is planted: a job of members whose end the plan never hears of."""
    real = in_process.Plan.heard

    def deaf(self: Any, job: Any, result: Any, stopped: bool = False) -> None:
        if not job.rows:
            real(self, job, result, stopped)

    monkeypatch.setattr(in_process.Plan, "heard", deaf)
    outcome = run(SPEC, name="s", home=Home.open(tmp_path), address=IN_PROCESS, tracking=False)
    assert outcome.status == "failed" and "waits for members 0" in outcome.problem, outcome


@pytest.mark.slow
@pytest.mark.parametrize("until", ["the end of the members", "the next command"])
def test_a_spool_that_takes_no_more_stops_nothing_and_mlflow_has_every_point_at_last(
    until: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, real, said_no = Home.open(tmp_path), Spool.append, [0]

    def append(self: Spool, record: Any) -> None:
        said_no[0] += 1
        if said_no[0] > 5 and (until == "the next command" or record["run"] != SWEEP_RUN or record["kind"] != "end"):
            raise full(self.path)
        real(self, record)

    def made_up(*given: Any) -> None:
        if until != "the next command":
            monkeypatch.setattr(Spool, "append", real)
        told_again(*given)

    told_again = mirror.made_up
    monkeypatch.setattr(Spool, "append", append)
    monkeypatch.setattr(mirror, "made_up", made_up)
    outcome = run(SPEC, name="s", home=home, address=IN_PROCESS)
    assert outcome.status == "complete" and outcome.answer is not None
    told = [note for note in outcome.notes if "MLflow" in note]
    if until == "the next command":
        assert len(told) == 1 and "made again" in told[0] and str(home.spool) in told[0]
        monkeypatch.setattr(Spool, "append", real)
        assert "told again" in resume("s", home=home, address=IN_PROCESS).notes[0]
    else:
        assert not told
    assert "nothing was left to do" in resume("s", home=home, address=IN_PROCESS).notes[0]
    expected: dict[int, list[int]] = {}
    for number, epoch, _ in kept(home, "s")[1]:
        expected.setdefault(number, []).append(epoch)
    assert points(home.tracking_uri, "s") == expected


@pytest.mark.parametrize("point", ["weights", "preparation"])
def test_a_training_alone_says_it_as_well(point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "best.yaml"
    config.write_text("objective: toy\ndataset: {name: none}\nbudget: {epochs: 2}\nfixed: {l2: 0.1, lr: 0.01}\n")
    owner, name, _ = POINTS[point]

    def failing(*given: Any) -> None:
        raise full(tmp_path / "file")

    monkeypatch.setattr(owner, name, failing)
    with pytest.raises(StorageError, match="file must be writable, but no space is left"):
        train(config, home=Home.open(tmp_path / "home"))


@pytest.mark.parametrize("below", ["storage", "storage/s", "storage/s/00003"])
def test_a_folder_that_becomes_a_file_in_mid_sweep_is_no_members_fault(below: str, tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home", storage=tmp_path / "storage")
    place = tmp_path / below

    class Replacing(Silent):
        def member(self, number: int, phase: str, arm: str, config: Any, start: int = 0) -> None:
            if number == 3 and not place.is_file():
                if place.exists():
                    place.rename(tmp_path / "away")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text("")

    outcome = run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False, listener=Replacing())
    assert outcome.status == UNREACHABLE and f"{place} must be a folder, but it is a file" in outcome.problem
    with Catalogue(home.catalogue_url) as catalogue:
        assert all(row.state not in ("failed", "preempted") for row in catalogue.members("s"))
    place.unlink()
    if (tmp_path / "away").exists():
        (tmp_path / "away").rename(place)
    assert resume("s", home=home, address=IN_PROCESS, tracking=False).status == "complete"


@pytest.mark.parametrize("which", ["storage", "home", "spool", "cache", "reports"])
def test_a_place_that_is_a_file_is_refused_with_its_option_and_uses_no_name(which: str, tmp_path: Path) -> None:
    root = tmp_path / "home"
    file = root / which if which in ("spool", "cache", "reports") else tmp_path / which
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    home = Home.open(root, storage=tmp_path / "storage")
    with pytest.raises(StorageError, match=r"must be a folder.*\((--storage|--home), or") as refused:
        run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert ("--storage" in str(refused.value)) is (which == "storage") and not (root / "lagrange.db").exists()
    file.unlink()
    assert run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False).status == "complete"
