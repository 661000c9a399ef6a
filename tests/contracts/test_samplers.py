"""What every sampler promises. A new file in search/asking/samplers is collected here without an edit."""

from __future__ import annotations

import importlib
import itertools
import math
from dataclasses import replace
from typing import Any

import optuna
import pytest

from objectives.base import ObjectiveError
from objectives.registry import load, names
from search.asking import samplers
from search.asking.samplers import SamplerInfo, accepted, adaptive, brute, conflicts, faults, path, sampler_for
from search.asking.samplers.grid import levels
from search.asking.space import Space
from search.cli import listing
from search.errors import SpecError
from search.options import Chosen, name_of
from search.spec.faults import warnings
from search.spec.reading import read

pytestmark = pytest.mark.turns(3)

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
    """A space that a sampler does not refuse: that of `space()`, one with as many knobs and finitely many points, or one λ alone."""
    tried = (space(), space(**FINITE), space(beta={}))
    return next(here for here in tried if not any(one.level == "error" for one in conflicts(name, here, 24)))


def hands_on(name: str) -> bool:
    """Whether members start from earlier ones. Such a path has the same points for every seed, and each of them twice, up and back."""
    return info(name).hands_on


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
        assert set(params) == {knob.name for knob in here.knobs}
        assert here.contains(here.config(params))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_repeats_the_sweep_and_another_does_not(name: str) -> None:
    assert walk(name, 12) == walk(name, 12)
    assert (walk(name, 12) == walk(name, 12, seed=1)) is hands_on(name)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if not hands_on(name)])
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


@pytest.mark.parametrize("name", [name for name in SAMPLERS if not hands_on(name)])
def test_open_members_do_not_get_the_same_config(name: str) -> None:
    found = walk(name, 12, tell=False)
    assert all(a != b for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize("name", [name for name in SAMPLERS if not hands_on(name)])
def test_the_off_arm_draws_nuisance_knobs_only(name: str) -> None:
    here, study = space_for(name), optuna.create_study()
    found = [ask(name, study, here, number, arm="off").params for number in range(4)]
    assert all(set(params) == {"lr", "latent_dim"} for params in found)
    assert all(a != b for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_off_arm_without_nuisance_knobs_is_one_config(name: str) -> None:
    assert ask(name, optuna.create_study(), space(beta={}), 0, arm="off").params == {}


@pytest.mark.sampled(4)
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


# Options ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_option_is_said_and_its_default_is_taken(name: str) -> None:
    options = accepted(name)
    assert set(listing.entry("samplers", name)["options"]) == set(options)
    assert not faults({"name": name, **{key: option.default for key, option in options.items()}})
    for key, option in options.items():
        assert option.about and f"sampler.{key} must be" in faults({"name": name, key: "x"})[0]
    (fault,) = faults({"name": name, "optoin": 1})
    assert f"an option of sampler {name!r} must be one of" in fault and "'optoin'" in fault


def test_options_are_heard() -> None:
    """With as many random members as trials TPE is a random search; with none it learns from the first."""
    at_random = walk({"name": "tpe", "n_startup_trials": 12}, 12)
    assert at_random != walk("tpe", 12) != walk({"name": "tpe", "n_startup_trials": 1}, 12)
    assert at_random == walk({"name": "tpe", "n_startup_trials": 12}, 12, tell=False)
    assert walk({"name": "nsgaii", "population_size": 12}, 12) == walk({"name": "nsgaii", "population_size": 12}, 12, tell=False)
    assert walk({"name": "cmaes", "popsize": 4}, 12) != walk("cmaes", 12)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"name": "tpee", "n_startup_trials": 4}, ["sampler must be one of", "Did you mean 'tpe'?", "optuna.samplers:Class"]),
        ({"name": "tpe", "n_startup": 4}, ["n_ei_candidates, n_startup_trials", "Did you mean 'n_startup_trials'?"]),
        ({"name": "tpe", "n_startup_trials": -1}, ["sampler.n_startup_trials must be a whole number of at least 0, or null; got -1"]),
        ({"name": "random", "seed": 3}, ["an option of sampler 'random' must be one of (none); got 'seed'"]),
        ("optuna.samplers:TPSampler", ["a name in optuna.samplers", "Did you mean 'TPESampler'?"]),
        ("optuna.sampler:TPESampler", ["'optuna.sampler' must be importable"]),
        ("optuna:create_study", ["a subclass of optuna.samplers.BaseSampler", "got 'create_study'"]),
        ("collections:Counter", ["must name a module of your own", "part of Python"]),
        (":TPESampler", ["must be written package.module:name"]),
        ({"name": "optuna.samplers:QMCSampler", "scrmble": True}, ["an option of sampler 'optuna.samplers:QMCSampler'", "'scramble'?"]),
        ({"name": "optuna.samplers:QMCSampler", "seed": 1}, ["sampler.seed must be left out", "got 1"]),
        ("optuna.samplers:GridSampler", ["must be given search_space", "no default"]),
    ],
)
def test_what_is_wrong_with_a_sampler_is_said(chosen: Chosen, words: list[str]) -> None:
    (fault,) = faults(chosen)
    assert all(word in fault for word in words), fault


