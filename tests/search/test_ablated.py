"""What the nuisance knobs do is not held for the work of λ, though the two sides of the final may have other ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.base import Phase, Value
from search.choosing import front, race
from search.choosing.answer import Answer, Candidate, Row, Verdict
from search.choosing.from_members import planned
from search.choosing.race import finalists
from search.choosing.verdict import Side, against_off, judge
from search.spec.reading import read
from tests.search.simulated import DROPOUT, L2, LR, Simulated

ARMS: dict[str, dict[str, Value]] = {
    "off": {"l2": 0.0, "lr": 1e-2},
    "min": {"l2": 0.1, "lr": 1e-3},
    "ablated:min": {"l2": 0.0, "lr": 1e-3},
}
NOISE = (-0.1, 0.0, 0.05, 0.1)


def side(means: Mapping[str, float], margin: float = 0.1, lost: Mapping[str, Sequence[int]] | None = None) -> Side:
    """The verdict on `min` where each finalist has this mean. `lost`: the seeds on which a finalist diverged."""
    rows = [
        Row(10 * place + seed, Phase.CONFIRM, arm, ARMS[arm], seed, *end)
        for place, (arm, mean) in enumerate(means.items())
        for seed in range(8)
        for end in [("diverged", None) if seed in (lost or {}).get(arm, ()) else ("complete", mean + NOISE[(seed + place) % 4])]
    ]
    cands = [Candidate(arm, ARMS[arm], "", seeds=8) for arm in means]
    (found,) = against_off(rows, cands, margin, False, None, race.FIRST, absolute=True)[2]
    return found


@pytest.mark.parametrize(
    ("off", "ablated", "verdict", "effect"),
    [
        (12.0, 10.0, Verdict.HARMLESS, 0.0),  # the off arm has a bad learning rate, λ does nothing
        (12.0, 11.5, Verdict.HELPS, 1.5),  # both have, and λ gains: over the better one
        (11.0, 20.0, Verdict.HELPS, 1.0),  # the learning rate suits λ alone
        (9.0, 10.0, Verdict.NO_EVIDENCE, -1.0),  # the λ arm has a bad learning rate, λ does nothing
        (9.0, 9.5, Verdict.HURTS, -0.5),  # both, and λ costs: with all else equal
        (12.0, 9.5, Verdict.HURTS, -0.5),
        (9.0, 10.5, Verdict.NO_EVIDENCE, -1.0),  # λ gains where the learning rate is bad; off with its own is better
    ],
)
def test_a_verdict_is_about_lambda_and_not_about_the_learning_rate(off: float, ablated: float, verdict: Verdict, effect: float) -> None:
    found = side({"off": off, "min": 10.0, "ablated:min": ablated}, 0.2)
    assert found.verdict is verdict and abs(found.effect.mean - effect) < 0.06
    assert found.effect.low <= found.effect.mean <= found.effect.high
    alone = side({"off": off, "min": 10.0})
    assert alone.verdict is (Verdict.HELPS if off > 10 else Verdict.HURTS)  # what would be said without the ablated arm
    assert not any("below the margin" in note for note in found.remarks(0.2)), "an improvement that λ is not held for"
    assert any("every λ off" in note for note in found.notes) is (found.verdict is not alone.verdict)


@given(st.floats(8, 12), st.floats(8, 12), st.sampled_from([0.0, 0.1, 2.0]))
def test_nothing_is_said_for_lambda_that_either_off_arm_does_not_say(off: float, ablated: float, margin: float) -> None:
    both = side({"off": off, "min": 10.0, "ablated:min": ablated}, margin)
    one, other = side({"off": off, "min": 10.0}, margin), side({"off": ablated, "min": 10.0}, margin)
    assert (both.verdict is Verdict.HELPS) == (one.verdict is other.verdict is Verdict.HELPS)
    assert (both.verdict is Verdict.HURTS) == (other.verdict is Verdict.HURTS)
    assert both.effect.low <= both.effect.mean <= both.effect.high
    if both.verdict is not Verdict.NO_EVIDENCE:
        assert judge(both.effect.low, both.effect.high, margin) is both.verdict


def test_seeds_that_both_lose_with_one_learning_rate_do_not_speak_for_lambda() -> None:
    """λ off loses every seed with the learning rate that the off arm has, and none with that of the λ arm."""
    everyone = {"off": range(8)}
    assert side({"off": 10.0, "min": 10.0}, lost=everyone).verdict is Verdict.HELPS
    assert side({"off": 10.0, "min": 10.0, "ablated:min": 10.0}, lost=everyone).verdict is not Verdict.HELPS
    assert side({"off": 10.0, "min": 10.0, "ablated:min": 10.0}, lost={**everyone, "ablated:min": range(8)}).verdict is Verdict.HELPS


def screened(means: Mapping[str, float], configs: Mapping[str, dict[str, Value]]) -> tuple[list[Candidate], list[Row]]:
    rows = [
        Row(10 * place + seed, Phase.CONFIRM, arm, configs[arm], seed, "complete", mean + NOISE[(seed + place) % 4])
        for place, (arm, mean) in enumerate(means.items())
        for seed in range(4)
    ]
    return [Candidate(arm, configs[arm], "") for arm in means], rows


@pytest.fixture
def as_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The surface has no other minimum after the first round."""
    monkeypatch.setattr(race, "minima", lambda *_, **__: {})


