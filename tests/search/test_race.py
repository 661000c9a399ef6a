"""Truths about the race on fresh seeds: who comes to the final, which seeds it uses, when it ends, and how often its verdict is wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from objectives.base import Phase, Value
from search.asking.seeds import derive
from search.choosing import from_members, race
from search.choosing.answer import Answer, Candidate, Row, Verdict
from search.choosing.arms import sign_test
from search.choosing.race import Look, finalists, has_rivals, seeds_needed
from search.choosing.trainings import trainings
from search.choosing.verdict import against_off, answer
from search.modelling.surface import Surface
from search.running.working.work import Result
from search.spec.reading import read
from tests.search.simulated import DROPOUT, L2, LR, Simulated, parabola

pytestmark = pytest.mark.turns(2)

Scores = Sequence[float | str]
OFF: dict[str, Value] = {"l2": 0.0, "lr": 1e-2}
ARMS: dict[str, dict[str, Value]] = {
    "off": OFF,
    "min": {"l2": 0.1, "lr": 1e-3},
    "lucky": {"l2": 1.0, "lr": 1e-3},
    "edge": {"l2": 0.3, "lr": 1e-3},
    "off:min": {"l2": 0.0, "lr": 1e-3},
}


def screened(scores: Mapping[str, Scores], configs: Mapping[str, dict[str, Value]]) -> tuple[list[Candidate], list[Row]]:
    """Candidates and their members on the same seeds; a word in place of a score is the state that a member ended in."""
    rows = [
        Row(100 + 10 * place + seed, Phase.CONFIRM, arm, configs[arm], seed, *((one, None) if isinstance(one, str) else ("complete", one)))
        for place, (arm, all_) in enumerate(scores.items())
        for seed, one in enumerate(all_)
    ]
    return [Candidate(arm, configs[arm], "") for arm in scores], rows


def final(found: Sequence[Candidate]) -> list[str]:
    return [one.arm for one in found if one.final]


def chosen(scores: Mapping[str, Scores], configs: Mapping[str, dict[str, Value]] = ARMS, **keys: Any) -> list[str]:
    """The finalists without what is ablated; the minimum of the surface stands for the candidate that is nearest to it."""
    found = finalists(*screened(scores, configs), [L2, LR], [L2], **keys)
    return sorted(_known(one, configs) for one in found if one.final and not one.arm.startswith(race.ABLATED))


def _known(one: Candidate, configs: Mapping[str, dict[str, Value]]) -> str:
    if not one.arm.startswith("refined"):
        return one.arm
    on = [arm for arm, config in configs.items() if config["l2"]]
    return min(on, key=lambda arm: abs(math.log(float(configs[arm]["l2"]) / float(one.config["l2"]))))


def around(*means: float) -> dict[str, Scores]:
    """Three seeds of each arm, alike but for the arms' means."""
    return {arm: [mean - 0.1, mean, mean + 0.12] for arm, mean in zip(ARMS, means, strict=True)}


# ------------------------------------------------------------------------------------------------ who comes to the final


def test_the_best_off_arm_and_the_best_lambda_arm_come_to_the_final() -> None:
    assert chosen(around(14, 10, 12, 13, 15)) == ["min", "off"]
    assert chosen(around(14, 12, 10, 13, 11)) == ["lucky", "off:min"]


def test_the_order_of_members_changes_no_finalist() -> None:
    found, rows = screened(around(14, 12, 10, 13, 11), ARMS)
    one, other = finalists(found, rows, [L2, LR], [L2]), finalists(found, rows[::-1], [L2, LR], [L2])
    assert [(arm.arm, arm.seeds) for arm in one] == [(arm.arm, arm.seeds) for arm in other]


def test_the_minimum_of_the_surface_after_the_first_round_is_an_arm_of_its_own() -> None:
    """Between two candidates, where no third one is the same."""
    found, rows = screened({**around(14, 10.1, 12, 10, 15), "lucky": [14.0, 14.1, 14.0]}, ARMS)
    kept = finalists(found, rows, [L2, LR], [L2])
    (refined,) = [one for one in kept if one.arm == "refined"]
    assert refined.final and 0.05 < float(refined.config["l2"]) < 0.5 and refined.config["lr"] != 0.1
    assert [one.arm for one in kept if one.final] == ["off", "refined", "ablated:refined"]  # off is better with another learning rate
    searched = [Row(r.number, Phase.SEARCH, r.arm, r.config, r.seed, r.state, r.score) for r in rows]
    assert "refined" not in [one.arm for one in finalists(found, searched, [L2, LR], [L2])]  # nothing is new since the candidates
    assert "refined" not in [one.arm for one in finalists(found, rows, [L2, LR], [L2], simpler=True)]


