"""The space: configs lie in the range, off configs are off, and Optuna gets flat keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.base import Knob
from objectives.registry import load
from search.asking.space import Space, at
from search.spec.reading import read


def space(**mapping: Any) -> Space:
    return Space(read({"objective": "vae", **mapping}), load("vae"))


def test_knobs_carry_this_sweeps_ranges() -> None:
    found = {knob.name: knob for knob in space(search={"beta": {"low": 0.5}, "lr": {}, "latent_dim": [4, 8]}).knobs}
    assert (found["beta"].low, found["beta"].high, found["beta"].off) == (0.5, 10, 1)
    assert (found["lr"].low, found["lr"].high) == (1e-4, 1e-2)
    assert found["latent_dim"].choices == (4, 8) and found["latent_dim"].low is None


def test_lambdas_and_nuisances_are_told_apart() -> None:
    here = space(search={"lr": {}, "beta": {}, "l2": {}})
    assert [knob.name for knob in here.lambdas] == ["beta", "l2"]
    assert [knob.name for knob in here.nuisances] == ["lr"]


def test_a_config_has_a_value_for_every_knob() -> None:
    vae = load("vae")
    config = space(search={"beta": {}}, fixed={"latent_dim": 7, "l2": 0.01}).config({"beta": 3})
    assert set(config) == set(vae.knobs)
    assert (config["beta"], config["latent_dim"], config["l2"], config["lr"]) == (3.0, 7, 0.01, vae.knobs["lr"].default)
    assert isinstance(config["beta"], float) and isinstance(config["latent_dim"], int)


def test_off_means_the_searched_lambdas_and_a_fixed_one_is_the_setting() -> None:
    here = space(search={"beta": {}, "l2": {}, "lr": {}}, fixed={"dropout": 0.2})
    config = here.arm_config({"lr": 0.005})
    assert (config["beta"], config["l2"], config["lr"], config["dropout"]) == (1.0, 0.0, 0.005, 0.2)
    assert all(config[name] == value for name, value in here.off_values.items())


def test_a_knob_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError, match="bta"):
        space().config({"bta": 1.0})


def test_a_first_point_is_completed_into_the_range() -> None:
    here = space(search={"beta": {"low": 2.0}, "l2": {}, "lr": {}})
    assert here.complete({"lr": 0.01}) == {"beta": 2.0, "l2": 1e-7, "lr": 0.01}


def test_distributions_are_optunas_and_the_off_arm_has_the_nuisances() -> None:
    here = space(search={"beta": {}, "lr": {}, "latent_dim": {"low": 2, "high": 9}, "dropout": [0.0, 0.5]})
    found = here.distributions()
    assert {name: type(one).__name__ for name, one in found.items()} == {
        "beta": "FloatDistribution",
        "lr": "FloatDistribution",
        "latent_dim": "IntDistribution",
        "dropout": "CategoricalDistribution",
    }
    assert found["beta"].log and found["latent_dim"].high == 9
    assert set(here.off_distributions()) == {"lr", "latent_dim"}
    assert space(search={"beta": {}}).off_distributions() == {}


@st.composite
def knobs(draw: st.DrawFn) -> Knob:
    low = draw(st.floats(1e-6, 1.0))
    integer = draw(st.booleans())
    bounds = (draw(st.integers(1, 9)), draw(st.integers(10, 99))) if integer else (low, low * draw(st.floats(1.01, 1e6)))
    return Knob("k", "", "", "", 1.0, low=bounds[0], high=bounds[1], log=draw(st.booleans()), integer=integer)


@settings(max_examples=100)
@given(knobs(), st.floats(0, 1), st.floats(0, 1))
def test_the_way_through_a_range_is_monotone_and_stays_inside(knob: Knob, a: float, b: float) -> None:
    low, high = knob.low or 0, knob.high or 0
    first, second = at(knob, min(a, b)), at(knob, max(a, b))
    assert low <= first <= second <= high  # type: ignore[operator]
    assert isinstance(first, int) == knob.integer
    assert (at(knob, 0.0), at(knob, 1.0)) == (low, high), "without a rounding"


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1), st.floats(0.01, 0.9), st.floats(1.1, 10.0))
def test_what_optuna_draws_is_in_the_range_and_off_is_off(seed: int, low: float, high: float) -> None:
    from optuna import create_study
    from optuna.samplers import RandomSampler

    here = space(search={"beta": {"low": low, "high": high}, "latent_dim": {}, "dropout": [0.0, 0.3], "lr": {}})
    study = create_study(sampler=RandomSampler(seed=seed))
    config = here.config(study.ask(here.distributions()).params)
    assert here.contains(config)
    assert here.params(config) == here.clip(config)
    assert not here.contains({**config, "beta": high * 1.01})
    off = here.arm_config(study.ask(here.off_distributions()).params)
    assert all(off[name] == value for name, value in here.off_values.items())
    assert {name: off[name] for name in ("beta", "dropout")} == {"beta": 1.0, "dropout": 0.0}


@settings(max_examples=100)
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_clipping_is_idempotent_and_lands_inside(beta: float, latent: float) -> None:
    here = space(search={"beta": {}, "latent_dim": {}, "dropout": [0.0, 0.3]})
    once = here.clip({"beta": beta, "latent_dim": latent, "dropout": latent})
    assert here.clip(once) == once
    assert here.contains(once)
