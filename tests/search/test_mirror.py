"""What MLflow is told of a sweep's members and progress. The tracker is a stand-in that remembers."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue, MemberRow, ReportRow, SweepRow
from infra.storage import Home
from infra.tracking import NullTracker
from infra.tracking.notes import NOTE
from search.running.where import IN_PROCESS
from search.spec.keys import Spec
from search.spec.reading import read
from search.sweep import resume, run
from search.telling.mlflow import description, mirror, ui_view
from search.telling.mlflow.mirror import Mirror
from search.telling.mlflow.portrait import MOST_PARAMS, Portrait

SPEC = {"objective": "vae", "search": {"beta": {}, "l2": {}, "lr": {}, "norm": ["none", "batch"]}, "check": False}


class Remembers(NullTracker):
    """Everything that it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in ("told", "run_id", "place", "close", "of"):
            return super().__getattribute__(name)
        return lambda *given, **named: self.told.append((name, (*given, *named.values())))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """What it was told in calls of one kind."""
        return [given for name, given in self.told if name == kind]


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read(SPEC)


def a_row(spec: Spec, number: int, **more: Any) -> MemberRow:
    usual = {name: knob.default for name, knob in spec.trained.knobs.items()}
    fields = {"phase": "confirm", "arm": "edge", "seed": 100 + number % 3, "config_hash": "h"} | more
    config = {**usual, "beta": 1.4712, "l2": 0.0, "lr": 2e-3, "norm": "batch", **fields.pop("config", {})}
    return MemberRow(number=number, config=config, **fields)


def test_a_name_begins_with_what_differs(spec: Spec) -> None:
    look = Portrait.of("s", spec)
    rows = [a_row(spec, number) for number in range(42)]
    look.know(rows)
    assert look.name(rows[41]) == "0041 β=1.47 l2=0 lr=0.002 edge s3", "of lr there is no Greek letter; a fourth knob is left out"
    assert look.name(a_row(spec, 5, phase="search", arm="search")) == "0005 β=1.47 l2=0 lr=0.002 s3"


def test_knobs_are_numbers_and_few_parameters(spec: Spec) -> None:
    look = Portrait.of("s", spec)
    row = a_row(spec, 0)
    assert look.metrics(row) == {"beta": 1.4712, "log10_beta": pytest.approx(0.16767, abs=1e-5), "l2": 0.0} | {
        "lr": 2e-3,
        "log10_lr": pytest.approx(-2.69897, abs=1e-5),
    }
    assert look.params(row) == {"beta": 1.4712, "l2": 0.0, "lr": 2e-3, "norm": "batch"}, "a default is not repeated"
    changed = {name: value + 1 for name, value in row.config.items() if isinstance(value, float)}
    many = look.params(a_row(spec, 0, config=changed))
    assert len(many) == MOST_PARAMS and list(many)[:3] == ["beta", "l2", "lr"]


def test_a_member_has_the_tags_that_people_filter_by(spec: Spec) -> None:
    look = Portrait.of("s", spec)
    look.labels = {"val_nll_nats": "IWAE-100 NLL[n=360]", "val_fid": "FID[n=360]"}
    row = a_row(spec, 7)
    look.know([row, a_row(spec, 8, arm="min"), a_row(spec, 9, arm="off")])
    begun = look.begun(row)
    assert {key: begun[key] for key in ("objective", "dataset", "phase", "arm", "seed", "state", "reason", "member", "sweep")} == {
        "objective": "vae",
        "dataset": "digits",
        "phase": "confirm",
        "arm": "edge",
        "seed": "101",
        "state": "running",
        "reason": "",
        "member": "7",
        "sweep": "s",
    }
    colours = {look.begun(a_row(spec, 1, arm=arm))["mlflow.runColor"] for arm in ("edge", "min", "off")}
    assert len(colours) == 3, "arms differ in charts"
    ended = look.ended(replace(row, state="collapsed", reason="why", metrics={"val_nll_nats": 1.0}))
    note = ended.pop(NOTE)
    assert ended == {"state": "collapsed", "reason": "why", "label.val_nll_nats": "IWAE-100 NLL[n=360]"}
    assert note.startswith("beta 1.47, l2 0") and f", seed {row.seed}: collapsed" in note and note.endswith(" (why)") and "\n" not in note


