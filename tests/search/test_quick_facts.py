"""What is said above the verdict, because it makes the verdict mean little."""

from __future__ import annotations

import math
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
import torch
from rich.console import Console

from infra.catalogue import MemberRow, config_hash
from objectives import registry
from objectives.base import Settings
from objectives.data._kinds import ImageSet
from objectives.metrics.kid import kernel
from search.choosing.answer import Answer, Candidate
from search.choosing.findings import Effect
from search.choosing.quick_facts import quick_facts
from search.telling.text.answer import print_answer
from tests.search.test_cli import an_answer

SEEDS = 4


def member(number: int, config: dict[str, Any], score: float, **metrics: float) -> MemberRow:
    same: dict[str, Any] = {"phase": "confirm", "arm": "arm", "config_hash": config_hash(config), "state": "complete"}
    return MemberRow(number, config, number, score=score, metrics=metrics, **same)


def told(
    gain: float = 0.5, score: float = 100.0, constant: float | None = None, fall: float = 0.0, spread: float = 0.0, **metrics: float
) -> list[str]:
    answer = replace(an_answer(), effect=Effect(gain, gain - 0.1, gain + 0.1, SEEDS))
    off = {"beta": 1.0, "lr": 1e-3}
    members = [member(n, answer.recommended, score, **metrics) for n in range(SEEDS)]
    members += [member(SEEDS + n, off, score) for n in range(SEEDS)]
    # Flat but for the last fifth of ten epochs; seeds differ by `spread` in how much they fall.
    curves = {
        SEEDS + n: {epoch: 100.0 - (fall + spread * (-1) ** n) * max(0, epoch - 8) / 2 for epoch in range(1, 11)} for n in range(SEEDS)
    }
    scores = {} if constant is None else {answer.score_name: constant}
    return quick_facts(answer, members, [Candidate("off", off, "", SEEDS)], curves, scores)


def test_nothing_is_said_where_all_is_well() -> None:
    assert told(score=90.0, constant=200.0, fall=0.4, val_active_units=12.0, val_diversity=0.9) == []


@pytest.mark.parametrize(("score", "said"), [(591.0, True), (500.0, False)])
def test_a_score_that_a_constant_model_beats(score: float, said: bool) -> None:
    found = told(score=score, constant=543.0)
    assert bool(found) is said
    if said:
        assert found[0].startswith("nothing has been learnt yet: the exported config scores 591") and "543" in found[0]


@pytest.mark.parametrize("metric", ["val_active_units", "val_output_spread", "val_diversity"])
def test_samples_that_are_constant(metric: str) -> None:
    (found,) = told(**{metric: 0.0})
    assert found.startswith(f"samples are constant: {metric} of the exported config is 0")


@pytest.mark.parametrize(
    ("gain", "fall", "spread", "said"), [(0.5, 0.6, 0.0, True), (0.5, 0.4, 0.0, False), (-0.5, 0.6, 0.0, True), (0.5, 0.6, 2.0, False)]
)
def test_a_training_that_was_cut_short(gain: float, fall: float, spread: float, said: bool) -> None:
    """The off arm falls by more than the effect, and surely so."""
    found = told(gain=gain, fall=fall, spread=spread)
    assert bool(found) is said
    if said:
        assert found[0].startswith("about this budget only: without λ the curve still falls by 0.6 in its last fifth")


def test_it_is_printed_above_the_verdict_and_kept() -> None:
    answer = replace(an_answer(), first=["about this budget only: so it is."])
    assert Answer.from_dict(answer.to_dict()).first == answer.first
    console = Console(record=True, width=200, file=StringIO())
    print_answer(console, "name", answer)
    text = console.export_text()
    assert text.index("about this budget only") < text.index(f"name: {answer.verdict}")


@pytest.mark.parametrize(
    ("family", "likelihood", "score"),
    [("vae", "bernoulli", "val_nll_nats"), ("vae", "gaussian", "val_nll_nats"), ("autoencoder", None, "")],
)
def test_the_score_of_a_constant_model_by_hand(family: str, likelihood: str | None, score: str) -> None:
    """Pixels that are 1 with probability ½ everywhere: ln 2 a pixel; as a Gaussian of variance 1, or as squared errors, ½·¼ a pixel."""
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(2, 1, 1, 2)
    images = ImageSet(x, x, x, (1, 1, 2))
    objective: Any = registry.load(family)(Settings({"name": "digits"}, 1, likelihood=likelihood))
    found = objective.constant(images)[score or "val_half_sse"]
    expected = {"bernoulli": 2 * 0.693147, "gaussian": 2 * (0.125 + 0.918939)}.get(likelihood or "", 0.25)
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_score_of_a_gan_that_makes_one_image_by_hand() -> None:
    """KID of one point f against n points r: k(f, f) + mean of k(r_i, r_j) over i ≠ j − 2 · mean of k(f, r_i)."""
    objective: Any = registry.load("gan")(Settings({"name": "digits", "train_size": 100}, 1))
    images, extractor = objective.load_data(), objective.features()
    real, one = extractor(images.val).double(), extractor(images.train[:100].mean(0, keepdim=True)).double()
    within = kernel(real, real)
    n = len(real)
    expected = kernel(one, one) + (within.sum() - within.diagonal().sum()) / (n * (n - 1)) - 2 * kernel(one, real).mean()
    assert objective.constant(images)["val_kid"] == pytest.approx(float(expected), rel=1e-6)


def drawn(mean: float, se: float, band: float = 0.2, n: int = 4) -> list[str]:
    """One arm at β = 1, where the curve has 20 ± `band`."""
    point = {"arm": "min", "value": 1.0, "mean": mean, "low": mean - 1.96 * se, "high": mean + 1.96 * se}
    line = {"grid": [0.1, 1.0, 10.0], "mean": [25.0, 20.0, 25.0], "low": [25.0, 20.0 - band, 25.0], "high": [25.0, 20.0 + band, 25.0]}
    arm = {"arm": "min", "config": {"beta": 1.0}, "n": n, "mean": mean, "se": se, "states": {}, "final": True, "gain": None}
    answer = replace(an_answer(), curve={"beta": {**line, "points": [point]}}, arms=[arm])
    return quick_facts(answer, [], [], {}, {})


@pytest.mark.parametrize(("mean", "said"), [(20.39, False), (20.41, True), (19.61, False), (19.59, True)])
def test_a_curve_that_misses_what_was_confirmed(mean: float, said: bool) -> None:
    """Beyond half the band and two standard errors, on either side."""
    found = drawn(mean, 0.1)
    assert bool(found) is said
    if said:
        assert found[0].startswith(f"the curve misses what was confirmed: {mean:.1f} at beta = 1, where the curve has 20")


def test_a_single_seed_says_nothing_against_the_curve() -> None:
    assert drawn(30.0, math.nan, n=1) == []
