"""`lagrange check`, and the check at the start of a sweep."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.storage import Home
from search.cli import app
from search.running.where import IN_PROCESS
from search.sweep import run

PLANTED = "tests.objectives.planted:Planted"


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *arguments])
    return result.exit_code, result.output


def test_the_lambdas_of_a_family_are_listed_alive() -> None:
    code, out = invoke("autoencoder", "--knob", "l2", "--knob", "dropout", "--json")
    assert code == 0
    assert [(row["knob"], row["verdict"]) for row in json.loads(out)] == [("dropout", "passed"), ("l2", "passed")]


def test_a_knob_is_checked_with_the_likelihood_it_needs() -> None:
    code, out = invoke("vae", "--knob", "optimal_sigma", "--knob", "beta", "--json")
    assert code == 0 and {row["knob"]: row["verdict"] for row in json.loads(out)} == {
        "(data)": "note",
        "beta": "passed",
        "optimal_sigma": "passed",
    }


def test_a_users_own_objective_is_checked() -> None:
    code, out = invoke(PLANTED)
    assert code == 0 and "alive" in out


def test_a_name_that_nobody_knows_is_a_mistake() -> None:
    code, _ = invoke("autoencoder", "--knob", "betta")
    assert code != 0


def test_a_sweep_over_a_dead_lambda_does_not_start(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    spec = {"objective": PLANTED, "dataset": {"name": "none", "bug": "detached penalty"}, "budget": {"trials": 6, "epochs": 2}}
    outcome = run(spec, home=home, address=IN_PROCESS, tracking=False)
    assert outcome.status == "refused" and "l2: detached penalty" in outcome.problem and "check=false" in outcome.problem
    with Catalogue(home.catalogue_url) as catalogue:
        assert not catalogue.sweeps()