@pytest.mark.usefixtures("as_screened")
def test_where_the_best_off_arm_has_other_nuisance_knobs_the_lambda_arm_is_ablated() -> None:
    found, rows = screened({"off": 11.0, "min": 10.0, "off:min": 14.0}, {**ARMS, "off:min": ARMS["ablated:min"]})
    kept = finalists(found, rows, [L2, LR], [L2])
    assert {one.arm: one.config for one in kept if one.final} == ARMS
    assert len({str(one.config) for one in kept}) == len(kept), "two candidates with one config would be one arm"
    assert [one.arm for one in finalists(found, rows, [L2, LR], [L2], refine=False) if one.final] == ["off", "min"]  # nothing new


@pytest.mark.usefixtures("as_screened")
def test_no_lambda_arm_is_ablated_where_the_off_arm_has_its_nuisance_knobs() -> None:
    found, rows = screened({"off": 14.0, "min": 10.0, "off:min": 11.0}, {**ARMS, "off:min": ARMS["ablated:min"]})
    assert [one.arm for one in finalists(found, rows, [L2, LR], [L2]) if one.final] == ["min", "off:min"]
    alike = finalists(*screened({"off": 10.2, "min": 10.0}, {**ARMS, "off": {"l2": 0.0, "lr": 1.01e-3}}), [L2, LR], [L2])
    assert [(one.arm, one.config) for one in alike if one.final] == [("off:min", ARMS["ablated:min"]), ("min", ARMS["min"])]  # off is first
    configs: dict[str, dict[str, Value]] = {"off": {"l2": 0.0}, "min": {"l2": 0.1}}
    assert [one.arm for one in finalists(*screened({"off": 14.0, "min": 10.0}, configs), [L2], [L2]) if one.final] == ["off", "min"]