@pytest.mark.parametrize("state", ["diverged", "collapsed"])
def test_an_arm_that_lost_more_seeds_than_another_does_not_come_to_the_final(state: str) -> None:
    """Its survivors are by far the best: they must not count."""
    scores = around(14, 12, 11, 13, 15)
    assert chosen({**scores, "lucky": [1.0, 1.0, state]}) == ["min", "off"]
    assert chosen({**scores, "off": [1.0, 1.0, state]}) == ["lucky", "off:min"]
    assert chosen({arm: [*values[:2], state] for arm, values in scores.items()}) == ["lucky", "off"]  # all alike


@pytest.mark.parametrize("state", ["failed", "preempted"])
def test_a_missing_seed_is_not_held_against_an_arm(state: str) -> None:
    scores = around(14, 12, 10, 13, 15)
    assert chosen({**scores, "lucky": [*scores["lucky"][:2], state]}) == ["lucky", "off"]


def test_without_a_surface_the_first_sound_arm_of_each_side_is_taken() -> None:
    assert chosen({"off": [3.0], "min": [2.0]}) == ["min", "off"]
    assert chosen({"off": ["failed"], "min": ["diverged"], "lucky": ["failed"], "edge": ["failed"]}) == ["lucky", "off"]


def test_where_only_the_off_arm_trains_it_is_the_only_finalist() -> None:
    assert chosen({"off": [3.0, 3.1]}) == ["off"]


def test_the_simpler_of_two_arms_that_are_not_told_apart_is_taken_only_where_it_is_asked_for() -> None:
    alike = {**around(14, 10, 12, 10, 15), "min": [9.9, 9.9, 10.1], "edge": [9.8, 10.2, 9.91]}
    assert chosen(alike, simpler=True) == ["edge", "off"]
    assert chosen(around(14, 10, 14, 13, 15), simpler=True) == chosen(around(14, 10, 14, 13, 15)) == ["min", "off"]  # edge is worse
    assert chosen({**alike, "edge": [9.8, 10.0, "diverged"]}, simpler=True) == ["min", "off"]


TWO: dict[str, dict[str, Value]] = {
    "off": {"l2": 0.0, "dropout": 0.0},
    "min": {"l2": 0.1, "dropout": 0.2},
    "without:l2": {"l2": 0.0, "dropout": 0.2},
    "without:dropout": {"l2": 0.1, "dropout": 0.0},
    "lucky": {"l2": 1.0, "dropout": 0.5},
}


def two(*means: float, simpler: bool = False) -> list[Candidate]:
    scores: dict[str, Scores] = {arm: [mean - 0.1, mean, mean + 0.1] for arm, mean in zip(TWO, means, strict=True)}
    found, rows = screened(scores, TWO)
    return finalists(found, rows, [L2, DROPOUT], [L2, DROPOUT], simpler=simpler)


@pytest.mark.parametrize("simpler", [False, True])  # without and with an arm that no candidate was
def test_the_arms_without_one_lambda_are_those_of_the_arm_that_was_chosen_and_come_after_it(simpler: bool) -> None:
    """The verdict takes the first λ arm for the chosen one."""
    for means in ((14, 12, 13, 13, 10), (14, 10, 13, 13, 12)):
        off, best, *without = [one for one in two(*means, simpler=simpler) if one.final]
        assert off.arm == "off" and best.arm in ("min", "lucky", "refined") and best.config["l2"] and best.config["dropout"]
        assert {one.arm: one.config for one in without} == {f"without:{name}": {**best.config, name: 0.0} for name in ("l2", "dropout")}
        rows = [
            Row(900 + 10 * at + seed, Phase.CONFIRM, one.arm, one.config, seed, "complete", 10.0 + at + 0.1 * seed)
            for at, one in enumerate([off, best, *without])
            for seed in range(50, 53)
        ]
        assert answer(rows, [L2, DROPOUT], [off, best, *without]).arm == best.arm


