"""The sampler tpe asks for what Optuna's own TPE would, and looks at each trial once."""

from __future__ import annotations

import math
import random
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from search.asking.samplers import _tpe
from search.asking.samplers._tpe import Remembering

KNOBS = {
    "beta": FloatDistribution(1e-5, 10.0, log=True),
    "dropout": FloatDistribution(0.0, 1.0),
    "latent_dim": IntDistribution(2, 64, log=True),
    "regularizer": CategoricalDistribution(["l1", "l2", 0.5]),
    "fixed": FloatDistribution(1.0, 1.0),
}
SEARCHED = [["beta"], ["dropout", "beta"], ["fixed", "latent_dim", "beta", "regularizer"]]


def asked(sampler: Any, knobs: list[str], seed: int, *, metrics: int = 1, constrained: bool = False, members: int = 60) -> list[Any]:
    """What is asked for in a sweep with several open members at a time, which end in every way that there is, in any order."""
    luck, study, open_, found = random.Random(seed), optuna.create_study(directions=["minimize"] * metrics), list[Any](), list[Any]()
    for number in range(members):
        study.sampler = sampler(seed=1000 * seed + number, n_startup_trials=6)
        trial = study.ask({name: KNOBS[name] for name in knobs})
        found.append(trial.params)
        open_.append(trial)
        while len(open_) > luck.randint(1, 12):
            one, how = open_.pop(luck.randrange(len(open_))), luck.random()
            if constrained:
                one.set_constraint("mb <= 4", luck.choice([-1.0, 1e-12, 0.5]))
            if how < 0.5:
                study.tell(one, [luck.choice([round(luck.random(), 1), math.inf]) for _ in range(metrics)])
            elif how < 0.9:
                if luck.random() < 0.8 and metrics == 1:
                    one.report(luck.choice([luck.random(), 0.5, math.nan]), luck.randint(1, 5))
                study.tell(one, state=TrialState.PRUNED)
            else:
                study.tell(one, state=TrialState.FAIL)
    return found


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("knobs", SEARCHED, ids=len)
def test_it_asks_for_what_optunas_own_does(knobs: list[str], constrained: bool) -> None:
    seed = len(knobs)
    ours, optunas = (asked(cls, knobs, seed, constrained=constrained) for cls in (Remembering, TPESampler))
    assert ours == optunas
    assert ours != asked(Remembering, knobs, seed + 1, constrained=constrained)


def test_so_it_does_for_several_metrics() -> None:
    ours, optunas = (asked(cls, ["dropout", "beta"], 5, metrics=2, members=30) for cls in (Remembering, TPESampler))
    assert ours == optunas


def test_so_it_does_where_optuna_is_not_as_we_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = asked(TPESampler, ["dropout", "beta"], 6, members=30)
    monkeypatch.setattr(_tpe, "_gamma", lambda sampler: None)
    monkeypatch.setattr(_tpe._Seen, "split", lambda *_: pytest.fail("the memory was asked"))
    assert asked(Remembering, ["dropout", "beta"], 6, members=30) == known


def test_a_trial_that_was_known_by_other_ranges_teaches_nothing() -> None:
    """As with Optuna's own, a knob whose range is not the same in all trials is drawn by itself."""
    found = []
    for cls in (Remembering, TPESampler):
        study = optuna.create_study()
        for number in range(16):
            study.sampler = cls(seed=number, n_startup_trials=4)
            high = 1.0 if number % 2 else 2.0
            trial = study.ask({"dropout": FloatDistribution(0.0, high), "beta": KNOBS["beta"]})
            study.tell(trial, trial.params["dropout"])
        found.append([one.params for one in study.trials])
    assert found[0] == found[1]


def test_each_trial_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    place = _tpe._place

    def noted(trial: Any) -> _tpe.Place:
        looked.append(trial.number)
        return place(trial)

    monkeypatch.setattr(_tpe, "_place", noted)
    asked(Remembering, ["dropout", "beta"], 7)
    assert len(looked) > 30 and len(looked) == len(set(looked))
