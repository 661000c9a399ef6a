"""The sampler `path`: who starts from whom, what is kept until then, and what the answer says of the two ways.

Trainings are formulas with a memory: a member's state goes half of the way from the state in which it starts to its λ.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.storage import Home
from objectives.base import Report, State, Value
from search.choosing import words
from search.choosing.answer import Answer, Row
from search.choosing.hysteresis import Hysteresis, Point, hysteresis, scratch_note
from search.choosing.trainings import path_doubt, trainings
from search.running.where import IN_PROCESS
from search.running.working.work import Prepared, Progress, ReadTest, Result, Train
from search.sweep import resume, run
from tests.search.frail import Frail
from tests.search.kept import in_parts, kept, said
from tests.search.simulated import BETA, Simulated, luck

pytestmark = pytest.mark.turns(3)

SPEC: dict[str, Any] = {
    "objective": "vae",
    "search": {"beta": {"low": 0.1, "high": 10}},
    "fixed": {"lr": 1e-3},
    "sampler": "path",
    "budget": {"trials": 24, "epochs": 1},
    "confirm": {"configs": 3, "seeds": 3},
    "pack": 1,
    "check": False,
}


class Remembering(Simulated):
    """Every training starts from the state that its parent has left in a file, and leaves its own; from scratch the state is 0."""

    def __init__(self, folder: Path, spec: Mapping[str, Any] = SPEC, memory: float = 0.5, lost: tuple[int, ...] = ()) -> None:
        super().__init__(folder, spec, lambda config: 0.0)
        self._memory, self._lost = memory, lost

    def step(self) -> Result:
        if not isinstance(self._work, Train):
            return super().step() if isinstance(self._work, ReadTest) else Prepared({})
        self._steps += 1
        return Progress(tuple(self._ended(one) for one in self._work.assigned), done=True)

    def _ended(self, one: Any) -> Report:
        before = json.loads(one.origin.checkpoint.read_text()) if one.origin else 0.0
        if one.member.number in self._lost:
            return Report(one.member.number, 1, math.nan, state=State.DIVERGED)
        place = math.log10(float(one.member.config["beta"]))
        state = self._memory * before + (1 - self._memory) * place
        for heirloom in one.heirlooms.values():
            heirloom.parent.mkdir(parents=True, exist_ok=True)
            heirloom.write_text(json.dumps(state))
        score = 20 + (state - 0.3) ** 2 + 0.01 * luck(one.member.seed, sorted(one.member.config.items()), before)
        return Report(one.member.number, 1, score, state=State.COMPLETE, score=score)

    def score(self, config: Mapping[str, Value], seed: int) -> float:
        return 20.0


def rows_of(one: Simulated) -> list[Any]:
    return [(row.number, row.config["beta"], row.seed, row.parent, row.parent_epoch, row.score) for row in one.ledger.ordered()]


def left(folder: Path) -> list[Path]:
    return sorted(folder.rglob("after-*.pt"))


def test_each_member_starts_from_the_one_before_and_nothing_is_left(tmp_path: Path) -> None:
    with Remembering(tmp_path) as one:
        answer = one.run()
        rows = one.ledger.rows
    assert isinstance(answer, Answer)
    path = [row for row in rows.values() if row.phase == "search" and row.arm == "search"]
    chains = [[row for row in path if row.seed == seed] for seed in dict.fromkeys(row.seed for row in path)]
    assert len(path) == 20 and [len(chain) for chain in chains] == [10, 10]
    for chain in chains:
        assert [row.parent for row in chain] == [None, *(row.number for row in chain[:-1])]
        assert {row.parent_epoch for row in chain[1:]} == {1} and {row.start for row in chain} == {0}
        values = [float(row.config["beta"]) for row in chain]
        assert values == values[::-1] and values[:5] == pytest.approx([0.1, 0.1**0.5, 1, 10**0.5, 10])
    others = [row for row in rows.values() if row not in path]
    assert all(row.parent is None for row in others), "the off arm and the confirmation train from scratch"
    assert not left(tmp_path)


def test_a_file_is_kept_until_the_next_member_has_ended(tmp_path: Path) -> None:
    with Remembering(tmp_path) as one:
        one.run(jobs=8)  # the preparation, off, and three of each chain
        path = [row for row in one.ledger.ordered() if row.arm == "search"]
        ends = [row for row in path if row.number not in {other.parent for other in path}]
        assert [file.parent for file in left(tmp_path)] == [one.dispatch.home.member("s", row.number) for row in ends if row.state]


@pytest.mark.parametrize("seed", range(4))
def test_a_driver_that_is_killed_goes_on_to_the_same_members(seed: int, tmp_path: Path) -> None:
    with Remembering(tmp_path / "whole") as one:
        whole, expected = one.run(), rows_of(one)
    rng, answer, lives = random.Random(seed), None, 0
    while answer is None:
        with Remembering(tmp_path / "parts") as one:
            answer, found = one.run(jobs=rng.randint(1, 6)), rows_of(one)
        lives += 1
    assert lives > 4 and found == expected
    assert whole is not None and said_of(answer) == said_of(whole)


def said_of(answer: Answer) -> str:
    return json.dumps({**answer.to_dict(), "spent": None}, sort_keys=True)


def test_who_is_lost_is_left_out_of_the_chain(tmp_path: Path) -> None:
    with Remembering(tmp_path, lost=(5, 8)) as one:
        one.run()
        path = {row.number: row for row in one.ledger.ordered() if row.arm == "search"}
    for number in (5, 8):
        heir = next(row for row in path.values() if row.seed == path[number].seed and row.number > number and row.state == "complete")
        assert path[number].parent is not None and (heir.parent == path[number].parent or path[heir.parent or 0].number not in (5, 8))
    assert {row.number for row in path.values() if row.state == "diverged"} == {5, 8}
    assert all(row.parent not in (5, 8) for row in path.values())


def test_packs_of_chains_are_the_chains_alone(tmp_path: Path) -> None:
    with Remembering(tmp_path / "alone") as one:
        one.run()
        alone = {(row.config["beta"], row.seed, row.score) for row in one.ledger.ordered() if row.arm == "search"}
    with Remembering(tmp_path / "packs", {**SPEC, "pack": 4}) as one:
        one.facts = {"pack": {"members": 4, "why": ""}}
        one.run()
        packs = {(row.config["beta"], row.seed, row.score) for row in one.ledger.ordered() if row.arm == "search"}
    assert alone == packs


def test_the_answer_shows_hysteresis_where_there_is_a_memory_and_none_where_there_is_none(tmp_path: Path) -> None:
    with Remembering(tmp_path / "memory") as one:
        there = one.run()
    with Remembering(tmp_path / "none", memory=0.0) as one:
        none = one.run()
    assert there is not None and none is not None
    points = there.hysteresis["beta"]["points"]
    assert [point["value"] for point in points] == pytest.approx([0.1, 0.1**0.5, 1, 10**0.5, 10])
    assert any(note.startswith("beta: hysteresis. Up and back differ most at beta = ") and "luck alone" in note for note in there.notes)
    assert any(note.startswith("beta: no hysteresis was found. Up and back differ most at beta = ") for note in none.notes)
    (scratch,) = [note for note in none.notes if "trained from scratch scores" in note]
    assert "which agrees with the path (up" in scratch
    (turn,) = [note for note in there.notes if "where the path turns" in note]
    gap = points[-1]["gap"]
    assert turn.endswith(f"its score is {words.number(abs(gap))} {'worse' if gap > 0 else 'better'}")
    assert "differ by" in there.hysteresis["beta"]["line"] and "in one chain by luck" in there.hysteresis["beta"]["line"]
    assert Answer.from_dict(there.to_dict()).hysteresis["beta"]["line"] == there.hysteresis["beta"]["line"]


# Closed forms -----------------------------------------------------------------------------------------------------------------------------


def row(number: int, seed: int, beta: float, score: float | None, parent: int | None = None) -> Row:
    state = "complete" if score is not None else "diverged"
    return Row(number, "search", "search", {"beta": beta}, seed, state, score, parent=parent)


def chain(seed: int, up: tuple[float | None, ...], back: tuple[float | None, ...]) -> list[Row]:
    betas, first = (0.1, 1.0, 10.0), 10 * seed
    scores = (*zip(betas, up, strict=True), *zip(betas[::-1], back[::-1], strict=True))
    return [row(first + k, seed, beta, score, first + k - 1 if k else None) for k, (beta, score) in enumerate(scores)]


def test_the_gap_is_the_way_back_less_the_way_up_and_its_noise_is_pooled() -> None:
    found = hysteresis([*chain(1, (5.0, 3.0, 4.0), (6.0, 3.5, 4.0)), *chain(2, (5.0, 3.0, 4.0), (8.0, 4.5, 4.0))], BETA, "search")
    assert found is not None
    assert [(one.up, one.back, one.gap, one.chains) for one in found.points] == [(5, 7, 2, 2), (3, 4, 1, 2), (4, 4, 0, 2)]
    assert found.freedom == 3 and found.noise == pytest.approx(math.sqrt((2.0 + 0.5) / 3))
    assert found.largest.value == 0.1
    assert found.limit(found.largest) == pytest.approx(4.857 * found.noise / math.sqrt(2), rel=1e-3)  # t(1 − 0.05/6, 3)


def test_a_way_that_was_lost_makes_no_gap() -> None:
    found = hysteresis(chain(1, (None, 3.0, 4.0), (6.0, 3.5, None)), BETA, "search")
    assert found is not None and [one.value for one in found.points] == [1.0] and math.isnan(found.noise)
    assert "whether there is hysteresis is unknown" in found.notes()[0] and "chains: 2" in found.notes()[0]
    assert found.line().endswith("(one chain: luck is unknown)")
    assert hysteresis(chain(1, (1.0, 2.0, 3.0), (None, None, None)), BETA, "search") is None


def test_a_member_of_a_path_speaks_for_a_training_from_scratch_with_a_doubt() -> None:
    rows = [*chain(1, (5.0, 3.0, 4.0), (7.0, 3.0, 4.0)), Row(99, "search", "off", {"beta": 1.0}, 3, "complete", 4.0)]
    assert path_doubt(rows) == pytest.approx(4.0 / 3 / 2)
    assert [one.doubt for one in trainings(rows)] == pytest.approx([0.0, *[2 / 3] * 5, 0.0])
    assert path_doubt([rows[-1], Row(98, "search", "off", {"beta": 1.0}, 4, "complete", 9.0)]) == 0.0, "seeds are no ways"


def test_from_scratch_is_compared_with_a_line_between_the_points() -> None:
    path = Hysteresis("beta", (Point(0.1, 8.0, 8.0, 0.0, 2), Point(10.0, 4.0, 5.0, 1.0, 2)), 0.1, 2)
    (said_,) = scratch_note(path, BETA, 1.0, 7.5, 0.1)  # on the path up 6, back 6.5
    assert "1 worse than on the path (up 6.00, back 6.50)" in said_
    assert "1.5 better" in scratch_note(path, BETA, 1.0, 4.5, 0.1)[0]
    assert "agrees with the path (up 6.00, back 6.50)" in scratch_note(path, BETA, 1.0, 6.7, 0.1)[0]
    assert not scratch_note(path, BETA, 1.0, math.nan, math.nan)


# Real trainings ---------------------------------------------------------------------------------------------------------------------------

REAL = {**SPEC, "dataset": {"name": "digits", "train_size": 64}, "model": "shallow", "budget": {"trials": 9, "epochs": 2}}
REAL = {**{key: value for key, value in REAL.items() if key != "pack"}, "confirm": {"configs": 2, "seeds": 2}, "objective": "autoencoder"}
REAL = {**REAL, "search": {"l2": {"low": 1e-4, "high": 1}}, "pack": 2}


@pytest.mark.trains
def test_a_real_path_that_is_interrupted_ends_as_if_it_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_home, home = Home.open(tmp_path / "whole"), Home.open(tmp_path / "parts")
    whole = run(REAL, name="s", home=whole_home, address=IN_PROCESS, tracking=False)
    outcome, lives = in_parts(REAL, home, 7, monkeypatch)
    assert lives > 2 and said(outcome) == said(whole)
    one, other = kept(home, "s")[0], kept(whole_home, "s")[0]
    assert [(row.config, row.parent, row.score) for row in one] == [(row.config, row.parent, row.score) for row in other]
    assert sum(row.parent is not None for row in one) == 5
    with pytest.raises(InfraError, match=r"must not move the points of a path.*Start a new sweep"):
        resume("s", home=home, trials=4, address=IN_PROCESS, tracking=False)
    assert not list(tmp_path.rglob("after-*.pt"))


class Losing(Frail, Remembering):
    """Some members end their worker each time they are trained."""

    def __init__(self, folder: Path, lost: set[int]) -> None:
        kills = lambda what, tried: not isinstance(what, str) and what.number in lost  # noqa: E731
        super().__init__(folder, {**SPEC, "sampler": {"name": "path", "chains": 2}}, 0.5, kills)  # type: ignore[arg-type]  # its memory


def test_a_member_that_is_lost_gets_another_in_its_chain(tmp_path: Path) -> None:
    """The chain goes on from it, and the way up and the way back are compared as without the loss."""
    with Losing(tmp_path / "quiet", set()) as one:
        one.run()
        quiet = hysteresis(one.plan.table(), BETA, "search")
        numbers = [row.number for row in one.ledger.ordered() if row.phase == "search" and row.arm == "search"]
    number = numbers[4]
    with Losing(tmp_path / "whole", {number}) as one:
        answer, rows, expected = one.run(), one.ledger.rows, rows_of(one)
        found = hysteresis(one.plan.table(), BETA, "search")
    lost = rows[number]
    (other,) = [row for row in rows.values() if "instead_of" in row.facts]
    assert lost.state == "failed" and other.facts["instead_of"] == number and other.state == "complete"
    assert (other.config, other.seed, other.parent, other.parent_epoch) == (lost.config, lost.seed, lost.parent, lost.parent_epoch)
    assert number not in {row.parent for row in rows.values()} and other.number in {row.parent for row in rows.values()}
    assert found is not None and quiet is not None and found.points == quiet.points
    assert answer is not None and "1 member stands in" in answer.missing
    rng, again = random.Random(4), None
    while again is None:
        with Losing(tmp_path / "parts", {number}) as one:
            again, parts = one.run(jobs=rng.randint(3, 12)), rows_of(one)
    assert parts == expected, "a driver that is killed decides the same"
    assert not left(tmp_path / "whole")
