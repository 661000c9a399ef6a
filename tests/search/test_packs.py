"""Packs: members trained as one program are the members of a sweep like any other, whatever becomes of their neighbours."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from infra.catalogue import Catalogue, MemberRow
from infra.storage import Home
from objectives.base import Member, Report, Settings, State
from objectives.families.autoencoder import Autoencoder
from objectives.training import calibration, traced
from search.errors import SpecError
from search.running.planning.plan import Job, Plan
from search.running.where import IN_PROCESS
from search.running.working.pack import Pack
from search.running.working.work import Assigned, Prepared, Progress
from search.spec.reading import read
from search.sweep import run
from tests.search.simulated import Simulated

pytestmark = [pytest.mark.trains, pytest.mark.turns(2)]
DIGITS = {"name": "digits", "train_size": 96}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path / "home")


def rows_of(home: Home, name: str) -> list[MemberRow]:
    with Catalogue(home.catalogue_url) as catalogue:
        return sorted(catalogue.members(name), key=lambda row: row.number)


def spec(**keys: Any) -> dict[str, Any]:
    return {
        "objective": "autoencoder",
        "dataset": DIGITS,
        "search": {"l2": {}},
        "sampler": "random",
        "budget": {"trials": 8, "epochs": 5},
        "confirm": {"configs": 2, "seeds": 2},
        "batch_size": 32,
        "check": False,
        **keys,
    }


def pack(objective: Any, folder: Path, configs: list[dict[str, Any]]) -> Pack:
    members = [Member(number, config, seed=number) for number, config in enumerate(configs)]
    return Pack(objective, [Assigned(member, folder / f"{member.number}.pt") for member in members])


def made(kind: type = Autoencoder, epochs: int = 4) -> Any:
    return kind(Settings(dataset=DIGITS, epochs=epochs, batch_size=32))


@pytest.mark.slow
def test_a_packed_sweep_trains_the_members_that_an_unpacked_one_does(home: Home) -> None:
    """Without a scheduler and with a sampler that does not adapt, the configs are the same; scores agree within single precision."""
    found = {}
    for width in (1, 4):
        outcome = run(spec(pack=width, scheduler="none"), name=f"s{width}", home=home, address=IN_PROCESS, tracking=False)
        assert outcome.answer is not None, outcome.problem
        found[width] = rows_of(home, f"s{width}")
    assert [row.config for row in found[4]][:8] == [row.config for row in found[1]][:8]
    for packed, single in zip(found[4][:8], found[1][:8], strict=True):
        assert packed.state == single.state == "complete" and packed.epochs == 5
        assert packed.score == pytest.approx(single.score, rel=1e-4)


def test_halving_regroups_what_passed_a_rung_and_loses_nobody(home: Home) -> None:
    outcome = run(
        spec(pack=4, scheduler="asha", budget={"trials": 16, "epochs": 6}), name="s", home=home, address=IN_PROCESS, tracking=False
    )
    assert outcome.answer is not None, outcome.problem
    rows = rows_of(home, "s")
    searched = [row for row in rows if row.phase == "search"]
    assert len(searched) == 16 and all(row.state in ("complete", "stopped") for row in rows)
    stopped = [row for row in searched if row.state == "stopped"]
    assert stopped and all(row.reason.startswith("asha:") and row.epochs in (2,) for row in stopped)
    assert all(row.epochs == 6 for row in rows if row.state == "complete")
    with Catalogue(home.catalogue_url) as catalogue:
        epochs: dict[int, list[int]] = {}
        for report in catalogue.reports("s"):
            epochs.setdefault(report.number, []).append(report.epoch)
    assert all(sorted(epochs[row.number]) == list(range(1, row.epochs + 1)) for row in rows), "each epoch once, none left out"


@pytest.mark.parametrize(
    ("trials", "wide", "sizes"),
    [
        (64, 32, [32, 32]),
        (64, 16, [16, 16, 16, 16]),
        (40, 16, [10, 10, 10, 10]),  # rather than two of 16 and one of 8, which one worker would wait for
        (25, 16, [13, 12]),
        (5, 16, [3, 2]),
        (5, 1, [1, 1, 1, 1, 1]),
    ],
)
def test_two_workers_get_equal_packs(trials: int, wide: int, sizes: list[int], tmp_path: Path) -> None:
    keys = spec(objective="toy", dataset={"name": "none"}, budget={"trials": trials, "epochs": 1}, confirm={"configs": 0})
    keys = {key: value for key, value in keys.items() if key != "batch_size"}
    with Simulated(tmp_path, keys, lambda config: 1.0) as sweep:
        plan = Plan(sweep.spec, sweep.space, sweep.study, sweep.ledger, Path, bundle=lambda _: 1, workers=2)
        plan.heard(plan.next(), Prepared({"pack": {"members": wide}}))
        trained: list[int] = []
        flying: list[Job] = []
        while sum(trained) < trials:
            job = plan.next()
            assert isinstance(job, Job) and job.rows
            trained.append(len(job.rows))
            flying.append(job)
            if len(flying) == 2:
                done = flying.pop(0)
                plan.heard(done, Progress(tuple(Report(one, 1, 1.0, state=State.COMPLETE, score=1.0) for one in done.numbers), done=True))
        assert trained == sizes


def test_a_member_goes_on_from_its_own_checkpoint_in_any_company(tmp_path: Path) -> None:
    configs = [{"l2": 1e-3}, {"l2": 1e-2}, {}]
    first = pack(made(), tmp_path / "a", configs)
    first.step(), first.step()
    first.save()
    rest, whole = pack(made(), tmp_path / "a", configs), pack(made(), tmp_path / "b", configs)
    assert [(report.number, report.epoch) for report in rest.history()] == [(n, e) for n in range(3) for e in (1, 2)]
    for _ in range(2):
        ended = rest.step()
    for _ in range(4):
        expected = whole.step()
    assert [report.state for report in ended] == [State.COMPLETE] * 3 and not rest.living
    assert [report.score for report in ended] == pytest.approx([report.score for report in expected], rel=1e-5)


def test_a_lost_checkpoint_costs_that_member_its_epochs_and_the_others_none(tmp_path: Path) -> None:
    configs = [{"l2": 1e-3}, {"l2": 1e-2}]
    first = pack(made(), tmp_path, configs)
    first.step(), first.step()
    first.save()
    (tmp_path / "1.pt").write_bytes(b"torn")
    again = pack(made(), tmp_path, configs)
    assert {report.number for report in again.history()} == {0}
    assert [(report.number, report.epoch) for report in again.step()] == [(0, 3), (1, 1)]


def test_members_of_one_epoch_go_on_together_whoever_else_is_there(tmp_path: Path) -> None:
    configs = [{"l2": 1e-3}, {"l2": 1e-2}, {}, {"l2": 0.1}]
    first = pack(made(), tmp_path, configs[:2])
    first.step(), first.step()
    first.save()
    again = pack(made(), tmp_path, configs)
    assert again.run_of(0) is again.run_of(1) is not again.run_of(2)
    assert again.run_of(2) is again.run_of(3)
    assert [(report.number, report.epoch) for report in again.step()] == [(0, 3), (1, 3), (2, 1), (3, 1)]


class Unmappable(Autoencoder):
    """A loss that looks at a number, which no mapping over members can do."""

    def loss(self, player: str, net: Any, batch: Tensor, draws: Any, knobs: Mapping[str, Tensor]) -> Any:
        assert float(batch.sum()) > 0
        return super().loss(player, net, batch, draws, knobs)


def test_what_cannot_be_mapped_is_trained_in_turn_and_says_why(tmp_path: Path) -> None:
    found = pack(made(Unmappable), tmp_path, [{"l2": 1e-3}, {"l2": 1e-2}])
    assert [(report.number, report.epoch, report.state) for report in found.step()] == [(0, 1, None), (1, 1, None)]
    assert "one after another" in found.remark() and not found.remark(), "said once"


class RunsOut(Autoencoder):
    """Memory for one member at a time, from the second epoch on."""

    def loss(self, player: str, net: Any, batch: Tensor, draws: Any, knobs: Mapping[str, Tensor]) -> Any:
        if torch._C._functorch.maybe_current_level() is not None and self.tight:  # type: ignore[attr-defined]
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().loss(player, net, batch, draws, knobs)

    tight = False


def test_a_pack_that_runs_out_of_memory_goes_on_member_by_member(tmp_path: Path) -> None:
    objective = made(RunsOut)
    found = pack(objective, tmp_path, [{"l2": 1e-3}, {"l2": 1e-2}])
    found.step()
    found.save()
    found.step()
    objective.tight = True
    reports = found.step()
    assert {(report.number, report.epoch) for report in reports} >= {(0, 3), (1, 3)} and "out of memory" in found.remark()
    assert all(report.state is None for report in reports)
    assert [report.state for report in found.step()] == [State.COMPLETE] * 2


class Cramped(Autoencoder):
    """Memory for so many members at once: to begin with, or in a step."""

    room, at_start = 99, False
    room_before: Mapping[int, int] = MappingProxyType({})  # epoch -> room in it, where that is less

    def start(self, members: Any) -> Any:
        if self.at_start and len(members) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        run = super().start(members)
        whole, here = type(run)._pass, weakref.proxy(run)

        def cramped(steps: int | None) -> Any:
            if len(here.crew.living) > self.room_before.get(here.crew.epoch, self.room):
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return whole(here, steps)

        run._pass = cramped  # type: ignore[method-assign]
        return run


@pytest.mark.parametrize("at_start", [False, True])
def test_a_pack_that_runs_out_of_memory_goes_on_in_halves(at_start: bool, tmp_path: Path) -> None:
    configs = [{"l2": 10.0**-k} for k in range(2, 9)]
    plenty = pack(made(), tmp_path / "plenty", configs)
    expected = {(report.number, report.epoch): report.rung_score for _ in range(4) for report in plenty.step()}
    objective = made(Cramped)
    if at_start:
        objective.room, objective.at_start = 2, True
    found = pack(objective, tmp_path / "cramped", configs)
    reports = found.step()
    found.save()
    reports += found.step()
    objective.room = 2  # of seven: halves of four and three, then two at a time and one
    while found.living:
        reports += found.step()
    assert found.remark().count("they go on in halves") == 3, "said of the seven, the four and the three"
    assert sorted(map(len, found._runs)) == [1, 2, 2, 2]
    assert {(report.number, report.epoch) for report in reports} == set(expected), "nothing is lost"
    for report in reports:
        assert report.rung_score == pytest.approx(expected[report.number, report.epoch], rel=1e-4)
        assert report.state in (None, State.COMPLETE)


def test_halves_that_starve_on_the_way_back_pass_what_was_reported(tmp_path: Path) -> None:
    """Six epochs reported, a checkpoint after two: at the fourth there is no memory for four, at the seventh not for eight."""
    objective = made(Cramped, epochs=9)
    found = pack(objective, tmp_path, [{"l2": 10.0**-k} for k in range(2, 10)])
    for epoch in range(1, 7):
        assert {report.epoch for report in found.step()} == {epoch}
        if epoch == 2:
            found.save()
    objective.room, objective.room_before = 4, {4: 2}
    again = found.step()
    assert {number: max(report.epoch for report in again if report.number == number) for number in range(8)} == dict.fromkeys(range(8), 7)
    for told in (found.history(), again):
        assert all([report.epoch for report in told if report.number == number][-5:] == [3, 4, 5, 6, 7] for number in range(8)), (
            "each epoch once, in order"
        )
    assert sorted(map(len, found._runs)) == [2, 2, 2, 2]


def test_the_memory_of_what_starved_is_free_before_its_halves_begin(tmp_path: Path) -> None:
    alive: list[int] = []

    class Watched(Cramped):
        known: ClassVar[list[Any]] = []

        def start(self, members: Any) -> Any:
            alive.append(sum(run() is not None for run in self.known))
            self.known.append(weakref.ref(run := super().start(members)))
            return run

    objective = made(Watched)
    found = pack(objective, tmp_path, [{"l2": 10.0**-k} for k in range(2, 10)])
    found.step()
    objective.room = 4
    found.step()
    assert alive == [0, 0, 1]


class Spoils(Autoencoder):
    """A loss that reads something beside its arguments, which changes."""

    extra = 0.0

    def loss(self, player: str, net: Any, batch: Tensor, draws: Any, knobs: Mapping[str, Tensor]) -> Any:
        terms = super().loss(player, net, batch, draws, knobs)
        return replace(terms, data=terms.data + self.extra)


def test_what_was_trained_wrongly_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "AFTER", 1)
    objective = made(Spoils)
    found = pack(objective, tmp_path, [{"l2": 1e-3}, {"l2": 1e-2}])
    assert [report.state for report in found.step()] == [None, None]
    objective.extra = 1.0
    reports = [*found.step(), *found.step()]
    assert [report.state for report in reports[-2:]] == [State.FAILED] * 2
    assert all(report.reason.startswith("trained wrongly: a loss must depend on its arguments only") for report in reports[-2:])
    assert not found.living and not found.remark(), "not taken up again, for its checkpoints are wrong too"


def test_a_calibration_says_what_it_measured() -> None:
    facts = made().calibrate(["l2"], 8, 1000)
    assert facts["members"] in (1, 4, 8) and set(facts["rates"]) <= {"1", "4", "8"} and facts["why"]
    short = made().calibrate(["l2"], 8, 8)
    assert short["members"] == 1 and "too short" in short["why"] and list(short["rates"]) == ["1"]
    stuck = made(Unmappable).calibrate(["l2"], 8, 1000)
    assert stuck["members"] == 1 and "could not be one program" in stuck["why"]


@pytest.mark.parametrize(("minutes", "traced"), [(math.inf, False), (0.0, True)])
def test_packs_are_timed_as_they_run_later_where_training_takes_minutes(
    minutes: float, traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long a training takes here is the machine's business, so the test moves the bound."""
    monkeypatch.setattr(calibration, "TRACED_FROM", 60 * minutes)
    objective = made()
    objective.calibrate(["l2"], 4, 10**6)
    assert [trace.operations is not None for trace in objective.traces.values()] == [traced]


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many", [4]])
def test_a_width_that_means_nothing_is_refused(value: Any) -> None:
    with pytest.raises(SpecError, match=r"pack must be auto, or a whole number of at least 1"):
        read(spec(pack=value))