def test_a_member_has_a_description_of_one_line(spec: Spec) -> None:
    look, row = Portrait.of("s", spec), a_row(spec, 7)
    done = look.described(replace(row, state="complete", score=23.4321, reason=""))
    assert done == f"beta 1.47, l2 0 nats per squared weight, lr 0.002, norm batch, seed {row.seed}: complete, val_nll_nats 23.432"
    hostile = look.described(replace(row, state="failed", reason="<img src=x>\n# [a](javascript:b) `c` *d*"))
    assert hostile.endswith(r": failed (\<img src=x> # \[a](javascript:b) \`c\` \*d\*)")


def test_more_is_better_in_its_own_sign(spec: Spec) -> None:
    look = replace(Portrait.of("s", spec), better="higher")
    row = a_row(spec, 0, state="complete", score=-0.9, metrics={"accuracy": 0.9, "lost": float("nan")})
    assert look.final(row) == {"accuracy": 0.9, "score": 0.9}
    assert look.reported(ReportRow(0, 1, -0.8, {"accuracy": 0.8})) == {"accuracy": 0.8, "rung_score": 0.8}
    assert look.reported(ReportRow(0, 1, float("nan"), {})) == {}


def test_the_view_has_the_columns_and_sorts_the_best_first(spec: Spec) -> None:
    for better, wanted in (("lower", True), ("higher", False)):
        several = spec.model_copy(update={"metric": {"val_nll_nats": better}})
        row = SweepRow(name="s", spec={}, objective="vae", model="", dataset="", created=datetime(2026, 1, 1, tzinfo=UTC))
        tags = ui_view.tags("s", row, several, Portrait.of("s", several))
        assert all(len(value) < 5000 for value in tags.values()) and tags == ui_view.tags("s", row, several, Portrait.of("s", several))
        packed = json.loads(tags["mlflow.sharedViewState.lagrange.s"])["state"].removeprefix("deflate;")
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        assert state["selectedColumns"] == [
            *("metrics.`score`", "metrics.`beta`", "metrics.`l2`", "metrics.`lr`", "params.`norm`"),
            *("tags.`arm`", "tags.`phase`", "tags.`state`", "tags.`seed`"),
        ]
        assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`score`", wanted)
        charts = [(card["type"], card.get("xaxis", {}).get("key")) for card in state["compareRunCharts"]]
        assert charts[:2] == [("SCATTER", "log10_beta"), ("SCATTER", "log10_l2")]
        assert [kind for kind, _ in charts[2:]] == ["CONTOUR", "LINE", "PARALLEL", "IMAGE"]


def test_how_far_a_sweep_is(spec: Spec) -> None:
    look = Portrait.of("s", spec)
    rows = [
        a_row(spec, 0, phase="search", arm="off", state="complete", score=30.0),
        a_row(spec, 1, phase="search", arm="search", state="complete", score=20.0),
        a_row(spec, 2, phase="search", arm="search", state="stopped"),
        a_row(spec, 3, phase="search", arm="search"),
    ]
    look.know(rows)
    text = description.running(look, rows, {"search": 24, "confirm": 16}, "val_nll_nats")
    for words in ("running", "3 of 24 searched", "2 complete, 1 stopped", "20 (`0001", "with λ on", "30 (`0000", "with λ off"):
        assert words in text
    assert "confirmed" not in text and "running" in description.running(look, [], {}, "")


def test_progress_is_told_seldom(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("search.telling.mlflow.mirror.time.monotonic", lambda: now[0])
    tracker = Remembers()
    told = Mirror(tracker, Portrait.of("s", spec), {}, "val_nll_nats")
    rows = {0: a_row(spec, 0, phase="search", state="stopped")}
    for _ in range(100):
        now[0] += 1.0
        told.progress(rows)
    assert len(tracker.of("add")) == 6 and NOTE in tracker.of("add")[0][1]


def test_data_has_one_digest_for_its_splits(spec: Spec) -> None:
    def digest(**hashes: str) -> str:
        tracker = Remembers()
        Mirror(tracker, Portrait()).prepared({"dataset": {"name": "digits", "sha256": hashes, "sizes": {"train": 3}}})
        ((name, found, source, profile),) = tracker.of("data")
        assert name == source["name"] == "digits" and profile["sizes"] == {"train": 3} and len(found) <= 36
        return str(found)

    assert digest(train="a", test="b") == digest(test="b", train="a") != digest(train="a", test="c")
    tracker = Remembers()
    Mirror(tracker, Portrait()).prepared({"labels": {}})
    assert tracker.told == [], "an objective without images has no data to name"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[Remembers]]:
    """A small sweep, and the same one resumed with more members; what each driver told."""
    home, trackers = Home.open(tmp_path_factory.mktemp("home")), list[Remembers]()
    real, begun = mirror.MlflowTracker, {"objective": "toy", "budget": {"trials": 6, "epochs": 3}, "check": False}

    def remembers(*_: Any, **__: Any) -> Any:
        trackers.append(Remembers())
        return trackers[-1]

    mirror.MlflowTracker = remembers  # type: ignore[assignment,misc]
    try:
        small = {**begun, "dataset": {"name": "none", "noise": 0.5}, "search": {"l2": {}}, "confirm": {"seeds": 2, "screen": 0}}
        run(small, name="one", home=home, address=IN_PROCESS)
        resume("one", home=home, trials=2, address=IN_PROCESS)
    finally:
        mirror.MlflowTracker = real  # type: ignore[misc]
    return home, trackers


