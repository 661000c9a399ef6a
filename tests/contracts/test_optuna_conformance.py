"""Optuna's own conformance suite, on every sampler of ours that is an Optuna sampler of any space. A new file is collected without an edit.

What cannot apply, and why:

- A sequence (grid, qmc, brute) is one known point of the space that it was made for (`_sequence.Given`). The suite asks for spaces of its
  own. That its points lie in Optuna's distributions is a test of test_samplers.py.
- A sampler that draws each knob by itself (random), or whose first generation is random (the genetic algorithms), draws nothing
  together after one trial. `RelativeSamplerTestCase` is for those that can be told how many random members come first.
- CMA-ES draws choices at random, so they are not among those that are drawn together.
- A sampler is for one metric or for several: it must pass the case of what it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.testing import pytest_samplers as suite

from objectives.registry import names
from search.asking.samplers import accepted

pytestmark = pytest.mark.turns(3)

optuna.logging.set_verbosity(optuna.logging.ERROR)


def made(name: str, **options: Any) -> Any:
    return importlib.import_module(f"search.asking.samplers.{name}").make(0, (), 24, 0, **options)


def is_for_several_metrics(name: str) -> bool:
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=made(name))
    try:
        study.ask({"x": FloatDistribution(0, 1)})
    except ValueError:
        return False
    return True


def draws_choices_together(name: str) -> bool:
    study = optuna.create_study(sampler=made(name, n_startup_trials=0))
    space = {"x": FloatDistribution(0, 1), "y": CategoricalDistribution([1, 2])}
    study.tell(study.ask(space), 0.0)
    trial = study.ask()
    return "y" in study.sampler.infer_relative_search_space(study, study.trials[trial.number])


SAMPLERS = [
    name
    for name in names("sampler", "search.asking.samplers")
    if not importlib.import_module(f"search.asking.samplers.{name}").SAMPLER.sequence
]
RELATIVE = [name for name in SAMPLERS if "n_startup_trials" in accepted(name)]
SEVERAL = [name for name in SAMPLERS if is_for_several_metrics(name)]
ONE = [name for name in SAMPLERS if name not in SEVERAL]


@pytest.mark.sampled(12)
class TestBasic(suite.BasicSamplerTestCase):
    @pytest.fixture(params=SAMPLERS)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], Any]:
        return lambda: made(request.param)


@pytest.mark.sampled(6)
class TestRelative(suite.RelativeSamplerTestCase):
    @pytest.fixture(params=RELATIVE)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], Any]:
        if (
            "numerical" not in request.node.name
            and "relative_params" not in request.node.name
            and not draws_choices_together(request.param)
        ):
            pytest.skip(f"{request.param} draws a knob with choices by itself")
        return lambda: made(request.param, n_startup_trials=0)


@pytest.mark.sampled(6)
class TestSeveralMetrics(suite.MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=SEVERAL)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], Any]:
        return lambda: made(request.param)


class TestOneMetric(suite.SingleOnlySamplerTestCase):
    @pytest.fixture(params=ONE)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], Any]:
        return lambda: made(request.param)


def test_the_cases_fall_to_whom_they_are_meant_for() -> None:
    assert {"tpe", "cmaes"} <= set(RELATIVE) and {"random", "nsgaii", "nsgaiii"} <= set(SEVERAL) and "cmaes" in ONE
    assert draws_choices_together("tpe") and not draws_choices_together("cmaes")