def test_an_arm_with_one_lambda_on_has_no_arm_without_it() -> None:
    assert final(two(14, 12, 10, 13, 12, simpler=True)) == ["off", "without:l2"]


def test_every_lambda_that_is_alone_has_its_own_finalist() -> None:
    configs: dict[str, dict[str, Value]] = {
        "off": {"l2": 0.0, "dropout": 0.0},
        "min:l2": {"l2": 0.1, "dropout": 0.0},
        "min:dropout": {"l2": 0.0, "dropout": 0.2},
        "lucky:l2": {"l2": 1.0, "dropout": 0.0},
        "lucky:dropout": {"l2": 0.0, "dropout": 0.5},
    }
    means = {"off": 14.0, "min:l2": 10.0, "min:dropout": 13.0, "lucky:l2": 12.0, "lucky:dropout": 11.0}
    found, rows = screened({arm: [mean - 0.1, mean, mean + 0.1] for arm, mean in means.items()}, configs)
    off, *ones = [one for one in finalists(found, rows, [L2, DROPOUT], [L2, DROPOUT], alone=True) if one.final]
    assert off.arm == "off" and [one.arm.partition(":")[2] for one in ones] == ["l2", "dropout"]
    for one, best, other in zip(ones, (0.1, 0.5), ("dropout", "l2"), strict=True):
        name = one.arm.partition(":")[2]
        assert one.config[other] == 0.0 and best / 3 < float(one.config[name]) < best * 3
    kept = finalists(found, rows, [L2, DROPOUT], [L2, DROPOUT], alone=True, simpler=True)
    assert final(kept) == ["off", "min:l2", "lucky:dropout"]


@pytest.mark.parametrize(
    ("arms", "alone", "rivals"),
    [
        (["off", "min"], False, False),
        (["off"], False, False),
        (["off", "min", "edge"], False, True),
        (["off", "min", "off:min"], False, True),
        (["off", "min:l2", "min:dropout"], True, False),
        (["off", "min:l2", "min:dropout", "low:l2"], True, True),
    ],
)
def test_a_first_round_needs_two_arms_of_one_side(arms: list[str], alone: bool, rivals: bool) -> None:
    assert has_rivals([Candidate(arm, {}, "") for arm in arms], alone) is rivals


# ------------------------------------------------------------------------------------------------ looks and seeds


def test_all_looks_of_a_sweep_together_err_in_at_most_one_of_twenty() -> None:
    looks = [Look(number) for number in range(1, 100)]
    assert math.fsum(look.error for look in looks) <= 0.05
    assert all(look.error > 0 for look in looks)
    assert all(later.error < earlier.error for earlier, later in pairwise(looks))


def test_the_exact_sign_test_by_hand() -> None:
    assert sign_test(0, 0) == sign_test(3, 3) == sign_test(2, 3) == 1
    assert sign_test(6, 0) == sign_test(0, 6) == 2 / 2**6
    assert sign_test(5, 1) == pytest.approx(2 * (1 + 6) / 2**6)
    assert sign_test(7, 0) < race.FIRST / 2 < sign_test(6, 0)  # seven seeds of seven decide, and no fewer


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_test_is_scipys_binomial_test(more: int, less: int) -> None:
    expected = binomtest(more, more + less).pvalue if more + less else 1.0
    assert sign_test(more, less) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(0, 30), st.integers(1, 6))
def test_no_look_uses_a_seed_of_the_search_of_the_first_round_or_of_an_earlier_look(seed: int, count: int, screen: int, looks: int) -> None:
    spec = read({"objective": "toy", "seed": seed, "confirm": {"seeds": max(2, count), "screen": screen}})
    count = spec.confirm.seeds
    finals = [from_members.final_seeds(spec, Look(number, (number - 1) * count)) for number in range(1, looks + 1)]
    others = [derive(seed, "search"), *(derive(seed, "search", index) for index in range(9)), *from_members.screening_seeds(spec)]
    everything = [*others, *(one for seeds in finals for one in seeds)]
    assert len(set(everything)) == len(everything) == 10 + screen + looks * count


