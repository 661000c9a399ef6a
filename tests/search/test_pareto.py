"""Truths about quality against cost: what is on a front, and what is drawn of it."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.choosing.answer import Answer, Candidate, Row
from search.choosing.verdict import answer
from search.telling.pictures import pareto
from tests.search.simulated import L2

TRADE = ("kid", "bytes", "budget")
CONFIGS = {"off": {"l2": 0.0}, "min": {"l2": 0.1}}


def confirmed(table: dict[str, list[dict[str, float]]]) -> tuple[list[Row], dict[int, dict[str, float]]]:
    """Confirm rows and their metrics: per arm one dictionary for each seed."""
    rows: list[Row] = []
    metrics: dict[int, dict[str, float]] = {}
    for arm, seeds in table.items():
        for seed, one in enumerate(seeds):
            metrics[len(rows)] = one
            rows.append(Row(len(rows), "confirm", arm, CONFIGS.get(arm, {}), seed, "complete", one["kid_a"]))
    return rows, metrics


def two_arms() -> tuple[list[Row], dict[int, dict[str, float]]]:
    # By hand. off: a (100, 2 ± 1), b (50, 4); min: a (100, 1), b (60, 5). On the front: min a, off b.
    off = [{"bytes_a": 100.0, "kid_a": 2.0 + d, "bytes_b": 50.0, "kid_b": 4.0, "budget": 70.0} for d in (-1.0, 0.0, 1.0)]
    on = [{"bytes_a": 100.0, "kid_a": 1.0, "bytes_b": 60.0, "kid_b": 5.0, "bytes_alone": 1.0} for _ in range(3)]
    return confirmed({"off": off, "min": on})


def found_answer(rows: list[Row]) -> Answer:
    return answer(rows, [L2], [Candidate(arm, dict(config), "") for arm, config in CONFIGS.items()])


def test_a_point_is_the_mean_over_seeds_with_its_interval() -> None:
    found = {(point.arm, point.rung): point for point in pareto.points(*two_arms(), TRADE)}
    assert set(found) == {("off", "a"), ("off", "b"), ("min", "a"), ("min", "b")}  # bytes without a quality are no point
    one = found["off", "a"]
    assert (one.cost, one.quality, one.seeds) == (100.0, 2.0, 3)
    assert one.high - one.quality == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)


def test_the_front_is_what_nothing_else_beats() -> None:
    found = pareto.points(*two_arms(), TRADE)
    assert [(point.arm, point.rung) for point in found if point.front] == [("off", "b"), ("min", "a")]


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_off_the_front_something_is_better_and_on_it_nothing_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"_{letter}" for letter in "abcdef"]
    one = {f"{what}{name}": float(rng.integers(1, 6)) for name in names for what in ("bytes", "kid")}
    found = pareto.points(*confirmed({"off": [one]}), TRADE)
    for point in found:
        better = [
            other
            for other in found
            if other.cost <= point.cost and other.quality <= point.quality and (other.cost, other.quality) != (point.cost, point.quality)
        ]
        assert point.front == (not better)
    kept = [point for point in found if point.front]
    assert all(a.cost <= b.cost and a.quality >= b.quality for a in kept for b in kept if found.index(a) < found.index(b))


def test_an_arm_that_lost_a_seed_has_no_point_and_a_missing_seed_only_fewer() -> None:
    rows, metrics = two_arms()
    lost = [replace(row, state="diverged", score=None) if row.number == 1 else row for row in rows]
    assert {point.arm for point in pareto.points(lost, metrics, TRADE)} == {"min"}
    missing = [replace(row, state="failed", score=None) if row.number == 1 else row for row in rows]
    assert {point.seeds for point in pareto.points(missing, metrics, TRADE) if point.arm == "off"} == {2}
    assert pareto.points([], {}, TRADE) == []


def test_the_table_names_the_lambda_of_every_point() -> None:
    rows, metrics = two_arms()
    text = pareto.table(pareto.points(rows, metrics, TRADE), found_answer(rows), TRADE)
    listed = list(csv.DictReader(io.StringIO(text)))
    assert [(one["arm"], one["lambda"], one["rung"], one["front"]) for one in listed] == [
        ("off", "", "b", "1"),
        ("min", "l2=0.1", "b", "0"),
        ("min", "l2=0.1", "a", "1"),
        ("off", "", "a", "0"),
    ]
    assert [float(one["bytes"]) for one in listed] == [50.0, 60.0, 100.0, 100.0]
    assert float(listed[3]["kid"]) == 2.0 and float(listed[3]["kid_low"]) < 2.0 < float(listed[3]["kid_high"])


@pytest.mark.renders
@pytest.mark.parametrize("shift", [0.0, -3.0])  # an unbiased distance may be negative, which a log axis cannot show
def test_the_picture_is_drawn(tmp_path: Path, shift: float) -> None:
    rows, metrics = two_arms()
    moved = {number: {name: value + shift * name.startswith("kid") for name, value in one.items()} for number, one in metrics.items()}
    path = pareto.draw(pareto.points(rows, moved, TRADE), found_answer(rows), tmp_path / "pareto.png", TRADE, 70.0, "a title")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