def test_all_faults_of_a_sampler_are_said_at_once() -> None:
    assert len(faults({"name": "cmaes", "popsize": 1, "with_margins": True, "lr_adapt": 1})) == 3
    assert len(faults({"name": "optuna.samplers:GridSampler", "seed": 1, "search_spaces": {}})) == 3


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"name": "optuna.samplers:TPESampler", "gamma": 3}, ["must be able to draw", "'int' object is not callable"]),
        ({"name": "optuna.samplers:QMCSampler", "qmc_type": "sobel"}, ["must be able to draw", "qmc_type", "sobel"]),
        ({"name": "cmaes", "lr_adapt": True, "with_margin": True}, ["must be able to draw", "lr_adapt"]),
        (
            {"name": "optuna.samplers:GridSampler", "search_space": {"beta": [1, 2]}},
            ["must be able to draw", "not found in the given grid"],
        ),
        (
            {"name": "optuna.samplers:PartialFixedSampler", "fixed_params": {}, "base_sampler": "tpe"},
            ["must be able to draw", "'str' object"],
        ),
    ],
)
def test_a_sampler_is_tried_on_the_space_beforehand(chosen: Chosen, words: list[str]) -> None:
    assert not faults(chosen)
    errors = [one.message for one in conflicts(chosen, space(), 24) if one.level == "error"]
    assert errors and all(word in errors[0] for word in words), errors


# Any class of Optuna's --------------------------------------------------------------------------------------------------------------------

FOREIGN: list[Chosen] = [
    "optuna.samplers:RandomSampler",
    {"name": "optuna.samplers:TPESampler", "n_startup_trials": 3, "group": True},
    {"name": "optuna.samplers:QMCSampler", "qmc_type": "halton"},
    {"name": "optuna.samplers:CmaEsSampler", "popsize": 4, "n_startup_trials": 5},
    {"name": "optuna.samplers:NSGAIISampler", "population_size": 4},
]
foreign = pytest.mark.parametrize("chosen", FOREIGN, ids=lambda chosen: name_of(chosen).partition(":")[2])


@pytest.mark.sampled(2)
@foreign
def test_a_foreign_sampler_draws_in_both_arms_and_is_taken_to_learn(chosen: Chosen) -> None:
    here, study = space(), optuna.create_study()
    assert not faults(chosen) and not conflicts(chosen, here, 24) and adaptive(chosen)
    assert all(here.contains(here.config(params)) for params in walk(chosen, 6))
    assert all(set(ask(chosen, study, here, number, arm="off").params) == {"lr", "latent_dim"} for number in range(4))


