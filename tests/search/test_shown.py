"""Members are drawn while they train; few of them keep it; and the strip says what λ does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from infra.catalogue import MemberRow
from infra.storage import Home
from objectives import pictures
from objectives.base import Knob, Member, Phase, Settings, State
from objectives.pictures import WIDTH, Sheet, read, steps
from search.running.planning.dispatch import Dispatch
from search.running.working.showing import Shown
from search.running.working.work import Assigned, Progress, Setting, Show, Train
from search.running.working.worker import Worker
from search.running.writing.tally import Tally
from search.spec.keys import Range
from search.spec.reading import read as read_spec
from search.telling.mlflow.shown import Exemplars, members
from search.telling.pictures import strip

pytestmark = pytest.mark.turns(2)

EPOCHS = 5
SETTING = Setting("autoencoder", Settings(dataset={"name": "digits"}, model="linear", epochs=EPOCHS, batch_size=512))
BETA = Knob("beta", "", "", "1", 1.0, 0.01, 10.0, log=True, off=1.0, more="high")


def assigned(folder: Path, number: int, l2: float = 0.0, seed: int = 7, phase: Phase = Phase.CONFIRM) -> Assigned:
    mine = folder / str(number)
    epochs = steps(EPOCHS) if phase is Phase.CONFIRM else [EPOCHS]
    kept = phase is Phase.CONFIRM
    show = Show(mine / "sheets", tuple(epochs), f"member {number}")
    weights, picture = (mine / "w.safetensors", mine / "picture.png") if kept else (None, None)
    return Assigned(Member(number, {"l2": l2}, seed, phase), mine / "checkpoint.pt", weights, picture, shown=show)


def train(assigned: list[Assigned], most: int = 99, report_seconds: float = 60.0) -> None:
    """So many steps of a worker; fewer where the training is over before."""
    worker = Worker(report_seconds=report_seconds)
    worker.begin(Train(SETTING, tuple(assigned), milestones=(2,)))
    for _ in range(most):
        result = worker.step()
        if isinstance(result, Progress) and result.done:
            break
    worker.close()


def shown(folder: Path) -> dict[int, Sheet]:
    found = {int(path.stem): read(path) for path in sorted((folder / "sheets").iterdir())}
    assert all(found.values())
    return found  # type: ignore[return-value]


def same(one: dict[int, Sheet], other: dict[int, Sheet]) -> bool:
    return list(one) == list(other) and all(
        np.array_equal(one[epoch].images[name], other[epoch].images[name]) for epoch in one for name in one[epoch].images
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Members of one seed: 0 and 1 of equal configs, 2 of another, trained in a pack; 3 is of the search."""
    folder = tmp_path_factory.mktemp("members")
    train([assigned(folder, 0), assigned(folder, 1), assigned(folder, 2, l2=1.0), assigned(folder, 3, phase=Phase.SEARCH)])
    return folder


@pytest.mark.trains
def test_confirmed_members_are_drawn_at_few_epochs_and_others_at_the_end(trained: Path) -> None:
    assert list(shown(trained / "0")) == [0, 1, 5] and list(shown(trained / "3")) == [5]
    assert {sheet.caption for sheet in shown(trained / "2").values()} == {"member 2"}
    with Image.open(trained / "0" / "picture.png") as picture:
        assert picture.size[0] >= WIDTH
    assert not (trained / "3" / "picture.png").exists()


@pytest.mark.trains
def test_equal_members_show_the_same_to_the_bit_and_others_do_not(trained: Path) -> None:
    zero, one, two = (shown(trained / str(number)) for number in range(3))
    assert same(zero, one)
    assert np.array_equal(zero[0].images["output"], two[0].images["output"]), "the same first weights"
    assert not np.array_equal(zero[5].images["output"], two[5].images["output"])
    assert all(np.array_equal(zero[0].images["input"], sheet.images["input"]) for found in (zero, two) for sheet in found.values())


@pytest.mark.trains
def test_a_member_that_was_interrupted_has_the_same_pictures(tmp_path: Path) -> None:
    train([assigned(tmp_path / "whole", 0)])
    train([assigned(tmp_path / "parts", 0)], most=1)
    assert list(shown(tmp_path / "parts" / "0")) == [0, 1]
    train([assigned(tmp_path / "parts", 0)])
    assert same(shown(tmp_path / "whole" / "0"), shown(tmp_path / "parts" / "0"))


def test_a_picture_that_fails_is_a_remark(tmp_path: Path) -> None:
    class Blind:
        def sheet(self, number: int) -> Sheet:
            raise OSError("disk full")

    mine = Shown([assigned(tmp_path, 0)], lambda number: Blind())  # type: ignore[arg-type,return-value]
    mine.before([0])
    assert mine.remark() == "member 0 has no picture after epoch 0: OSError: disk full"
    assert mine.remark() == "" and not mine.picture(0)


