"""What every sampler promises. A new file in search/asking/samplers is collected here without an edit."""

from __future__ import annotations

import importlib
import itertools
import math
from typing import Any

import optuna
import pytest

from objectives.base import ObjectiveError
from objectives.registry import load, names
from search.asking.samplers import SamplerInfo, adaptive, conflicts, sampler_for
from search.asking.samplers.grid import levels
from search.asking.space import Space
from search.cli import listing
from search.options import Chosen, name_of
from search.spec.reading import read

SAMPLERS = names("sampler", "search.asking.samplers")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def info(name: str) -> SamplerInfo:
    found: SamplerInfo = importlib.import_module(f"search.asking.samplers.{name}").SAMPLER
    return found


def space(**search: Any) -> Space:
    return Space(
        read({"objective": "vae", "search": search or {"beta": {}, "lr": {}, "latent_dim": {}, "dropout": [0.0, 0.2, 0.4]}}),
        load("vae"),
    )


FINITE = {"beta": [0.03, 0.3, 1.0, 3.0], "lr": [1e-4, 1e-3, 1e-2], "latent_dim": {"low": 2, "high": 9}, "dropout": [0.0, 0.2, 0.4]}


def space_for(name: str) -> Space:
    """A space that a sampler does not refuse: that of `space()`, or one with as many knobs and finitely many points."""
    refused = any(one.level == "error" for one in conflicts(name, space(), 24))
    return space(**FINITE) if refused else space()


def ask(
    name: Chosen, study: Any, here: Space, number: int, *, seed: int = 0, trials: int = 24, arm: str = "search", index: int | None = None
) -> Any:
    study.sampler = sampler_for(name, seed, number, space=here, trials=trials, arm=arm, index=index)
    return study.ask(here.off_distributions() if arm == "off" else here.distributions())


def score(params: dict[str, Any]) -> float:
    return (math.log10(params["beta"]) - 0.5) ** 2


def walk(
    name: Chosen, count: int, *, seed: int = 0, tell: bool = True, here: Space | None = None, trials: int = 24
) -> list[dict[str, Any]]:
    study, here = optuna.create_study(), here or space_for(name_of(name))
    found = []
    for number in range(count):
        trial = ask(name, study, here, number, seed=seed, trials=trials)
        found.append(dict(trial.params))
        if tell:
            study.tell(trial, score(trial.params))
    return found


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_says_what_it_is(name: str) -> None:
    said = info(name)
    assert said.name == name and said.summary and said.formula and said.source
    assert adaptive(name) is said.adaptive
    assert listing.entry("samplers", name)["summary"] == said.summary


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_lie_in_the_space(name: str) -> None:
    here = space_for(name)
    for params in walk(name, 16):
        assert set(params) == {"beta", "lr", "latent_dim", "dropout"}
        assert here.contains(here.config(params))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_repeats_the_sweep_and_another_does_not(name: str) -> None:
    assert walk(name, 12) == walk(name, 12)
    assert walk(name, 12) != walk(name, 12, seed=1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_members_differ(name: str) -> None:
    found = walk(name, 16)
    assert all(a != b for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_that_is_rebuilt_goes_on_where_it_was(name: str) -> None:
    """A seeded sampler that lives with its process repeats its first draws after a restart; ours is a function of the member."""
    here, undisturbed = space_for(name), walk(name, 12)
    study = optuna.create_study()
    for params in undisturbed[:6]:
        study.add_trial(optuna.trial.create_trial(params=params, distributions=here.distributions(), value=score(params)))
    for number in range(6, 12):
        trial = ask(name, study, here, number)
        assert trial.params == undisturbed[number]
        study.tell(trial, score(trial.params))


@pytest.mark.parametrize("name", SAMPLERS)
def test_open_members_do_not_get_the_same_config(name: str) -> None:
    found = walk(name, 12, tell=False)
    assert all(a != b for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_off_arm_draws_nuisance_knobs_only(name: str) -> None:
    here, study = space_for(name), optuna.create_study()
    found = [ask(name, study, here, number, arm="off").params for number in range(4)]
    assert all(set(params) == {"lr", "latent_dim"} for params in found)
    assert all(a != b for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_off_arm_without_nuisance_knobs_is_one_config(name: str) -> None:
    assert ask(name, optuna.create_study(), space(beta={}), 0, arm="off").params == {}


@pytest.mark.parametrize("name", [name for name in SAMPLERS if adaptive(name)])
def test_an_adaptive_sampler_learns_and_a_deaf_one_does_not(name: str) -> None:
    """After tells, draws come closer to the optimum than random ones; without tells they cannot."""
    here = space(beta={"low": 1e-3, "high": 1e3})

    def late_distance(told: bool) -> float:
        found = [walk(name, 30, seed=seed, tell=told, here=here, trials=30)[15:] for seed in range(4)]
        return sum(abs(math.log10(params["beta"]) - 0.5) for run in found for params in run) / 60

    assert late_distance(told=True) < 0.6 * late_distance(told=False)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if not adaptive(name)])
def test_another_sampler_does_not_listen(name: str) -> None:
    assert walk(name, 8, tell=True) == walk(name, 8, tell=False)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if info(name).sequence])
def test_a_sequence_is_walked_by_index_whatever_the_members_number(name: str) -> None:
    here, plain = space_for(name), walk(name, 6)
    numbers = [1, 2, 4, 5, 7, 11]  # what the off arm leaves over
    found = [ask(name, optuna.create_study(), here, number, index=index).params for index, number in enumerate(numbers)]
    assert found == plain


@pytest.mark.parametrize("trials", [4, 7, 24, 60])
def test_a_grid_is_walked_once_and_fits_the_trials(trials: int) -> None:
    here = space(beta={}, lr={})
    sizes = [len(axis) for axis in levels(here.knobs, trials)]
    assert trials / 2 < math.prod(sizes) <= trials
    assert sizes[0] >= sizes[1], "the λ is at least as fine as the nuisance knob"
    points = walk("grid", math.prod(sizes), here=here, trials=trials)
    assert len({tuple(point.items()) for point in points}) == math.prod(sizes)
    assert {min(point["beta"] for point in points), max(point["beta"] for point in points)} == {0.01, 10.0}


def test_qmc_is_more_even_than_random() -> None:
    """The largest gap between 32 points on a line: about 1/32 for a net, about ln(32)/32 for random draws."""

    def largest_gap(name: str, seed: int) -> float:
        units = sorted(math.log10(params["beta"]) for params in walk(name, 32, seed=seed, here=space(beta={"low": 1e-3, "high": 1e3})))
        return max(b - a for a, b in itertools.pairwise(units)) / 6

    assert max(largest_gap("qmc", seed) for seed in range(5)) <= 2 / 32 + 1e-9
    assert min(largest_gap("random", seed) for seed in range(5)) > 2 / 32


def test_an_unknown_sampler_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ObjectiveError, match="Did you mean 'tpe'"):
        sampler_for("tpee", 0, 0, space=space(), trials=4)