@pytest.mark.usefixtures("as_screened")
def test_every_lambda_that_is_alone_has_an_ablated_arm_of_its_own() -> None:
    configs: dict[str, dict[str, Value]] = {
        "off": {"l2": 0.0, "dropout": 0.0, "lr": 1e-2},
        "min:l2": {"l2": 0.1, "dropout": 0.0, "lr": 1e-3},
        "min:dropout": {"l2": 0.0, "dropout": 0.2, "lr": 1e-2},
    }
    means = {"off": 14.0, "min:l2": 10.0, "min:dropout": 13.0}
    kept = finalists(*screened(means, configs), [L2, DROPOUT, LR], [L2, DROPOUT], alone=True)
    assert [one.arm for one in kept if one.final] == ["off", "min:l2", "min:dropout", "ablated:min:l2"]
    assert kept[-1].config == {"l2": 0.0, "dropout": 0.0, "lr": 1e-3}
    values = {"off": 12.0, "min:l2": 10.0, "min:dropout": 11.0, "ablated:min:l2": 10.0}
    cands = [one for one in kept if one.final]
    rows = screened(values, {one.arm: one.config for one in cands})[1]
    sides = against_off(rows, cands, 0.01, True, None, race.FIRST)[2]
    assert [(one.arm.name, one.verdict is Verdict.HELPS) for one in sides] == [("min:l2", False), ("min:dropout", True)]


SPEC: dict[str, Any] = {"objective": "toy", "search": {"l2": {}, "lr": {}}, "scheduler": "none", "budget": {"trials": 14, "epochs": 1}}


def answered(folder: Path, seed: int, gain: float, **keys: Any) -> Answer:
    """A sweep in which a seed moves all configs alike, the learning rate decides, and λ gains `gain` wherever it is on."""

    def truth(config: Mapping[str, Value]) -> float:
        return 10 + 3 * (math.log10(float(config["lr"])) + 2) ** 2 - gain * (float(config["l2"]) > 0)

    folder.mkdir()
    with Simulated(folder, {**SPEC, "seed": seed, **keys}, truth, sd=0.0, shift=0.5) as sweep:
        found = sweep.run()
        assert found is not None
        assert len(sweep.ledger.rows) <= sum(planned(sweep.spec).values())
        return found


@pytest.mark.parametrize("keys", [{}, {"confirm": {"configs": 2, "screen": 2, "between": 0, "seeds": 4}}])
def test_a_lambda_that_does_nothing_is_harmless_where_a_learning_rate_decides(keys: dict[str, Any], tmp_path: Path) -> None:
    """Paired seeds tell the smallest difference of two learning rates. It is none of λ's."""
    for seed in range(3):
        found = answered(tmp_path / str(seed), seed, 0.0, **keys)
        assert found.verdict in (Verdict.HARMLESS, Verdict.NO_EVIDENCE) and found.effect.low <= 0 <= found.effect.high, found.sentence()


def test_a_lambda_that_gains_is_found_where_a_learning_rate_decides(tmp_path: Path) -> None:
    found = [answered(tmp_path / str(seed), seed, 0.3) for seed in range(5)]
    assert sum(one.verdict is Verdict.HELPS for one in found) >= 3
    assert all(one.effect.low <= 0.3 + 1e-9 for one in found)


def test_the_plan_has_room_for_the_ablated_arm() -> None:
    with_lr, without = read(SPEC), read({**SPEC, "search": {"l2": {}}})
    assert planned(with_lr)[Phase.CONFIRM] - planned(without)[Phase.CONFIRM] == with_lr.confirm.seeds


@pytest.mark.usefixtures("as_screened")
def test_of_several_metrics_the_arm_that_is_judged_is_ablated_and_no_point_of_the_front() -> None:
    found, rows = screened({"off": 11.0, "min": 10.0, "off:min": 14.0}, {**ARMS, "off:min": ARMS["ablated:min"]})
    rows = [replace(row, others=(20.0 - float(row.score or 0.0),), other_curves=({},)) for row in rows]  # the two contradict each other
    finals = [one for one in front.finalists(found, rows, [L2, LR], [L2], metrics=2) if one.final]
    assert {one.arm: one.config for one in finals} == ARMS and race.is_off(finals[0])
    members = [replace(row, arm=one.arm, seed=50 + at) for one in finals for at, row in enumerate(rows[:4])]
    confirmed = front._confirmed(members, finals, 2, range(50, 54))
    assert confirmed is not None and [one.arm for one in confirmed.arms] == ["off", "min"]
