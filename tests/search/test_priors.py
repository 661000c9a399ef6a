"""Priors: what is taken over from other sweeps; that all other members stay those of a sweep without a prior; who may propose when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.storage import Home
from objectives.base import Phase, Report, Value
from search import prior
from search.choosing.answer import Answer
from search.choosing.missing import INSTEAD
from search.errors import SpecError
from search.facts import PRIOR
from search.running.planning.prior import Judgement, Source
from search.running.writing.told import PROPOSED
from search.spec.reading import read
from tests.search.frail import Frail
from tests.search.simulated import Simulated

pytestmark = pytest.mark.turns(3)

SPEC: dict[str, Any] = {
    "objective": "vae",
    "search": {"beta": {"low": 0.1, "high": 10.0}, "lr": {"low": 1e-4, "high": 1e-1}},
    "budget": {"trials": 22, "epochs": 1},
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
    assert set(found[0]["best"]) == {"beta", "lr"} and len(found[0]["trainings"]) == 26  # 22 of the search, 4 of the final round
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
        ({"prior": "good", "search": {"beta": {"low": 1.1, "high": 10.0}}}, ["of 'good' must lie in the searched range"]),
        ({"prior": "good", "budget": {"trials": 10}, "scheduler": "pbt"}, ["at least 11", "left out with scheduler pbt"]),
        ({"prior": "good", "sampler": "path"}, ["left out with sampler path"]),
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


def members(folder: Path, stored: list[dict[str, Any]], best: float, **spec: Any) -> list[MemberRow]:
    """What a sweep searched."""
    with begun(folder, stored, best, **spec) as one:
        one.run()
        return [row for row in one.ledger.ordered() if row.phase == Phase.SEARCH]


def numbers(rows: list[MemberRow]) -> list[int]:
    return [row.number for row in rows if PROPOSED in row.facts]


def notes(one: Simulated) -> list[str]:
    answer = one.plan.answer
    assert isinstance(answer, Answer)
    return [note for note in answer.notes if note.startswith("prior ")]


@pytest.fixture(scope="module")
def stored(catalogue_with_sources: Home) -> list[dict[str, Any]]:
    return prior.resolved(read({**SPEC, "prior": "good"}), catalogue_with_sources)


@pytest.mark.parametrize("spec", [{}, {"sampler": "qmc", "seed": 2}, {"points": [{"beta": 3.0}], "seed": 3}])
def test_all_other_members_are_those_of_a_sweep_without_a_prior(stored: list[dict[str, Any]], tmp_path: Path, spec: dict[str, Any]) -> None:
    cold, warm = members(tmp_path / "cold", [], 0.4, **spec), members(tmp_path / "warm", stored, 0.4, **spec)
    others = [row for row in warm if PROPOSED not in row.facts]
    assert len(warm) == len(cold) == 22 and len(others) == 20
    assert [(row.arm, row.config, row.seed, row.score) for row in others] == [(r.arm, r.config, r.seed, r.score) for r in cold[:20]]
    assert any(config not in [row.config for row in cold] for config in [row.config for row in warm if PROPOSED in row.facts])


def test_a_source_that_is_better_than_chance_proposes_at_once_its_best_first(stored: list[dict[str, Any]], tmp_path: Path) -> None:
    with begun(tmp_path / "whole", stored, 0.4) as one:
        one.run()
        whole = [(row.config, row.seed, row.facts) for row in one.ledger.ordered()]
        rows, said = [row for row in one.ledger.ordered() if row.phase == Phase.SEARCH], notes(one)
    first = next(row for row in rows if PROPOSED in row.facts)
    assert numbers(rows)[-1] < 11
    assert (first.config["beta"], first.config["lr"]) == (stored[0]["best"]["beta"], stored[0]["best"]["lr"])
    assert "rank correlation" in said[0] and "it proposed 2 members" in said[0]
    for jobs in (8, 10):  # a driver that goes on decides the same, wherever the one before it ended
        with begun(tmp_path / f"cut{jobs}", stored, 0.4) as one:
            one.run(jobs=jobs)
        with begun(tmp_path / f"cut{jobs}", stored, 0.4) as one:
            one.run()
            assert [(row.config, row.seed, row.facts) for row in one.ledger.ordered()] == whole


class Losing(Frail):
    """Some members end their worker each time they are trained."""

    def __init__(self, folder: Path, lost: set[int]) -> None:
        super().__init__(folder, {**SPEC, "seed": 5}, bowl(0.4), lambda what, tried: not isinstance(what, str) and what.number in lost)


def test_a_proposal_that_is_lost_is_trained_again_and_changes_no_other_member(stored: list[dict[str, Any]], tmp_path: Path) -> None:
    found = []
    for lost in (set[int](), {6}):
        folder = tmp_path / str(len(lost))
        begun(folder, stored, 0.4).catalogue.close()
        with Losing(folder, lost) as one:
            answer = one.run()
            found.append([row for row in one.ledger.ordered() if row.phase == Phase.SEARCH])
    quiet, rows = found
    assert numbers(quiet)[0] == 6
    gone, (other,) = rows[6], [row for row in rows if INSTEAD in row.facts]
    assert gone.state == "failed" and other.facts == {INSTEAD: 6, PROPOSED: "good"} | other.facts and other.state == "complete"
    assert (other.config, other.arm) == (gone.config, gone.arm) and other.seed != gone.seed
    assert len(numbers(rows)) == len(numbers(quiet)) + 1, "one in eleven are proposals, as without the loss"
    mine, theirs = ([(row.config, row.seed, row.arm) for row in each if PROPOSED not in row.facts] for each in (rows, quiet))
    assert mine == theirs
    assert answer is not None and "member 6 is missing" in answer.missing and "1 member stands in" in answer.missing


def test_a_source_that_misleads_proposes_nothing(stored: list[dict[str, Any]], tmp_path: Path) -> None:
    with begun(tmp_path / "misled", stored, 8.0) as one:
        one.run()
        rows, said = [row for row in one.ledger.ordered() if row.phase == Phase.SEARCH], notes(one)
    assert numbers(rows) == [] and "it proposed nothing" in said[0]
    assert [row.config for row in rows] == [row.config for row in members(tmp_path / "cold", [], 8.0)]


class Judged(Source):
    """A source with a judgement that a test gives."""

    def judged(self, seen: Any) -> Judgement:
        return JUDGEMENTS[self.name](len(seen))


def by_chance(members: int, share: float) -> Judgement:
    """Correlations of which the less certain one would come by chance this often."""
    from scipy.stats import t

    value = float(t.isf(share, members - 3)) if members > 4 else math.nan
    found = value / math.sqrt(members - 3 + value * value) if members > 4 else math.nan
    return Judgement(members, found, found)


JUDGEMENTS = {
    "proven": lambda n: by_chance(n, 0.03),
    "likely": lambda n: by_chance(n, 0.08),
    "unknown": lambda n: Judgement(n),
    "chance": lambda n: Judgement(n, 0.95, 0.0),
}


@pytest.mark.parametrize(
    ("names", "trials", "made"),
    [
        (["proven"], 44, {"proven": [6, 8, 10, 12]}),
        (["likely"], 44, {"likely": [10, 21, 32, 43]}),
        (["unknown"], 44, {}),
        (["chance"], 44, {}),
        (["likely", "proven"], 44, {"proven": [6, 8, 10, 12]}),
    ],
)
def test_who_may_propose_when(
    stored: list[dict[str, Any]], tmp_path: Path, names: list[str], trials: int, made: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "judged", Judged.judged)
    sources = [{**stored[0], "name": name} for name in names]
    rows = members(tmp_path, sources, 0.4, sampler="random", budget={"trials": trials, "epochs": 1}, confirm={"configs": 0})
    found = {name: [row.number for row in rows if row.facts.get(PROPOSED) == name] for name in names}
    assert {name: at for name, at in found.items() if at} == made


def test_what_is_proposed_stops_nobody(stored: list[dict[str, Any]], tmp_path: Path) -> None:
    with begun(tmp_path, stored, 0.4, scheduler="asha", budget={"trials": 22, "epochs": 20}) as one:
        rows = {
            0: MemberRow(0, {}, 1, arm="search"),
            1: MemberRow(1, {}, 1, arm="search", facts={PROPOSED: "good"}),
        }
        one.ledger.open(list(rows.values()))
        assert one.ledger.decide({1: [Report(1, 4, 0.0)]}) == set()
        assert one.ledger.decide({0: [Report(0, 4, 1.0)]}) == set()


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 40), st.integers(0, 1000))
def test_chance_is_that_of_a_rank_test(members: int, seed: int) -> None:
    from scipy.stats import spearmanr

    one, other = np.random.default_rng(seed).normal(size=(2, members))
    found = spearmanr(one, other, alternative="greater")
    expected = found.pvalue if found.statistic > 0 else 1.0
    assert Judgement(members, found.statistic, 1.0).by_chance == pytest.approx(expected, rel=1e-6)


def test_no_prior_changes_nothing(tmp_path: Path) -> None:
    with begun(tmp_path / "a", [], 0.4) as one, Simulated(tmp_path, {**SPEC, "seed": 5}, bowl(0.4), sd=0.01, shift=0.0) as other:
        one.run(), other.run()
        assert [row.config for row in one.ledger.ordered()] == [row.config for row in other.ledger.ordered()]