SPEC: dict[str, Any] = {"objective": "toy", "search": {"l2": {}}, "scheduler": "none", "budget": {"trials": 12, "epochs": 1}}


def swept(folder: Path, gain: float, **keys: Any) -> tuple[list[Any], Answer, list[Candidate]]:
    """Members, answer and candidates of a sweep that gains `gain` at λ = 0.1."""
    with Simulated(folder, {**SPEC, **keys}, lambda config: 10 + parabola(gain)(float(config["l2"])), shift=0.05) as sweep:
        found = sweep.run()
        assert found is not None
        return sweep.ledger.ordered(), found, list(sweep.plan.rounds.candidates)


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Answer, list[Candidate]]:
    return swept(tmp_path_factory.mktemp("huge"), gain=3.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Answer, list[Candidate]]:
    return swept(tmp_path_factory.mktemp("small"), gain=0.0, margin=0.0)


def finals_of(sweep: tuple[list[Any], Answer, list[Candidate]]) -> Counter[str]:
    """How many members each finalist has on final seeds."""
    seeds = set(from_members.final_seeds(read(SPEC), Look()))
    return Counter(row.config["l2"] for row in sweep[0] if row.phase == Phase.CONFIRM and row.seed in seeds)


def test_a_huge_effect_needs_few_final_seeds_and_none_needs_them_all(huge: Any, small: Any) -> None:
    few, whole = race.FEWEST, 8
    assert huge[1].verdict is Verdict.HELPS and huge[1].effect.seeds == few
    assert sorted(finals_of(huge).values()) == [few] * 2
    assert small[1].effect.seeds == whole and sorted(finals_of(small).values()) == [whole] * 2


def test_only_final_seeds_make_the_verdict_and_they_are_nobody_elses(huge: Any, small: Any) -> None:
    for rows, found, cands in (huge, small):
        spec = read(SPEC)
        screen, finals = set(from_members.screening_seeds(spec)), set(from_members.final_seeds(spec, Look()))
        searched = {row.seed for row in rows if row.phase == Phase.SEARCH}
        confirmed = [row for row in rows if row.phase == Phase.CONFIRM]
        assert {row.seed for row in confirmed} <= screen | finals
        assert not searched & (screen | finals) and not screen & finals
        by_arm = {one.arm: one.config for one in cands}
        mean = {
            arm: np.mean([row.score for row in confirmed if row.config == by_arm[arm] and row.seed in finals]) for arm in ("off", found.arm)
        }
        assert found.effect.mean == pytest.approx(mean["off"] - mean[found.arm])
        assert {row.seed for row in confirmed if row.config not in [by_arm["off"], by_arm[found.arm]]} <= screen


def test_no_first_round_is_trained_where_it_has_nothing_to_choose(tmp_path: Path) -> None:
    rows, _, cands = swept(tmp_path, 0.0, confirm={"configs": 2, "seeds": 2})
    assert final(cands) == [one.arm for one in cands] == ["off", "min"]
    assert Counter(row.phase for row in rows) == {Phase.SEARCH: 12, Phase.CONFIRM: 4}


def test_without_screening_seeds_the_finalists_are_chosen_by_the_search(tmp_path: Path) -> None:
    rows, _, cands = swept(tmp_path, 0.0, confirm={"screen": 0, "seeds": 2})
    assert len(final(cands)) == 2 < len(cands)
    assert Counter(row.phase for row in rows) == {Phase.SEARCH: 12, Phase.CONFIRM: 4}


# ------------------------------------------------------------------------------------------------ death and resurrection


class KilledError(Exception):
    """The driver is dead."""


class Mortal(Simulated):
    """A driver that dies in the middle of its `lives_for`-th job, when members are open and nobody has reported."""

    lives_for = 10_000

    def step(self) -> Result:
        if self._steps + 1 == self.lives_for:
            raise KilledError
        return super().step()


LITTLE: dict[str, Any] = {
    **SPEC,
    "search": {"l2": {}, "lr": {}},
    "budget": {"trials": 8, "epochs": 1},
    "confirm": {"screen": 1, "seeds": 3},
}


