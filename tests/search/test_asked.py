"""What is asked on the command line: a plan takes what a sweep takes; priors and devices are looked at before anything starts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.storage import Home
from search.cli import app
from search.cli.planning import plan
from search.cli.sweep import sweep
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.sweep import resume, run

pytestmark = pytest.mark.turns(3)

TOY = {"objective": "toy", "search": {"l2": {}}, "budget": {"trials": 12, "epochs": 2}, "confirm": {"configs": 2, "seeds": 2}}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAGRANGE_HOME", raising=False)


def lagrange(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_a_plan_takes_what_a_sweep_takes() -> None:
    # These say how a sweep is started, and have no price.
    started = {"name", "address", "dry_run", "plain", "register", "again", "environment_file"}
    ours, theirs = (inspect.signature(command).parameters for command in (plan, sweep))
    assert set(ours) - {"timed"} == set(theirs) - started
    assert all(ours[name].annotation == theirs[name].annotation for name in ours if name != "timed")


def test_options_of_a_plan_change_what_it_counts() -> None:
    usual = lagrange("plan", "toy").output
    asked = lagrange(
        "plan", "toy", "--trials", "40", "--epochs", "3", "--scheduler", "none", "--sampler", "random", "--until", "effect ± 0.1"
    )
    assert asked.exit_code == 0 and usual != asked.output
    assert [line.split()[0] for line in asked.output.splitlines()[2:5]] == ["20", "40", "80"] and "goal: effect ± 0.1" in asked.output
    assert "of each time are the start of Ray and the last writes" in asked.output


@pytest.fixture
def source(tmp_path: Path) -> str:
    home = Home.open()
    found = run(TOY, name="before", home=home, address=IN_PROCESS, tracking=False)
    assert found.answer is not None and found.answer.best["l2"] != 0
    return "before"


@pytest.mark.parametrize("command", [("plan", "toy"), ("sweep", "toy", "--dry-run")], ids=" ".join)
def test_a_prior_is_resolved_before_anything_starts(command: tuple[str, ...], source: str) -> None:
    wrong = lagrange(*command, "--trials", "12", "--prior", "nosuch")
    assert wrong.exit_code == 2 and "prior: 'nosuch' must be a sweep of this catalogue" in wrong.stderr
    for name in (source, "auto"):
        found = lagrange(*command, "--trials", "12", "--prior", name)
        assert found.exit_code == 0 and "prior: before (none, none): l2=" in found.output
    cold = lagrange(*command, "--trials", "12", "--prior", "auto", "--home", "elsewhere")
    assert cold.exit_code == 0 and "prior: auto finds no sweep that can be used; the sweep would start cold" in cold.output
    assert not Path("elsewhere").exists()


def test_a_dry_run_says_of_a_goal_that_no_budget_reaches_it() -> None:
    """As `plan` does; and a file that is piped on stays a spec."""
    told = lagrange("sweep", "toy", "--dry-run", "--until", "l2 within 0.00001 decades")
    assert told.exit_code == 0 and "# goal: l2 within 0.00001 decades: cannot be reached" in " ".join(told.output.split())


def test_a_dry_run_looks_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import objectives.checks.device as there

    monkeypatch.setattr(there, "DEVICES", {"cpu": lambda: True})
    gone = lagrange("sweep", "toy", "--dry-run", "--set", "resources.device=xpu")
    assert gone.exit_code == 2 and "device must be one that torch finds here, cpu; got 'xpu'" in gone.stderr and not gone.stdout
    monkeypatch.setattr(there, "DEVICES", {"cpu": lambda: True, "xpu": lambda: True})
    assert lagrange("sweep", "toy", "--dry-run", "--set", "resources.device=xpu").exit_code == 0


def test_a_refused_sweep_leaves_nothing_in_a_fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import objectives.checks.device as there

    monkeypatch.setattr(there, "DEVICES", {"cpu": lambda: True})
    asked = {**TOY, "resources": {"device": "xpu"}}
    refused = run(asked, home=Home.open(tmp_path / "fresh"), address=IN_PROCESS)
    assert refused.status == "refused" and "device must be one" in refused.problem
    assert list(tmp_path.iterdir()) == []
    used = Home.open(tmp_path / "used")
    run(TOY, name="s", home=used, address=IN_PROCESS, tracking=False)
    assert run(asked, home=used, address=IN_PROCESS, tracking=False).status == "refused"
    with Catalogue(used.catalogue_url, create=False) as catalogue:
        assert [row.name for row in catalogue.sweeps()] == ["s"]


@pytest.mark.parametrize(("address", "said"), [(IN_PROCESS, " --address in-process"), (None, "")])
def test_show_names_the_resume_that_the_interrupt_named(address: str | None, said: str) -> None:
    facts: Mapping[str, Any] = {"address": address} if address else {}
    with Catalogue(Home.open().catalogue_url) as catalogue:
        catalogue.create_sweep(SweepRow("s", {}, "toy", "none", "none", "interrupted", facts=dict(facts)))
        catalogue.add_members("s", [MemberRow(0, {"l2": 0.1}, 1, arm="search")])
    assert f"no answer yet; go on with: lagrange resume s{said}\n" in lagrange("show", "s").output


def test_a_sweep_remembers_its_address_through_preparation_and_resume(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    run(read(TOY), name="s", home=home, address=IN_PROCESS, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        assert catalogue.sweep("s").facts["address"] == IN_PROCESS
        catalogue.update_sweep("s", status="interrupted", answer=None, facts={**catalogue.sweep("s").facts, "address": "head:6379"})
    resume("s", home=home, address=IN_PROCESS, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        assert catalogue.sweep("s").facts["address"] == IN_PROCESS
    assert "address" not in (home.reports("s") / "best.yaml").read_text()
