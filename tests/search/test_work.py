"""What goes to a worker and what comes back: nothing that is not of its type gets there, and what gets there is what was sent."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from objectives.base import Member, Phase, Report, Settings, State
from search.running.working.work import (
    Assigned,
    Fault,
    Prepare,
    Prepared,
    Progress,
    Reading,
    ReadTest,
    Result,
    Scored,
    Setting,
    Train,
    Warm,
    Warmed,
    Work,
)
from search.running.working.work import TestRead as SplitRead  # else pytest takes it for a test

SETTING = Setting("toy", Settings({"name": "none", "noise": 0.5}, epochs=3, measure=("fid",)), memory_gb=2.0, folder=Path("mine"))
MEMBER = Member(3, {"l2": 0.1, "act": "relu", "width": 4}, seed=2**63, phase=Phase.CONFIRM)
ASSIGNED = Assigned(MEMBER, Path("3.pt"), weights=Path("3.safetensors"))
READING = Reading("off", 7, {"l2": 0.0}, Path("w"))
REPORTS = (
    Report(3, 1, 2.5, {"val_risk": 2.5}),
    Report(5, 1, 1.5),
    Report(3, 2, 1.25, {"val_risk": 1.25}, State.COMPLETE, score=1.25),
)
VALUES: list[Any] = [
    Prepare(SETTING, ("l2",), ("l2", "lr"), "auto", 8, 20),
    Warm(SETTING, packs=True),
    Train(SETTING, (ASSIGNED,), (2,)),
    ReadTest(SETTING, (READING,)),
    Prepared({"pack": {"members": 4}, "notes": ["few images"]}, "none", "Traceback"),
    Warmed(),
    Progress(REPORTS, True, "one after another", 1.5, {"host": "here", "pid": 7}),
    Progress(done=True, fault=Fault("a disk must be writable", "Traceback", disk=True)),
    SplitRead((Scored(READING, {"score": 0.5}),), "no weights", "Traceback"),
]


def test_every_kind_of_work_and_of_result_is_here() -> None:
    assert {type(value) for value in VALUES} == {*get_args(Work), *get_args(Result)}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_arrives_as_it_was_sent(value: Any) -> None:
    there = pickle.loads(pickle.dumps(value))
    assert there == value and type(there) is type(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_does_not_change(value: Any) -> None:
    for name in [field.name for field in dataclasses.fields(value)] or ["anything"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_types_arrive_and_a_number_that_is_none_too() -> None:
    report, member = pickle.loads(pickle.dumps((REPORTS[2], MEMBER)))
    assert report.state is State.COMPLETE and member.phase is Phase.CONFIRM
    (lost,) = pickle.loads(pickle.dumps(Progress((Report(1, 2, math.nan, state=State.DIVERGED),)))).reports
    assert math.isnan(lost.rung_score) and lost.state is State.DIVERGED


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: Setting("toy", Settings({"name": "none"}, epochs="many")), "epochs"),  # type: ignore[arg-type]
        (lambda: Setting("toy", Settings({"name": "none"}, epochs=1, score="first")), "score"),  # type: ignore[arg-type]
        (lambda: Setting("toy", SETTING.settings, memory_gb="much"), "memory_gb"),  # type: ignore[arg-type]
        (lambda: Assigned(Member("one", {}, 0), Path("a")), "number"),  # type: ignore[arg-type]
        (lambda: Assigned(Member(1, {"l2": [0.1]}, 0), Path("a")), "l2"),  # type: ignore[dict-item]
        (lambda: Assigned(MEMBER, checkpoint=3), "checkpoint"),  # type: ignore[arg-type]
        (lambda: Prepare(SETTING, pack="wide"), "pack"),  # type: ignore[arg-type]
        (lambda: Warm(SETTING, packs="perhaps"), "packs"),  # type: ignore[arg-type]
        (lambda: Train(SETTING, assigned=(MEMBER,)), "assigned"),  # type: ignore[arg-type]
        (lambda: Train(SETTING, (ASSIGNED,), milestones=(1.5,)), "milestones"),  # type: ignore[arg-type]
        (lambda: ReadTest(SETTING, readings=(None,)), "readings"),  # type: ignore[arg-type]
        (lambda: Prepared(error=3), "error"),  # type: ignore[arg-type]
        (lambda: Prepared(fact={}), "fact"),  # type: ignore[call-arg]
        (lambda: Warmed(news="none"), "news"),  # type: ignore[call-arg]
        (lambda: Progress(reports=(Report(1, 1, "low"),)), "rung_score"),  # type: ignore[arg-type]
        (lambda: Progress(reports=(Report(1, 1, 0.5, state="asleep"),)), "state"),  # type: ignore[arg-type]
        (lambda: Progress(done="perhaps"), "done"),  # type: ignore[arg-type]
        (lambda: Progress(worker={"pid": [1]}), "pid"),  # type: ignore[dict-item]
        (lambda: Scored(READING, scores={"score": "low"}), "score"),  # type: ignore[dict-item]
        (lambda: SplitRead(scored=(READING,)), "scored"),  # type: ignore[arg-type]
    ],
)
def test_what_is_not_of_its_type_is_refused_by_name(make: Callable[[], object], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        make()
    assert any(where in map(str, error["loc"]) for error in refused.value.errors()), refused.value


def test_what_was_spoiled_after_it_was_made_is_refused() -> None:
    spoiled = Assigned(MEMBER, Path("3.pt"))
    object.__setattr__(spoiled, "checkpoint", 3)
    with pytest.raises(ValidationError, match="checkpoint"):
        Train(SETTING, (spoiled,))


def test_reports_are_told_by_member_in_their_order_and_who_said_nothing_has_none() -> None:
    told = Progress(REPORTS).by_member((5, 3, 9))
    assert list(told) == [5, 3, 9]
    assert told == {5: [REPORTS[1]], 3: [REPORTS[0], REPORTS[2]], 9: []}