def lives(folder: Path, jobs: int) -> tuple[list[Any], Any, Any, int]:
    """The sweep by drivers that die in every `jobs`-th job: its members, its candidates, its answer, and how many drivers it took."""
    for number in range(1, 100):
        with Mortal(
            folder, LITTLE, lambda config: 10 + parabola(0.2)(float(config["l2"])) + abs(math.log10(float(config["lr"])) + 2)
        ) as one:
            one.lives_for = jobs
            try:
                found = one.run()
            except KilledError:
                continue
            assert found is not None
            told = {key: value for key, value in found.to_dict().items() if key != "spent"}
            rows = [(row.number, row.phase, row.config, row.seed, row.state, row.score) for row in one.ledger.ordered()]
            return rows, one.plan.rounds.candidates, told, number
    raise AssertionError("a hundred drivers came to no end")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Any, Any, int]:
    return lives(tmp_path_factory.mktemp("undisturbed"), 10_000)


@pytest.mark.parametrize("jobs", [3, 4, 9])  # the first job of each life prepares the data
def test_drivers_that_die_in_every_job_end_with_the_same_members_and_answer(
    jobs: int, undisturbed: tuple[list[Any], Any, Any, int], tmp_path: Path
) -> None:
    rows, cands, told, drivers = lives(tmp_path, jobs)
    assert drivers > 12 // (jobs - 2) and undisturbed[3] == 1
    assert (rows, cands, told) == undisturbed[:3]
    assert len({(str(row[2]), row[3]) for row in rows if row[1] == Phase.CONFIRM}) == sum(row[1] == Phase.CONFIRM for row in rows)


# ------------------------------------------------------------------------------------------------ how often the verdict is wrong

PLAIN: dict[str, dict[str, Value]] = {"off": {"l2": 0.0}, "min": {"l2": 0.1}}
FINALISTS = [Candidate(arm, config, "", seeds=7) for arm, config in PLAIN.items()]
REPEATS = 500


def null(rng: np.random.Generator, seeds: Sequence[int], lost: float, heavy: bool = False) -> list[Row]:
    """Members of two arms that differ in nothing but luck. Each is lost with probability `lost`, whatever λ is."""
    rows = []
    for seed in seeds:
        common = rng.normal()
        for arm in PLAIN:
            noise = rng.standard_t(3) if heavy else rng.normal()
            state = ("collapsed", None) if rng.random() < lost else ("complete", 100.0 + common + float(noise))
            rows.append(Row(len(rows) + 1000 * seed, Phase.CONFIRM, arm, PLAIN[arm], seed, *state))
    return rows


def judged(rows: list[Row], error: float = race.FIRST, cands: Sequence[Candidate] = FINALISTS) -> Verdict:
    """The verdict alone: a whole answer would fit a surface, which has no part in it."""
    return against_off(rows, cands, 0.0, False, None, error)[2][0].verdict


def most(count: int, probability: float) -> int:
    """So many of `count` are no surprise."""
    return int(binom.ppf(1 - 1e-4, count, probability))


@pytest.mark.parametrize(("lost", "heavy"), [(0.0, False), (0.0, True), (0.2, False), (0.6, True)])
def test_a_lambda_that_does_nothing_rarely_helps_or_hurts(lost: float, heavy: bool) -> None:
    rng = np.random.default_rng(0)
    told = [judged(null(rng, range(7), lost, heavy)) for _ in range(REPEATS)]
    said = Counter(told)
    assert said[Verdict.HELPS] <= most(REPEATS, race.FIRST / 2) and said[Verdict.HURTS] <= most(REPEATS, race.FIRST / 2)
    assert said[Verdict.HELPS] + said[Verdict.HURTS] > 0 or lost  # it can err, so the test can fail


def test_going_on_until_it_helps_does_not_make_it_help() -> None:
    """Five races one after the other, as long as there is no verdict for λ: helps or hurts in one of twenty."""
    rng, repeats, said = np.random.default_rng(1), 150, 0
    for _ in range(repeats):
        for number in range(1, 6):
            look = Look(number, 7 * (number - 1))
            seeds = range(look.used, look.used + 7)
            rows = null(rng, seeds, 0.1)
            if judged(rows, look.error) in (Verdict.HELPS, Verdict.HURTS):
                said += 1
                break
    assert said <= most(repeats, 0.05)