@pytest.mark.sampled(2)
@foreign
def test_a_foreign_sampler_is_a_function_of_seed_and_member_and_goes_on_after_a_resume(chosen: Chosen) -> None:
    here, undisturbed = space(), walk(chosen, 10)
    assert undisturbed == walk(chosen, 10) != walk(chosen, 10, seed=1)
    study = optuna.create_study()
    for params in undisturbed[:7]:
        study.add_trial(optuna.trial.create_trial(params=params, distributions=here.distributions(), value=score(params)))
    for number in range(7, 10):
        trial = ask(chosen, study, here, number)
        assert trial.params == undisturbed[number]
        study.tell(trial, score(trial.params))


def test_a_foreign_sampler_that_has_no_point_left_ends_nothing() -> None:
    """Optuna's brute force would stop the study, and a study that nobody optimizes cannot be stopped."""
    found = walk("optuna.samplers:BruteForceSampler", 5, here=space(beta=[0.1, 1.0, 10.0]))
    assert {params["beta"] for params in found[:3]} == {0.1, 1.0, 10.0} and len(found) == 5


def test_what_a_foreign_class_takes_is_listed() -> None:
    options = listing.entry("samplers", "optuna.samplers:QMCSampler")["options"]
    assert "default sobol" in options["qmc_type"] and "seed" not in options


# Those that keep notes in the study -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SAMPLERS if adaptive(name)])
def test_a_draw_does_not_depend_on_the_order_in_which_members_ended(name: str) -> None:
    def next_after(order: list[int]) -> dict[str, Any]:
        study, here = optuna.create_study(), space_for(name)
        trials = [ask(name, study, here, number) for number in range(14)]
        for number in order:
            study.tell(trials[number], score(trials[number].params))
        return dict(ask(name, study, here, 14).params)

    there = list(range(13))  # the last one is still open
    assert next_after(there) == next_after(there[::-1])
    assert next_after(there) != next_after(there[:5]), "nothing was learned"


@pytest.mark.parametrize("name", [name for name in SAMPLERS if adaptive(name)])
def test_members_that_ended_badly_are_no_hindrance(name: str) -> None:
    here, study = space_for(name), optuna.create_study()
    states = optuna.trial.TrialState
    for number in range(16):
        trial = ask(name, study, here, number)
        if number % 4 == 1:
            trial.report(1.0, 3)
            study.tell(trial, state=states.PRUNED)
        elif number % 4 == 2:
            study.tell(trial, state=states.FAIL)
        else:
            study.tell(trial, math.inf if number % 8 == 3 else score(trial.params))
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 16


# Brute force ------------------------------------------------------------------------------------------------------------------------------


def test_brute_force_has_every_point_once_and_then_begins_again() -> None:
    here = space(**FINITE)
    points = [tuple(brute.point(3, here.knobs, index).items()) for index in range(2 * 288)]
    assert len(set(points[:288])) == 288 == brute.size(here.knobs) and points[288:] == points[:288]
    assert points != [tuple(brute.point(4, here.knobs, index).items()) for index in range(2 * 288)]
    assert {dict(point)["latent_dim"] for point in points} == set(range(2, 10))


def test_brute_force_refuses_what_is_infinite_and_says_what_it_will_not_reach() -> None:
    (refused,) = conflicts("brute", space(), 24)
    assert refused.level == "error"
    assert all(words in refused.message for words in ("search.beta, search.lr has infinitely many values", "sampler: grid"))
    assert "latent_dim" not in refused.message and "dropout" not in refused.message
    (warned,) = conflicts("brute", space(**FINITE), 24)
    assert warned.level == "warning" and "288 points, and the trials suffice for 20" in warned.message
    assert not conflicts("brute", space(**FINITE), 350)
    alone = Space(
        read({"objective": "vae", "search": {"beta": [0.1, 1.0], "l2": {}}, "alone": True, "budget": {"trials": 24}}), load("vae")
    )
    (refused,) = (one for one in conflicts("brute", alone, 24) if one.level == "error")
    assert "search.l2 has" in refused.message


