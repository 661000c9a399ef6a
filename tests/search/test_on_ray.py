"""Sweeps that need Ray: workers that die, fall silent or ask for too much, two workers at once, and the answer of this process.

All tests that use the suite's local Ray are here, so that it is started once.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue, MemberRow
from infra.storage import Home
from search import sweep
from search.running import driver
from search.running.where import IN_PROCESS
from search.running.writing.ledger import Ledger
from search.sweep import Outcome
from tests.search.kept import kept, said

pytestmark = pytest.mark.usefixtures("ray_up")

TOY: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}},
    "budget": {"trials": 8, "epochs": 6},
    "confirm": {"configs": 3, "seeds": 2},
}
PACKED: dict[str, Any] = {
    "objective": "autoencoder",
    "dataset": {"name": "digits", "train_size": 96},
    "search": {"l2": {}, "lr": {}},
    "budget": {"trials": 8, "epochs": 5},
    "confirm": {"configs": 2, "seeds": 2},
    "batch_size": 32,
    "check": False,
    "pack": 4,
}


def run(home: Home, spec: dict[str, Any], workers: int = 2) -> tuple[Outcome, list[MemberRow]]:
    outcome = sweep.run(spec, name="s", home=home, workers=workers, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        return outcome, catalogue.members("s")


def toy(home: Home, **changes: Any) -> tuple[Outcome, list[MemberRow]]:
    """A toy sweep on two workers."""
    return run(home, {**TOY, **changes})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path / "home")


HALVED: dict[str, Any] = {
    **TOY,
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 12, "epochs": 10},
}


@pytest.mark.trains
@pytest.mark.parametrize("spec", [pytest.param(HALVED, id="toy"), pytest.param(PACKED, id="packs", marks=pytest.mark.slow)])
def test_one_worker_does_what_this_process_does(spec: dict[str, Any], home: Home, tmp_path: Path) -> None:
    """The same members, decisions and answer."""
    tuned, _ = run(home, spec, workers=1)
    elsewhere = Home.open(tmp_path / "here")
    here = sweep.run(spec, name="s", home=elsewhere, address=IN_PROCESS, tracking=False)
    assert kept(elsewhere, "s") == kept(home, "s")
    assert {row.state for row in kept(home, "s")[0]} >= {"complete", "stopped"}, "rungs decided something"
    assert said(here) == said(tuned)


@pytest.mark.slow
def test_two_workers_serve_all_phases(home: Home) -> None:
    """A process that knows torch and the data is worth keeping, even when both members end at once and nothing is waiting.

    On a slow machine one process may have trained every member before the other is up, so one is right, too; a third is not.
    """
    outcome, rows = toy(home, dataset={"name": "none", "noise": 0.5, "seconds_per_epoch": 0.1}, scheduler="none")
    assert outcome.answer is not None
    assert {row.phase for row in rows} == {"search", "confirm"}
    assert len({row.facts["pid"] for row in rows}) <= 2


@pytest.mark.slow
def test_a_member_whose_worker_dies_ends_failed_and_the_sweep_goes_on(home: Home) -> None:
    """Defect T: a dead worker is data of its member, and of no other."""
    fault = {"name": "none", "fault": "exit", "fault_at": 2, "fault_members": [1]}
    outcome, rows = toy(home, dataset=fault, limits={"retries": 1})
    assert outcome.status == "complete" and outcome.answer is not None
    assert "member 1 is missing for reasons that are not its own" in outcome.answer.missing
    assert [row.facts["instead_of"] for row in rows if "instead_of" in row.facts] == [1]
    assert rows[1].state == "failed" and "worker died" in rows[1].reason and rows[1].epochs <= 2
    assert any("1 failed" in note for note in outcome.notes)
    assert all(row.state in ("complete", "stopped") for row in rows if row.number != 1)


@pytest.mark.slow
def test_a_hanging_member_is_ended_and_the_others_go_on(home: Home) -> None:
    """Defect V: silence is nobody's business but ours."""
    outcome, rows = toy(
        home, dataset={"name": "none", "fault": "hang", "fault_at": 2, "fault_members": [1]}, limits={"silence_seconds": 12, "retries": 1}
    )
    assert outcome.answer is not None
    assert rows[1].state == "failed" and "no report for 12 s" in rows[1].reason


