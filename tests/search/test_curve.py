"""The λ curve is drawn for every kind of answer, and its axes are not flattened by scores that explode."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from objectives.base import Knob
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.verdict import answer
from search.telling.figures import curve as curve_figure
from search.telling.pictures import lambda_curve
from tests.search.views import view

pytestmark = [pytest.mark.renders, pytest.mark.turns(2)]

L2 = Knob("l2", "", "", "1", 0.0, low=1e-3, high=10.0, log=True, off=0.0, more="high")
DROPOUT = Knob("dropout", "", "", "probability", 0.0, low=0.0, high=0.8, off=0.0, more="high")


def sweep(scores: dict[str, list[float | None]], knobs: list[Knob]) -> tuple[Answer, list[Row]]:
    places = {"off": 0.0, "low": 0.03, "min": 0.1, "edge": 0.2, "high": 0.6}
    rows: list[Row] = []
    cands: list[Candidate] = []
    for arm, values in scores.items():
        cands.append(Candidate(arm, {knob.name: places[arm] for knob in knobs}, ""))
        for seed, value in enumerate(values):
            rows.append(Row(len(rows), "confirm", arm, cands[-1].config, seed, "diverged" if value is None else "complete", value))
    for index, state in enumerate(["complete", "complete", "complete", "stopped", "diverged", "collapsed", "failed"]):
        score = [1.5, 2.5, 900.0][index] if state == "complete" else None
        rows.append(
            Row(100 + index, "search", "search", {knob.name: 0.05 * (index + 1) for knob in knobs}, 0, state, score, rung_score=2.0)
        )
    return answer(rows, knobs, cands, score_name="val_nll_nats"), rows


USUAL: dict[str, list[float | None]] = {
    "off": [2.0, 3.0, 2.5],
    "low": [1.5, 2.4, 2.0],
    "min": [1.0, 2.0, 1.6],
    "edge": [1.1, 2.0, 1.6],
    "high": [400.0, 500.0, 450.0],
}
KINDS: dict[str, dict[str, list[float | None]]] = {
    "usual": USUAL,
    "one seed": {arm: values[:1] for arm, values in USUAL.items()},
    "off diverged": {**USUAL, "off": [2.0, None, None]},
    "all λ diverged": {arm: [None, None, None] if arm != "off" else values for arm, values in USUAL.items()},
    "nothing confirmed": {arm: [] for arm in USUAL},
    "hurts": {**USUAL, "off": [0.1, 1.0, 0.6]},
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("knobs", [[L2], [DROPOUT], [L2, DROPOUT]], ids=["log", "linear", "two"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_answer_is_drawn(kind: str, knobs: list[Knob], tmp_path: Path) -> None:
    found, rows = sweep(KINDS[kind], knobs)
    path = lambda_curve.draw(found, rows, tmp_path / "new" / "curve.png", "a title")
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
    assert width >= 1100 and height >= 700


def test_an_exploding_arm_does_not_flatten_the_curve() -> None:
    found, rows = sweep(USUAL, [L2])
    low, high = lambda_curve._vertical(found, rows)
    assert low < 1.53 and 2.5 < high < 20  # the best mean, the off arm; not 450


def test_a_stored_answer_is_drawn_alike(tmp_path: Path) -> None:
    found, rows = sweep(KINDS["off diverged"], [L2])
    first = lambda_curve.draw(found, rows, tmp_path / "a.png").read_bytes()
    assert lambda_curve.draw(Answer.from_dict(found.to_dict()), rows, tmp_path / "b.png").read_bytes() == first


def test_the_scores_name_carries_its_unit() -> None:
    assert lambda_curve._score_label("val_nll_nats") == "val nll (nats), lower is better"
    assert lambda_curve._score_label("kid") == "kid, lower is better"
    assert not math.isnan(lambda_curve._vertical(*sweep(KINDS["nothing confirmed"], [L2]))[0])


def test_a_band_without_its_line_in_the_frame_is_no_second_valley() -> None:
    """Where every training collapsed the fit expects a bad score with much doubt: the band alone comes back into the frame."""
    line = [False, True, True, False, False, False]
    band = [True, True, True, True, False, True]
    assert lambda_curve.spikes(line, band) == [False] * 5 + [True]
    assert lambda_curve.spikes([], []) == []


@pytest.mark.parametrize("log", [True, False], ids=["log", "linear"])
def test_a_choice_whose_trainings_were_all_stopped_is_a_field(log: bool) -> None:
    found, _ = sweep(USUAL, [L2])
    one = replace(found.lambdas[0], log=log, unfinished=((3.0, 3.0), (10.0, 10.0)))
    (low, high), (last, end) = lambda_curve.fields(one, [0.1, 1.0, 3.0, 10.0])
    assert (low, high) == pytest.approx((math.sqrt(3.0), math.sqrt(30.0)) if log else (2.0, 6.5))
    assert (last, end) == (high, 10.0), "it ends where the choices end"


def test_the_interactive_curve_names_its_line_and_draws_no_spike() -> None:
    seen = view("helps")
    assert seen.answer is not None
    (name, curve), *_ = seen.answer.curve.items()
    drawn = curve_figure.figure(seen)["data"]
    lines = [trace for trace in drawn if trace.get("mode") == "lines" and trace["name"].startswith("expected score")]
    assert any(trace["showlegend"] for trace in lines), "the legend says what the line is"
    bad, doubt = 1e3 * max(curve["mean"]), min(curve["low"])
    count = len(curve["grid"]) // 5
    torn = {
        **curve,
        "mean": [*curve["mean"][:-count], *[bad] * count],
        "low": [*curve["low"][: -2 * count], *[bad] * count, *[doubt] * count],
    }
    again = replace(seen, answer=replace(seen.answer, curve={**seen.answer.curve, name: torn}))
    bands = [
        trace for trace in curve_figure.figure(again)["data"] if trace.get("fill") == "toself" and trace["name"].startswith("expected")
    ]
    assert all(x < torn["grid"][-count] for trace in bands for x in trace["x"])


def test_of_a_large_search_a_part_is_drawn_and_the_legend_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, rows = sweep(USUAL, [L2])
    monkeypatch.setattr(lambda_curve, "DOTS", 10)
    more = [replace(rows[-1], number=1000 + at, state="complete", score=2.0 + at / 100, config={"l2": 0.01 * (at + 1)}) for at in range(60)]
    labels = [text.get_text() for text in lambda_curve.figure(answered, [*rows, *more]).legends[0].get_texts()]
    assert any(label.startswith("search: complete (") and label.endswith("of 63 drawn)") for label in labels), labels
    assert lambda_curve.figure(answered, rows).legends[0].get_texts()[0].get_text() != ""