def test_cmaes_says_what_it_does_not_learn() -> None:
    (warned,) = conflicts("cmaes", space(), 24)
    assert warned.level == "warning" and "dropout has choices" in warned.message
    assert not conflicts("cmaes", space(beta={}, lr={}), 24)


# Those that hand on -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SAMPLERS if hands_on(name)])
def test_a_member_starts_from_an_earlier_one_of_its_chain(name: str) -> None:
    module = importlib.import_module(f"search.asking.samplers.{name}")
    for options in ({}, *module.EXAMPLES):
        chosen = {"name": name, **options}
        before = {index: samplers.predecessor(chosen, index) for index in range(20)}
        assert before[0] is None and any(one is not None for one in before.values())
        assert all(one is None or 0 <= one < index for index, one in before.items())
        assert all(samplers.chain(chosen, one) == samplers.chain(chosen, index) for index, one in before.items() if one is not None)
        assert samplers.hands_on(chosen) and not adaptive(chosen)


def test_a_path_goes_from_weak_to_strong_and_back_over_the_same_values() -> None:
    here = space(beta={"low": 0.01, "high": 100.0})
    one = [params["beta"] for params in walk({"name": "path", "chains": 1}, 10, here=here, trials=10)]
    assert one == pytest.approx([0.01, 0.1, 1, 10, 100, 100, 10, 1, 0.1, 0.01])
    two = [params["beta"] for params in walk("path", 10, here=here, trials=10)]
    assert two == pytest.approx([0.01, 0.01, 1, 1, 100, 100, 100, 100, 1, 1])
    (beta,) = here.knobs
    reverse = [path.place(replace(beta, more="low"), 10, index, 1) for index in range(3)]
    assert reverse == [1.0, 0.75, 0.5], "where less is more regularized the path starts at the upper end"


@pytest.mark.parametrize(
    ("search", "more", "words"),
    [
        ({"beta": [0.1, 1.0, 3.0]}, {}, ["must have a range", "search.beta is a choice out of [0.1, 1.0, 3.0]", "low and high"]),
        ({"beta": {}, "lr": {}, "latent_dim": {}}, {}, ["all else fixed", "search.lr, search.latent_dim", "fixed"]),
        ({"beta": {}, "l2": {}}, {}, ["must have one λ", "beta, l2 are searched together", "alone: true"]),
        ({"beta": {}}, {"scheduler": {"name": "asha", "reduction": 2}}, ["scheduler must be none with sampler path", "reduction: 2"]),
        ({"beta": {}}, {"points": [{"beta": 0.3}]}, ["points must be left out with sampler path"]),
        ({"l2": {}}, {"objective": "toy"}, ["must have an objective whose members can hand on their weights"]),
    ],
)
def test_what_is_no_path_is_refused(search: dict[str, Any], more: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SpecError) as refused:
        read({"objective": "vae", "search": search, "sampler": "path", **more})
    (fault,) = refused.value.faults
    assert all(word in fault for word in words), fault


def test_a_path_may_go_along_each_lambda_alone_and_is_trained_whole() -> None:
    spec = read({"objective": "vae", "search": {"beta": {}, "l2": {}}, "alone": True, "sampler": "path"})
    assert spec.scheduler == "none" and read(spec.model_dump(exclude_none=True)) == spec
    asked = read({"objective": "vae", "search": {"beta": {}}, "sampler": "path", "scheduler": "asha", "budget": {"trials": 20}})
    assert asked.scheduler == "none" and ["no member is stopped early" in one for one in warnings(asked)] == [True]
    assert warnings(read({"objective": "vae", "search": {"beta": {}}})) == []
    (warned,) = conflicts("path", space(beta={}), 6)
    assert warned.level == "warning" and "too few for a way back" in warned.message
