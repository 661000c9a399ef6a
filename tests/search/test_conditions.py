"""Conditional spaces: a knob whose condition does not hold is at rest, costs no member, and is never moved in the wrong branch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import MemberRow
from objectives.base import Knob, Value
from objectives.registry import load
from search.asking import samplers
from search.asking.projection import Books, Projection
from search.asking.samplers import brute, grid
from search.asking.space import Space
from search.asking.study import Study
from search.choosing.answer import Answer, Row
from search.choosing.candidates import candidates
from search.choosing.lambda_interval import lambda_answer
from search.conditions import active, branches, conditional, settled, with_a_lambda
from search.errors import SpecError
from search.modelling.minimum import lowest
from search.modelling.surface import Surface, Training
from search.spec.faults import warnings
from search.spec.keys import Spec
from search.spec.reading import read
from search.spec.text import parse_yaml
from tests.search.simulated import Simulated

pytestmark = pytest.mark.turns(4)

R1 = {"low": 0.01, "high": 10, "when": {"loss": "non_saturating"}}
GP = {"low": 0.1, "high": 100, "when": {"loss": ["wasserstein"]}}
SEARCH: dict[str, Any] = {"loss": ["non_saturating", "wasserstein"], "r1": R1, "wgan_gp": GP, "lr": {}}


def spec(search: dict[str, Any] | None = None, overrides: tuple[str, ...] = (), **more: Any) -> Spec:
    return read({"objective": "gan", "dataset": "digits", "search": SEARCH if search is None else search, **more}, overrides)


def space(search: dict[str, Any] | None = None, **more: Any) -> Space:
    return Space(spec(search, **more), load("gan"))


# Configs ----------------------------------------------------------------------------------------------------------------------------------


def test_a_switched_off_lambda_is_off_and_every_knob_has_a_value() -> None:
    config = space().arm_config({"loss": "wasserstein", "r1": 3.0, "wgan_gp": 5.0})
    assert set(config) == set(load("gan").knobs)
    assert (config["r1"], config["wgan_gp"]) == (0.0, 5.0)
    assert space().contains(config) and not space().contains({**config, "r1": 3.0})


def test_a_switched_off_nuisance_is_at_its_default_and_conditions_follow_one_another() -> None:
    here = space({"loss": ["hinge", "lsgan"], "beta1": {"choices": [0.0, 0.9], "when": {"loss": "lsgan"}}, "r1": {"when": {"beta1": 0.9}}})
    default = load("gan").knobs["beta1"].default
    assert default != 0.9
    config = here.arm_config({"loss": "hinge", "beta1": 0.9, "r1": 1.0})
    assert (config["beta1"], config["r1"]) == (default, 0.0)
    assert here.arm_config({"loss": "lsgan", "beta1": 0.9, "r1": 1.0})["r1"] == 1.0


def test_a_fixed_gate_is_decided_before_the_sweep() -> None:
    here = space({"r1": {"when": {"loss": "hinge"}}}, fixed={"loss": "hinge"})
    assert not here.knobs[0].when and here.arm_config({"r1": 1.0})["r1"] == 1.0


def test_choices_that_switch_every_lambda_off_belong_to_the_off_arm() -> None:
    here = space({"loss": ["hinge", "lsgan", "minimax"], "r1": {"when": {"loss": ["hinge", "lsgan"]}}})
    assert here.asked("search")[0].choices == ("hinge", "lsgan")
    assert here.asked("off")[0].choices == ("hinge", "lsgan", "minimax")
    both = space({**SEARCH, "loss": ["non_saturating", "wasserstein", "hinge"]})
    assert both.asked("search")[0].choices == ("non_saturating", "wasserstein")
    alone = space(alone=True)
    assert alone.asked("alone:r1")[0].choices == ("non_saturating",)
    assert [knob.name for knob in alone.asked("alone:r1")] == ["loss", "r1", "lr"]


def test_a_point_is_completed_by_choices_under_which_it_has_an_effect() -> None:
    found = space(points=[{"wgan_gp": 3.0}]).complete({"wgan_gp": 3.0})
    assert found["loss"] == "wasserstein" and found["wgan_gp"] == 3.0


# Samplers ---------------------------------------------------------------------------------------------------------------------------------


def asked(name: Any, count: int = 16) -> tuple[Study, list[MemberRow], Space, Spec]:
    here = spec(sampler=name)
    found, study = Space(here, load("gan")), Study(Space(here, load("gan")), here.sampler, 0, 24)
    rows: list[MemberRow] = []
    for number in range(count):
        arm = "search" if number % 6 else "off"
        config = study.ask(number, arm, sum(row.arm == arm for row in rows))
        score = 1.0 + abs(math.log10(float(config["r1"]) or 1.0)) + (config["loss"] == "wasserstein")
        rows.append(MemberRow(number, config, 1, phase="search", arm=arm, state="complete", score=score))
        study.tell(rows[-1])
    return study, rows, found, here


EVERY = [*(one for one in samplers.known() if one != "brute" and not samplers.hands_on(one)), "optuna.samplers:GPSampler"]


@pytest.mark.parametrize("name", EVERY)
def test_a_sampler_draws_settled_configs_and_goes_on_after_a_kill_as_before(name: str) -> None:
    study, rows, here, read_spec = asked(name)
    for row in rows:
        if row.arm == "search":
            assert here.contains(row.config), row.config
            assert (row.config["r1"] == 0.0) != (row.config["wgan_gp"] == 0.0)
    assert {row.config["loss"] for row in rows if row.arm == "search"} == {"non_saturating", "wasserstein"}
    again = Study(here, read_spec.sampler, 0, 24)
    again.rebuild(rows)
    assert again.ask(16, "search", 13) == study.ask(16, "search", 13)


def test_what_optuna_is_told_holds_no_knob_that_does_not_act(tmp_path: Path) -> None:
    import optuna

    _, rows, space, spec = asked("tpe")
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    Projection(url, "s").finish(Books(spec, space, rows, {}), {})
    kept = optuna.load_study(study_name="s", storage=url).trials
    assert [set(one.params) - {"loss", "lr"} for one in kept] == [
        {"r1"} if row.config["loss"] == "non_saturating" else {"wgan_gp"} for row in rows if row.arm == "search"
    ]


def test_a_projection_that_was_begun_is_only_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    _, rows, space, spec = asked("random")
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    books, projection = Books(spec, space, rows, {}), Projection(url, "s")
    projection.begin(books)
    projection.finish(books, {})
    first = {one.study_name: one.datetime_start for one in optuna.get_all_study_summaries(url)}
    assert "s" in first
    projection.begin(books)  # more trials, another end
    monkeypatch.setattr(projection, "_write", lambda books: 1 / 0)
    projection.finish(books, {})
    assert {one.study_name for one in optuna.get_all_study_summaries(url)} == set(first)
    projection.begin(books)
    with pytest.raises(ZeroDivisionError):
        projection.finish(books, {})


GATE = Knob("gate", "", "", "", "a", choices=("a", "b", "c"))


@st.composite
def finite(draw: st.DrawFn) -> list[Knob]:
    """A gate, a gate that may depend on it, and integers that depend on either."""
    second = Knob("second", "", "", "", 0, choices=(0, 1), when=draw(st.sampled_from([(), (("gate", ("a",)),)])))
    found = [GATE, second]
    for place in range(draw(st.integers(1, 3))):
        gates: list[Any] = [
            ("gate", tuple(sorted(draw(st.sets(st.sampled_from("abc"), min_size=1))))),
            ("second", (draw(st.sampled_from([0, 1])),)),
        ]
        when = tuple(draw(st.lists(st.sampled_from(gates), max_size=2, unique=True)))
        high = draw(st.integers(1, 3))
        found.append(Knob(f"k{place}", "", "", "", 0, low=1, high=high, integer=True, off=0, more="high", when=when))
    return draw(st.permutations(found))


def everything(knobs: list[Knob]) -> set[tuple[Value, ...]]:
    """Every config that can be told apart, by brute force."""
    import itertools

    values = [knob.choices or range(int(knob.low or 0), int(knob.high or 0) + 1) for knob in knobs]
    names = [knob.name for knob in knobs]
    whole = (settled(dict(zip(names, one, strict=True)), knobs) for one in itertools.product(*values))
    return {tuple(one[name] for name in names) for one in whole}


def full(point: dict[str, Value], knobs: list[Knob]) -> tuple[Value, ...]:
    whole = settled({**{knob.name: 0 for knob in knobs}, **point}, knobs)
    return tuple(whole[knob.name] for knob in knobs)


@settings(max_examples=60)
@given(finite(), st.integers(0, 999))
def test_brute_trains_every_config_that_can_be_told_apart_once(knobs: list[Knob], seed: int) -> None:
    wanted = everything(knobs)
    assert brute.size(knobs) == len(wanted)
    points = [full(brute.point(seed, knobs, index), knobs) for index in range(len(wanted))]
    assert len(set(points)) == len(points) and set(points) == wanted


@settings(max_examples=60)
@given(finite(), st.integers(0, 999), st.integers(4, 60))
def test_a_grid_has_no_point_twice_and_at_most_as_many_as_trials(knobs: list[Knob], seed: int, trials: int) -> None:
    levels = dict(zip((knob.name for knob in knobs), grid.levels(knobs, trials), strict=True))
    count = sum(math.prod(len(levels[knob.name]) for knob in acting) for _, acting in branches(knobs))
    points = [full(grid.point(seed, knobs, trials, index), knobs) for index in range(count)]
    assert len(set(points)) == count
    coarsest = sum(math.prod(len(knob.choices) or 1 for knob in acting) for _, acting in branches(knobs))
    assert count <= max(trials, coarsest)


@settings(max_examples=60)
@given(finite(), st.integers(0, 999))
def test_to_settle_is_idempotent_and_settled_knobs_act_or_rest(knobs: list[Knob], seed: int) -> None:
    from random import Random

    rng = Random(seed)
    drawn = {knob.name: rng.choice(knob.choices or range(1, int(knob.high or 0) + 1)) for knob in knobs}
    once = settled(drawn, knobs)
    assert settled(once, knobs) == once
    for knob in conditional(knobs):
        assert once[knob.name] == drawn[knob.name] if active(knob, once) else once[knob.name] == 0


# The surface and what is chosen by it -----------------------------------------------------------------------------------------------------

LOSS = Knob("loss", "", "", "", "ns", choices=("ns", "wass"))
A = Knob("a", "", "", "1", 0.0, low=1e-3, high=10.0, log=True, off=0.0, more="high", when=(("loss", ("ns",)),))
B = Knob("b", "", "", "1", 0.0, low=1e-3, high=10.0, log=True, off=0.0, more="high", when=(("loss", ("wass",)),))
KNOBS = [LOSS, A, B]


def truth(config: Any, gap: float) -> float:
    """Two bowls: in `ns` with the minimum 2 at a = 0.1; in `wass` with 2 − gap at b = 1. λ off is at 4 and 4 − gap."""
    name, best = ("a", -1.0) if config["loss"] == "ns" else ("b", 0.0)
    level = 4.0 if config[name] == 0 else 2.0 + (math.log10(config[name]) - best) ** 2
    return level - (gap if config["loss"] == "wass" else 0.0)


def trained(gap: float, sd: float = 0.0) -> list[Row]:
    import numpy as np

    rng, rows = np.random.default_rng(1), []
    for number in range(36):
        loss, off = "ns" if number % 2 else "wass", number % 6 in (0, 1)
        value = 0.0 if off else float(10 ** rng.uniform(-3, 1))
        config = {"loss": loss, "a": value if loss == "ns" else 0.0, "b": value if loss == "wass" else 0.0}
        rows.append(Row(number, "search", "off" if off else "search", config, number, "complete", truth(config, gap) + sd * rng.normal()))
    return rows


@pytest.mark.parametrize("gap", [-1.0, 1.0])
def test_the_minimum_of_the_surface_is_that_of_the_better_branch(gap: float) -> None:
    surface = Surface.of([Training(row.config, row.seed, row.score) for row in trained(gap, 0.02)], KNOBS)
    assert surface is not None
    found = lowest(surface.level, with_a_lambda(KNOBS), {"loss": "ns", "a": 1.0, "b": 0.0})
    loss, name, best = ("wass", "b", 0.0) if gap > 0 else ("ns", "a", -1.0)
    assert found["loss"] == loss and abs(math.log10(float(found[name])) - best) < 0.15
    assert found[{"a": "b", "b": "a"}[name]] == 0.0
    # Two configs that are one training are one point of the surface.
    assert surface.level([{"loss": "ns", "a": 0.1, "b": 5.0}])[0] == surface.level([{"loss": "ns", "a": 0.1, "b": 0.0}])[0]
    levels = surface.score(surface.level([{"loss": "ns", "a": 0.1, "b": 0.0}, {"loss": "wass", "a": 0.0, "b": 1.0}]))
    assert levels[0] - levels[1] == pytest.approx(gap, abs=0.15)


@pytest.mark.parametrize("gap", [-1.0, 1.0])
@pytest.mark.parametrize("alone", [False, True])
def test_no_candidate_has_a_lambda_on_in_the_wrong_branch(gap: float, alone: bool) -> None:
    rows = trained(gap, 0.1)
    found = candidates(rows, KNOBS, fixed={}, configs=20, alone=alone)
    for one in found:
        assert one.config == settled(one.config, KNOBS), one
        if not one.arm.startswith("off"):
            assert one.config["a"] or one.config["b"], one
    if alone:
        assert {one.config["loss"] for one in found if one.arm.endswith(":a")} == {"ns"}
        assert {one.config["loss"] for one in found if one.arm.endswith(":b")} == {"wass"}
    else:
        assert next(one for one in found if one.arm == "min").config["loss"] == ("wass" if gap > 0 else "ns")


def test_the_interval_of_a_lambda_is_inside_the_chosen_branch() -> None:
    surface = Surface.of([Training(row.config, row.seed, row.score) for row in trained(1.0, 0.02)], KNOBS)
    chosen = {"loss": "wass", "a": 0.0, "b": 1.0}
    b, a = lambda_answer(B, chosen, surface), lambda_answer(A, chosen, surface)
    assert 0.3 < b.low <= 1.0 <= b.high < 3.0 and not b.switched_off
    assert a.value == 0.0 and math.isnan(a.low) and a.interval() == "(off: switched off by loss = wass)"
    # Where even λ off is better in the other branch, the curve is still that of its own.
    far = Surface.of([Training(row.config, row.seed, row.score) for row in trained(4.0, 0.02)], KNOBS)
    other = lambda_answer(A, {"loss": "ns", "a": 0.1, "b": 0.0}, far)
    assert 0.02 < other.low <= 0.1 <= other.high < 0.5


def test_every_branch_is_descended_into() -> None:
    lr = Knob("lr", "", "", "1", 0.5, low=0.0, high=1.0)

    def level(configs: Any) -> Any:
        import numpy as np

        sharp = [0.9 + 9 * abs(math.log10(one["b"] or 1e-4) + 1) + 9 * abs(one["lr"] - 0.5) for one in configs]
        return np.array([low if one["loss"] == "wass" else 1.0 for one, low in zip(configs, sharp, strict=True)])

    found = lowest(level, [*with_a_lambda(KNOBS), lr], {"loss": "ns", "a": 0.1, "b": 0.0, "lr": 0.1})
    assert found["loss"] == "wass" and found["b"] == pytest.approx(0.1) and found["lr"] == pytest.approx(0.5)


def test_an_arm_without_a_lambda_leaves_the_knobs_at_rest_that_depended_on_it() -> None:
    strength = Knob("strength", "", "", "1", 0.0, log=True, off=0.0, more="high", choices=(0.0, 0.1, 1.0))
    kind = Knob("kind", "", "", "", "x", choices=("x", "y"), when=(("strength", (0.1, 1.0)),))
    rows = []
    for number in range(24):
        value, which = (0.0, 0.1, 1.0)[number % 3], "xy"[number % 2]
        config = settled({"strength": value, "kind": which}, [strength, kind])
        score = 3.0 - value - (config["kind"] == "y") + 0.01 * math.sin(number)
        rows.append(Row(number, "search", "off" if value == 0 else "search", config, number, "complete", score))
    found = candidates(rows, [strength, kind], fixed={}, configs=20)
    assert next(one for one in found if one.arm == "min").config == {"strength": 1.0, "kind": "y"}
    assert all(one.config == settled(one.config, [strength, kind]) for one in found)
    assert sum(one.arm.startswith("off") for one in found) == 1, "there is one config with λ off"


# Whole sweeps -----------------------------------------------------------------------------------------------------------------------------


def score(config: Any) -> float:
    """The better branch is that of R1, whose best λ is 0.3."""
    level = 0.0 if config["loss"] == "non_saturating" else 2.0
    name, best = ("r1", -0.5) if level == 0.0 else ("wgan_gp", 1.0)
    return level + (3.0 if config[name] == 0 else (math.log10(config[name]) - best) ** 2) + (math.log10(config["lr"]) + 3.5) ** 2


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_sweep_finds_the_better_branch_and_survives_its_driver(tmp_path: Path, sampler: str) -> None:
    wanted = {"objective": "gan", "dataset": "digits", "search": SEARCH, "sampler": sampler, "scheduler": "none", "pack": 1}
    answers: list[Answer | None] = []
    for folder, jobs in ((tmp_path / "whole", 10_000), (tmp_path / "killed", 7)):
        folder.mkdir()
        found = None
        while found is None:
            with Simulated(folder, wanted, score) as driver:
                found = driver.run(jobs)
                rows, knobs = driver.ledger.ordered(), driver.space.knobs
        answers.append(found)
        assert all(row.config == settled(row.config, knobs) for row in rows)
        assert len({(row.config_hash, row.seed) for row in rows if row.phase == "search"}) == 24, "no member is trained twice"
    assert answers[0] is not None and answers[0].to_dict() == answers[1].to_dict()  # type: ignore[union-attr]
    best = answers[0]
    assert best.best["loss"] == "non_saturating" and best.best["wgan_gp"] == 0.0
    r1, gp = best.lambdas
    assert r1.low <= r1.value <= r1.high and 0.05 < r1.value < 2
    assert gp.switched_off == "loss = non_saturating" and "wgan_gp = 0 (off: switched off by loss = non_saturating)" in best.sentence()
    assert Answer.from_dict(best.to_dict()).lambdas[1].switched_off == gp.switched_off


# Specs ------------------------------------------------------------------------------------------------------------------------------------


def test_a_stored_condition_reads_back_and_can_be_set_from_the_command_line() -> None:
    here = spec({"loss": ["hinge", "lsgan"], "r1": {}, "norm_g": {"when": {"loss": "hinge"}}}, ("search.r1.when.loss=lsgan",))
    assert here.search is not None and here.search["r1"].when == {"loss": ("lsgan",)}  # type: ignore[union-attr]
    assert here.search["norm_g"].choices == load("gan").knobs["norm_g"].choices  # type: ignore[union-attr]
    assert read(parse_yaml(here.to_yaml())) == here


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unknown": ({"r1": {"when": {"los": "x"}}, "loss": ["hinge", "lsgan"]}, {}, "Did you mean 'loss'"),
    "itself": ({"r1": {"when": {"r1": 1}}}, {}, "got r1 itself"),
    "neither": ({"r1": {"when": {"loss": "hinge"}}}, {}, "loss must be searched or fixed"),
    "range": ({"r1": {"when": {"lr": 0.1}}, "lr": {}}, {}, "lr is a knob with a range"),
    "lambda": ({"r1": {"when": {"l2_d": 0.1}}, "l2_d": {}}, {}, "l2_d is a λ with a range"),
    "off": ({"r1": {"when": {"l2_d": 0}}, "l2_d": {}}, {}, "such as `l2_d: [0.0, 0.1]`"),
    "no choice": ({"r1": {"when": {"loss": "minimax"}}, "loss": ["hinge", "lsgan"]}, {}, "must be one of the searched choices"),
    "nothing": ({"r1": {"when": {"loss": []}}, "loss": ["hinge", "lsgan"]}, {}, "got an empty list"),
    "fixed": ({"r1": {"when": {"loss": "hinge"}}}, {"fixed": {"loss": "lsgan"}}, "loss is fixed at 'lsgan'"),
    "mapping": ({"r1": {"when": "hinge"}}, {}, "search.r1.when must be a mapping"),
    "both": ({"r1": {"choices": [0.1, 1], "low": 0.1}}, {}, "either choices or a range"),
    "circle": (
        {
            "loss": {"choices": ["hinge", "lsgan"], "when": {"norm_g": "batch"}},
            "norm_g": {"choices": ["none", "batch"], "when": {"loss": "hinge"}},
            "r1": {},
        },
        {},
        "must not run in a circle; loss depends on norm_g, norm_g depends on loss",
    ),
    "never": (
        {
            "loss": ["hinge", "lsgan"],
            "beta1": {"choices": [0.0, 0.9], "when": {"loss": "lsgan"}},
            "r1": {"when": {"beta1": 0.9, "loss": "hinge"}},
        },
        {},
        "search.r1.when must hold somewhere",
    ),
    "alone": ({"l2_d": [0, 0.1], "r1": {"when": {"l2_d": 0.1}}}, {"alone": True}, "each λ is searched alone"),
    "idle point": (SEARCH, {"points": [{"r1": 0.1, "loss": "wasserstein"}]}, "switch r1 off"),
    "off point": (
        {"loss": ["hinge", "lsgan"], "r1": {"when": {"loss": "hinge"}}},
        {"points": [{"loss": "lsgan"}]},
        "switches every λ off",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_condition_is_refused_in_words(name: str) -> None:
    search, more, said = FAULTS[name]
    with pytest.raises(SpecError) as refused:
        spec(search, **more)
    assert said in str(refused.value) and len(refused.value.faults) == 1, refused.value.faults


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        spec({"loss": ["hinge", "lsgan"], "r1": {"when": {"los": 1, "r1": 1, "loss": "relu"}}, "wgan_gp": {"when": {"lr": 1}}})
    assert len(refused.value.faults) == 4


def test_lambdas_that_are_never_on_together_have_no_conflict() -> None:
    assert any("losses differ" in one for one in warnings(spec({**SEARCH, "r1": {}, "wgan_gp": {}})))
    assert not any("losses differ" in one for one in warnings(spec()))
    assert any("losses differ" in one and one.startswith("r1") for one in warnings(spec({**SEARCH, "r1": {}})))
    # An error of two λ that count the same thing twice goes away where a choice keeps them apart, and stays where it does not.
    apart = {"loss": ["hinge", "lsgan"], "l1_d": {"when": {"loss": "hinge"}}, "l1_prox_d": {"when": {"loss": "lsgan"}}}
    assert spec(apart)
    with pytest.raises(SpecError, match="l1"):
        spec({**apart, "l1_prox_d": {"when": {"loss": ["lsgan", "hinge"]}}})