def test_of_several_reports_at_once_only_the_last_is_drawn(tmp_path: Path) -> None:
    """A pack that was taken apart catches up: its weights are those of the last report."""
    sheet = Sheet({"samples": np.zeros((1, 2, 2, 1), np.uint8)})
    mine = Shown([assigned(tmp_path, 0)], lambda number: SimpleNamespace(sheet=lambda number: sheet))
    mine.after([SimpleNamespace(number=0, epoch=epoch, state=None) for epoch in (1, 2, 3, 5)])  # type: ignore[misc]
    assert list(shown(tmp_path / "0")) == [5]
    mine.after([SimpleNamespace(number=0, epoch=1, state=State.DIVERGED)])  # type: ignore[list-item]
    assert list(shown(tmp_path / "0")) == [5]


# What is kept of a search -----------------------------------------------------------------------------------------------------------------


def row(number: int, beta: float = 1.0, arm: str = "search", score: float | None = 1.0, **more: Any) -> MemberRow:
    fields = {"phase": "search", "state": "complete" if score is not None else "collapsed", "seed": 1, **more}
    return MemberRow(number, {"beta": beta}, fields.pop("seed"), arm=arm, config_hash="", score=score, **fields)


scores = st.one_of(st.none(), st.floats(-5, 5), st.just(float("inf")), st.just(float("nan")))


@given(st.lists(st.tuples(st.booleans(), scores), max_size=12), st.integers(0, 99))
def test_three_members_of_a_search_keep_their_pictures_in_whatever_order_they_end(ends: list[tuple[bool, float | None]], seed: int) -> None:
    rows = [row(k, arm="off" if off else "search", score=score) for k, (off, score) in enumerate(ends)]
    mixed = random.Random(seed).sample(rows, len(rows))
    first, again, removed = Exemplars(), Exemplars(), set[int]()
    for one in rows:
        first.add(one)
    for one in mixed:
        removed |= {gone.number for gone in again.add(one)}
    assert first.rows == again.rows
    kept = {one.number for one in again.rows.values()}
    assert kept | removed == {one.number for one in rows} and not kept & removed
    sound = [one for one in rows if one.score is not None and np.isfinite(one.score)]
    for name, wanted in (("best", "search"), ("off", "off")):
        mine = [one.score for one in sound if one.arm == wanted]
        assert (name in again.rows) == bool(mine) and (not mine or again.rows[name].score == min(mine))  # type: ignore[type-var]
    assert not sound or again.rows["worst"].score == max(one.score for one in sound)  # type: ignore[type-var]


# The strip --------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home.open(tmp_path)


def answer(arm: str = "min", beta: float = 0.5, **more: Any) -> Any:
    return SimpleNamespace(arm=arm, best={"beta": beta, **more}, better="lower", beside=SimpleNamespace(importance=[]))


def confirmed(number: int, beta: float, arm: str, seed: int = 1, score: float | None = 1.0) -> MemberRow:
    return row(number, beta, arm, score, phase="confirm", seed=seed)


ROUND = [confirmed(0, 1.0, "off"), confirmed(1, 3.0, "high"), confirmed(2, 0.5, "min"), confirmed(3, 0.1, "low"), confirmed(4, 9.0, "edge")]
SHEETS = dict.fromkeys(range(20), Sheet({"samples": np.zeros((1, 2, 2, 1), np.uint8)}))


def test_rows_are_of_one_seed_off_first_then_from_weak_to_strong() -> None:
    more = [confirmed(5, 1.0, "off", seed=2), confirmed(6, 0.5, "min", seed=2)]
    found = strip.of_one_seed([*more, *reversed(ROUND)], SHEETS, BETA, answer())
    assert [one.config["beta"] for one in found] == [1.0, 0.1, 0.5, 3.0, 9.0] and {one.seed for one in found} == {1}
    less = replace(BETA, more="low")
    assert [one.config["beta"] for one in strip.of_one_seed(ROUND, SHEETS, less, answer())] == [1.0, 9.0, 3.0, 0.5, 0.1]


def test_one_picture_alone_makes_no_strip() -> None:
    assert strip.of_one_seed(ROUND, {2: SHEETS[2]}, BETA, answer()) == []
    assert strip.of_one_seed([], {}, BETA, answer()) == []


def test_a_lost_member_has_its_row_and_a_loss_beyond_has_one_too() -> None:
    lost = replace(ROUND[4], state="collapsed", score=None, reason="no unit is active")
    found = strip.of_one_seed([*ROUND[:4], lost], SHEETS, BETA, answer())
    said = [strip._row(one, SHEETS[one.number], BETA, answer(), "off", 1, {}) for one in found]
    assert [one.label for one in said] == ["off (beta = 1)", "beta = 0.1", "beta = 0.5 (best)", "beta = 3", "beta = 9"]
    assert (said[-1].sheet, said[-1].note, said[-1].words) == (None, "collapsed", "no unit is active")
    searched = [row(10, 9.9, score=None, reason="far"), row(11, 4.0, score=None, reason="near"), row(12, 2.0, score=None)]
    (beyond,) = strip._beyond(ROUND[1], [*searched, *ROUND], BETA, {})
    assert (beyond.label, beyond.note, beyond.words) == ("beta = 4", "collapsed in the search", "near")