def test_every_driver_tells_every_member_by_one_name(swept: tuple[Home, list[Remembers]]) -> None:
    home, trackers = swept
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        members = {row.number: row for row in catalogue.members("one")}
    names = [{given[0]: given[3] for given in tracker.of("start_member")} for tracker in trackers]
    assert set(names[1]) == set(members) and names[1] | names[0] == names[1], "a name does not change when the sweep goes on"
    assert len(set(names[1].values())) == len(members)
    ended = {given[0]: given[1] for given in trackers[1].of("end_member")}
    assert ended == {number: row.state for number, row in members.items()}


def test_the_answer_is_told_at_the_end_and_its_test_by_member(swept: tuple[Home, list[Remembers]]) -> None:
    for tracker in swept[1]:
        ((status, numbers, tags),) = tracker.of("end_sweep")
        assert status == "complete" and "recommended_score" in numbers and tags[NOTE].startswith(f"**{tags['verdict']}**")
        lines = [given[0][NOTE] for given in tracker.of("experiment") if NOTE in given[0]]
        assert len(lines) == 1 and lines[0].startswith(tags["verdict"])
        assert any(key.startswith("mlflow.sharedViewState.") for given in tracker.of("experiment") for key in given[0])
    tested = {
        number: numbers
        for numbers, _, number, *_ in (given for given in swept[1][0].of("add") if len(given) > 2)
        if "test_score" in numbers
    }
    with Catalogue(swept[0].catalogue_url, create=False) as catalogue:
        phases = {row.number: row.phase for row in catalogue.members("one")}
    assert len(tested) >= 4 and {phases[number] for number in tested} == {"confirm"}


def test_all_that_a_catalogue_holds_is_told_again_however_it_is_paged(
    swept: tuple[Home, list[Remembers]], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    with Catalogue(swept[0].catalogue_url, create=False) as catalogue:
        for page in (2, 500):
            monkeypatch.setattr("infra.catalogue.PAGE", page)
            tracker = Remembers()
            mirror.repair("one", catalogue, Mirror(tracker, Portrait.of("one", read(catalogue.sweep("one").spec))))
            told.append(tracker)
        reports = [(report.number, report.epoch) for report in catalogue.reports("one")]
        members = [row.number for row in catalogue.members("one")]
    assert told[0].told == told[1].told
    assert [given[:2] for given in told[0].of("log")] == reports != []
    assert [given[0] for given in told[0].of("start_member")] == [given[0] for given in told[0].of("end_member")] == members


def test_a_sweep_without_an_answer_says_so(tmp_path: Path) -> None:
    tracker = Remembers()
    mirror.end(tracker, "s", "failed", None, "no member ended well: a|b *c*")
    ((status, numbers, tags),) = tracker.of("end_sweep")
    assert status == "failed" and numbers == {} and "no answer yet" in tags[NOTE] and "a\\|b \\*c\\*" in tags[NOTE]
    ((line, keep),) = tracker.of("experiment")
    assert line == {NOTE: "failed, no answer yet · sweep s"} and keep, "another sweep's answer stays"


def test_a_budget_that_was_not_asked_for_is_no_parameter(swept: tuple[Home, list[Remembers]]) -> None:
    ((_, params, _),) = swept[1][0].of("start_sweep")
    assert "budget.trials" in params and not any(value is None for value in params.values())
