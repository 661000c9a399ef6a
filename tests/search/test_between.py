"""Truths about the search between the rounds: where it trains, on which seeds, and with which epochs. Its kills are in test_kills.py."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.base import Knob, Phase, Report, State, Value
from search.choosing import between, from_members
from search.choosing.answer import Candidate, Row
from search.choosing.between import proposals
from search.choosing.candidates import candidates, same
from search.choosing.feasibility import surface_of
from search.choosing.race import Look
from search.estimate import Past, _counted
from search.running.working.work import Progress, Result, Train
from search.spec.constraints import Constraint
from search.spec.reading import read
from tests.search.simulated import ACT, DROPOUT, L2, LR, Simulated, luck, parabola

pytestmark = pytest.mark.turns(2)

# ------------------------------------------------------------------------------------------------ where it trains


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_more_is_never_expected_to_harm_and_nothing_of_what_is_known(count: int, seed: int) -> None:
    """By Jensen's inequality E min ≤ min E. Where the posterior knows everything, a training tells nothing."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(count, count))
    mean, noise = rng.normal(size=count), rng.uniform(0.1, 2, count)
    assert (between._gains(mean, root @ root.T, noise) >= -1e-12).all()
    assert (between._gains(mean, np.zeros((count, count)), noise) <= between.NOTHING).all()


@given(st.floats(-2, 2), st.floats(0.1, 3), st.floats(0.1, 3))
def test_against_a_known_config_the_gain_is_the_expected_improvement(ahead: float, sd: float, noise: float) -> None:
    """One config is known, one is not: E min(0, m + σ̃ z) has a closed form, σ̃ = sd²/√(sd² + noise²). Six outcomes come near to it."""
    moves = sd**2 / math.hypot(sd, noise)
    (_, gain) = between._gains(np.array([0.0, ahead]), np.diag([0.0, sd**2]), np.array([noise, noise]))
    z = ahead / moves
    exact = moves * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) - abs(ahead) * 0.5 * math.erfc(abs(z) / math.sqrt(2))
    assert gain == pytest.approx(exact, abs=0.08 * moves)


def trained(configs: list[dict[str, Value]], truth: Any, first: int = 0, phase: Phase = Phase.SEARCH) -> list[Row]:
    """A complete member of each config, with some luck; NaN of the truth is a member that diverged."""
    rows = []
    for number, config in enumerate(configs, first):
        score, arm = truth(config) + 0.05 * luck(number), "search" if any(config.get(name) for name in ("l2", "dropout")) else "off"
        lost = math.isnan(score)
        rows.append(Row(number, phase, arm, config, number, "diverged" if lost else "complete", None if lost else score))
    return rows


def bowl(config: dict[str, Value]) -> float:
    return 10 + parabola(1.0)(float(config["l2"])) + 0.5 * abs(math.log10(float(config.get("lr", 1e-2))) + 2)


GRID: list[dict[str, Value]] = [{"l2": l2, "lr": lr} for l2 in (0.0, 2e-3, 2e-2, 4.0) for lr in (1e-3, 1e-2, 6e-2)]


def screened(knobs: list[Knob], rows: list[Row], **keys: Any) -> list[Candidate]:
    return candidates(rows, knobs, fixed={}, **keys)


def test_new_configs_with_a_lambda_on_that_no_candidate_is_and_all_apart() -> None:
    rows = trained(GRID, bowl)
    found = screened([L2, LR], rows)
    new = proposals(found, rows, [L2, LR], [L2], 3)
    assert [one.arm for one in new] == ["between1", "between2", "between3"]
    everyone = [*found, *new]
    for place, one in enumerate(new):
        assert 1e-3 <= float(one.config["l2"]) <= 10 and 1e-4 <= float(one.config["lr"]) <= 0.1
        assert not any(same(one.config, other.config, [L2, LR]) for other in everyone[: len(found) + place])


def test_where_two_configs_are_all_but_known_it_trains_in_the_gap_between_them() -> None:
    """The bowl's minimum is at 0.1; 0.02 and 4 were trained on many seeds, and nothing in between."""
    rows = trained([one for one in GRID for _ in range(6)], bowl)
    found = [Candidate("off", {"l2": 0.0, "lr": 1e-2}, ""), Candidate("min", {"l2": 2e-2, "lr": 1e-2}, "")]
    (new,) = proposals(found, rows, [L2, LR], [L2], 1)
    assert 2e-2 < float(new.config["l2"]) < 4


def test_the_order_of_members_changes_no_proposal() -> None:
    rows = trained(GRID, bowl)
    found = screened([L2, LR], rows)
    assert proposals(found, rows, [L2, LR], [L2], 2) == proposals(found, rows[::-1], [L2, LR], [L2], 2)