def test_the_best_config_is_among_the_rows_also_where_it_was_trained_on_other_seeds() -> None:
    refined = [confirmed(7, 0.7, "refined", seed=2), confirmed(8, 0.7, "refined", seed=3)]
    mine = answer("refined", 0.7)
    chosen = strip.of_one_seed([*ROUND, *refined], SHEETS, BETA, mine)
    whole = strip._with_the_best(chosen, [*ROUND, *refined], BETA, mine)
    assert [one.number for one in whole] == [0, 3, 2, 7, 1, 4]
    assert strip._row(whole[3], SHEETS[0], BETA, mine, "off", 1, {}).note == "score 1, another seed"
    assert strip._with_the_best(whole, [*ROUND, *refined], BETA, mine) == whole


def test_of_several_lambdas_the_strip_is_about_the_important_one_that_is_on() -> None:
    l2 = replace(BETA, name="l2", off=0.0)
    mine = answer(l2=0.3)
    mine.beside.importance = [SimpleNamespace(shares={"beta": 0.2, "l2": 0.7, "lr": 0.9})]
    assert strip.judged(mine, [BETA, l2]).name == "l2"
    assert strip.judged(answer(l2=0.0), [l2, BETA]).name == "beta"


def test_the_other_lambdas_are_the_same_in_all_rows_but_off() -> None:
    l2 = {"off": 0.0, "low": 0.1, "min": 0.3, "high": 0.1, "edge": 0.1}
    ended = [replace(one, config={**one.config, "l2": l2[one.arm]}) for one in ROUND]
    mine = answer(l2=0.3)
    found = strip.rows(ended, SHEETS, BETA, ["l2"], mine)
    assert [one.arm for one in found] == ["off", "low", "high", "edge"]
    whole = strip._with_the_best(found, ended, BETA, mine)
    assert [one.arm for one in whole] == ["off", "low", "min", "high", "edge"]
    assert strip._row(whole[2], SHEETS[0], BETA, mine, "off", 1, {"l2": 0.1}).note == "score 1, l2 = 0.3"
    assert strip._row(whole[0], SHEETS[0], BETA, mine, "off", 1, {"l2": 0.1}).note == "score 1"
    even = [one for one in ended if one.arm in ("off", "min", "edge")]
    assert [one.arm for one in strip.rows(even, SHEETS, BETA, ["l2"], mine)] == ["off", "min"]


def test_a_strip_is_drawn_from_what_members_left_and_told_by_epoch(home: Home) -> None:
    sheets = {number: Sheet({"samples": np.full((8, 4, 4, 1), 20 * number, np.uint8)}) for number in range(5)}
    for number, sheet in sheets.items():
        for epoch in (0, 1, 16):
            pictures.write(sheet, home.sheets("s", number) / f"{epoch:05d}.png")
    trained = SimpleNamespace(knobs={"beta": BETA}, hands_on=False)
    spec: Any = SimpleNamespace(objective="vae", model="m", dataset=SimpleNamespace(name="d"), fixed={}, baseline={})
    spec.trained, spec.alone, spec.search = trained, False, {"beta": Range(low=0.01, high=10.0)}
    (path,) = strip.write("s", spec, answer(), ROUND, home)
    assert path == home.reports("s") / "strip.png"
    with Image.open(path) as picture:
        tones = [tone for tone in (0, 60, 40, 20, 80) if (np.asarray(picture) == tone).any()]
        assert picture.size[0] >= WIDTH and tones == [0, 60, 40, 20, 80]
    assert strip.write("t", spec, answer(), ROUND, home) == [] and not home.reports("t").exists(), "no pictures, no strip"
    told: list[tuple[int, int, str]] = []
    tracker: Any = SimpleNamespace(image=lambda path, key, step, number: told.append((number, step, key)))
    members(tracker, home, "s", [*ROUND[:2], replace(ROUND[2], state=None), row(3)])
    assert told == [(number, step, "pictures") for number in (0, 1) for step in (0, 1, 16)]


def test_the_first_two_confirmed_members_of_a_config_are_drawn_by_step(tmp_path: Path) -> None:
    members = [("search", 0.0), ("confirm", 0.0), ("confirm", 1.0), ("confirm", 0.0), ("confirm", 0.0)]
    rows = {
        number: MemberRow(number=number, phase=phase, arm="off", config={"l2": l2}, config_hash=f"{l2}", seed=number)
        for number, (phase, l2) in enumerate(members)
    }
    spec = read_spec({"objective": "autoencoder", "search": {"l2": {}}, "budget": {"epochs": EPOCHS}})
    ledger = SimpleNamespace(rows=rows, epochs=EPOCHS, tally=Tally(list(rows.values())))
    dispatch = SimpleNamespace(ledger=ledger, home=Home.open(tmp_path), name="s", spec=spec)
    drawn = {number: list(Dispatch._shown(dispatch, row).epochs) for number, row in rows.items()}  # type: ignore[arg-type]
    assert drawn == {0: [5], 1: [0, 1, 5], 2: [0, 1, 5], 3: [0, 1, 5], 4: [5]}