@pytest.mark.slow
def test_out_of_memory_ends_two_members_and_no_neighbour(home: Home) -> None:
    """Defect R: two members that ask for too much at once fail by themselves."""
    outcome, rows = toy(home, dataset={"name": "none", "fault": "oom", "fault_at": 2, "fault_members": [1, 2]}, limits={"memory_gb": 3})
    assert outcome.answer is not None
    assert [rows[number].state for number in (1, 2)] == ["failed", "failed"]
    assert all("out of memory" in rows[number].reason for number in (1, 2))


@pytest.mark.slow
def test_what_the_preparation_on_a_worker_refuses_is_not_kept(home: Home) -> None:
    outcome = sweep.run({**TOY, "objective": "tests.search.test_sweep:Unready"}, name="s", home=home, workers=2)
    assert outcome.status == "refused" and "moon must be full" in outcome.problem
    with Catalogue(home.catalogue_url) as catalogue:
        assert not catalogue.sweeps()
    assert not list(home.storage.glob("*")) and not (home.root / "mlflow.db").exists()


@pytest.mark.slow
def test_the_wall_time_ends_what_both_workers_train(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is over once two members have reported, however long that takes. A member would train for hours."""
    ledgers: list[Ledger] = []

    def clock() -> float:
        begun = sum(row.epochs > 0 for ledger in ledgers for row in ledger.ordered())
        return 100.0 if begun == 2 else 0.0

    def opened(*given: Any, **named: Any) -> Any:
        plan, dispatch = real(*given, **named)
        ledgers.append(dispatch.ledger)
        return plan, dispatch

    real = partial(driver.opened, clock=clock)
    monkeypatch.setattr(driver, "opened", opened)
    budget = {"trials": 200, "epochs": 100_000, "wall_minutes": 1}
    outcome, rows = toy(home, dataset={"name": "none", "seconds_per_epoch": 0.2}, budget=budget, scheduler="none")
    assert [row.state for row in rows] == ["stopped"] * 2
    assert all(row.reason.startswith("budget:") and row.epochs > 0 for row in rows)
    assert outcome.status == "failed" and "must complete" in outcome.problem


@pytest.mark.slow
def test_a_worker_that_dies_in_the_middle_of_a_pack_loses_no_member(home: Home) -> None:
    """Its members go on from the last rung; who had ended stays ended, and every epoch is counted once."""
    outcome, rows = run(home, {**PACKED, "objective": "tests.search.dying:DiesOnce", "search": {"l2": {}}, "sampler": "random"}, workers=1)
    assert (home.cache / "died").exists() and outcome.answer is not None, outcome.problem
    assert len(rows) == 12 and all(row.state in ("complete", "stopped") for row in rows)
    with Catalogue(home.catalogue_url) as catalogue:
        seen = [(report.number, report.epoch) for report in catalogue.reports("s")]
    assert len(seen) == len(set(seen)) == sum(row.epochs for row in rows)


def test_a_worker_has_no_environment_of_its_own() -> None:
    """Else Ray would start another process for it, while the worker that is ready stays idle."""
    from ray.tune.execution.class_cache import _ActorClassCache

    from search.running.tune.carrier import MemberTrainable

    assert not _ActorClassCache().get(MemberTrainable)._default_options.get("runtime_env")


def test_a_local_ray_listens_on_loopback_alone(home: Home) -> None:
    """All of its processes: with a port on another interface, anybody in the network could try its token."""
    import psutil

    assert toy(home)[0].status == "complete"
    listening = set()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            listening |= {(process.name(), one.laddr.ip) for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    assert len(listening) > 2
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening


@pytest.mark.slow
def test_a_member_that_has_had_its_time_is_ended_between_two_reports(home: Home) -> None:
    """It would train for minutes until its next report; nobody else is ended, and it is not tried again."""
    fault = {"name": "none", "fault": "hang", "fault_at": 2, "fault_members": [1]}
    outcome, rows = toy(home, dataset=fault, limits={"silence_seconds": 600, "member_minutes": 0.1})
    assert outcome.answer is not None and not outcome.answer.missing
    assert rows[1].state == "failed" and rows[1].reason.startswith("time limit: ") and "losses" not in rows[1].facts
    assert all(row.state in ("complete", "stopped") for row in rows if row.number != 1)
