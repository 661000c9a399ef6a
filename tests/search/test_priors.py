"""Priors: what is taken over from other sweeps, that a resumed sweep keeps it, and that a source that misleads is given up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue, SweepRow
from infra.storage import Home
from objectives.base import Value
from search import prior
from search.choosing.answer import Answer
from search.errors import SpecError
from search.running.ledger import PRIOR
from search.spec.reading import read
from tests.search.simulated import Simulated

SPEC: dict[str, Any] = {
    "objective": "vae",
    "search": {"beta": {"low": 0.1, "high": 10.0}, "lr": {"low": 1e-4, "high": 1e-1}},
    "budget": {"trials": 12, "epochs": 1},
    "confirm": {"configs": 2, "screen": 0, "seeds": 2},
    "scheduler": "none",
    "pack": 1,
    "check": False,
}


def bowl(best: float) -> Any:
    def truth(config: Mapping[str, Value]) -> float:
        x, y = math.log10(float(config["beta"]) / best), math.log10(float(config["lr"]) / 3e-3)
        return 100 + 20 * x * x + 2 * y * y

    return truth


@pytest.fixture(scope="module")
def catalogue_with_sources(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with three sweeps: `good` (best β 0.4), `open` (no answer) and `units` (its β is said to be in other units)."""
    folder = tmp_path_factory.mktemp("sources")
    with Simulated(folder, SPEC, bowl(0.4), sd=0.01, shift=0.0) as one:
        answer = one.run()
        assert answer is not None
        members = one.ledger.ordered()
    home = Home.open(folder / "home")
    stored = answer.to_dict()
    other = {**stored, "lambdas": [{**each, "unit": "per batch", "off": 0.0} for each in stored["lambdas"]]}
    with Catalogue(home.catalogue_url) as catalogue:
        for name, status, said in (("good", "complete", stored), ("open", "interrupted", None), ("units", "complete", other)):
            catalogue.create_sweep(SweepRow(name, read(SPEC).model_dump(mode="json"), "vae", "mlp", "digits", status, answer=said))
            catalogue.add_members(name, members)
    return home


def test_auto_takes_what_fits_and_stores_it(catalogue_with_sources: Home) -> None:
    found = prior.resolved(read({**SPEC, "prior": "auto"}), catalogue_with_sources)
    assert [one["name"] for one in found] == ["good"]
    assert set(found[0]["best"]) == {"beta", "lr"} and len(found[0]["trainings"]) == 16
    assert prior.resolved(read(SPEC), catalogue_with_sources) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"prior": ["good", "nosuch"]}, ["'nosuch' must be a sweep"]),
        ({"prior": "open"}, ["must be a sweep with an answer; it is interrupted"]),
        ({"prior": "units"}, ["beta of 'units' must be in the unit"]),
        ({"prior": ["open", "units", "nosuch"]}, ["'nosuch'", "'open'", "'units'"]),
        ({"prior": "good", "search": {"l2": {}}}, ["must have searched one of l2; it searched beta"]),
        ({"prior": ["auto", "good"]}, ["auto alone"]),
        ({"prior": ["good", "good"]}, ["different sweeps"]),
    ],
)
def test_a_prior_that_cannot_be_is_refused(catalogue_with_sources: Home, spec: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        prior.resolved(read({**SPEC, **spec}), catalogue_with_sources)
    assert all(part in str(caught.value) for part in said)


def begun(folder: Path, stored: list[dict[str, Any]], best: float, **spec: Any) -> Simulated:
    """A sweep with a prior in its facts, as `kept.begin` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    with Catalogue(f"sqlite:///{folder / 'simulated.db'}") as catalogue:
        if not catalogue.has_sweep("s"):
            catalogue.create_sweep(SweepRow("s", {}, facts={PRIOR: stored}))
    return Simulated(folder, {**SPEC, "seed": 5, **spec}, bowl(best), sd=0.01, shift=0.0)


def proposals(one: Simulated) -> list[str]:
    answer = one.plan.answer
    assert isinstance(answer, Answer)
    return [note for note in answer.notes if note.startswith("prior ")]


def test_a_source_that_predicts_proposes_and_a_resumed_sweep_goes_on_with_it(catalogue_with_sources: Home, tmp_path: Path) -> None:
    stored = prior.resolved(read({**SPEC, "prior": "good"}), catalogue_with_sources)
    with begun(tmp_path / "whole", stored, 0.4) as one:
        one.run()
        whole, notes = [(row.config, row.seed) for row in one.ledger.ordered()], proposals(one)
    first = next(config for config, _ in whole if config["beta"] != 1.0)
    assert (first["beta"], first["lr"]) == (stored[0]["best"]["beta"], stored[0]["best"]["lr"])
    assert "rank correlation" in notes[0] and "proposed 3 members" in notes[0] and "given up" not in notes[0]
    with begun(tmp_path / "cut", stored, 0.4) as one:
        one.run(jobs=8)
    with begun(tmp_path / "cut", stored, 0.4) as one:
        one.run()
        assert [(row.config, row.seed) for row in one.ledger.ordered()] == whole


def test_a_source_that_misleads_is_given_up_after_one_member(catalogue_with_sources: Home, tmp_path: Path) -> None:
    stored = prior.resolved(read({**SPEC, "prior": "good"}), catalogue_with_sources)
    with begun(tmp_path, stored, 8.0) as one:
        one.run()
        assert "proposed 1 members; it was given up" in proposals(one)[0]


def test_no_prior_changes_nothing(tmp_path: Path) -> None:
    with begun(tmp_path / "a", [], 0.4) as one, Simulated(tmp_path, {**SPEC, "seed": 5}, bowl(0.4), sd=0.01, shift=0.0) as other:
        one.run(), other.run()
        assert [row.config for row in one.ledger.ordered()] == [row.config for row in other.ledger.ordered()]
