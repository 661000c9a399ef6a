"""`ranges: auto`: a sweep takes over what its pilot found, keeps it through kills, and says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.registry import load
from search import sweep
from search.asking.space import Space
from search.cli import app
from search.errors import SpecError
from search.running.planning import ranges
from search.running.working.work import RANGES
from search.spec.reading import read
from search.spec.text import parse_yaml
from tests.search.simulated import Simulated

pytestmark = pytest.mark.turns(3)

SPEC: dict[str, Any] = {
    "objective": "vae",
    "dataset": "digits",
    "search": {"beta": {}, "l2": {"low": 1e-4, "high": 1e-1}, "lr": {}, "dropout": {}},
    "ranges": "auto",
    "pack": 1,
    "budget": {"trials": 8},
    "confirm": {"screen": 0, "seeds": 2},
}
FOUND = {
    "beta": {"low": 0.02, "high": 3.1, "said": "beyond it nothing is learned"},
    "dropout": {"low": None, "high": None, "said": "it has no range of orders of magnitude"},
}


def test_only_ranges_that_nobody_gave_are_found() -> None:
    spec = read(SPEC)
    assert spec.ranges == ("beta", "dropout")
    assert read(parse_yaml(spec.to_yaml())) == spec
    assert read({**SPEC, "ranges": ["l2"]}).ranges == ("l2",)
    assert read({**SPEC, "ranges": "own"}).ranges is None is read({k: v for k, v in SPEC.items() if k != "ranges"}).ranges


@pytest.mark.parametrize(
    ("given", "said"),
    [("aut", "ranges must be auto"), (["bta"], "Did you mean 'beta'"), (["lr"], "a searched λ with a range"), (3, "must be")],
)
def test_a_faulty_wish_is_refused(given: Any, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        read({**SPEC, "ranges": given})
    assert said in str(refused.value)


def test_a_sweep_searches_where_its_pilot_looked_and_a_later_driver_does_too(tmp_path: Path) -> None:
    answers = []
    for folder, jobs in ((tmp_path / "whole", 10_000), (tmp_path / "killed", 5)):
        folder.mkdir()
        answer, spec = None, SPEC
        while answer is None:
            with Simulated(folder, spec, lambda config: float(config["beta"]) + float(config["l2"])) as driver:
                driver.facts = {RANGES: FOUND} if driver.spec.ranges else {}
                answer = driver.run(jobs)
                rows, stored = driver.ledger.ordered(), driver.catalogue.sweep("s").spec
                spec = {**SPEC, **stored}  # a later driver reads what is stored
                assert stored["search"]["beta"] == {"low": 0.02, "high": 3.1, "log": True} and stored["ranges"] == []
        searched = [row.config["beta"] for row in rows if row.arm == "search"]
        assert max(searched) <= 3.1 and min(searched) >= 0.02
        answers.append(answer)
    assert answers[0].to_dict() == answers[1].to_dict()
    assert any(note.startswith("beta: 0.02 to 3.1 (from a pilot; its own range is 0.01 to 10)") for note in answers[0].notes)
    assert any("dropout: 0 to 0.7, its own range" in note for note in answers[0].notes)
    assert next(one for one in answers[0].lambdas if one.name == "beta").range == (0.02, 3.1)


@pytest.mark.trains  # the dry run times an epoch
def test_the_command_line_asks_for_a_pilot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(app, ["sweep", "vae", "--ranges", "auto", "--set", "search={beta: {}, l2: {low: 0.01}}", "--dry-run"])
    assert asked.exit_code == 0 and "ranges: [beta]" in asked.output
    wrong = CliRunner().invoke(app, ["sweep", "vae", "--ranges", "bta", "--dry-run"])
    assert wrong.exit_code == 2 and "ranges must be auto" in wrong.stderr


def test_where_every_range_is_given_it_says_so(tmp_path: Path) -> None:
    given = {**SPEC, "search": {"beta": {"low": 0.1, "high": 4}}}
    with Simulated(tmp_path, given, lambda config: float(config["beta"])) as driver:
        answer = driver.run()
    assert answer is not None and ranges.NOTHING_LEFT in answer.notes


def test_a_found_range_holds_the_users_points_and_keeps_a_condition() -> None:
    search = {"loss": ["hinge", "lsgan"], "r1": {"when": {"loss": "lsgan"}}}
    spec = read({"objective": "gan", "dataset": "digits", "search": search, "ranges": "auto", "points": [{"r1": 50, "loss": "lsgan"}]})
    space = Space(spec, load("gan"))
    config = space.one_on("r1")
    assert config["loss"] == "lsgan" and config["r1"] > 0
    found, _ = ranges.taken(spec, space, {"r1": {"low": 0.01, "high": 5.0, "said": ""}})
    assert (space.lambdas[0].low, space.lambdas[0].high, space.lambdas[0].when) == (0.01, 50, (("loss", ("lsgan",)),))
    assert (
        found.search is not None and found.search["r1"].when == {"loss": ("lsgan",)} and read(found.model_dump(exclude_none=True)) == found
    )  # type: ignore[union-attr]


def test_an_objective_without_probes_keeps_its_ranges_and_says_so(tmp_path: Path) -> None:
    spec = {"objective": "toy", "ranges": "auto", "budget": {"trials": 6}, "confirm": {"seeds": 2}}
    outcome = sweep.run(spec, name="s", home=Home.open(tmp_path), address="in-process", tracking=False)
    assert outcome.answer is not None
    note = next(note for note in outcome.answer.notes if note.startswith("l2"))
    assert note == "l2: 0.001 to 10, its own range; a pilot found none: the objective has no probes (see base.Probe)"
    with Catalogue(Home.open(tmp_path).catalogue_url) as catalogue:
        assert catalogue.sweep("s").spec["ranges"] == []