def test_nothing_is_trained_near_what_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is above 1 diverges. A curve says nothing of where."""
    monkeypatch.setattr(between, "WORTH", 0.0)
    configs: list[dict[str, Value]] = [{"l2": l2} for l2 in (0.0, 1e-3, 1e-2, 0.05, 0.3, 0.8, 1.2, 3.0, 10.0) for _ in range(2)]
    rows = trained(configs, lambda config: math.nan if float(config["l2"]) > 1 else 10 - float(config["l2"]))
    new = proposals(screened([L2], rows), rows, [L2], [L2], 4)
    assert all(float(one.config["l2"]) < 1 for one in new)


def test_nothing_is_trained_where_a_constraint_is_likely_broken() -> None:
    rows = [replace(row, metrics={"size": float(row.config["l2"])}) for row in trained(GRID, bowl)]
    constraints = [Constraint("size", "<=", 0.05)]
    new = proposals(screened([L2, LR], rows, constraints=constraints), rows, [L2, LR], [L2], 3, constraints=constraints)
    assert new and all(float(one.config["l2"]) <= 0.05 for one in new)


def test_lambdas_that_are_searched_alone_take_turns_with_the_others_off() -> None:
    configs: list[dict[str, Value]] = [{"l2": 0.0, "dropout": 0.0}] * 3
    configs += [{"l2": l2, "dropout": 0.0} for l2 in (1e-3, 1e-2, 0.1, 1.0, 10.0)]
    configs += [{"l2": 0.0, "dropout": share} for share in (0.05, 0.2, 0.4, 0.6, 0.8)]
    rows = trained(
        configs, lambda config: 10 + parabola(1.0)(float(config["l2"])) - float(config["dropout"]) * (1 - float(config["dropout"]))
    )
    rows = [replace(row, arm=_alone(row)) for row in rows]
    found = screened([L2, DROPOUT], rows, alone=True)
    new = proposals(found, rows, [L2, DROPOUT], [L2, DROPOUT], 3, alone=True)
    assert [one.arm.partition(":")[2] for one in new] == ["l2", "l2", "dropout"]
    assert all(bool(one.config[name]) == one.arm.endswith(name) for one in new for name in ("l2", "dropout"))


def _alone(row: Row) -> str:
    on = [name for name in ("l2", "dropout") if row.config[name]]
    return f"alone:{on[0]}" if on else "off"


def test_choices_take_part() -> None:
    configs: list[dict[str, Value]] = [{"l2": l2, "act": act} for l2 in (0.0, 2e-3, 2e-2, 4.0) for act in ("relu", "elu")]
    rows = trained(configs, lambda config: bowl(config) + (config["act"] == "elu"))
    new = proposals(screened([L2, ACT], rows), rows, [L2, ACT], [L2], 2)
    assert new and all(one.config["act"] in ("relu", "elu") for one in new)


def test_where_less_than_a_hundredth_of_the_noise_is_expected_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = trained(GRID, bowl)
    found, gains = screened([L2, LR], rows), between._gains
    surface = surface_of(rows, [L2, LR], [])
    assert surface is not None
    for share, count in ((0.99, 0), (1.01, 2)):
        # The greatest gain is this share of what is just worth the round.
        monkeypatch.setattr(
            between, "_gains", lambda *given, share=share: gains(*given) / gains(*given).max() * share * between.WORTH * surface.noise
        )
        assert len(proposals(found, rows, [L2, LR], [L2], 2)) == count


def test_where_there_is_no_fit_nothing_is_proposed() -> None:
    rows = trained(GRID[:2], bowl)
    assert proposals([Candidate("off", GRID[0], ""), Candidate("min", GRID[1], "")], rows, [L2, LR], [L2], 2) == []


# ------------------------------------------------------------------------------------------------ seeds and epochs

SPEC: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}, "lr": {}},
    "scheduler": {"name": "asha", "reduction": 2},
    "budget": {"trials": 12, "epochs": 8},
    "confirm": {"screen": 1, "seeds": 3},
}


class Halved(Simulated):
    """Members report at every milestone, so that a scheduler can stop them."""

    def begin(self, work: Any) -> None:
        super().begin(work)
        self._ends = [*work.milestones, self.spec.settings().epochs] if isinstance(work, Train) else []

    def step(self) -> Result:
        if not isinstance(self._work, Train):
            return super().step()
        self._steps += 1
        end = self._ends.pop(0)
        reports = []
        for one in self._work.assigned:
            score = self.score(one.member.config, one.member.seed)
            last = not self._ends
            reports.append(Report(one.member.number, end, score, state=State.COMPLETE if last else None, score=score if last else None))
        return Progress(tuple(reports), done=not self._ends)


def truth(config: Any) -> float:
    return 10 + parabola(0.4)(float(config["l2"])) + abs(math.log10(float(config["lr"])) + 2)


def sweep(folder: Path, **keys: Any) -> tuple[list[Any], Any, list[Candidate]]:
    with Halved(folder, {**SPEC, **keys}, truth, sd=0.3, shift=0.1) as one:
        found = one.run()
        assert found is not None
        return one.ledger.ordered(), found, list(one.plan.rounds.candidates)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Any, list[Candidate]]:
    return sweep(tmp_path_factory.mktemp("between"))


def test_it_trains_on_the_seeds_that_choose_and_never_on_those_that_judge(whole: Any) -> None:
    rows, _, cands = whole
    mine = [one for one in cands if between.is_between(one.arm)]
    spec = read(SPEC)
    screen, finals = set(from_members.screening_seeds(spec)), set(from_members.final_seeds(spec, Look()))
    assert len(mine) == 2
    for one in mine:
        seeds = {row.seed for row in rows if row.phase == Phase.CONFIRM and row.config == one.config}
        assert seeds & screen == screen and (seeds <= screen or one.final) and not screen & finals
    first = max(row.number for row in rows if row.config in [one.config for one in mine] and row.seed in screen)
    judged = [row.number for row in rows if row.seed in finals]
    assert first < min(judged), "finalists are chosen after it"


def test_it_takes_no_epoch_that_the_plan_did_not_have(whole: Any) -> None:
    rows, _, _ = whole
    plan = _counted(read(SPEC), Past(read(SPEC), [], {}), 1)
    without = _counted(read({**SPEC, "confirm": {**SPEC["confirm"], "between": 0}}), Past(read(SPEC), [], {}), 1)
    assert sum(row.epochs for row in rows) <= sum(plan.epochs.values()) == sum(without.epochs.values())
    assert sum(plan.members.values()) == sum(without.members.values()) + 2


@pytest.mark.parametrize(
    "keys",
    [
        {"scheduler": "none"},
        {"confirm": {"screen": 1, "seeds": 3, "between": 0}},
        {"confirm": {"screen": 0, "seeds": 3}},
        {"confirm": {"configs": 2, "seeds": 3}},
    ],
    ids=["nobody stopped early", "not asked for", "no first round", "nothing to choose from"],
)
def test_there_is_none_where(keys: dict[str, Any], tmp_path: Path) -> None:
    rows, found, cands = sweep(tmp_path, **keys)
    assert not any(between.is_between(one.arm) for one in cands)
    assert not any("between the rounds" in note for note in found.notes) and "between the rounds" not in found.spent
    spec = read({**SPEC, **keys})
    assert from_members.between_planned(spec) == 0
    assert len(rows) <= sum(from_members.planned(spec).values())


def test_where_time_is_short_the_final_seeds_are_kept(tmp_path: Path) -> None:
    """After the first round there is time for the four final seeds of two arms and for one member more; two would be searched."""
    with Halved(tmp_path, SPEC, truth, sd=0.3, shift=0.1) as one:
        rounds = one.plan.rounds
        rounds._room = lambda: 9.0 if any(row.phase == Phase.CONFIRM for row in one.ledger.ordered()) else math.inf
        assert one.run() is not None
        assert not any(between.is_between(arm.arm) for arm in rounds.candidates) and any(arm.final for arm in rounds.candidates)


def test_the_answer_says_what_was_searched_and_what_it_took(whole: Any) -> None:
    _, found, cands = whole
    (note,) = [one for one in found.notes if "between the rounds" in one]
    assert note.startswith("configs that were searched between the rounds: l2 ") and note.count("l2 ") == 2
    finals = [one.arm for one in cands if between.is_between(one.arm) and one.final]
    assert note.endswith(f"of them came to the final round: {' and '.join(finals) or 'none'}")
    assert found.spent["between the rounds"]["total"] == {"members": 2, "epochs": 16, "seconds": 0.0}


def test_trials_that_are_added_race_again_with_configs_of_their_own(tmp_path: Path) -> None:
    """The next look begins without candidates; so it may search between its rounds, too."""
    _, _, cands = sweep(tmp_path)
    again = [one for one in cands if not between.is_between(one.arm)]
    with Halved(tmp_path, SPEC, truth, sd=0.3, shift=0.1) as one:
        table = one.plan.table()
        assert from_members.searched_between(one.spec, one.space, table, cands) == [], "once in a race"
        assert len(from_members.searched_between(one.spec, one.space, table, again)) == 2
        few = [replace(row, epochs=8) for row in table]
        assert from_members.searched_between(one.spec, one.space, few, again) == [], "no epoch is left"
