"""The λ curve is drawn for every kind of answer, and its axes are not flattened by scores that explode."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from objectives.base import Knob
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.verdict import answer
from search.telling.pictures import lambda_curve

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