def test_the_arm_that_lost_nothing_in_the_first_round_does_not_help_for_that() -> None:
    """A fifth of all trainings collapse, whatever λ is. The first round picks an arm that had luck; the final uses other seeds."""
    rng, repeats, said = np.random.default_rng(2), 60, Counter[Verdict]()
    configs = {arm: {"l2": value} for arm, value in zip(("off", "min", "edge", "high"), (0.0, 0.1, 0.3, 1.0), strict=True)}
    for _ in range(repeats):
        luck = {arm: ["collapsed" if rng.random() < 0.2 else float(rng.normal()) for _ in range(2)] for arm in configs}
        cands, _ = screened(luck, configs)
        kept = finalists(cands, screened(luck, configs)[1], [L2], [L2])
        values = {one.arm: ["collapsed" if rng.random() < 0.2 else float(rng.normal()) for _ in range(7)] for one in kept if one.final}
        _, rows = screened(values, {one.arm: one.config for one in kept})
        said[judged(rows, cands=kept)] += 1
    assert said[Verdict.HELPS] <= most(repeats, race.FIRST / 2)


def plain(effect: float, noise: float) -> Surface:
    """A surface of two searches of one curve each: off 0, l2 = 0.1 better by `effect` with noise `noise`."""
    rng = np.random.default_rng(5)
    curve = parabola(effect)
    rows = [
        Row(i, Phase.SEARCH, "search", {"l2": float(10 ** rng.uniform(-3, 1)) if i % 4 else 0.0}, i, "complete", 0.0) for i in range(40)
    ]
    scored = [
        Row(r.number, r.phase, r.arm, r.config, r.seed, r.state, 10 + curve(float(r.config["l2"])) + noise * rng.normal()) for r in rows
    ]
    found = Surface.of(trainings(scored), [L2])
    assert found is not None
    return found


def test_the_plainer_an_effect_is_expected_the_fewer_final_seeds_it_has() -> None:
    off, best = FINALISTS
    needed = {noise: seeds_needed(off, [best], plain(2.0, noise), 30, race.FIRST) for noise in (0.02, 0.5, 3.0)}
    assert needed[0.02] == race.FEWEST <= needed[0.5] <= needed[3.0] == 30
    assert seeds_needed(off, [best], plain(2.0, 0.02), 3, race.FIRST) == 3  # never more than were asked for
    assert seeds_needed(off, [best], None, 9, race.FIRST) == 9
    assert seeds_needed(off, [off], plain(2.0, 0.02), 9, race.FIRST) == 9  # no effect is expected
    assert seeds_needed(off, [best], plain(2.0, 0.5), 30, 0.001) >= needed[0.5]


def test_an_effect_of_three_sds_is_found_and_its_sign_is_never_wrong() -> None:
    rng, said = np.random.default_rng(3), Counter[Verdict]()
    for _ in range(200):
        rows = null(rng, range(7), 0.0)
        worse = [Row(r.number, r.phase, r.arm, r.config, r.seed, r.state, (r.score or 0) + 3 * (r.arm == "off")) for r in rows]
        said[judged(worse)] += 1
    assert said[Verdict.HELPS] > 160 and said[Verdict.HURTS] == 0


@pytest.mark.parametrize(("l2", "gain", "trusted"), [(0.1, 0.0, True), (0.001, 0.2, False), (0.001, 0.6, True), (50.0, 0.2, False)])
def test_where_only_stopped_members_were_a_minimum_must_be_surely_better(l2: float, gain: float, trusted: bool) -> None:
    class Said:
        def excess(self, configs: Sequence[Mapping[str, Value]], at: Mapping[str, Value]) -> tuple[Any, Any]:
            return np.array([-gain]), np.array([0.5])

    whole = [Row(k, "search", "search", {"l2": value}, 0, "complete", 1.0) for k, value in enumerate((0.0, 0.01, 1.0))]
    rows = [*whole, Row(3, "search", "search", {"l2": 0.0005}, 0, "stopped", None)]
    assert race._trusted({"l2": l2}, Candidate("min", {"l2": 0.05}, ""), rows, [L2], Said()) == trusted  # type: ignore[arg-type]
