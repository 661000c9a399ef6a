"""The check that λ is alive: it passes on every λ of ours, and names each planted bug."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives import base, registry
from objectives.base import Settings
from objectives.checks.alive import check
from objectives.regularizers import dropout, l2
from objectives.terms import Terms
from tests.objectives.planted import BUGS, Planted

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

FAMILIES = ("autoencoder", "vae", "gan")
SMALL: dict[str, Any] = {"dataset": {"name": "digits", "train_size": 64}, "epochs": 4, "batch_size": 32}


def settings(family: str, **more: Any) -> Settings:
    return Settings(**SMALL, model="mlp_small" if family == "gan" else None, **more)


LAMBDAS = [(family, knob) for family in FAMILIES for knob in registry.load(family).knobs.values() if knob.off is not None]


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("family", "knob"), LAMBDAS, ids=[f"{family}-{knob.name}" for family, knob in LAMBDAS])
def test_every_lambda_of_ours_is_alive(family: str, knob: base.Knob) -> None:
    (found,) = check(registry.load(family)(settings(family, likelihood=knob.likelihood or None)), [knob.name])
    assert found.knob == knob.name and found.passed, found.message


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug != "none"])
def test_a_planted_bug_is_named(bug: str) -> None:
    (found,) = check(Planted(Settings({"name": "none", "bug": bug}, 1)), [BUGS[bug]])
    assert not found.passed and found.fault == bug and BUGS[bug] in found.message


@pytest.mark.parametrize("knob", ["l2", "smooth"])
def test_without_a_bug_a_users_objective_passes(knob: str) -> None:
    (found,) = check(Planted(Settings({"name": "none"}, 1)), [knob])
    assert found.passed and found.proven and not found.fault


def test_a_lambda_whose_off_value_lies_in_the_middle_of_its_range_is_tried_elsewhere() -> None:
    class Centred(registry.load("vae")):  # type: ignore[misc]
        knobs = {**registry.load("vae").knobs, "beta": replace(registry.load("vae").knobs["beta"], low=0.1, high=10.0)}  # noqa: RUF012

    (found,) = check(Centred(settings("vae")), ["beta"])
    assert found.passed and found.proven


def norm(terms: Terms) -> Tensor:
    return 0.5 * sum((w.square().sum() for w in terms.kernels.values()), terms.data.new_zeros(()))


WRONG = {
    "detached penalty": (l2, "penalty", lambda terms: norm(terms).detach()),
    "unused coefficient": (l2, "penalty", lambda terms: 0 * norm(terms)),
    "off is not absence": (dropout, "layer", lambda hidden, context, value: 0.5 * hidden + value),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_regularizer_of_a_family_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, hook, wrong = WRONG[fault]
    assert isinstance(module, ModuleType)
    monkeypatch.setattr(module, hook, wrong)
    name = module.__name__.rpartition(".")[2]
    (found,) = check(registry.load("autoencoder")(settings("autoencoder")), [name])
    assert not found.passed
    assert found.fault == fault, found.message


def test_the_check_leaves_the_weights_as_they_were() -> None:
    objective = Planted(Settings({"name": "none"}, 1))
    before = {name: value.detach().clone() for name, value in objective.parameters().items()}
    check(objective)
    assert all(torch.equal(value, before[name]) for name, value in objective.parameters().items())


def test_a_name_that_is_no_lambda_is_answered_with_those_that_are() -> None:
    with pytest.raises(base.ObjectiveError, match="l2, smooth"):
        check(Planted(Settings({"name": "none"}, 1)), ["lr"])


def test_settings_that_cannot_train_are_a_mistake_and_no_verdict() -> None:
    broken = registry.load("vae")(Settings({"name": "mnist"}, 2))
    with pytest.raises(base.ObjectiveError, match="root must be the folder"):
        check(broken, ["beta"])


def test_an_objective_without_probes_is_told_that_nothing_was_proven() -> None:
    found = check(registry.load("toy")(Settings({"name": "none"}, 1)))
    assert found and all(one.passed and not one.proven and "probes" in one.message for one in found)
    assert all(one.free for one in found), "the toy's score is known in closed form"
    users = type("Users", (registry.load("toy"),), {"start": lambda self, members: None})
    assert not any(one.free for one in check(users(Settings({"name": "none"}, 1))))


def test_a_lambda_that_the_loss_uses_beside_its_penalty_is_counted_twice() -> None:
    class Twice(registry.load("vae")):  # type: ignore[misc]
        def loss(self, player: str, net: Any, batch: Tensor, draws: Any, knobs: Any) -> Terms:
            terms: Terms = super().loss(player, net, batch, draws, knobs)
            return replace(terms, data=terms.data + knobs["beta"] * terms.values["kl"])

    (found,) = check(Twice(settings("vae")), ["beta"])
    assert found.fault == "counted twice" and "Leave λ to the penalty" in found.message
